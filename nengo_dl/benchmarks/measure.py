"""Measures networks with several simulators, each in a fresh process, in turns."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nengo_dl.benchmarks.processes import (
    FOLDER,
    BackendError,
    WorkerProcess,
    take_turns,
)

__all__ = [
    "CORE",
    "NENGO_DL",
    "Backend",
    "BackendError",
    "Effort",
    "Measurement",
    "StepTimes",
    "machine",
    "measure",
]

#: How much longer than a timed run the simulation before all of them is.
_WARM_UP = 12

#: Steps of a simulated second.
_STEPS_PER_SECOND = 1000

_FEWEST_STEPS, _MOST_STEPS = 5, 20000


@dataclass(frozen=True)
class Backend:
    """A simulator to measure.

    Attributes
    ----------
    simulator : str
        Its class, as ``module:Class``, or ``path.py:Class``.
    python : str
        Path of the interpreter in which it is installed.
    arguments : dict
        Further arguments of the class.
    label : str
        What the tables call it.
    """

    simulator: str
    python: str = sys.executable
    arguments: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """The label, or else the module's name."""
        return self.label or self.simulator.rpartition(":")[0]


CORE = Backend("nengo:Simulator")
NENGO_DL = Backend("nengo_dl:Simulator")


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Number of timed runs of each simulator.
    seconds : float
        About how long each of them takes.
    first_steps : int
        Number of steps of the first run.
    timeout : float
        After how many seconds without an answer a simulator is given up.
    """

    rounds: int = 7
    seconds: float = 0.3
    first_steps: int = _STEPS_PER_SECOND
    timeout: float = 900.0


#: For tests: shows that everything works, not how fast it is.
QUICK = Effort(rounds=2, seconds=0.01, first_steps=20)


class StepTimes:
    """What follows from times of steps that were taken in turns.

    Attributes
    ----------
    step_seconds : list of float
        Times per step, in seconds.
    items : int
        Inputs that a step computes.
    """

    step_seconds: list[float]
    items: int = 1

    @property
    def step(self) -> float | None:
        """Median time per step."""
        return statistics.median(self.step_seconds) if self.step_seconds else None

    @property
    def spread(self) -> float | None:
        """Half of the range of the middle half of the times per step."""
        if len(self.step_seconds) < 2:
            return None
        low, _, high = statistics.quantiles(self.step_seconds, n=4, method="inclusive")
        return (high - low) / 2

    def faster_than(self, other: StepTimes) -> float | None:
        """Return how many times as fast as with another one item is computed.

        The median over pairs of runs that followed each other.

        Parameters
        ----------
        other : StepTimes
            What to compare with.

        Returns
        -------
        float or None
            None if one of them was not run.
        """
        ratios = [
            (theirs / other.items) / (ours / self.items)
            for ours, theirs in zip(self.step_seconds, other.step_seconds)
        ]
        return statistics.median(ratios) if ratios else None


@dataclass
class Measurement(StepTimes):
    """What was measured for one network with one simulator.

    Times are in seconds, memory in bytes; what is None was not measured.

    Attributes
    ----------
    benchmark, simulator, python : str
        Names of the network and of the simulator, and its interpreter.
    sizes, arguments : dict
        Sizes that differ from the defaults, and further arguments of the simulator.
    error : str or None
        Why there is nothing else.
    versions, machine : dict
        Versions of the interpreter and of packages; number of processors, and more.
    import_seconds : float
        Importing nengo and the simulator.
    network_seconds : float
        Making the network's objects.
    build_seconds : float
        The simulator's constructor.
    first_seconds : float
        The first run, including compilation, and reading the probe's data.
    first_steps : int
        Number of steps of the first run.
    step_seconds : list of float
        Time per step in each of the later runs; all items of a minibatch together.
    n_steps : int
        Number of steps of each of these runs.
    items, n_neurons : int
        Inputs that are simulated at once, and neurons.
    import_bytes, peak_bytes : int
        Most memory used after the import, and at the end.
    output_rms : float
        Root mean square of the probe's data in the first run, which shows whether
        simulators did the same.
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
    network_seconds: float | None = None
    build_seconds: float | None = None
    first_seconds: float | None = None
    first_steps: int | None = None
    step_seconds: list[float] = field(default_factory=list)
    n_steps: int | None = None
    items: int = 1
    n_neurons: int | None = None
    import_bytes: int | None = None
    peak_bytes: int | None = None
    output_rms: float | None = None

    @property
    def total(self) -> float | None:
        """Time from the constructor to the data of one simulated second.

        Measured if the first run was that long; else the rest is counted with the
        median time per step.
        """
        if self.build_seconds is None or self.first_seconds is None or not self.step:
            return None
        rest = max(_STEPS_PER_SECOND - (self.first_steps or 0), 0) * self.step
        return self.build_seconds + self.first_seconds + rest

    def to_json(self) -> str:
        """Return one line of JSON, with the derived numbers."""
        derived = {"step": self.step, "spread": self.spread, "total": self.total}
        return json.dumps({**asdict(self), **derived})


