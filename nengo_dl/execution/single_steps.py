"""Single steps of small networks, with as little around them as possible.

What `NumpyExecutor` does for runs of any length, for minibatches and with feeds, takes
as long for one step as the operators of a hundred neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.signal import Signal

from nengo_dl.compiler.sampling import Sampling
from nengo_dl.execution.numpy_executor import Item
from nengo_dl.execution.numpy_steps import HostOperators, assign_result, failed
from nengo_dl.execution.sources import Source

__all__ = ["SingleSteps"]


class _Before(NamedTuple):
    """Copies of what a step changes, and which sources have made their value."""

    n_steps: int
    made: list[Source]
    state: list[np.ndarray]
    streams: Sequence[tuple[Any, Any]]
    sources: list[tuple[Source, int, list[Any], list[Any]]]


class SingleSteps:
    """Runs one step after the other, of a simulation without minibatch.

    Parameters
    ----------
    host : HostOperators
        Has the steps.
    sources : sequence of Source
        Make the inputs.
    item : Item
        Its live arrays and step functions.
    fixed_inputs : mapping of {Signal: ndarray}
        Values of constant inputs.
    sampling : sequence of Sampling
        For each output, which steps are kept.

    Attributes
    ----------
    item : Item
        As given: another one needs another object.
    """

    def __init__(
        self,
        host: HostOperators,
        sources: Sequence[Source],
        item: Item,
        fixed_inputs: Mapping[Signal, np.ndarray],
        sampling: Sequence[Sampling],
    ):
        self.item = item
        self._host = host
        self._sources = sources
        self._makers = [(self._maker(source), source) for source in self._sources]
        self._before: _Before | None = None
        #: what sources change besides their output
        self._kept = [
            (
                source,
                [item.signals[s] for s in source.op.updates],
                [
                    stream
                    for (op, _), streams in host.streams.items()
                    if op is source.op
                    for stream in streams
                ],
            )
            for source in self._sources
        ]
        self._draws = bool(host.copy_streams())
        self._fixed = [
            (live, np.reshape(fixed_inputs[signal], live.shape))
            for signal, live in item.inputs
            if signal in fixed_inputs
        ]
        rules = [None if s.period <= 1 else s.keeps for s in sampling]
        self._outputs = list(zip(item.probed, rules, strict=True))

    def advance(self, n_steps: int) -> list[np.ndarray] | None:
        """Simulate one step; after an error, `undo` has to be called.

        Parameters
        ----------
        n_steps : int
            Number of steps before this one.

        Returns
        -------
        list of ndarray, shapes (0 or 1, 1, size)
            The outputs, where they are kept. None, and nothing is done, if there are
            values of inputs that were made ahead.

        Raises
        ------
        SimulationError
            If a function of the model fails.
        """
        if any(source.ahead is not None for source in self._sources):
            return None
        item, number = self.item, n_steps + 1
        time = number * self._host.dt
        self._host.start_chunk(n_steps)
        self._host.set_time(number)
        made: list[Source] = []
        position = 0
        self._before = self._copy(n_steps, made)
        try:
            self._host.now = n_steps
            with np.errstate(invalid="raise", divide="ignore"):
                for make, source in self._makers:
                    make(time)
                    made.append(source)
                for live, value in self._fixed:
                    live[...] = value
                for step in item.functions:
                    step()
                    position += 1
        except Exception as error:
            n_made = len(made)
            ops: Sequence[Operator] = item.ops
            if n_made < len(self._sources):
                ops, position = [source.op for source in self._sources], n_made
            raise failed(ops[position], time, error) from error
        finally:
            self._host.now = None
        outputs = [
            live.reshape(1, 1, -1).copy()
            if keeps is None or keeps(number)
            else np.zeros((0, 1, live.size))
            for live, keeps in self._outputs
        ]
        for source in self._sources:
            source.n_made += 1
        return outputs

    def undo(self, n_steps: int) -> None:
        """Return to where the last call of `advance` began.

        Values of inputs that were made are kept for the next step: no function is
        called twice, and no random number is lost.

        Parameters
        ----------
        n_steps : int
            Number of steps before that step; nothing is done if it had not begun.
        """
        if self._before is None or self._before.n_steps != n_steps:
            return
        before, self._before = self._before, None
        self._host.now = None
        self.item.restore_state(before.state)
        for stream, state in before.streams:
            stream.set_state(state)
        for source, n_made, arrays, streams in before.sources:
            source.n_made = n_made
            if source in before.made:
                source.keep(n_steps, self.item.signals)
                continue
            for live, copy in arrays:
                live[...] = copy
            for stream, state in streams:
                stream.set_state(state)

    def _copy(self, n_steps: int, made: list[Source]) -> _Before:
        """Copy everything that a step changes."""
        return _Before(
            n_steps,
            made,
            self.item.copy_state(),
            self._host.copy_streams() if self._draws else (),
            [
                (
                    source,
                    source.n_made,
                    [(live, live.copy()) for live in arrays],
                    [(stream, stream.get_state()) for stream in streams],
                )
                for source, arrays, streams in self._kept
            ],
        )

    def _maker(self, source: Source) -> Callable[[float], None]:
        """Return a function that makes the value of one step, where it is read."""
        op = source.op
        if type(op) is not SimPyFunc:
            step = self._host.step_function(op, self.item.number)
            return lambda time: step()
        function, passes_time = op.fn, op.t_passed
        live = None if source.output is None else self.item.signals[source.output]

        def make(time: float) -> None:
            result = function(time) if passes_time else function()
            if live is not None:
                assign_result(live, result)

        return make
