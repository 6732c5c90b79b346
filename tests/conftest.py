"""Settings of all tests."""

import signal
import zlib

import hypothesis
import nengo
import numpy as np
import pytest
import tensorflow as tf

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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    _seed(item)


@pytest.fixture
def interruptible():
    """Let Ctrl-C raise, also where the tests were started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
