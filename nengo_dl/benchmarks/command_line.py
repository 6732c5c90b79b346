"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nengo.exceptions import ValidationError

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
from nengo_dl.benchmarks.networks import NETWORKS, Benchmark
from nengo_dl.benchmarks.pool import add_pool
from nengo_dl.benchmarks.processes import FOLDER
from nengo_dl.benchmarks.training.measure import (
    TrainingMeasurement,
    default_sides,
    measure_training,
)
from nengo_dl.benchmarks.training.problems import CASES, Case
from nengo_dl.benchmarks.tuning import add_command
from nengo_dl.program.compile_cache import keep_in

__all__ = ["main"]

#: Programs for other libraries.
_PEERS = FOLDER / "peers"

_SCALES = (1_000, 10_000, 100_000, 1_000_000)
_NEURONS_PER_ENSEMBLE = 100

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

    run = commands.add_parser(
        "run",
        help="measure standard networks",
        description=_list_of("Standard networks, and their sizes:", NETWORKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "benchmarks",
        nargs="*",
        type=_benchmark,
        metavar="NAME[:SIZE=VALUE,...]",
        help="networks, with sizes that differ from the defaults; all if none is given",
    )
    _add_simulators(run)
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
    _add_simulators(scaling)
    _add_common(scaling)
    scaling.set_defaults(run=_scale, default_backends=[NENGO_DL])

    training = commands.add_parser(
        "training",
        help="measure training, against hand-written loops and Keras",
        description=_ABOUT_TRAINING + _list_of("Cases, and their sizes:", CASES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    training.add_argument(
        "benchmarks",
        nargs="*",
        type=_case,
        metavar="NAME[:SIZE=VALUE,...]",
        help="cases, with sizes that differ from the defaults; all if none is given",
    )
    training.add_argument(
        "--memory",
        action="store_true",
        help="measure memory only, with the data of a single minibatch",
    )
    _add_backends(
        training,
        "--side",
        "MODULE:FUNCTION",
        "a function to measure, after the default ones (or PATH.py:FUNCTION); can be "
        "repeated",
    )
    _add_common(training)
    training.set_defaults(run=_train)

    add_command(commands)
    add_pool(commands)
    commands.add_parser("list", help="list the standard networks").set_defaults(
        run=_list
    )
    return parser


def _add_simulators(parser: argparse.ArgumentParser) -> None:
    _add_backends(
        parser,
        "--simulator",
        "MODULE:CLASS",
        "a simulator to measure, instead of the default ones (or PATH.py:CLASS); can "
        "be repeated, and the first is what others are compared with",
    )
    parser.add_argument(
        "--seconds", type=float, help="length of each run (default: 0.3)"
    )


def _add_backends(
    parser: argparse.ArgumentParser, option: str, metavar: str, what: str
) -> None:
    parser.set_defaults(backends=None)
    parser.add_argument(option, action=_AddBackend, metavar=metavar, help=what)
    for name, kind, which in (
        ("--python", "PATH", "interpreter in which it is installed"),
        ("--arguments", "JSON", "its further arguments, such as '{\"seed\": 1}'"),
        ("--label", "NAME", "its name in tables"),
    ):
        parser.add_argument(
            name,
            action=_ChangeBackend,
            metavar=kind,
            help=f"of the preceding {option}: {which}",
        )
    parser.set_defaults(backend_option=option)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and short runs, for checks"
    )
    parser.add_argument(
        "--rounds", type=_positive, help="number of runs, in turns (default: 7)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        help="seconds after which a simulator is given up (default: 900)",
    )
    parser.add_argument(
        "--compile-cache",
        metavar="FOLDER",
        help="keep what is compiled in a folder; in the next call with the same "
        "networks, first runs load it from there",
    )
    parser.add_argument("--json", metavar="FILE", help="append lines of JSON to a file")
    parser.add_argument("--plot", metavar="FILE", help="draw a chart")


class _AddBackend(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        module, _, name = values.rpartition(":")
        if not module or not name.isidentifier():
            example = "nengo:Simulator" if self.dest == "simulator" else "peer.py:train"
            parser.error(
                f"argument {option_string}: expected {self.metavar}, such as {example} "
                f"(got {values!r})"
            )
        if module.endswith(".py") and not Path(module).exists():
            path = _PEERS / module
            if not path.exists():
                peers = ", ".join(
                    sorted(path.name for path in _PEERS.glob("*_[st]*.py"))
                )
                parser.error(
                    f"argument {option_string}: there is no file {module!r}, neither "
                    f"here nor among those of other libraries ({peers})"
                )
            backend = Backend(f"{path}:{name}", label=path.stem)
        else:
            backend = Backend(values)
        namespace.backends = [*(namespace.backends or ()), backend]


class _ChangeBackend(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        if not namespace.backends:
            first = namespace.backend_option
            parser.error(
                f"argument {option_string}: give {first} first; {option_string} "
                f"belongs to the {first[2:]} before it"
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
    """Parse ``name:size=value,size=value`` for a network."""
    return _parse(text, NETWORKS, "network", ["minibatch"])


def _case(text: str) -> tuple[str, dict[str, Any]]:
    """Parse ``name:size=value,size=value`` for a case of training."""
    return _parse(text, CASES, "case", [])


def _parse(text, known, kind, further):
    name, _, sizes = text.partition(":")
    if name not in known:
        raise argparse.ArgumentTypeError(
            f"there is no {kind} {name!r}; choose from {', '.join(known)}"
        )
    allowed = [*_sizes_of(known[name]), *further]
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


def _sizes_of(benchmark: Benchmark | Case) -> dict[str, Any]:
    """Return the sizes of a network or case, with their defaults."""
    fixed = getattr(benchmark, "fixed", {})
    return {
        key: fixed.get(key, parameter.default)
        for key, parameter in inspect.signature(benchmark.build).parameters.items()
        if isinstance(parameter.default, int | float)
        and not isinstance(parameter.default, bool)
    }


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
        if getattr(options, name, None) is not None
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
    print(_list_of("Standard networks, and their sizes:", NETWORKS))
    print(_list_of("\nTraining, and its sizes:", CASES))
    return 0


def _list_of(title: str, benchmarks: Mapping[str, Any]) -> str:
    lines = [title, ""]
    width = max(map(len, benchmarks))
    for name, benchmark in benchmarks.items():
        sizes = [f"{key}={value}" for key, value in _sizes_of(benchmark).items()]
        if getattr(benchmark, "minibatch", None):
            sizes.append(f"minibatch={benchmark.minibatch}")
        lines.append(f"  {name:{width}s} {benchmark.title}")
        lines.append(f"  {'':{width}s} {', '.join(sizes)}")
    return "\n".join(lines)
