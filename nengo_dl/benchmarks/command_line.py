"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nengo_dl.benchmarks import report
from nengo_dl.benchmarks.measure import (
    CORE,
    NENGO_DL,
    QUICK,
    Backend,
    Effort,
    Measurement,
    measure,
)
from nengo_dl.benchmarks.networks import NETWORKS

__all__ = ["main"]

#: Beside the package, in a checkout of the source code.
TRAINING_SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "training.py"

_SCALES = (1_000, 10_000, 100_000, 1_000_000)
_NEURONS_PER_ENSEMBLE = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0, or 1 if a simulator failed.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["training"]:  # whose options are its own
        return _train(arguments[1:])
    options = _make_parser().parse_args(arguments)
    return options.run(options)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nengo_dl.benchmarks",
        description="Measure simulators of Nengo networks: standard networks, each "
        "simulator in a fresh process, in turns. Shown are the seconds that importing, "
        "building and the first run (one simulated second, including compilation) "
        "take, the median time per step afterwards, how many times as fast as the "
        "first simulator that is, and peak memory.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser(
        "run",
        help="measure standard networks",
        description=_list_of_networks(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "benchmarks",
        nargs="*",
        type=_benchmark,
        metavar="NAME[:SIZE=VALUE,...]",
        help="networks, with sizes that differ from the defaults; all if none is given",
    )
    _add_common(run)
    run.set_defaults(run=_run, default_backends=[CORE, NENGO_DL])

    scaling = commands.add_parser(
        "scaling", help="costs per neuron from a thousand to a million neurons"
    )
    scaling.add_argument(
        "neurons",
        nargs="*",
        type=_neurons,
        help="numbers of neurons, multiples of 200, in two arrays of ensembles of "
        f"{_NEURONS_PER_ENSEMBLE} neurons; default: {', '.join(map(str, _SCALES))}",
    )
    _add_common(scaling)
    scaling.set_defaults(run=_scale, default_backends=[NENGO_DL])

    commands.add_parser(
        "training",
        help="training, against hand-written loops and Keras (in a source checkout)",
    )
    commands.add_parser("list", help="list the standard networks").set_defaults(
        run=_list
    )
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(backends=None)
    parser.add_argument(
        "--simulator",
        action=_AddBackend,
        metavar="MODULE:CLASS",
        help="a simulator to measure, instead of the default ones; can be repeated, "
        "and the first is what others are compared with",
    )
    for name, metavar, what in (
        ("--python", "PATH", "interpreter in which it is installed"),
        ("--arguments", "JSON", "its further arguments, such as '{\"seed\": 1}'"),
        ("--label", "NAME", "its name in tables"),
    ):
        parser.add_argument(
            name,
            action=_ChangeBackend,
            metavar=metavar,
            help=f"of the preceding --simulator: {what}",
        )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and short runs, for checks"
    )
    parser.add_argument(
        "--rounds", type=_positive, help="number of runs, in turns (default: 7)"
    )
    parser.add_argument(
        "--seconds", type=float, help="length of each run (default: 0.3)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        help="seconds after which a simulator is given up (default: 900)",
    )
    parser.add_argument("--json", metavar="FILE", help="append lines of JSON to a file")
    parser.add_argument("--plot", metavar="FILE", help="draw a chart")


