"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from collections.abc import Sequence
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.benchmarks import report
from nengo_dl.benchmarks.arguments import (
    NEURONS_PER_ENSEMBLE,
    add_backends,
    add_common,
    add_simulators,
    list_of,
    parse_benchmark,
    parse_case,
    parse_neurons,
)
from nengo_dl.benchmarks.devices import add_devices
from nengo_dl.benchmarks.first_second import add_first_second
from nengo_dl.benchmarks.measure import (
    CORE,
    NENGO_DL,
    QUICK,
    Effort,
    Measurement,
    measure,
)
from nengo_dl.benchmarks.networks import NETWORKS
from nengo_dl.benchmarks.pool import add_pool
from nengo_dl.benchmarks.training.measure import (
    TrainingMeasurement,
    default_sides,
    measure_training,
)
from nengo_dl.benchmarks.training.problems import CASES
from nengo_dl.benchmarks.tuning import add_command
from nengo_dl.program.compile_cache import keep_in

__all__ = ["main"]

_SCALES = (1_000, 10_000, 100_000, 1_000_000)

_ABOUT_TRAINING = """\
Measure training steps. Each side of a case does the same computation with the
same data, in a process of its own, in turns. Shown are the seconds that
importing, building and the first minibatch take (with compilation), the median
time per minibatch afterwards, how many times as fast as the first side that is,
the most memory used, how much of it came with training, and the first loss,
which should be the same.

"""


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
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if getattr(options, "compile_cache", None) is not None:
        try:
            keep_in(options.compile_cache)  # for the processes that will be started
        except ValidationError as error:
            parser.error(f"argument --compile-cache: {error}")
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

    _add_run(commands)
    _add_scaling(commands)
    _add_training(commands)
    add_command(commands)
    add_first_second(commands)
    add_pool(commands)
    add_devices(commands)
    commands.add_parser("list", help="list the standard networks").set_defaults(
        run=_list
    )
    return parser


def _add_run(commands: Any) -> None:
    """Add the command that measures standard networks."""
    run = commands.add_parser(
        "run",
        help="measure standard networks",
        description=list_of("Standard networks, and their sizes:", NETWORKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "benchmarks",
        nargs="*",
        type=parse_benchmark,
        metavar="NAME[:SIZE=VALUE,...]",
        help="networks, with sizes that differ from the defaults; if none is given, "
        "all but those for which Nengo needs minutes (large_brain)",
    )
    add_simulators(run)
    add_common(run)
    run.set_defaults(run=_run, default_backends=[CORE, NENGO_DL])


def _add_scaling(commands: Any) -> None:
    """Add the command that measures costs per neuron."""
    scaling = commands.add_parser(
        "scaling", help="costs per neuron from a thousand to a million neurons"
    )
    scaling.add_argument(
        "neurons",
        nargs="*",
        type=parse_neurons,
        help="numbers of neurons, multiples of 200, in two arrays of ensembles of "
        f"{NEURONS_PER_ENSEMBLE} neurons; default: {', '.join(map(str, _SCALES))}",
    )
    add_simulators(scaling)
    add_common(scaling)
    scaling.set_defaults(run=_scale, default_backends=[NENGO_DL])


def _add_training(commands: Any) -> None:
    """Add the command that measures training."""
    training = commands.add_parser(
        "training",
        help="measure training, against hand-written loops and Keras",
        description=_ABOUT_TRAINING + list_of("Cases, and their sizes:", CASES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    training.add_argument(
        "benchmarks",
        nargs="*",
        type=parse_case,
        metavar="NAME[:SIZE=VALUE,...]",
        help="cases, with sizes that differ from the defaults; all if none is given",
    )
    training.add_argument(
        "--memory",
        action="store_true",
        help="measure memory only, with the data of a single minibatch",
    )
    add_backends(
        training,
        "--side",
        "MODULE:FUNCTION",
        "a function to measure, after the default ones (or PATH.py:FUNCTION); can be "
        "repeated",
    )
    add_common(training)
    training.set_defaults(run=_train)


def _effort(options: argparse.Namespace) -> Effort:
    given = {
        name: getattr(options, name)
        for name in ("rounds", "seconds", "timeout")
        if getattr(options, name, None) is not None
    }
    return dataclasses.replace(QUICK if options.quick else Effort(), **given)


def _run(options: argparse.Namespace) -> int:
    jobs = options.benchmarks or [
        (name, {})
        for name, network in NETWORKS.items()
        if options.quick or not network.takes_minutes
    ]
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
                "n_ensembles": number // (2 * NEURONS_PER_ENSEMBLE),
                "n_neurons": NEURONS_PER_ENSEMBLE,
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
        _append(found, options)
    _show_progress("")
    return results


def _train(options: argparse.Namespace) -> int:
    jobs = options.benchmarks or [(name, {}) for name in CASES]
    effort = _effort(options)
    if options.quick:
        jobs = [(name, {**CASES[name].small, **sizes}) for name, sizes in jobs]
    if options.memory:
        jobs = [(name, {**sizes, "n_minibatches": 1}) for name, sizes in jobs]
        effort = dataclasses.replace(effort, rounds=0)
    results: list[TrainingMeasurement] = []
    for name, sizes in jobs:
        sides = [*default_sides(name), *(options.backends or ())]
        found = measure_training(name, sides, sizes, effort, _show_progress)
        results.extend(found)
        _append(found, options)
    _show_progress("")
    print(report.training_table(results))
    draw = functools.partial(report.bar_chart, what="minibatch")
    return _finish(results, options, draw)


def _append(results, options: argparse.Namespace) -> None:
    if options.json:
        with open(options.json, "a", encoding="utf-8") as file:
            file.writelines(one.to_json() + "\n" for one in results)


def _finish(results, options: argparse.Namespace, draw) -> int:
    if options.plot:
        draw(results, options.plot)
    return int(any(one.error is not None for one in results))


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<70.70}", end="" if text else "\r", file=sys.stderr, flush=True)


def _list(options: argparse.Namespace) -> int:
    print(list_of("Standard networks, and their sizes:", NETWORKS))
    print(list_of("\nTraining, and its sizes:", CASES))
    return 0
