"""What the compiled functions of training take for each minibatch."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import nengo
import numpy as np
import tensorflow as tf
from nengo.builder.signal import Signal

from nengo_dl.compiler.process_traits import is_random
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.execution.sources import Sources
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
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
    """

    minibatch: Minibatch
    start: int
    is_last: bool
    pieces: list[list[tf.Tensor]]
    targets: dict[int, tf.Tensor]

    @property
    def n_bytes(self) -> int:
        """Size of all tensors."""
        tensors = tf.nest.flatten((self.pieces, self.targets))
        return sum(t.shape.num_elements() * t.dtype.size for t in tensors)


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

        Yields
        ------
        list of Part
            One minibatch.
        """
        prepared = (self._parts(minibatch, length, rng) for minibatch in minibatches)
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
    ) -> list[Part]:
        """Divide a minibatch, make the inputs that are not fed, and make tensors."""
        made = self.host_inputs(minibatch, rng)
        n_steps = minibatch.n_steps
        length = length or n_steps
        parts = []
        for start in range(0, n_steps, length):
            end = min(start + length, n_steps)
            part = minibatch
            if end - start < n_steps:
                part = _cut(minibatch, start, end, self.only_last)
            targets = {
                i: tf.convert_to_tensor(part.targets[probe])
                for i, probe in enumerate(self.probes)
                if probe in part.targets
            }
            pieces = self.pieces(part, made, start, end)
            parts.append(Part(part, start, end == n_steps, pieces, targets))
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
        self.host.reset(seed)
        self.feeds.reset()
        values, _, error = self.feeds.make(
            0, minibatch.n_steps, minibatch.inputs, self.fixed_inputs
        )
        if error is not None:
            raise error
        if not changes and not any(is_random(op) for op in self.plan.split.host):
            self._made = (key, values)
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
    return dataclasses.replace(
        minibatch,
        inputs={
            s: v[start:end] if len(v) > 1 else v for s, v in minibatch.inputs.items()
        },
        targets={
            p: v[:, start:end]
            if p not in whole and v.ndim > 1 and v.shape[1] == n_steps
            else v
            for p, v in minibatch.targets.items()
        },
        n_steps=end - start,
    )


def _rows(values: np.ndarray, n_steps: int) -> np.ndarray:
    return np.broadcast_to(values, (n_steps, *values.shape[1:]))


def _in_batches(items: Iterator[list[Part]]) -> Iterator[list[Part]]:
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


def _ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items that are made one ahead, in another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = object()
        waiting = pool.submit(next, items, done)
        while True:
            item = waiting.result()
            if item is done:
                return
            waiting = pool.submit(next, items, done)
            yield item
