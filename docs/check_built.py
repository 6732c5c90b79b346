"""Check the built pages: what a search finds, pictures for blind readers, no network.

``python docs/check_built.py FOLDER``, with the folder of ``sphinx-build -b html``.
"""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

from snowballstemmer import stemmer

#: What people search for, and the page that has to be the first of the results; the
#: page of short answers, which links to it, may come before it.
SEARCHES = {
    "How do I": "how_do_i",
    "train with spikes": "user_guide/training",
    "Early stopping": "user_guide/training",
    "Resume training": "user_guide/training",
    "Reproducible results": "user_guide/simulator",
    "Sweeps and multiprocessing": "user_guide/simulator",
    "GPU": "installation",
    "Masks and sequences of different length": "user_guide/training",
    "Why is my first run slow": "performance",
    "What it does not do": "differences",
    "install": "installation",
    "progress bars off": "installation",
    "surrogate gradients": "how_do_i",
}


def read_index(folder):
    """Return the search index of the pages."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


def find(index, query):
    """Return the pages that a search finds, best first, in Sphinx's order.

    Titles that contain the query, and are at most twice as long, are scored by the part
    that it makes up; titles of pages come before those of sections. Words in any title
    count as much as a title that is the query, words in the text a third of it.
    """
    wanted = query.lower().strip()
    scores = _scores_of_words(index, wanted)
    for title, places in index["alltitles"].items():
        if wanted not in title.lower() or len(wanted) < len(title) / 2:
            continue
        for document, anchor in places:
            score = round(15 * len(wanted) / len(title)) + (anchor is None)
            name = index["docnames"][document]
            scores[name] = max(score, scores.get(name, 0))
    titles = dict(zip(index["docnames"], index["titles"]))
    return sorted(scores, key=lambda name: (-scores[name], titles[name].lower()))


def _scores_of_words(index, query):
    """Return a score for each page that has all the words of a query."""
    stem = stemmer("english").stemWord
    words = [stem(word) for word in re.findall(r"\w+", query)]
    found = {}
    for word in words:
        for score, table in ((5, "terms"), (15, "titleterms")):
            numbers = index[table].get(word, [])
            for number in [numbers] if isinstance(numbers, int) else numbers:
                found.setdefault(index["docnames"][number], {})[word] = score
    return {
        name: max(of_words.values())
        for name, of_words in found.items()
        if len(of_words) == len(set(words))
    }


class Page(HTMLParser):
    """Collects what is wrong with a page."""

    def __init__(self):
        super().__init__()
        self.problems = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img" and len(attrs.get("alt") or "") < 4:
            self.problems.append(f"a picture without alt text: {attrs.get('src')}")
        if "contents" in (attrs.get("class") or "").split():
            self.problems.append("a table of contents; the theme shows one anyway")
        source = attrs.get("src")
        if tag == "link" and attrs.get("rel") in ("stylesheet", "preload", "icon"):
            source = attrs.get("href")
        if source and re.match(r"(https?:)?//", source):
            self.problems.append(f"is fetched from the network: {source}")


def problems_of(text):
    """Return what is wrong with the text of a page."""
    page = Page()
    page.feed(text)
    return page.problems


def main(folder):
    problems = []
    index = read_index(folder)
    for query, wanted in SEARCHES.items():
        found = find(index, query)
        found = [name for name in found if name != "how_do_i" or wanted == name]
        if found[:1] != [wanted]:
            problems.append(f"a search for {query!r} finds {found[:3]}, not {wanted}")
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder)
        found = problems_of(path.read_text(encoding="utf-8"))
        problems += [f"{name}: {problem}" for problem in found]
    print("\n".join(problems) or "the built pages are well")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
