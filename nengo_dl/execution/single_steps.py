"""Single steps of small networks, with as little around them as possible.

What `NumpyExecutor` does for runs of any length, for minibatches and with feeds, takes
as long for one step as the operators of a hundred neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.signal import Signal

from nengo_dl.compiler.process_traits import traits_of
from nengo_dl.compiler.sampling import Sampling
from nengo_dl.execution.numpy_executor import Item
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.source_rows import FunctionSource, Source
from nengo_dl.execution.user_code import assign_result, failed

__all__ = ["SingleSteps"]

#: After how many steps random streams are copied again.
_STEPS_BETWEEN_COPIES = 256


@dataclass(slots=True)
class _Before:
    """Copies of what a step changes, and which sources have made their value."""

    n_steps: int
    made: list[Source]
    state: list[np.ndarray]
    streams: Sequence[tuple[Any, Any]]
    inner: list[tuple[list[Any], list[Any]]]


class _Inner:
    """What a source changes besides its output: state, and random streams.

    A copy of a random stream takes as long as some operators. Where a source is known
    to do nothing but draw from its stream and change its state, a copy is made once in
    a while, and the steps since then are repeated when it is needed.

    Parameters
    ----------
    source : Source
        The source.
    item : Item
        Live arrays and step functions.
    host : HostOperators
        Has the streams.
    """

    def __init__(self, source: Source, item: Item, host: HostOperators):
        self.source = source
        self.arrays = [item.signals[signal] for signal in source.op.updates]
        self.streams = [
            stream
            for (op, _), streams in host.streams.items()
            if op is source.op
            for stream in streams
        ]
        process = getattr(source.op, "process", None)
        keeps_more = process is not None and traits_of(process).keeps_more
        self.repeats = bool(self.streams) and not keeps_more
        self._step = host.step_function(source.op, item.number)
        self._n_made = 0
        self._copies: tuple[list[Any], list[Any]] | None = None

    def copy(self, goes_on: bool) -> tuple[list[Any], list[Any]]:
        """Return copies for `restore`.

        Parameters
        ----------
        goes_on : bool
            Whether the last step was the one before.
        """
        if self.repeats and goes_on and self._copies is not None:
            if self.source.n_made - self._n_made < _STEPS_BETWEEN_COPIES:
                return self._copies
        self._n_made = self.source.n_made
        self._copies = (
            [(live, live.copy()) for live in self.arrays],
            [(stream, stream.get_state()) for stream in self.streams],
        )
        return self._copies

    def restore(self, copies: tuple[list[Any], list[Any]]) -> None:
        """Return to where a step began, given what `copy` returned then."""
        for live, copy in copies[0]:
            live[...] = copy
        for stream, state in copies[1]:
            stream.set_state(state)
        for _ in range(self.source.n_made - self._n_made):
            self._step()


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
        self._makers = [
            (self._maker(source, fixed_inputs), source) for source in sources
        ]
        self._before: _Before | None = None
        self._inner = [
            _Inner(source, item, host)
            for source in sources
            if source.op.updates or any(op is source.op for op, _ in host.streams)
        ]
        # number of the last step, and what sources had made before the first of those
        # that followed each other
        self._last = -2
        self._start: tuple[int, list[int]] = (0, [])
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
        for source in self._sources:  # quicker than `any`, and there are few
            if source.ahead is not None:
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
            owners: Sequence[Operator | str] = item.owners
            if n_made < len(self._sources):
                owners, position = [source.op for source in self._sources], n_made
            raise failed(owners[position], time, error) from error
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
        start, counts = self._start
        for source, count in zip(self._sources, counts, strict=True):
            source.n_made = count + n_steps - start
        for inner, copies in zip(self._inner, before.inner, strict=True):
            if inner.source not in before.made:
                inner.restore(copies)
        for source in before.made:
            source.keep(n_steps, self.item.signals)
        self._last = -2

    def _copy(self, n_steps: int, made: list[Source]) -> _Before:
        """Copy everything that a step changes."""
        goes_on = n_steps == self._last + 1
        if not goes_on:
            self._start = n_steps, [source.n_made for source in self._sources]
        self._last = n_steps
        return _Before(
            n_steps,
            made,
            self.item.copy_state(),
            self._host.copy_streams() if self._draws else (),
            [inner.copy(goes_on) for inner in self._inner] if self._inner else [],
        )

    def _maker(
        self, source: Source, fixed_inputs: Mapping[Signal, np.ndarray]
    ) -> Callable[[float], None]:
        """Return a function that makes the value of one step, where it is read."""
        op = source.op
        if type(op) is not SimPyFunc:
            step = self._host.step_function(op, self.item.number)
            return lambda time: step()
        function, passes_time = op.fn, op.t_passed
        live = None if source.output is None else self.item.signals[source.output]
        if isinstance(source, FunctionSource):
            argument, output = source.argument, self.item.signals[source.output]
            root = source.root
            given = (
                fixed_inputs[root] if root in fixed_inputs else self.item.signals[root]
            )
            return lambda time: assign_result(output, function(argument(given)))

        def make(time: float) -> None:
            result = function(time) if passes_time else function()
            if live is not None:
                assign_result(live, result)

        return make
