"""Settings of all tests."""

import signal

import nengo
import pytest

# no test may depend on decoders that an earlier run left on the disk
nengo.rc["decoder_cache"]["enabled"] = "False"


def pytest_addoption(parser):
    parser.addoption(
        "--fuzz-files",
        type=int,
        default=340,
        help="how many damaged parameter files are tried (default: %(default)s)",
    )


@pytest.fixture
def interruptible():
    """Let Ctrl-C raise, also where the tests were started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
