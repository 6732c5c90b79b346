"""Measures the sides of a training problem, each in a fresh process, in turns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nengo_dl.benchmarks.measure import Backend, Effort, StepTimes, machine
from nengo_dl.benchmarks.processes import WorkerProcess, take_turns
from nengo_dl.benchmarks.training.problems import CASES

__all__ = ["TrainingMeasurement", "default_sides", "measure_training"]


@dataclass
class TrainingMeasurement(StepTimes):
    """What was measured for one training problem with one side.

    Times are in seconds, memory in bytes; what is None was not measured.

    Attributes
    ----------
    benchmark, simulator, python : str
        Names of the case and of the side, and its interpreter.
    sizes, arguments : dict
        Sizes that differ from the defaults, and further arguments of the side.
    error : str or None
        Why there is nothing else.
    versions, machine : dict
        Versions of packages; number of processors, and more.
    import_seconds, build_seconds : float
        Importing what the side needs, and making what it trains.
    first_seconds : float
        Training with the first minibatch, including compilation.
    step_seconds : list of float
        Time per minibatch in each pass through the data.
    n_minibatches : int
        Number of minibatches of a pass.
    n_parameters : int
        Number of trained values.
    loss : float
        Of the first minibatch, which shows whether sides do the same.
    build_bytes, peak_bytes : int
        Most memory used before the first minibatch, and at the end.
    """

    benchmark: str
    simulator: str
    python: str
    sizes: dict[str, Any]
    arguments: dict[str, Any]
    error: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    import_seconds: float | None = None
    build_seconds: float | None = None
    first_seconds: float | None = None
    step_seconds: list[float] = field(default_factory=list)
    n_minibatches: int | None = None
    n_parameters: int | None = None
    loss: float | None = None
    build_bytes: int | None = None
    peak_bytes: int | None = None

    def to_json(self) -> str:
        """Return one line of JSON, with the derived numbers."""
        derived = {"step": self.step, "spread": self.spread}
        return json.dumps({**asdict(self), **derived})


def default_sides(name: str) -> list[Backend]:
    """Return the sides of a case.

    Parameters
    ----------
    name : str
        A key of `CASES`.

    Returns
    -------
    list of Backend
        Functions of this package, this simulator first, of which all that they need is
        installed.
    """
    case = CASES[name]
    return [
        Backend(function, arguments=dict(case.arguments.get(label, {})), label=label)
        for label, function in case.sides.items()
        if label not in case.needs or find_spec(case.needs[label]) is not None
    ]


def measure_training(
    name: str,
    sides: Sequence[Backend] | None = None,
    sizes: Mapping[str, Any] | None = None,
    effort: Effort | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> list[TrainingMeasurement]:
    """Measure one training problem with several sides.

    Each side has a process of its own. They train with one minibatch, one after the
    other; then they pass through all data in turns, so that whatever else the machine
    does affects all of them.

    Parameters
    ----------
    name : str
        A key of `CASES`.
    sides : sequence of Backend, optional
        What to measure. Default: `default_sides`.
    sizes : dict, optional
        Sizes that differ from the defaults.
    effort : Effort, optional
        Number of passes, and when to give up.
    report : callable
        Called with short texts that tell what happens.

    Returns
    -------
    list of TrainingMeasurement
        One for each side. If it failed, ``error`` says why.
    """
    sides = default_sides(name) if sides is None else sides
    effort = effort or Effort()
    problem = CASES[name].make(sizes or {})
    count = len(problem.arrays["labels"]) // problem.settings["minibatch"]
    results = [
        TrainingMeasurement(
            name,
            side.name,
            side.python,
            dict(sizes or {}),
            dict(side.arguments),
            machine=machine(),
            n_minibatches=count,
        )
        for side in sides
    ]

    def run(process, result):
        seconds = process.ask("run", n_minibatches=count)["seconds"]
        result.step_seconds.append(seconds / count)

    def finish(process, result):
        result.peak_bytes = process.ask("memory")["peak_bytes"]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        problem.save(path)
        take_turns(
            sides,
            results,
            effort.rounds,
            effort.timeout,
            lambda process, side, result: _prepare(process, side, result, path),
            run,
            finish,
            lambda text: report(f"{name}: {text}"),
        )
    return results


def _prepare(
    process: WorkerProcess, side: Backend, result: TrainingMeasurement, path: Path
) -> None:
    """Make what trains, and train with a few minibatches."""
    answer = process.ask(
        "start training",
        side=side.simulator,
        arguments=dict(side.arguments),
        problem=str(path),
    )
    answer.update(process.ask("build"))
    answer.update(process.ask("first"))
    for name, value in answer.items():
        setattr(result, name, value)
    assert result.n_minibatches is not None, "set by measure_training"
    # some compile once more for more than one minibatch
    process.ask("run", n_minibatches=min(2, result.n_minibatches))