class _AddBackend(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        module, _, name = values.partition(":")
        if not module or not name.isidentifier():
            parser.error(
                f"argument {option_string}: expected MODULE:CLASS, such as "
                f"nengo:Simulator (got {values!r})"
            )
        namespace.backends = [*(namespace.backends or ()), Backend(values)]


class _ChangeBackend(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        if not namespace.backends:
            parser.error(
                f"argument {option_string}: give --simulator first; {option_string} "
                "belongs to the simulator before it"
            )
        value: Any = values
        if self.dest == "python":
            value = shutil.which(values)
            if value is None:
                parser.error(
                    f"argument {option_string}: {values!r} is no interpreter that can "
                    "be started"
                )
        elif self.dest == "arguments":
            try:
                value = json.loads(values)
            except json.JSONDecodeError:
                value = None
            if not isinstance(value, dict):
                parser.error(
                    f"argument {option_string}: expected a JSON object, such as "
                    f'\'{{"dtype": "float64"}}\' (got {values!r})'
                )
        *others, last = namespace.backends
        changed = dataclasses.replace(last, **{self.dest: value})
        namespace.backends = [*others, changed]


def _benchmark(text: str) -> tuple[str, dict[str, Any]]:
    """Parse ``name:size=value,size=value``."""
    name, _, sizes = text.partition(":")
    if name not in NETWORKS:
        raise argparse.ArgumentTypeError(
            f"there is no network {name!r}; choose from {', '.join(NETWORKS)}"
        )
    allowed = [*inspect.signature(NETWORKS[name].build).parameters, "minibatch"]
    result = {}
    for part in filter(None, sizes.split(",")):
        key, _, value = part.partition("=")
        if key not in allowed:
            raise argparse.ArgumentTypeError(
                f"{name!r} has no size {key!r}; it has {', '.join(allowed)}"
            )
        try:
            number = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{key} of {name!r} must be a number (got {value!r})"
            ) from None
        result[key] = int(number) if number == int(number) else number
    return name, result


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            f"must be a positive whole number (got {text!r})"
        )
    return int(text)


def _neurons(text: str) -> int:
    number = _positive(text)
    if number % (2 * _NEURONS_PER_ENSEMBLE):
        raise argparse.ArgumentTypeError(
            f"must be a multiple of {2 * _NEURONS_PER_ENSEMBLE} (got {text})"
        )
    return number


def _effort(options: argparse.Namespace) -> Effort:
    given = {
        name: getattr(options, name)
        for name in ("rounds", "seconds", "timeout")
        if getattr(options, name) is not None
    }
    return dataclasses.replace(QUICK if options.quick else Effort(), **given)


def _run(options: argparse.Namespace) -> int:
    jobs = options.benchmarks or [(name, {}) for name in NETWORKS]
    if options.quick:
        jobs = [(name, {**NETWORKS[name].small, **sizes}) for name, sizes in jobs]
    results = _measure_all(jobs, options)
    print(report.table(results))
    return _finish(results, options, report.bar_chart)


def _scale(options: argparse.Namespace) -> int:
    scales = options.neurons or (_SCALES[:1] if options.quick else _SCALES)
    jobs = [
        (
            "array",
            {
                "n_ensembles": number // (2 * _NEURONS_PER_ENSEMBLE),
                "n_neurons": _NEURONS_PER_ENSEMBLE,
            },
        )
        for number in scales
    ]
    results = _measure_all(jobs, options)
    print(report.scaling_table(results))
    return _finish(results, options, report.scaling_chart)


def _measure_all(jobs, options: argparse.Namespace) -> list[Measurement]:
    backends = options.backends or options.default_backends
    results: list[Measurement] = []
    for name, sizes in jobs:
        found = measure(name, backends, sizes, _effort(options), _show_progress)
        results.extend(found)
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.writelines(one.to_json() + "\n" for one in found)
    _show_progress("")
    return results


def _finish(results, options: argparse.Namespace, draw) -> int:
    if options.plot:
        draw(results, options.plot)
    return int(any(one.error is not None for one in results))


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<70.70}", end="" if text else "\r", file=sys.stderr, flush=True)


def _train(arguments: Sequence[str]) -> int:
    if not TRAINING_SCRIPT.exists():
        print(
            f"The training benchmarks are a script of the source code, "
            f"{TRAINING_SCRIPT}, which is not part of this installation: run them in "
            "a checkout",
            file=sys.stderr,
        )
        return 1
    environment = dict(os.environ)
    paths = [str(TRAINING_SCRIPT.parent.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, str(TRAINING_SCRIPT), *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def _list(options: argparse.Namespace) -> int:
    print(_list_of_networks())
    return 0


def _list_of_networks() -> str:
    lines = ["Standard networks, and their sizes:", ""]
    for name, benchmark in NETWORKS.items():
        sizes = [
            f"{key}={parameter.default}"
            for key, parameter in inspect.signature(benchmark.build).parameters.items()
        ]
        if benchmark.minibatch:
            sizes.append(f"minibatch={benchmark.minibatch}")
        lines.append(f"  {name:14s} {benchmark.title}")
        lines.append(f"  {'':14s} {', '.join(sizes)}")
    return "\n".join(lines)
