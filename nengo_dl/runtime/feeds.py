"""Values of whatever depends on time only, made ahead of the device in chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc, TimeUpdate
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal, SignalDict
from nengo.exceptions import SimulationError
from nengo.processes import Piecewise, PresentInput

from nengo_dl.compiler.operators import RandomSample
from nengo_dl.runtime.host import (
    HostOperators,
    assign_result,
    describe,
    run_step,
)

__all__ = ["InputFeeds"]


class InputFeeds:
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
        self._sources = [_Source(op, host) for op in ops if not _is_clock(op)]
        self._clock = next((op for op in ops if _is_clock(op)), None)

    def reset(self) -> None:
        """Forget values that were made ahead."""
        for source in self._sources:
            source.ahead = None

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
        n_made, error = n_steps, None
        for source in self._sources:
            if source.output is not None and source.output in replaced:
                continue
            rows, problem = source.take(first, steps[:n_made], times[:n_made])
            if source.output is not None:
                values[source.output] = rows
            if problem is not None:
                n_made, error = len(rows), problem
        if n_made < n_steps:
            values = {signal: rows[:n_made] for signal, rows in values.items()}
        return values, n_made, error

    def reset_state(self) -> None:
        """Return processes to their initial state; their random streams go on."""
        for signals, signal in self._state():
            signals.reset(signal)

    def _state(self) -> list[tuple[SignalDict, Signal]]:
        return [
            (signals, signal)
            for source in self._sources
            for signals in self.host.signals
            for signal in source.op.updates
            if signal in signals
        ]

    def save_state(self) -> list[np.ndarray]:
        """Return the state of all processes."""
        return [signals[signal].copy() for signals, signal in self._state()]

    def load_state(self, saved: Sequence[np.ndarray]) -> None:
        """Continue from a state that `save_state` returned."""
        for (signals, signal), value in zip(self._state(), saved, strict=True):
            signals[signal] = value

    def skip(self, n_steps: int, now: int | None = None) -> None:
        """Advance processes and random streams as if steps had been simulated.

        Functions of Nodes are not called.

        Parameters
        ----------
        n_steps : int
            How many steps.
        now : int, optional
            Number of the last one; smaller than ``n_steps`` after a soft reset.
        """
        if now is None:
            now = n_steps
        steps = np.arange(now - n_steps + 1, now + 1)
        for source in self._sources:
            if type(source.op) is not SimPyFunc and n_steps:
                source.take(now - n_steps, steps, steps * self.host.dt)
                source.consume(n_steps)
            source.first = now

    def consume(self, n_steps: int) -> None:
        """Forget the first values: they were simulated."""
        for source in self._sources:
            source.consume(n_steps)


def _is_clock(op: Operator) -> bool:
    return isinstance(op, TimeUpdate)


class _Source:
    """One operator that produces an input signal."""

    def __init__(self, op: Operator, host: HostOperators):
        self.op = op
        self.host = host
        self.output = op.sets[0] if op.sets else None
        self.shape = self.output.shape if self.output is not None else (0,)
        self.dtype = self.output.dtype if self.output is not None else float
        self.shared = host.minibatch_size == 1 or _same_for_all_items(op)
        # values that were made but not consumed, and the step before the first of them
        self.ahead: np.ndarray | None = None
        self.first = 0

    def take(
        self, first: int, steps: np.ndarray, times: np.ndarray
    ) -> tuple[np.ndarray, BaseException | None]:
        """Return values for some steps; ask the operator for those it did not give."""
        if self.ahead is None:
            self.first = first
        offset = first - self.first
        have = 0 if self.ahead is None else len(self.ahead) - offset
        error = None
        if have < len(steps):
            make = self._call_function if type(self.op) is SimPyFunc else self._run_op
            rows, error = make(steps[have:], times[have:])
            self.ahead = (
                rows if self.ahead is None else np.concatenate([self.ahead, rows])
            )
        return self.ahead[offset : offset + len(steps)], error

    def consume(self, n_steps: int) -> None:
        """Forget the first values."""
        if self.ahead is not None:
            rest = self.ahead[n_steps:]
            self.ahead = rest if len(rest) else None
            self.first += n_steps

    def _call_function(self, steps, times):
        """Call a function of time, without the reference's overhead per call."""
        rows = np.empty((len(times), 1, *self.shape), dtype=self.dtype)
        function, passes_time = self.op.fn, self.op.t_passed
        keeps = self.output is not None
        done = 0
        try:
            for t in times.tolist():
                result = function(t) if passes_time else function()
                if keeps:
                    # the usual case is checked without NumPy's overhead
                    if isinstance(result, float) and math.isfinite(result):
                        rows[done] = result
                    else:
                        assign_result(rows[done, 0], result)
                done += 1
        except Exception as error:
            failure = SimulationError(
                f"{describe(self.op)} failed at t={times[done]:g}: {error}"
            )
            failure.__cause__ = error
            return rows[:done], failure
        except BaseException as error:
            return rows[:done], error
        return rows, None

    def _run_op(self, steps, times):
        items = [0] if self.shared else range(self.host.minibatch_size)
        rows = np.empty((len(steps), len(items), *self.shape), dtype=self.dtype)
        live = [self.host.signals[item][self.output] for item in items]
        functions = [self.host.step_function(self.op, item) for item in items]
        clock = self.host.time_update
        done = 0
        try:
            with np.errstate(invalid="raise", divide="ignore"):
                for row, step in zip(rows, steps.tolist(), strict=True):
                    if clock is not None:
                        self.host.set_time(step)
                    for column, function, value in zip(
                        row, functions, live, strict=True
                    ):
                        run_step(function, self.op, step * self.host.dt)
                        column[...] = value
                    done += 1
        except BaseException as error:
            return rows[:done], error
        return rows, None


def _same_for_all_items(op: Operator) -> bool:
    """Whether one row of values serves all items of a minibatch."""
    if isinstance(op, SimProcess):
        return op.process.seed is not None or type(op.process) in (
            PresentInput,
            Piecewise,
        )
    return not isinstance(op, RandomSample)
