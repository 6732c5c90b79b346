"""Values of whatever depends on time only, made ahead of the device in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc, TimeUpdate
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.process_traits import is_random, is_restless
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.user_code import assign_result, failed

__all__ = ["Source", "Sources"]


class Sources:
    """Produces the values of input signals, step after step.

    Values that were made but not yet simulated (a run was interrupted, or another
    source failed) are kept for the next run: no function is called twice for a step,
    and no random number is lost.

    Parameters
    ----------
    ops : sequence of Operator
        The operators that run on the host ahead of the device.
    host : HostOperators
        Holds their steps.
    """

    def __init__(self, ops: Sequence[Operator], host: HostOperators):
        self.host = host
        self.sources = [Source(op, host) for op in ops if not _is_clock(op)]
        self._clock = next((op for op in ops if _is_clock(op)), None)

    @property
    def restless(self) -> set[Signal]:
        """Inputs that change in each step: the time, and random numbers."""
        found = {source.output for source in self.sources if is_restless(source.op)}
        clock = () if self._clock is None else self._clock.sets
        return {*found, *clock}

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
        self, first: int, n_steps: int, replaced: Mapping[Signal, object] = ()
    ) -> tuple[dict[Signal, np.ndarray], int, BaseException | None]:
        """Make the values of some steps.

        Parameters
        ----------
        first : int
            Number of the step before the first one.
        n_steps : int
            How many steps.
        replaced : collection of Signal
            Signals whose values come from elsewhere; their sources are not asked.

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

    def _ask_once(
        self, sources: Sequence[Source], first: int, time: float
    ) -> BaseException | None:
        """Do what `_ask` does, for one step of which nothing was made: half the time.

        Single steps are what users of ``step`` wait for.
        """
        source = None
        try:
            with np.errstate(invalid="raise", divide="ignore"):
                if any(type(source.op) is not SimPyFunc for source in sources):
                    self.host.set_time(first + 1)
                self.host.now = first
                for source in sources:
                    source.make_one(first, time)
        except Exception as error:
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
            [(source.ahead, source.first) for source in self.sources],
            [np.array(signals[signal]) for signals, signal in self._state()],
        )

    def return_to(self, position: SourcePosition) -> None:
        """Go on from a position of before; random streams stay where they are."""
        for source, (ahead, first) in zip(self.sources, position.ahead, strict=True):
            source.ahead, source.first = ahead, first
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
    ahead : list of (ndarray or None, int)
        Of each source, the values that were made ahead, and the step before them.
    state : list of ndarray
        The state of processes.
    """

    ahead: list[tuple[np.ndarray | None, int]]
    state: list[np.ndarray]


class Source:
    """One operator that produces an input signal.

    Parameters
    ----------
    op : Operator
        The operator.
    host : HostOperators
        Holds its steps.

    Attributes
    ----------
    ahead : ndarray or None, shape (n_ahead, 1 or minibatch, *shape)
        Values that were made but not consumed.
    first : int
        Number of the step before the first of them.
    n_made : int
        For how many steps values were made since the step functions are new.
    """

    def __init__(self, op: Operator, host: HostOperators):
        self.op = op
        self.host = host
        self.output = op.sets[0] if op.sets else None
        self.shape = self.output.shape if self.output is not None else (0,)
        self.dtype = self.output.dtype if self.output is not None else float
        self.shared = host.minibatch_size == 1 or not is_random(op)
        self.ahead: np.ndarray | None = None
        self.first = 0
        self.n_made = 0
        # rows that are being made
        self._new: np.ndarray | None = None

    def count(self, first: int) -> int:
        """Return for how many steps there are values."""
        return 0 if self.ahead is None else len(self.ahead) - (first - self.first)

    def rows(self, first: int, n_steps: int) -> np.ndarray:
        """Return values for some steps, all of which were made."""
        if self.ahead is None:
            return self._empty(0)
        offset = first - self.first
        return self.ahead[offset : offset + n_steps]

    def begin(self, first: int, n_steps: int) -> Callable[[int, float], None]:
        """Return a function that makes the values of one step, given their number."""
        if self.ahead is None:
            self.first = first
        self._new = self._empty(max(n_steps - self.count(first), 0))
        if type(self.op) is SimPyFunc:
            return self._function_maker(self._new)
        return self._process_maker(self._new)

    def end(self, n_steps: int) -> None:
        """Keep the values of those steps that were made."""
        rows, self._new = self._new[:n_steps], None
        self.n_made += len(rows)
        if len(rows):
            self.ahead = (
                rows if self.ahead is None else np.concatenate([self.ahead, rows])
            )

    def make_one(self, first: int, time: float) -> None:
        """Make the values of one step, and keep them."""
        rows = self._empty(1)
        if type(self.op) is SimPyFunc:
            self._function_maker(rows)(0, time)
        else:
            self._process_maker(rows)(0, time)
        self.ahead, self.first = rows, first
        self.n_made += 1

    def keep(self, first: int, signals: SignalDict) -> None:
        """Keep the value of one step, which was made in the arrays of an item."""
        self.ahead, self.first = self._empty(1), first
        if self.output is not None:
            self.ahead[0, 0] = signals[self.output]
        self.n_made += 1

    def _empty(self, n_steps: int) -> np.ndarray:
        items = 1 if self.shared else self.host.minibatch_size
        return np.empty((n_steps, items, *self.shape), dtype=self.dtype)

    def consume(self, n_steps: int) -> None:
        """Forget the first values."""
        if self.ahead is not None:
            rest = self.ahead[n_steps:]
            self.ahead = rest if len(rest) else None
            self.first += n_steps

    def _function_maker(self, rows: np.ndarray) -> Callable[[int, float], None]:
        """Call a function of time, without the reference's overhead per call."""
        function, passes_time = self.op.fn, self.op.t_passed
        keeps = self.output is not None

        def make(n: int, time: float) -> None:
            result = function(time) if passes_time else function()
            if keeps:
                assign_result(rows[n, 0], result)

        return make

    def _process_maker(self, rows: np.ndarray) -> Callable[[int, float], None]:
        items = range(rows.shape[1])
        live = [self.host.signals[item][self.output] for item in items]
        functions = [self.host.step_function(self.op, item) for item in items]
        turns = list(zip(items, functions, live, strict=True))

        def make(n: int, time: float) -> None:
            row = rows[n]
            for item, function, value in turns:
                function()
                row[item] = value

        return make
