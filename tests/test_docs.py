"""The documentation covers what is public, and quotes what the code says."""

import ast
import code
import inspect
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

import nengo_dl
import nengo_dl.builders
import nengo_dl.dists
import nengo_dl.objectives

ROOT = Path(nengo_dl.__file__).parent.parent
DOCS = ROOT / "docs"


def literals(path):
    """Yield the strings of a module; what f-strings insert is a NUL character."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "\0"
                for part in node.values
            )


SAID = "\n".join(
    text
    for path in sorted((ROOT / "nengo_dl").rglob("*.py"))
    for text in literals(path)
)


def quoted_messages():
    """The terms of the definition lists on the page of messages."""
    page = (DOCS / "user_guide" / "messages.rst").read_text(encoding="utf-8")
    for paragraph in re.findall(r"^(``(?:.+\n)+?)    \S", page, flags=re.MULTILINE):
        yield from re.findall(r"``(.+?)``", paragraph.replace("\n", " "))


def test_page_of_messages_is_read():
    assert len(list(quoted_messages())) > 50


@pytest.mark.parametrize("message", quoted_messages())
def test_documented_message_is_one_of_the_code(message):
    for part in re.split(r"<\w+>|\.\.\.", message):
        # short words between two insertions, such as "of", say nothing
        if len(part.strip()) > 8:
            assert part.strip() in SAID


def public_objects():
    """Public names, with the objects that they stand for."""
    for module in (
        nengo_dl,
        nengo_dl.builders,
        nengo_dl.dists,
        nengo_dl.objectives,
    ):
        for name in module.__all__:
            obj = getattr(module, name)
            if inspect.isclass(obj) or inspect.isfunction(obj):
                yield f"{module.__name__}.{name}", obj


PUBLIC = dict(public_objects())
METHODS = {
    f"nengo_dl.Simulator.{name}": method
    for name, method in inspect.getmembers(nengo_dl.Simulator, inspect.isfunction)
    if not name.startswith("_")
}
PROPERTIES = [
    f"nengo_dl.Simulator.{name}"
    for name, value in inspect.getmembers(nengo_dl.Simulator)
    if isinstance(value, property) and not name.startswith("_")
]
REFERENCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("reference/*.rst"))
)


def test_methods_of_the_simulator_are_found():
    assert {"nengo_dl.Simulator.run", "nengo_dl.Simulator.train"} <= set(METHODS)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_in_the_reference(name):
    short = name.rpartition(".")[2]
    assert re.search(rf"auto\w+:: (\w+\.)*{short}$", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS, *PROPERTIES])
def test_public_name_is_in_a_table_of_the_reference(name):
    tables = re.findall(
        r"autosummary::\n   :nosignatures:\n\n((?:   .+\n)+)", REFERENCE
    )
    named = {line.strip() for table in tables for line in table.splitlines()}
    module, _, short = name.rpartition(".")
    parts = {name, name.removeprefix("nengo_dl.")}
    assert parts & named, f"no table has {short} of {module}"


@pytest.fixture(scope="module")
def inventories():
    """The module that makes the inventories of other projects."""
    return SimpleNamespace(**runpy.run_path(str(DOCS / "inventories.py")))


def test_names_of_other_projects_are_in_the_inventories(inventories):
    kept = {
        name for package in inventories.ADDRESSES for name in inventories.read(package)
    }
    missing = set(inventories.names_in_text()) - kept
    assert not missing, f"run python docs/inventories.py; it lacks {sorted(missing)}"


def sections(docstring):
    """Titles of the sections of a docstring in numpydoc's form."""
    return set(re.findall(r"^(\w[\w ]*)\n-+$", docstring, flags=re.MULTILINE))


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_public_docstring_has_parameters_and_an_example(name):
    obj = {**PUBLIC, **METHODS}[name]
    found = sections(inspect.getdoc(obj) or "")
    # a variant of a method may leave it to that one
    if re.search(r"\bsee\s+`\w+`(\.|\s+for an example)", inspect.getdoc(obj), re.I):
        found |= {"Parameters", "Examples"}
    arguments = [
        argument
        for argument in inspect.signature(obj).parameters.values()
        if argument.name != "self"
    ]
    assert inspect.getdoc(obj)
    if arguments and not inspect.isabstract(obj):
        assert found & {"Parameters", "Attributes"}
    assert "Examples" in found


def test_readme_example_does_what_it_says(tmp_path, monkeypatch, capsys):
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    block = re.search(r"\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", readme)
    promised = float(re.search(r"prints ``error: ([\d.]+)``", readme)[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    exec(compile(inspect.cleandoc(block[1]), "README.rst", "exec"), {})
    error = float(re.search(r"^error: ([\d.]+)$", capsys.readouterr().out, re.M)[1])
    # a thousand updates in single precision differ a little between machines
    assert error < promised + 0.01
    assert (tmp_path / "sine.png").stat().st_size > 1000


class PastedInto(code.InteractiveConsole):
    """Python's prompt, which parses what it gets line by line, and runs nothing."""

    def runcode(self, code):
        pass

    def showsyntaxerror(self, filename=None, **kwargs):
        raise  # what the parser has raised


def test_tutorial_can_be_pasted_into_python():
    # an empty line must end a block, unlike in a script
    prompt = PastedInto()
    script = (ROOT / "examples" / "tutorial.py").read_text(encoding="utf-8")
    for line in [*script.splitlines(), ""]:
        more = prompt.push(line)
    assert not more


def test_index_describes_each_page_once():
    text, _, _ = (DOCS / "index.rst").read_text(encoding="utf-8").partition("toctree::")
    named = re.findall(r":doc:`(?:[^`<]*<)?([\w/]+)>?`", text)
    pages = {
        str(path.relative_to(DOCS).with_suffix(""))
        for path in [*DOCS.glob("*.rst"), *DOCS.glob("user_guide/*.rst")]
    }
    assert sorted(named) == sorted(
        pages - {"index"} | {"examples/index", "examples/tutorial"}
    )


def files_of_the_map():
    """The files of the package that the map in CONTRIBUTING.rst names."""
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    section = re.search(
        r"^Where to look\n-+\n(.+?)^Documentation\n-", text, re.M | re.S
    )
    return sorted(set(re.findall(r"``([\w./]+(?:/|\.\w+))``", section[1])))


def test_map_for_contributors_names_files():
    assert len(files_of_the_map()) > 30


@pytest.mark.parametrize("name", files_of_the_map())
def test_file_of_the_map_exists(name):
    assert (ROOT / "nengo_dl" / name).exists() or (ROOT / name).exists()


def architecture_files():
    """The files of the package that the page on the architecture names."""
    page = (DOCS / "architecture.rst").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"``([a-z_]+/[a-z_/]+\.py)``", page)))


def test_architecture_names_files():
    assert len(architecture_files()) > 25


@pytest.mark.parametrize("name", architecture_files())
def test_file_of_the_architecture_exists(name):
    assert (ROOT / "nengo_dl" / name).exists()


def test_architecture_has_a_row_for_each_folder():
    page = (DOCS / "architecture.rst").read_text(encoding="utf-8")
    folders = {p.parent.name for p in (ROOT / "nengo_dl").glob("*/__init__.py")}
    assert {name for name in folders if f"``{name}/``" not in page} == set()
