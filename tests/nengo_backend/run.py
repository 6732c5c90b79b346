"""Run nengo's own tests of simulators with nengo_dl (which has to be installed).

The tests come with the installed nengo. They run in a temporary folder, which holds
a copy of ``pytest.ini`` with the options below applied, without nengo's decoder cache.
Unknown options are handed to pytest: ``run.py --dtype float64 -k learning -x``.
"""

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

ALL_NEURONS = (
    "nengo.Direct",
    "nengo.RectifiedLinear",
    "nengo.SpikingRectifiedLinear",
    "nengo.Sigmoid",
    "nengo.Tanh",
    "nengo.LIFRate",
    "nengo.LIF",
    "nengo.AdaptiveLIFRate",
    "nengo.AdaptiveLIF",
    "nengo.Izhikevich",
    "nengo.RegularSpiking",
    "nengo.StochasticSpiking",
    "nengo.PoissonSpiking",
    "nengo.tests.test_neurons.SpikingTanh",
)

# the classes of variants.py
VARIANTS = {
    ("float32", None): "nengo_dl.Simulator",
    ("float32", True): "variants.Float32Compiled",
    ("float32", False): "variants.Float32Graph",
    ("float64", None): "variants.Float64",
    ("float64", True): "variants.Float64Compiled",
    ("float64", False): "variants.Float64Graph",
}

VARIANTS_UNSUPPORTED = """
tests/test_simulator.py::test_entry_point
    "a variant is a class made for these tests; no entry point names it"
"""


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument(
        "--jit",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compile by XLA always, or never; default: the simulator decides",
    )
    parser.add_argument(
        "--simulator",
        help="class path of another simulator; 'core' is nengo's own",
    )
    parser.add_argument(
        "--precision", choices=(16, 32, 64), type=int, help="nengo.rc's precision"
    )
    parser.add_argument(
        "--all-neurons", action="store_true", help="all of nengo's neuron types"
    )
    parser.add_argument(
        "-n", "--processes", default="2", help="worker processes (0: no workers)"
    )
    return parser.parse_known_args(argv)


def simulator_path(args):
    if args.simulator == "core":
        # not "nengo.Simulator": then the tests of nengo's frontend would run as well
        return "nengo.simulator.Simulator"
    return args.simulator or VARIANTS[args.dtype, args.jit]


def write_settings(folder, args):
    """Write pytest.ini and nengorc to the folder in which the tests will run."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(HERE / "pytest.ini", encoding="utf-8")
    section = ini["pytest"]
    section["nengo_simulator"] = simulator_path(args)
    section["pythonpath"] = str(HERE)
    if section["nengo_simulator"].startswith("variants."):
        section["nengo_test_unsupported"] += VARIANTS_UNSUPPORTED
    if args.dtype == "float64" or args.simulator:
        del section["allclose_tolerances"]
    if args.all_neurons:
        section["nengo_neurons"] = "\n".join(("", *ALL_NEURONS))
    with (folder / "pytest.ini").open("w", encoding="utf-8") as file:
        ini.write(file)

    rc = configparser.ConfigParser(interpolation=None)
    rc["decoder_cache"] = {"enabled": "False"}
    if args.precision:
        rc["precision"] = {"bits": str(args.precision)}
    with (folder / "nengorc").open("w", encoding="utf-8") as file:
        rc.write(file)


def main(argv=None):
    args, pytest_args = parse_arguments(argv)
    with tempfile.TemporaryDirectory(prefix="nengo_backend_") as name:
        folder = Path(name)
        write_settings(folder, args)
        # the seeds of the tests are made from their node ids, and only this form
        # (no path, no other root) gives the ids that nengo's developers see
        command = [sys.executable, "-m", "pytest", "--pyargs", "nengo"]
        if args.processes != "0":
            command += ["-n", args.processes]
        environment = os.environ | {"MPLBACKEND": "Agg"}
        return subprocess.call(command + pytest_args, cwd=folder, env=environment)


if __name__ == "__main__":
    sys.exit(main())
