"""Packaging, and the architecture: what may import what."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import nengo_dl
from nengo_dl.version import __version__

PACKAGE = Path(nengo_dl.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: A module belongs to the layer with the longest matching name, and imports only from
#: its own layer's package or from lower layers.
LAYERS = (
    {"version", "setting_kinds"},
    {"support"},
    {"builder"},
    {"neuron_builders"},
    {"config", "neurons", "synapses", "dists", "events", "objectives"},
    {"compiler"},
    {"builders", "building"},
    {"tensor_node", "losses"},
    {"layers"},
    {"program"},
    {"distribution"},
    {"launch"},
    {"profiling", "tensorboard"},
    {"execution"},
    {"training"},
    {"parameters", "callbacks"},
    {"inspection"},
    {"exporting"},
    {"simulator"},
    {"interchange", "sweeps"},
    {""},
    {"benchmarks"},
)

#: The only module that uses private names of TensorFlow; it works without them.
PRIVATE_NAMES = "program.private_tensorflow"

#: The module that imports TensorFlow and Keras for all others.
LAZY_IMPORTS = "support.lazy_imports"

HEAVY_AND_OPTIONAL = {"matplotlib", "scipy", "sklearn", "IPython", "pytest"}


def dotted_name(path, package=PACKAGE):
    """``compiler.plan`` for ``nengo_dl/compiler/plan.py``, '' for the package."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(name):
    """The index of a module's layer."""
    for ending in (name, name.partition(".")[0]):
        for index, members in enumerate(LAYERS):
            if ending in members:
                return index
    raise LookupError(
        f"nengo_dl.{name} is in no layer; put {ending!r} into LAYERS of {__file__}"
    )


def imported_modules(source, name, is_package, known):
    """Absolute names of all modules that a module's source imports, wherever it does.

    ``from nengo_dl import x`` imports ``nengo_dl.x`` if that is a module.
    """
    full_name = f"nengo_dl.{name}".rstrip(".")
    package = full_name if is_package else full_name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                ancestor = package.rsplit(".", node.level - 1)[0]
                base = f"{ancestor}.{base}".rstrip(".")
            for alias in node.names:
                target = f"{base}.{alias.name}"
                yield node.lineno, target if target in known else base


def violations(source, name, is_package, known):
    """Messages about the imports of one module that its layer does not allow."""
    layer = layer_of(name)
    for line, target in imported_modules(source, name, is_package, known):
        place = f"nengo_dl.{name}, line {line}: imports {target}"
        root, _, inner = target.partition(".")
        if root == "nengo_dl":
            same_package = layer_of(inner) == layer and (
                inner.partition(".")[0] == name.partition(".")[0]
            )
            if layer_of(inner) >= layer and not same_package:
                yield f"{place}, which is not in a lower layer"
            if target == f"nengo_dl.{LAZY_IMPORTS}" and layer_of("compiler") == layer:
                yield f"{place}, but the compiler does without TensorFlow"
        elif root in ("tensorflow", "keras"):
            is_private = any(
                p == "python" or p.startswith("_") for p in target.split(".")
            )
            if is_private and name != PRIVATE_NAMES:
                yield f"{place}, which is not public"
            elif layer < layer_of("benchmarks") and not is_private:
                if name != LAZY_IMPORTS:
                    yield f"{place}, which {LAZY_IMPORTS} imports when it is used"


KNOWN = {f"nengo_dl.{dotted_name(path)}".rstrip(".") for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: dotted_name(path) or "init")
def test_module_imports_only_from_lower_layers(path):
    found = violations(
        path.read_text(encoding="utf-8"),
        dotted_name(path),
        path.name == "__init__.py",
        KNOWN,
    )
    assert not list(found)


@pytest.mark.parametrize(
    "name, source",
    [
        ("compiler.plan", "import tensorflow as tf"),
        ("compiler.plan", "from nengo_dl.support.lazy_imports import tf"),
        ("builders.base", "import tensorflow as tf"),
        ("training.trainer", "def late():\n    import keras"),
        ("compiler.plan", "def f():\n    from nengo_dl.builders import base"),
        ("compiler.plan", "from ..program import step"),
        ("builders.base", "import nengo_dl"),
        ("program.step", "from nengo_dl import simulator"),
        ("program.step", "from nengo_dl.parameters import load"),
        ("neurons", "from nengo_dl.objectives import mse"),
        ("program.step", "from tensorflow.python.ops import math_ops"),
    ],
)
def test_forbidden_imports_are_found(name, source):
    known = KNOWN | {"nengo_dl.simulator", "nengo_dl.program.step"}
    assert len(list(violations(source, name, False, known))) == 1


