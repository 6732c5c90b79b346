"""The values that one operator makes ahead of the device, step by step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.inputs import Argument
from nengo_dl.compiler.process_traits import is_random
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.user_code import assign_result

__all__ = ["FunctionSource", "GivenRows", "Rows", "Source"]


class Rows(Protocol):
    """Values of a signal in the steps of a chunk; see `Source`."""

    @property
    def n_items(self) -> int:
        """Length of the axis of items."""

    def count(self, first: int) -> int:
        """Return for how many steps there are values."""

    def reader(self, first: int) -> Callable[[int], np.ndarray]:
        """Return a function that gives the values of one step."""


class GivenRows:
    """Values of a chunk that were given.

    Parameters
    ----------
    values : ndarray, shape (n_steps or 1, items or 1, size)
        One row stands for all steps.
    """

    def __init__(self, values: np.ndarray):
        self.values = values
        self.n_items = values.shape[1]

    def count(self, first: int) -> int:
        """Return for how many steps there are values: for all that are asked for."""
        return sys.maxsize

    def reader(self, first: int) -> Callable[[int], np.ndarray]:
        """Return a function that gives the values of one step."""
        values = self.values
        if len(values) == 1:
            return lambda n: values[0]
        return lambda n: values[n]


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

    #: The input that a function gets, or a part of it.
    root: Signal | None = None

    def __init__(self, op: Operator, host: HostOperators):
        self.op = op
        self.host = host
        self.output = op.sets[0] if op.sets else None
        self.shape = self.output.shape if self.output is not None else (0,)
        self.dtype = self.output.dtype if self.output is not None else float
        self.shared = host.minibatch_size == 1 or not is_random(op)
        self.ahead: Any = None
        self.first = 0
        self.n_made = 0
        # rows that are being made
        self._new: Any = None

    def count(self, first: int) -> int:
        """Return for how many steps there are values."""
        return 0 if self.ahead is None else len(self.ahead) - (first - self.first)

    def rows(self, first: int, n_steps: int) -> np.ndarray:
        """Return values for some steps, all of which were made."""
        if self.ahead is None:
            return self._empty(0)
        offset = first - self.first
        return self.ahead[offset : offset + n_steps]

    @property
    def n_items(self) -> int:
        """Length of the axis of items."""
        return 1 if self.shared else self.host.minibatch_size

    def reader(self, first: int) -> Callable[[int], np.ndarray]:
        """Return a function that gives the values of one step.

        It also knows those that are being made, after a call of `begin`.
        """
        n_ahead, ahead, new = self.count(first), self.ahead, self._new
        offset = first - self.first

        def read(n: int) -> np.ndarray:
            return ahead[offset + n] if n < n_ahead else new[n - n_ahead]

        return read

    def begin(self, first: int, n_steps: int) -> Callable[[int, float], None]:
        """Return a function that makes the values of one step, given their number."""
        if self.ahead is None:
            self.first = first
        n_ahead = self.count(first)
        self._new = self._empty(max(n_steps - n_ahead, 0))
        return self._maker(self._new, first, n_ahead)

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
        self._maker(rows, first, 0)(0, time)
        self.ahead, self.first = rows, first
        self.n_made += 1

    def keep(self, first: int, signals: SignalDict) -> None:
        """Keep the value of one step, which was made in the arrays of an item."""
        self.ahead, self.first = self._empty(1), first
        if self.output is not None:
            self.ahead[0, 0] = signals[self.output]
        self.n_made += 1

    def _empty(self, n_steps: int) -> np.ndarray:
        return np.empty((n_steps, self.n_items, *self.shape), dtype=self.dtype)

    def position(self) -> tuple[Any, ...]:
        """Return what was made ahead, for `return_to`."""
        return self.ahead, self.first

    def return_to(self, position: tuple[Any, ...]) -> None:
        """Have again what had been made ahead at a position of before."""
        self.ahead, self.first = position

    def consume(self, n_steps: int) -> None:
        """Forget the first values."""
        if self.ahead is not None:
            rest = self.ahead[n_steps:]
            self.ahead = rest if len(rest) else None
            self.first += n_steps

    def _maker(
        self, rows: np.ndarray, first: int, n_ahead: int
    ) -> Callable[[int, float], None]:
        """Return a function that makes one of these rows.

        Parameters
        ----------
        rows : ndarray
            Where to put the values.
        first : int
            Number of the step before the first one of the chunk.
        n_ahead : int
            How many steps of the chunk come before those of the rows.
        """
        if type(self.op) is SimPyFunc:
            return self._function_maker(rows)
        return self._process_maker(rows)

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


class FunctionSource(Source):
    """A function on a connection from a Node without input.

    It is called once for each item of the minibatch; only once if all items get the
    same.

    Parameters
    ----------
    op : Operator
        Calls the function.
    host : HostOperators
        Knows the minibatch.
    argument : Argument
        What the function gets.
    """

    def __init__(self, op: SimPyFunc, host: HostOperators, argument: Argument):
        super().__init__(op, host)
        self.root = argument.root
        self._input: Any = None
        self._n_items = 1
        signals = SignalDict()
        signals.init(argument.root)
        self._live = signals[argument.root]
        self._copy: Callable[[], None] | None = None
        if argument.copy is not None:
            signals.init(op.x.base)
            # it keeps no state, and draws nothing
            self._copy = argument.copy.make_step(signals, host.dt, None)
        self._x = signals[op.x]
        # arguments of the values that were made ahead, and of those being made
        self._given: Any = None
        self._new_given: Any = None

    @property
    def n_items(self) -> int:
        """Length of the axis of items."""
        return self._n_items

    def connect(self, rows: Rows, first: int, n_steps: int) -> None:
        """Say where the input comes from in the next chunk.

        Values that were made ahead for other arguments are forgotten.
        """
        self._input = rows
        self._n_items = rows.n_items
        count = min(self.count(first), n_steps)
        if count <= 0:
            return
        offset = first - self.first
        fits = self._count_fitting(rows, first, count)
        if fits < count:
            end = offset + fits
            self.ahead = self.ahead[:end] if end else None
            self._given = self._given[:end] if end else None

    def _count_fitting(self, rows: Rows, first: int, count: int) -> int:
        """Return how many values that were made ahead are those of this input."""
        given, offset, read = self._given, first - self.first, rows.reader(first)
        for n in range(min(count, rows.count(first))):
            values = [self.argument(row) for row in read(n)]
            if not np.array_equal(given[offset + n], values, equal_nan=True):
                return n
        return min(count, rows.count(first))

    def argument(self, value: np.ndarray) -> np.ndarray:
        """Return a new argument, made of a value of the input.

        The last one is known to `keep`.
        """
        self._live[...] = value
        if self._copy is not None:
            self._copy()
        return self._x.copy()

    def end(self, n_steps: int) -> None:
        """Keep the values of those steps that were made, and their arguments."""
        given, self._new_given = self._new_given[:n_steps], None
        if len(given):
            if self.ahead is not None:
                given = np.concatenate([self._given[: len(self.ahead)], given])
            self._given = given
        super().end(n_steps)

    def make_one(self, first: int, time: float) -> None:
        """Make the values of one step, and keep them."""
        super().make_one(first, time)
        self._given, self._new_given = self._new_given, None

    def keep(self, first: int, signals: SignalDict) -> None:
        """Keep the value of one step, which was made in the arrays of an item."""
        super().keep(first, signals)
        self._given = self._x.copy()[None, None]

    def position(self) -> tuple[Any, ...]:
        """Return what was made ahead, and of what."""
        return *super().position(), self._given, self._n_items

    def return_to(self, position: tuple[Any, ...]) -> None:
        """Have again what had been made ahead at a position of before."""
        *place, self._given, self._n_items = position
        super().return_to(tuple(place))

    def consume(self, n_steps: int) -> None:
        """Forget the first values."""
        if self.ahead is not None:
            self._given = self._given[n_steps:]
        super().consume(n_steps)

    def _maker(
        self, rows: np.ndarray, first: int, n_ahead: int
    ) -> Callable[[int, float], None]:
        function, argument = self.op.fn, self.argument
        read = self._input.reader(first)
        self._new_given = given = np.empty((*rows.shape[:2], *self._x.shape))

        def make(n: int, time: float) -> None:
            for item, value in enumerate(read(n_ahead + n)):
                given[n, item] = x = argument(value)
                assign_result(rows[n, item], function(x))

        return make
