"""Make the notebooks of the examples readable, and run them.

Sphinx-Gallery makes a notebook of each script in ``examples`` when the pages are built.
What only a page can show (directives, pictures of earlier runs) is taken out of them
then. ``python docs/notebooks.py NAME ...`` runs some in their quick form, by nbconvert,
and only converts the others: to HTML, with code that Python can parse.
"""

import argparse
import ast
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "examples"

#: What has no place in a notebook, which has outputs of its own: directives with their
#: options and contents, and pictures that lie beside the pages.
PAGE_ONLY = (
    r"^It prints[^\n]*:\n\n(?=\.\. literalinclude)",
    r"^\.\. (?:literalinclude|image|plot)::.*\n(?:[ \t]+\S.*\n)*",
    r'^<img src="file://[^>]*>\n?(?:[ \t]+\S.*\n)*',
)


def title(page):
    """Return the title of a page of the documentation."""
    path = DOCS / f"{page.lstrip('/').removeprefix('../')}.rst"
    if not path.exists():
        return page.rpartition("/")[2]
    found = re.search(r"^(\S.*)\n=+$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1]


def as_markdown(text):
    """Return the text of a cell without what only Sphinx understands."""
    for pattern in PAGE_ONLY:
        text = re.sub(pattern, "", f"{text}\n", flags=re.MULTILINE)
    text = re.sub(
        r":(?:doc|ref):`([^`<]+?)\s*<[^`>]+>`", lambda found: f"*{found[1]}*", text
    )
    text = re.sub(r":doc:`([^`]+)`", lambda found: f"*{title(found[1])}*", text)
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    text = re.sub(r"^\.\. (\[\d+\]) ", r"\1 ", text, flags=re.MULTILINE)
    text = re.sub(r"(\[\d+\])_", r"\1", text)
    return f"{text.strip()}\n"


def clean(notebook):
    """Take out of a notebook what only a page can show."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = as_markdown(cell.source)
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]


def clean_all(folder=FOLDER):
    """Clean the notebooks that Sphinx-Gallery made."""
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        clean(notebook)
        nbformat.write(notebook, path)


def quicken(notebook):
    """Make a notebook do what the script does with ``--quick``."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace(
                "parse_args([] if", 'parse_args(["--quick"] if'
            )
            cell.source = re.sub(
                r"^N_EPOCHS = (\d+)$",
                lambda found: f"N_EPOCHS = {int(found[1]) // 10}",
                cell.source,
                flags=re.MULTILINE,
            )


def check(notebook):
    """Raise an error if text or code of a notebook cannot be read.

    Raises
    ------
    ValueError
        If a cell contains what only Sphinx understands.
    SyntaxError
        If Python cannot parse the code of a cell.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if re.search(r"^\.\. \w|:\w+:`|``", cell.source, re.MULTILINE):
                raise ValueError(f"not for a notebook: {cell.source}")
        else:
            ast.parse(re.sub(r"^%", "# %", cell.source, flags=re.MULTILINE))
    HTMLExporter().from_notebook_node(notebook)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="which to run, such as tutorial")
    parser.add_argument("--output", type=Path, help="folder for what was run")
    args = parser.parse_args()
    paths = sorted(FOLDER.glob("*.ipynb"))
    scripts = {path.stem for path in (DOCS.parent / "examples").glob("*.py")}
    missing = (scripts | set(args.names)) - {path.stem for path in paths}
    if missing:
        parser.error(
            f"no notebooks {', '.join(sorted(missing))}: build the pages first"
        )
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        check(notebook)
        start = time.perf_counter()
        if path.stem in args.names:
            quicken(notebook)
            with tempfile.TemporaryDirectory() as folder:
                ExecutePreprocessor(timeout=300, kernel_name="python3").preprocess(
                    notebook, {"metadata": {"path": folder}}
                )
            if args.output is not None:
                nbformat.write(notebook, args.output / path.name)
        done = "ran" if path.stem in args.names else "converted"
        print(f"{path.stem:24s} {done} {time.perf_counter() - start:6.1f} s")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
