"""Settings of all tests."""

import linecache
import signal
import zlib
from pathlib import Path

import hypothesis
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl

FOLDER = Path(__file__).parent

#: Tests that compile networks of all kinds.
KINDS_OF_NETWORKS = {"test_parity.py", "test_metamorphic.py", "builders", "program"}

# no test may depend on decoders that an earlier run left on the disk
nengo.rc["decoder_cache"]["enabled"] = "False"

# what a test finds is the same in each run; --draw varies it
hypothesis.settings.register_profile("fixed", derandomize=True, print_blob=True)
hypothesis.settings.register_profile("drawn", print_blob=True)


def pytest_addoption(parser):
    parser.addoption(
        "--fuzz-files",
        type=int,
        default=340,
        help="how many damaged parameter files are tried (default: %(default)s)",
    )

    parser.addoption(
        "--draw",
        type=int,
        default=0,
        help="another number draws other seeds for all networks that set none, and "
        "other examples for generated tests (default: %(default)s)",
    )


def pytest_configure(config):
    hypothesis.settings.load_profile("drawn" if config.getoption("draw") else "fixed")


def _seed(item):
    # one seed for a module: what its fixtures draw depends on no test's turn
    module = item.nodeid.split("::")[0]
    seed = zlib.crc32(f"{module} {item.config.getoption('draw')}".encode())
    np.random.seed(seed)
    tf.random.set_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    _seed(item)
    if item.get_closest_marker("gpu") and not tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees no GPU")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    _seed(item)


@pytest.fixture(autouse=True)
def equal_keys_mean_equal_graphs(request, monkeypatch):
    """Where networks of all kinds are compiled, trace also what a key is known of."""
    if request.path.relative_to(FOLDER).parts[0] in KINDS_OF_NETWORKS:
        monkeypatch.setattr(nengo_dl.programs, "checks", True)


@pytest.fixture
def interruptible():
    """Let Ctrl-C raise, also where the tests were started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_make_parametrize_id(config, val, argname):
    """Name cases by their values, where pytest would only number them."""
    plain = str | bytes | bool | int | float | complex | None
    return None if isinstance(val, plain) else _short(val)[:80]


def _short(value):
    """Return a value in a few words that are the same in each run."""
    if isinstance(value, dict):
        return ",".join(f"{_short(key)}={_short(item)}" for key, item in value.items())
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(_short(item) for item in value)) + "}"
    if isinstance(value, list | tuple):
        return "(" + ",".join(_short(item) for item in value) + ")"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}".replace(" ", "")
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", None)
    if name == "<lambda>":
        code = value.__code__
        line = linecache.getline(code.co_filename, code.co_firstlineno).strip()
        return line[max(line.find("lambda"), 0) :].rstrip(",")
    if name is not None:
        return name
    text = repr(value)
    return type(value).__name__ if " at 0x" in text or len(text) > 60 else text
