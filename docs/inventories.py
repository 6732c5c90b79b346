"""Make the inventories that turn names of other projects into links.

Sphinx usually fetches an inventory from each project when the pages are built. Here
they are kept in ``docs/inventories``, so that a build needs no network. ``python
docs/inventories.py`` writes them anew, with the names that pages and docstrings use;
each name is looked up in the installed package. The addresses follow the rules of each
project's pages.
"""

import importlib
import inspect
import re
import zlib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "inventories"

#: Of names in our text, the package that is imported as such.
PACKAGES = {
    "nengo": "nengo",
    "np": "numpy",
    "numpy": "numpy",
    "tf": "tensorflow",
    "keras": "keras",
}

#: Where each package's pages are.
ADDRESSES = {
    "nengo": "https://www.nengo.ai/nengo/",
    "numpy": "https://numpy.org/doc/stable/",
    # TensorFlow's pages of Keras have an address for each name, Keras's own have none
    "keras": "https://www.tensorflow.org/api_docs/python/tf/keras/",
    "tensorflow": "https://www.tensorflow.org/api_docs/python/tf/",
}

#: Modules of which Nengo's page on the backend tells; the other page has the rest.
BACKEND = r"nengo\.(builder|cache|exceptions|simulator|Simulator)\b"

#: Names of TensorFlow 1, which pages mention because they are gone.
GONE = {"tf.layers"}


def names_in_text():
    """Return the names of other packages that stand in single backquotes."""
    root = DOCS.parent
    files = [*root.glob("*.rst"), *DOCS.rglob("*.rst"), *root.glob("examples/*.py")]
    files += root.glob("nengo_dl/**/*.py")
    pattern = rf"(?<!`)`~?((?:{'|'.join(PACKAGES)})\.[A-Za-z_][\w.]*)`(?!`)"
    found = set()
    for path in files:
        generated = [DOCS / "_build", DOCS / "examples"]
        if not any(path.is_relative_to(folder) for folder in generated):
            found.update(re.findall(pattern, path.read_text(encoding="utf-8")))
    return sorted(found - GONE)


def look_up(name):
    """Return the object that a name stands for."""
    first, *rest = name.split(".")
    found = importlib.import_module(PACKAGES[first])
    path = found.__name__
    for part in rest:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(path)
    return found


def kind(name):
    """Return the type of an entry, as Sphinx names it."""
    found = look_up(name)
    if inspect.ismodule(found):
        return "module"
    if inspect.isclass(found):
        return "class"
    if callable(found):
        owner = name.rpartition(".")[0]
        return "method" if inspect.isclass(look_up(owner)) else "function"
    return "data"


def address(name):
    """Return the address of a name, within the pages of its project."""
    first, _, rest = name.partition(".")
    package, what = PACKAGES[first], kind(name)
    if package == "nengo":
        page = "backend-api" if re.match(BACKEND, name) else "frontend-api"
        return f"{page}.html#{name}"
    if package == "numpy":
        if what == "data":
            return f"reference/constants.html#numpy.{rest}"
        folder = "reference/random" if rest.startswith("random.") else "reference"
        return f"{folder}/generated/numpy.{rest}.html"
    if what == "method":
        owner, _, method = rest.rpartition(".")
        return f"{owner.replace('.', '/')}#{method}"
    return rest.replace(".", "/")


def write(package, names):
    """Write the inventory of a package, in the second version of Sphinx's format."""
    version = importlib.import_module(package).__version__
    lines = [f"{name} py:{kind(name)} 1 {address(name)} -\n" for name in names]
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {package}\n# Version: {version}\n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    body = zlib.compress("".join(lines).encode(), 9)
    (FOLDER / f"{package}.inv").write_bytes(head.encode() + body)


def read(package):
    """Return the names that are in an inventory."""
    content = (FOLDER / f"{package}.inv").read_bytes().split(b"\n", 4)[4]
    return [line.split()[0] for line in zlib.decompress(content).decode().splitlines()]


def mapping():
    """Return the inventories, in the form of ``intersphinx_mapping``."""
    return {
        package: (where, str(FOLDER / f"{package}.inv"))
        for package, where in ADDRESSES.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for package in ADDRESSES:
        names = [n for n in names_in_text() if PACKAGES[n.split(".")[0]] == package]
        write(package, names)
        print(f"{package}: {len(names)} names")
