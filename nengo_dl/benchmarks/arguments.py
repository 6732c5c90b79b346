"""Arguments of the benchmarks' commands, and how they are read."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nengo_dl.benchmarks.measure import Backend
from nengo_dl.benchmarks.networks import NETWORKS, Benchmark
from nengo_dl.benchmarks.processes import FOLDER
from nengo_dl.benchmarks.training.problems import CASES, Case

__all__ = [
    "NEURONS_PER_ENSEMBLE",
    "add_backends",
    "add_common",
    "add_simulators",
    "list_of",
    "parse_benchmark",
    "parse_case",
    "parse_neurons",
    "parse_positive",
]

#: Programs for other libraries.
_PEERS = FOLDER / "peers"

#: Size of the ensembles of which costs per neuron are measured.
NEURONS_PER_ENSEMBLE = 100


def add_simulators(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands that compare simulators."""
    add_backends(
        parser,
        "--simulator",
        "MODULE:CLASS",
        "a simulator to measure, instead of the default ones (or PATH.py:CLASS); can "
        "be repeated, and the first is what others are compared with",
    )
    parser.add_argument(
        "--seconds", type=float, help="length of each run (default: 0.3)"
    )


def add_backends(
    parser: argparse.ArgumentParser, option: str, metavar: str, what: str
) -> None:
    """Add an argument for what is measured, and those that follow it."""
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


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all measurements have."""
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and short runs, for checks"
    )
    parser.add_argument(
        "--rounds", type=parse_positive, help="number of runs, in turns (default: 7)"
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


def parse_benchmark(text: str) -> tuple[str, dict[str, Any]]:
    """Parse ``name:size=value,size=value`` for a network."""
    return _parse(text, NETWORKS, "network", ["minibatch"])


def parse_case(text: str) -> tuple[str, dict[str, Any]]:
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


def parse_positive(text: str) -> int:
    """Parse a positive whole number."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            f"must be a positive whole number (got {text!r})"
        )
    return int(text)


def parse_neurons(text: str) -> int:
    """Parse a number of neurons, which two arrays of ensembles can have."""
    number = parse_positive(text)
    if number % (2 * NEURONS_PER_ENSEMBLE):
        raise argparse.ArgumentTypeError(
            f"must be a multiple of {2 * NEURONS_PER_ENSEMBLE} (got {text})"
        )
    return number


def list_of(title: str, benchmarks: Mapping[str, Any]) -> str:
    """Return lines that name networks or cases, with their sizes."""
    lines = [title, ""]
    width = max(map(len, benchmarks))
    for name, benchmark in benchmarks.items():
        sizes = [f"{key}={value}" for key, value in _sizes_of(benchmark).items()]
        if getattr(benchmark, "minibatch", None):
            sizes.append(f"minibatch={benchmark.minibatch}")
        lines.append(f"  {name:{width}s} {benchmark.title}")
        lines.append(f"  {'':{width}s} {', '.join(sizes)}")
    return "\n".join(lines)
