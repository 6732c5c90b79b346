"""Settings of all tests."""

import nengo

# no test may depend on decoders that an earlier run left on the disk
nengo.rc["decoder_cache"]["enabled"] = "False"


def pytest_addoption(parser):
    parser.addoption(
        "--fuzz-files",
        type=int,
        default=340,
        help="how many damaged parameter files are tried (default: %(default)s)",
    )