@pytest.mark.parametrize(
    "name, source",
    [
        ("compiler.plan", "from nengo_dl.compiler.ir import Group\nimport numpy as np"),
        ("compiler.plan", "from .ir import Group"),
        (
            "builders.base",
            "from nengo_dl.support.lazy_imports import tf\n"
            "from nengo_dl.compiler import ir",
        ),
        ("support.lazy_imports", "import keras"),
        ("benchmarks.pool", "import keras"),
        ("simulator", "from nengo_dl import training\nfrom nengo_dl.version import v"),
    ],
)
def test_allowed_imports_are_not_found(name, source):
    known = KNOWN | {"nengo_dl.training"}
    assert not list(violations(source, name, False, known))


def test_module_without_a_layer_is_refused():
    with pytest.raises(LookupError, match="misc is in no layer"):
        layer_of("misc")


#: Most lines of a module, and of a function without its signature and docstring.
MOST_LINES = 400
MOST_LINES_OF_FUNCTION = 50

#: How the reason begins that a longer function gives in its docstring.
REASON = "Long because"


def long_functions(source):
    """Names and lengths of functions that are too long, and give no reason for it."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        body = node.body if docstring is None else node.body[1:]
        length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        if length > MOST_LINES_OF_FUNCTION and REASON not in (docstring or ""):
            yield node.name, length


@pytest.mark.parametrize("path", MODULES, ids=lambda path: dotted_name(path) or "init")
def test_module_has_one_subject(path):
    source = path.read_text(encoding="utf-8")
    n_lines = len(source.splitlines())
    assert n_lines <= MOST_LINES, f"Which two subjects are in {path.name}?"
    assert not list(long_functions(source)), f"divide, or say: {REASON} ..."


def test_long_function_is_found():
    body = "    x = 0\n" * (MOST_LINES_OF_FUNCTION + 1)
    reason = f'    """Do much.\n\n    {REASON} it is one table.\n    """\n'
    other = '    """Do much."""\n'
    for head, n_found in (("", 1), (other, 1), (reason, 0)):
        found = list(long_functions(f"class A:\n  def f(self):\n{head}{body}"))
        assert found == [("f", MOST_LINES_OF_FUNCTION + 1)] * n_found
    assert not list(long_functions(f"def f():\n{body[10:]}"))


def test_every_folder_is_a_package():
    folders = {path.parent for path in MODULES}
    assert {f for f in folders if not (f / "__init__.py").exists()} == set()


def test_version_is_that_of_the_distribution():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", __version__)
    assert metadata.version("nengo_dl") == __version__
    assert nengo_dl.__version__ == __version__


def test_entry_point_loads_the_simulator():
    (entry_point,) = metadata.entry_points(group="nengo.backends", name="dl")
    assert entry_point.load() is nengo_dl.Simulator


def test_import_leaves_tensorflow_for_later():
    script = (
        "import sys, nengo_dl\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        "nengo_dl.Simulator, nengo_dl.builders\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        "nengo_dl.losses\n"
        "assert 'keras' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'nengo_dl' has no attribute 'simulate'"):
        nengo_dl.simulate  # noqa: B018


def test_public_names_exist():
    assert "Simulator" in nengo_dl.__all__
    assert [name for name in nengo_dl.__all__ if not hasattr(nengo_dl, name)] == []


@pytest.fixture(scope="module")
def modules_added_by_import():
    """What ``import nengo_dl`` loads beyond what it cannot do without."""
    script = (
        "import sys, nengo, tensorflow, progressbar\n"
        "before = set(sys.modules)\n"
        "import nengo_dl.simulator\n"
        "from nengo_dl import *\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


def test_import_loads_nothing_optional(modules_added_by_import):
    roots = {name.partition(".")[0] for name in modules_added_by_import}
    assert "nengo_dl" in roots
    assert roots & HEAVY_AND_OPTIONAL == set()


def test_import_loads_little_besides_its_own_modules(modules_added_by_import):
    others = {m for m in modules_added_by_import if not m.startswith("nengo_dl")}
    # standard library and lazily loaded parts of TensorFlow and nengo
    assert len(others) < 100, sorted(others)
