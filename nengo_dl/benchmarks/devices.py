"""The benchmark ``gpu``: the same on two devices, for whoever has a GPU."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from nengo_dl.benchmarks import report
from nengo_dl.benchmarks.measure import NENGO_DL, QUICK, Effort, measure
from nengo_dl.benchmarks.networks import NETWORKS
from nengo_dl.benchmarks.training.measure import default_sides, measure_training
from nengo_dl.benchmarks.training.problems import CASES

__all__ = ["add_devices"]

_DEVICES = ("/cpu:0", "/gpu:0")


def add_devices(commands: Any) -> None:
    """Add the command that compares two devices.

    Parameters
    ----------
    commands : argparse action
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        "gpu",
        help="measure a GPU against the CPU: steps, training, memory",
        description="Simulate all standard networks and train all cases on two devices "
        "in turns, each in a process of its own. Ratios are those to the first device. "
        "Nothing has been measured on GPUs by the authors: reports are welcome.",
    )
    parser.add_argument(
        "--devices",
        nargs=2,
        default=list(_DEVICES),
        metavar="DEVICE",
        help=f"names of TensorFlow (default: {' '.join(_DEVICES)})",
    )
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, help="default: all")
    parser.add_argument("--cases", nargs="*", choices=CASES, help="default: all")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see whether it works"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    missing = _missing(options.devices)
    if missing:  # at once, not after all of the first one was measured
        print(missing, file=sys.stderr)
        return 2
    effort = QUICK if options.quick else Effort()
    networks = NETWORKS if options.networks is None else options.networks
    cases = CASES if options.cases is None else options.cases
    found: list[Any] = []
    for name in networks:
        sizes = NETWORKS[name].small if options.quick else {}
        backends = [_on(NENGO_DL, device) for device in options.devices]
        found += measure(name, backends, sizes, effort)
    if found:
        print(report.table(found), flush=True)
    trained: list[Any] = []
    for name in cases:
        sizes = CASES[name].small if options.quick else {}
        ours = default_sides(name)[0]
        sides = [_on(ours, device) for device in options.devices]
        trained += measure_training(name, sides, sizes, effort)
    if trained:
        print(report.training_table(trained), flush=True)
    return int(any(one.error is not None for one in [*found, *trained]))


def _missing(devices: Sequence[str]) -> str:
    """Return which device is missing, and which ones there are; nothing if all are.

    Another process looks, so that this one holds no memory of a GPU.
    """
    code = (
        "import sys; from nengo.exceptions import ValidationError\n"
        "from nengo_dl.support.arguments import check_device\n"
        "try: [check_device(name) for name in sys.argv[1:]]\n"
        "except ValidationError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *devices],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return found.stdout.strip()


def _on(backend: Any, device: str) -> Any:
    """Return something to measure, on a device."""
    arguments = {**backend.arguments, "device": device}
    return dataclasses.replace(backend, arguments=arguments, label=device)
