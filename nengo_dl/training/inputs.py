"""What the compiled functions of training take for each minibatch."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import nengo
import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.process_traits import is_random
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.execution.sources import Sources
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.course import Course
from nengo_dl.training.data import Minibatch
from nengo_dl.training.shared_memory import tensor_of

__all__ = ["Part", "TrainingInputs"]


@dataclass(frozen=True)
class Part:
    """Steps of a minibatch after which parameters are updated.

    Attributes
    ----------
    minibatch : Minibatch
        These steps.
    start : int
        The first of them.
    is_last : bool
        Whether the minibatch ends with them.
    pieces : list of list of tf.Tensor
        Values of all inputs, by block and signal.
    targets : dict of {int: tf.Tensor}
        By number of the probe.
    weights : dict of {int: tf.Tensor}
        Weights of items, by number of the probe.
    n_before : int
        Number of steps that were simulated before the minibatch.
    """

    minibatch: Minibatch
    start: int
    is_last: bool
    pieces: list[list[tf.Tensor]]
    targets: dict[int, tf.Tensor]
    weights: dict[int, tf.Tensor]
    n_before: int = 0

    @property
    def n_bytes(self) -> int:
        """Size of all tensors."""
        tensors = tf.nest.flatten((self.pieces, self.targets, self.weights))
        return sum(t.shape.num_elements() * t.dtype.size for t in tensors)


#: Minibatches as lists of parts; closing it ends the thread that makes them.
Prepared = Generator[list[Part], None, None]


class TrainingInputs:
    """Divides minibatches, and makes the inputs that they do not feed.

    The simulation's random streams stay where they are: training has its own.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    probes : sequence of Probe
        In the order of the outputs of a step.
    only_last : collection of Probe
        Probes whose last step alone is seen by objectives.

    Attributes
    ----------
    host : HostOperators
        NumPy steps during training.
    """

    def __init__(
        self,
        session: Session,
        probes: Sequence[nengo.Probe],
        only_last: Collection[nengo.Probe],
    ):
        self.plan = session.plan
        self.step = session.step
        self.on_cpu = session.placement.on_cpu
        self.fixed_inputs = session.store.fixed_inputs
        self.probes = probes
        self.only_last = only_last
        self.host = HostOperators(self.plan, session.placement.minibatch_size)
        self.host.follow(session.store)
        self.feeds = Sources(self.plan.split, self.host)
        self._made: tuple[Any, dict[Signal, np.ndarray]] | None = None

    def prepare(
        self,
        minibatches: Iterator[Minibatch],
        rng: np.random.RandomState,
        length: int | None = None,
        in_memory: bool = False,
        course: Course | None = None,
    ) -> Iterator[list[Part]]:
        """Yield minibatches as lists of parts, each of at most ``length`` steps.

        Parameters
        ----------
        minibatches : iterator of Minibatch
            Data of an epoch.
        rng : numpy.random.RandomState
            Gives each minibatch the seed of its random inputs.
        length : int or None
            Number of steps; None for all.
        in_memory : bool
            Whether this data only needs to be copied.
        course : Course, optional
            The simulation that goes on in each minibatch. Default: each is the first.

        Yields
        ------
        list of Part
            One minibatch.
        """
        if course is not None:
            course.n_made = course.n_steps
            self._start(rng)
        prepared = (
            self._parts(minibatch, length, rng, course) for minibatch in minibatches
        )
        # functions in Python share their state on the host with what is made ahead
        if self.step.has_callbacks:
            return prepared
        draws = any(is_random(op) for op in self.plan.split.host)
        return _in_batches(prepared) if in_memory and not draws else _ahead(prepared)

    def _parts(
        self,
        minibatch: Minibatch,
        length: int | None,
        rng: np.random.RandomState,
        course: Course | None = None,
    ) -> list[Part]:
        """Divide a minibatch, make the inputs that are not fed, and make tensors."""
        n_steps, n_before = minibatch.n_steps, 0
        if course is None:
            made = self.host_inputs(minibatch, rng)
        else:
            n_before = course.n_made
            made = self._values(minibatch, n_before)
            course.n_made += n_steps
        length = length or n_steps
        parts = []
        for start in range(0, n_steps, length):
            end = min(start + length, n_steps)
            part = minibatch
            if end - start < n_steps:
                part = _cut(minibatch, start, end, self.only_last)
            targets, weights = (
                {
                    i: tf.convert_to_tensor(values[probe])
                    for i, probe in enumerate(self.probes)
                    if probe in values
                }
                for values in (part.targets, part.weights)
            )
            pieces = self.pieces(part, made, start, end)
            is_last = end == n_steps
            parts.append(Part(part, start, is_last, pieces, targets, weights, n_before))
        return parts

    def host_inputs(
        self, minibatch: Minibatch, rng: np.random.RandomState
    ) -> dict[Signal, np.ndarray]:
        """Return the values of inputs that are not fed, shape (steps, items, ...)."""
        key = (minibatch.n_steps, frozenset(minibatch.inputs))
        # functions in Python may give something else each time, those of what is fed do
        changes = self.step.has_callbacks or self.feeds.depend_on(minibatch.inputs)
        # drawn in any case: what is random later does not depend on what is kept here
        seed = int(rng.randint(2**31 - 1))
        if self._made is not None and self._made[0] == key and not changes:
            return self._made[1]
        self._reset(seed)
        values = self._values(minibatch, 0)
        if not changes and not any(is_random(op) for op in self.plan.split.host):
            self._made = (key, values)
        return values

    def _start(self, rng: np.random.RandomState) -> None:
        """Begin what goes on over minibatches, with streams of its own."""
        self._made = None
        self._reset(int(rng.randint(2**31 - 1)))

    def _reset(self, seed: int) -> None:
        self.host.reset(seed)
        self.feeds.reset()

    def _values(self, minibatch: Minibatch, n_before: int) -> dict[Signal, np.ndarray]:
        """Make the values of inputs that are not fed, of the steps that follow."""
        n_steps = minibatch.n_steps
        values, _, error = self.feeds.make(
            n_before, n_steps, minibatch.inputs, self.fixed_inputs
        )
        self.feeds.reset()
        if error is not None:
            raise error
        return values

    def pieces(
        self,
        minibatch: Minibatch,
        made: Mapping[Signal, np.ndarray],
        start: int,
        end: int,
        program: StepProgram | None = None,
    ) -> list[list[tf.Tensor]]:
        """Return values of all inputs, by block and signal, as tensors.

        Parameters
        ----------
        minibatch : Minibatch
            Values that are fed, of these steps.
        made : mapping of {Signal: ndarray}
            Those that are not, of all steps; see `host_inputs`.
        start, end : int
            Which steps.
        program : StepProgram, optional
            In whose precision. Default: that of the simulation.
        """
        program = self.step if program is None else program
        blocks = []
        for block in program.input_blocks:
            dtype = program.dtype_of(block)
            parts = []
            for signal in block.signals:
                size = max(signal.size, 1)
                make = tf.convert_to_tensor
                if signal in minibatch.inputs:
                    rows = minibatch.inputs[signal]
                    if minibatch.is_own and self.on_cpu:
                        make = tensor_of
                elif signal in self.fixed_inputs:
                    value = self.fixed_inputs[signal]
                    rows = np.reshape(value, (1, 1, -1))
                else:
                    rows = made[signal]
                    rows = rows.reshape(len(rows), -1, size)
                    rows = rows[start:end] if len(rows) > 1 else rows
                parts.append(make(rows.astype(dtype, copy=False)))
            blocks.append(parts)
        return blocks

    def start_chunk(self, minibatch: Minibatch, start: int) -> None:
        """Tell the host at which step the next call starts, and which nodes are fed."""
        n_steps = minibatch.n_steps
        self.host.start_chunk(
            start, {s: _rows(v, n_steps) for s, v in minibatch.inputs.items()}
        )


def _cut(
    minibatch: Minibatch, start: int, end: int, whole: Collection[nengo.Probe]
) -> Minibatch:
    """Return some steps of a minibatch; the targets of some probes have no steps."""
    n_steps = minibatch.n_steps

    def cut(probe: nengo.Probe, values: np.ndarray) -> np.ndarray:
        has_steps = values.ndim > 1 and values.shape[1] == n_steps
        return values[:, start:end] if has_steps and probe not in whole else values

    return dataclasses.replace(
        minibatch,
        inputs={
            s: v[start:end] if len(v) > 1 else v for s, v in minibatch.inputs.items()
        },
        targets={p: cut(p, v) for p, v in minibatch.targets.items()},
        n_steps=end - start,
        weights={p: cut(p, v) for p, v in minibatch.weights.items()},
    )


def _rows(values: np.ndarray, n_steps: int) -> np.ndarray:
    return np.broadcast_to(values, (n_steps, *values.shape[1:]))


def _in_batches(items: Iterator[list[Part]]) -> Prepared:
    """Yield minibatches; small ones are made some at a time, large ones ahead.

    Another thread would disturb a short step more than it saves: with two processors,
    both are in use.
    """
    first = next(items, None)
    if first is None:
        return
    count = tuning.FEW_BYTES // max(1, sum(part.n_bytes for part in first))
    items = chain([first], items)
    if count < 2:
        yield from _ahead(items)
        return
    while some := list(islice(items, count)):
        yield from some


def _ahead(items: Iterator[list[Part]]) -> Prepared:
    """Yield items that are made one ahead, in another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        done: Any = object()
        waiting = pool.submit(next, items, done)
        while True:
            item = waiting.result()
            if item is done:
                return
            waiting = pool.submit(next, items, done)
            yield item
