"""Values of inputs, and of functions of them, made ahead of the device in chunks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc, TimeUpdate
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.inputs import HostSplit
from nengo_dl.compiler.process_traits import is_restless
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.source_rows import (
    FunctionSource,
    GivenRows,
    Rows,
    Source,
)
from nengo_dl.execution.user_code import failed

__all__ = ["Sources"]


class Sources:
    """Produces the values of input signals, step after step.

    Values that were made but not yet simulated (a run was interrupted, or another
    source failed) are kept for the next run: no function is called twice for a step,
    and no random number is lost.

    Parameters
    ----------
    split : HostSplit
        Says which operators run on the host ahead of the device.
    host : HostOperators
        Holds their steps.
    """

    def __init__(self, split: HostSplit, host: HostOperators):
        self.host = host
        self.sources = [
            FunctionSource(op, host, split.arguments[op])
            if op in split.arguments
            else Source(op, host)
            for op in split.host
            if not _is_clock(op)
        ]
        self._clock = next((op for op in split.host if _is_clock(op)), None)

    @property
    def restless(self) -> set[Signal]:
        """Inputs that change in each step: the time, and random numbers."""
        found = {source.output for source in self.sources if is_restless(source.op)}
        clock = () if self._clock is None else self._clock.sets
        return {*found, *clock}

    def depend_on(self, signals: Collection[Signal]) -> bool:
        """Whether functions get values of some signals, if these are fed."""
        return any(source.root in signals for source in self.sources)

    def reset(self) -> None:
        """Forget values that were made ahead."""
        for source in self.sources:
            source.ahead = None

    def restart(self) -> None:
        """Start anew: the host has new step functions."""
        self.reset()
        for source in self.sources:
            source.n_made = 0

    def make(
        self,
        first: int,
        n_steps: int,
        replaced: Mapping[Signal, np.ndarray] = MappingProxyType({}),
        fixed: Mapping[Signal, np.ndarray] = MappingProxyType({}),
    ) -> tuple[dict[Signal, np.ndarray], int, BaseException | None]:
        """Make the values of some steps.

        Parameters
        ----------
        first : int
            Number of the step before the first one.
        n_steps : int
            How many steps.
        replaced : mapping of {Signal: ndarray}
            Values that come from elsewhere, shape ``(n_steps or 1, items or 1, size)``;
            their sources are not asked.
        fixed : mapping of {Signal: ndarray}
            Values of constant inputs.

        Returns
        -------
        values : dict of {Signal: ndarray of shape (n_made, 1 or minibatch, *shape)}
            Values of each input signal.
        n_made : int
            For how many steps there are values; fewer than asked for after an error.
        error : BaseException or None
            What went wrong in the step that follows.
        """
        steps = np.arange(first + 1, first + n_steps + 1)
        times = steps * self.host.dt
        values: dict[Signal, np.ndarray] = {}
        if self._clock is not None:
            step, time = self._clock.step, self._clock.time
            times = times.astype(time.dtype, copy=False)
            values[step] = steps.astype(step.dtype, copy=False)
            values[time] = times
        asked = [
            source
            for source in self.sources
            if source.output is None or source.output not in replaced
        ]
        self._connect(asked, replaced, fixed, first, n_steps)
        if n_steps == 1 and all(source.ahead is None for source in asked):
            error = self._ask_once(asked, first, times.item())
        else:
            error = self._ask(asked, first, steps, times)
        n_made = min([n_steps, *(source.count(first) for source in asked)])
        for source in asked:
            if source.output is not None:
                values[source.output] = source.rows(first, n_made)
        if n_made < n_steps:
            values = {signal: rows[:n_made] for signal, rows in values.items()}
        return values, n_made, error

    def _connect(
        self,
        asked: Sequence[Source],
        replaced: Mapping[Signal, np.ndarray],
        fixed: Mapping[Signal, np.ndarray],
        first: int,
        n_steps: int,
    ) -> None:
        """Tell functions where their arguments come from this time.

        What they made for other arguments is dropped: a run was interrupted, and the
        next one feeds something else.
        """
        functions = [s for s in asked if isinstance(s, FunctionSource)]
        if not functions:
            return
        made = {source.output: source for source in asked}
        for source in functions:
            root = source.root
            rows: Rows
            if root in replaced:
                rows = GivenRows(replaced[root])
            elif root in made:
                rows = made[root]
            else:
                rows = GivenRows(np.asarray(fixed[root])[None, None])
            source.connect(rows, first, n_steps)

    def _ask_once(
        self, sources: Sequence[Source], first: int, time: float
    ) -> BaseException | None:
        """Do what `_ask` does, for one step of which nothing was made: half the time.

        Single steps are what users of ``step`` wait for.
        """
        source: Source | None = None
        try:
            with np.errstate(invalid="raise", divide="ignore"):
                if any(type(source.op) is not SimPyFunc for source in sources):
                    self.host.set_time(first + 1)
                self.host.now = first
                for source in sources:
                    source.make_one(first, time)
        except Exception as error:
            if source is None:  # the code of no source ran yet
                raise
            return failed(source.op, time, error)
        except BaseException as error:
            return error
        finally:
            self.host.now = None
        return None

    def _ask(
        self,
        sources: Sequence[Source],
        first: int,
        steps: np.ndarray,
        times: np.ndarray,
    ) -> BaseException | None:
        """Let sources make the values of some steps that they have not made yet.

        They take turns in each step, in the reference's order: functions can share a
        random stream, or something that one of them changes.
        """
        makers = [source.begin(first, len(steps)) for source in sources]
        had = [source.count(first) for source in sources]
        turns = list(zip(had, makers, strict=True))
        start = min([len(steps), *had])
        sets_time = self.host.time_update is not None and any(
            type(source.op) is not SimPyFunc for source in sources
        )
        # whole steps that were made, and how many sources had their turn in the next
        done, position, failure = start, 0, None
        try:
            with np.errstate(invalid="raise", divide="ignore"):
                for step, time in zip(
                    steps[start:].tolist(), times[start:].tolist(), strict=True
                ):
                    if sets_time:
                        self.host.set_time(step)
                    self.host.now = step - 1
                    for have, make in turns:
                        if done >= have:
                            make(done - have, time)
                        position += 1
                    done, position = done + 1, 0
        except Exception as error:
            failure = failed(sources[position].op, times[done], error)
        except BaseException as error:
            failure = error
        finally:
            self.host.now = None
        for i, (have, source) in enumerate(zip(had, sources, strict=True)):
            source.end(max(done + (i < position) - have, 0))
        return failure

    def reset_state(self) -> None:
        """Return processes to their initial state; their random streams go on."""
        for signals, signal in self._state():
            signals.reset(signal)

    def position(self) -> SourcePosition:
        """Return where processes are, and what was made ahead; see `return_to`."""
        return SourcePosition(
            [source.position() for source in self.sources],
            [np.array(signals[signal]) for signals, signal in self._state()],
        )

    def return_to(self, position: SourcePosition) -> None:
        """Go on from a position of before; random streams stay where they are."""
        for source, place in zip(self.sources, position.ahead, strict=True):
            source.return_to(place)
        for (signals, signal), value in zip(self._state(), position.state, strict=True):
            signals[signal] = value

    def _state(self) -> list[tuple[SignalDict, Signal]]:
        return [
            (signals, signal)
            for source in self.sources
            for signals in self.host.signals
            for signal in source.op.updates
            if signal in signals
        ]

    def repeat(self, source: Source, n_steps: int, last: int) -> None:
        """Let a process make values again that it made before, and forget them.

        Its step function, which may keep something that nobody else sees, is then as it
        was.

        Parameters
        ----------
        source : Source
            One of the sources.
        n_steps : int
            How many steps.
        last : int
            Number of the last one.

        Raises
        ------
        SimulationError
            If the process fails.
        """
        most = 1024  # not all values at once
        for first in range(last - n_steps, last, most):
            steps = np.arange(first, min(first + most, last)) + 1
            error = self._ask([source], first, steps, steps * self.host.dt)
            source.ahead = None
            if error is not None:
                raise error

    def consume(self, n_steps: int) -> None:
        """Forget the first values: they were simulated."""
        for source in self.sources:
            source.consume(n_steps)


def _is_clock(op: Operator) -> bool:
    return isinstance(op, TimeUpdate)


class SourcePosition(NamedTuple):
    """Where sources are in a simulation.

    Attributes
    ----------
    ahead : list of tuple
        Of each source, the values that were made ahead, the step before them, and what
        they were made of.
    state : list of ndarray
        The state of processes.
    """

    ahead: list[tuple[Any, ...]]
    state: list[np.ndarray]
