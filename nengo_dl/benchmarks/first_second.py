"""How long small scripts take, from the start of Python to the data."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from nengo_dl.benchmarks.first_script import NETWORKS
from nengo_dl.benchmarks.processes import FOLDER, BackendError

__all__ = ["Script", "add_first_second", "measure_script"]

_SIMULATORS = ("nengo:Simulator", "nengo_dl:Simulator")


@dataclass(frozen=True)
class Script:
    """What a script took, in seconds; medians of several processes.

    Attributes
    ----------
    imports, build, run : float
        Importing Nengo and the simulator, its constructor, and the run.
    total : float
        From the start of the process to its end.
    tensorflow : bool
        Whether TensorFlow was imported.
    neurons : int
        Size of the network.
    """

    imports: float
    build: float
    run: float
    total: float
    tensorflow: bool
    neurons: int


def measure_script(
    network: str, seconds: float = 1.0, rounds: int = 3, python: str = sys.executable
) -> list[Script]:
    """Run a script with core's simulator and with this one, in turns.

    Parameters
    ----------
    network : str
        One of `first_script.NETWORKS`.
    seconds : float
        Simulated time; 0 for a single call of ``sim.step()``.
    rounds : int
        Processes of each.
    python : str
        Interpreter.

    Returns
    -------
    list of Script
        Of core, and of nengo_dl.

    Raises
    ------
    BackendError
        If a script fails.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _SIMULATORS}
    for _ in range(rounds):
        for simulator, runs in found.items():
            runs.append(_run(simulator, network, seconds, python))
    return [_median(runs) for runs in found.values()]


def _run(simulator: str, network: str, seconds: float, python: str) -> dict[str, Any]:
    environment = dict(os.environ)
    paths = [str(FOLDER.parent.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [python, str(FOLDER / "first_script.py"), simulator, network]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, str(seconds)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    total = time.perf_counter() - began
    if done.returncode:
        raise BackendError(f"{simulator} failed:\n{done.stderr}")
    return {**json.loads(done.stdout.splitlines()[-1]), "total": total}


def _median(runs: list[dict[str, Any]]) -> Script:
    def median(key: str) -> float:
        return float(np.median([run[key] for run in runs]))

    return Script(
        median("import"),
        median("build"),
        median("run"),
        median("total"),
        any(run["tensorflow"] for run in runs),
        runs[0]["neurons"],
    )


def _show(options: argparse.Namespace) -> int:
    print(f"{'':<26}neurons  import     build     run       all  (core / nengo_dl, s)")
    for network in options.networks or NETWORKS:
        core, ours = measure_script(network, options.seconds, options.rounds)
        columns = [
            f"{getattr(core, name):.2f}/{getattr(ours, name):.2f}"
            for name in ("imports", "build", "run", "total")
        ]
        note = "  imports TensorFlow" if ours.tensorflow else ""
        print(
            f"{network:<26}{core.neurons:>7}"
            + "".join(f"{column:>10}" for column in columns)
            + note,
            flush=True,
        )
    return 0


def add_first_second(commands: Any) -> None:
    """Add the command that measures small scripts.

    Parameters
    ----------
    commands : argparse action
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        "first-second",
        help="measure small scripts from their start to their end",
        description="Run scripts that simulate one small network once, with core's "
        "simulator and with nengo_dl, in new processes and in turns. Shown are the "
        "median seconds for imports, the constructor, the run, and the whole process.",
    )
    parser.add_argument(
        "networks", nargs="*", choices=[[], *NETWORKS], help="default: all"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        help="simulated time; 0 for a single step (default: 1)",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="processes of each (default: 3)"
    )
    parser.set_defaults(run=_show)