def machine() -> dict[str, Any]:
    """Return what belongs to measurements: number of processors, and platform."""
    return {"processors": os.cpu_count(), "platform": platform.platform()}


def measure(
    benchmark: str,
    backends: Sequence[Backend],
    sizes: Mapping[str, Any] | None = None,
    effort: Effort | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """Measure one network with several simulators.

    Each simulator has a process of its own. They are built one after the other; then
    they run in turns, so that whatever else the machine does affects all of them.

    Parameters
    ----------
    benchmark : str
        Name of a standard network.
    backends : sequence of Backend
        The simulators.
    sizes : dict, optional
        Sizes that differ from the defaults.
    effort : Effort, optional
        How long to measure.
    report : callable
        Called with short texts that tell what happens.

    Returns
    -------
    list of Measurement
        One for each simulator. If it failed, ``error`` says why.
    """
    effort = effort or Effort()
    results = [
        Measurement(
            benchmark,
            backend.name,
            backend.python,
            dict(sizes or {}),
            dict(backend.arguments),
            machine=machine(),
        )
        for backend in backends
    ]

    def prepare(process, backend, result):
        _prepare(process, backend, result, effort)

    def run(process, result):
        seconds = process.ask("run", n_steps=result.n_steps)["seconds"]
        result.step_seconds.append(seconds / result.n_steps)

    def finish(process, result):
        result.peak_bytes = process.ask("memory")["peak_bytes"]
        process.ask("close")

    take_turns(
        backends,
        results,
        effort.rounds,
        effort.timeout,
        prepare,
        run,
        finish,
        lambda text: report(f"{benchmark}: {text}"),
    )
    return results


def _prepare(
    process: WorkerProcess, backend: Backend, result: Measurement, effort: Effort
) -> None:
    """Build, run for the first time, and find out how long the later runs should be."""
    answer = process.ask(
        "start",
        network=result.benchmark,
        sizes=result.sizes,
        simulator=backend.simulator,
        arguments=result.arguments,
        networks=str(FOLDER / "networks"),
    )
    result.first_steps = effort.first_steps
    answer.update(process.ask("build"))
    answer.update(process.ask("first", n_steps=effort.first_steps))
    for name, value in answer.items():
        setattr(result, name, value)
    # whatever compiles only long simulations has done so before something is timed
    warm_up = _WARM_UP * effort.seconds / max(answer["first_seconds"], 1e-9)
    n_steps = int(min(warm_up * effort.first_steps, 10 * _MOST_STEPS))
    process.ask("run", n_steps=max(n_steps, 1))
    n_steps = 10
    while True:
        # the faster of two: one that was held up would make all runs too short
        seconds = min(process.ask("run", n_steps=n_steps)["seconds"] for _ in range(2))
        if seconds >= effort.seconds / 4 or n_steps >= _MOST_STEPS:
            break
        n_steps *= 4
    n_steps = n_steps * effort.seconds / max(seconds, 1e-9)
    result.n_steps = int(min(max(n_steps, _FEWEST_STEPS), _MOST_STEPS))
