"""Nengo's own NumPy steps, for what runs on the host.

Each item of the minibatch has live arrays and step functions of its own, made in the
order and with the random stream of Nengo's reference simulator, so that noise has
exactly its numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal, SignalDict
from nengo.transforms import SparseMatrix
from nengo.utils.numpy import maxint
from numpy.random import RandomState

from nengo_dl.compiler.operators import RandomSample, copy_stream, with_own_stream
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.process_traits import of_nengo
from nengo_dl.compiler.sparse import coo
from nengo_dl.execution.live_arrays import init_signal, init_signals
from nengo_dl.execution.numpy_program import NumpyProgram
from nengo_dl.execution.user_code import assign_result, run_step
from nengo_dl.execution.watched_process import WatchedProcess

__all__ = ["HostOperators"]


class ConstantSource(Protocol):
    """Keeps the current values of constants; see `StateStore`."""

    version: int

    def replaced_since(
        self, version: int
    ) -> Iterable[tuple[Signal, Callable[[], np.ndarray]]]:
        """Return the constants that were replaced after some version."""


class HostOperators:
    """Operators that run with their own NumPy steps.

    Parameters
    ----------
    plan : Plan
        What is simulated.
    minibatch_size : int
        Number of items.

    Attributes
    ----------
    program : NumpyProgram
        What runs, in which order, if the device's part runs in NumPy.
    replaced : dict of {Operator: list of Operator}
        What each original operator became; itself if it is missing here.
    on_host : set of Operator
        Operators that need a step from the start, because they draw from the random
        stream or keep something in Python. Others get theirs when first asked for.
    """

    def __init__(self, plan: Plan, minibatch_size: int):
        self.program = NumpyProgram(plan)
        self.order = plan.order
        self.time_update = plan.clock
        self.dt = plan.dt
        self.minibatch_size = minibatch_size
        self._ahead = frozenset(plan.split.host)
        self.on_host = {*plan.split.host, *plan.callbacks}
        self.replaced: dict[Operator, list[Operator]] = {}
        for new, original in plan.split.origin.items():
            self.replaced.setdefault(original, []).append(new)
        self.signals: list[SignalDict] = []
        self.constants: dict[Signal, Callable[[], np.ndarray]] = {}
        self._source: ConstantSource | None = None
        self._source_version = 0
        #: while code of the user runs: number of steps before the one of which it is
        self.now: int | None = None
        #: grows whenever arrays or step functions are new
        self.version = 0
        self.error: BaseException | None = None
        self.overrides: Mapping[Signal, np.ndarray] = {}
        self._steps: list[dict[Operator, Callable[[], None]]] = []
        self._unused_rng = np.random.RandomState(0)
        self._counts: dict[Operator, int] = {}
        self._clocks: list[tuple[np.ndarray, np.ndarray]] = []
        #: For operators that draw random numbers in each step, by what they keep the
        #: stream for: the stream of each item. None: streams of the simulation itself.
        self.streams: dict[tuple[Operator | None, str], list[RandomState]] = {}
        self.processes: dict[Operator, list[WatchedProcess]] = {}
        self.item_seeds: list[int] = []
        #: number of the first item, where others are in other processes
        self.first_item = 0
        self._n_steps = 0

    def reset(self, seed: int | Sequence[int]) -> None:
        """Make all steps anew, with fresh arrays and random streams.

        Parameters
        ----------
        seed : int or sequence of int
            Seed of the simulation, or those of all items.
        """
        self.refresh()
        self.version += 1
        self.signals = [self.program.new_arrays() for _ in range(self.minibatch_size)]
        self._steps = [{} for _ in range(self.minibatch_size)]
        self._clocks = []
        self.streams = {}
        self.processes = {}
        self.item_seeds = (
            [
                _item_seed(seed, self.first_item + item)
                for item in range(self.minibatch_size)
            ]
            if isinstance(seed, int | np.integer)
            else list(seed)
        )
        for item, item_seed in enumerate(self.item_seeds):
            rng = np.random.RandomState(item_seed)
            if any(not of_nengo(op) for op in self.on_host):
                # operators of other packages may keep the stream
                self.streams.setdefault((None, "operators"), []).append(rng)
            for original in self.order:
                made = [
                    op
                    for op in self.replaced.get(original, (original,))
                    if op in self.on_host
                ]
                for op in made:
                    self._make_step(op, item, rng)
                if not made and isinstance(original, SimProcess):
                    # the reference gives every process a seed, needed or not
                    if original.process.seed is None:
                        rng.randint(maxint)
        self._allocate_sparse()
        self.start_chunk(0)

    def _allocate_sparse(self) -> None:
        """Make the matrices of sparse transforms now, instead of at the first step.

        Nengo warns if SciPy is missing, and that belongs to the start.
        """
        for op in self.order:
            for signal in op.reads:
                if not isinstance(signal.initial_value, SparseMatrix):
                    continue
                if signal in self.constants:
                    self._init_constant(self.signals[0], signal)
                elif signal not in self.signals[0]:
                    self.signals[0].init(signal)

    def _make_step(self, op: Operator, item: int, rng: np.random.RandomState):
        signals = self.signals[item]
        for signal in op.all_signals:
            if signal.base in self.constants:
                self._init_constant(signals, signal)
        init_signals(op, signals)
        if type(op) is SimPyFunc:
            step = _make_function_step(op, signals)
        elif type(op) is RandomSample:
            stream = copy_stream(op.rng, self.first_item + item)
            self.streams.setdefault((op, "random"), []).append(stream)
            step = op.step_from(stream, signals)
        elif isinstance(op, SimProcess) and op in self.on_host:
            own = copy.copy(op)
            own.process = watched = WatchedProcess(op.process)
            step = own.make_step(signals, self.dt, rng)
            self.processes.setdefault(op, []).append(watched)
            if watched.traits.draws and watched.stream is not None:
                self.streams.setdefault((op, "random"), []).append(watched.stream)
        else:
            own = with_own_stream(op, self.first_item + item)
            for name, stream in getattr(own, "state_extra", {}).items():
                key = "random" if name == "rng" else name
                self.streams.setdefault((op, key), []).append(stream)
            step = own.make_step(signals, self.dt, rng)
        self._steps[item][op] = step
        return step

    def follow(self, source: ConstantSource) -> None:
        """From now on, use the values of constants that something else keeps."""
        self._source, self._source_version = source, 0

    def refresh(self) -> None:
        """Take over the constants that were replaced since the last time."""
        source = self._source
        if source is None or source.version == self._source_version:
            return
        for signal, read in source.replaced_since(self._source_version):
            self.set_constant(signal, read)
        self._source_version = source.version
        self.version += 1

    def set_constant(self, signal: Signal, read: Callable[[], np.ndarray]) -> None:
        """Replace the value of a constant signal in all items' arrays.

        The arrays of constants are Nengo's own until then; they are not written to.

        Parameters
        ----------
        signal : Signal
            A base signal.
        read : callable
            Returns the new value, shape (n_values,); the non-zero elements of a sparse
            signal. It is called when an operator needs them.
        """
        self.constants[signal] = read
        for signals, steps in zip(self.signals, self._steps, strict=True):
            known = [s for s in signals if s.base is signal]
            for old in known:
                dict.pop(signals, old)
            for new in known:
                self._init_constant(signals, new)
            for op in [op for op in steps if op not in self.on_host]:
                if any(s.base is signal for s in op.all_signals):
                    del steps[op]

    def _init_constant(self, signals: SignalDict, signal: Signal) -> None:
        """Give a replaced constant, or a view of one, its array."""
        if signal in signals:
            return
        if signal.is_view:
            self._init_constant(signals, signal.base)
            live = np.ndarray(
                signal.shape,
                signal.dtype,
                buffer=signals[signal.base],
                offset=signal.offset,
                strides=signal.strides,
            )
        elif signal.sparse:
            rows, cols, _ = coo(signal.initial_value)
            indices = np.stack([rows, cols], 1)
            values = np.array(self.constants[signal]())
            live = SparseMatrix(indices, values, signal.shape).allocate()
        else:
            live = self.constants[signal]().astype(signal.dtype).reshape(signal.shape)
        dict.__setitem__(signals, signal, live)

    def array(self, signal: Signal, item: int) -> np.ndarray:
        """Return the live array of a signal that is no constant."""
        init_signal(signal, self.signals[item])
        return self.signals[item][signal]

    def constant(self, signal: Signal, item: int) -> np.ndarray:
        """Return the current value of a constant, not to be written to."""
        if signal.base not in self.constants:
            return signal.initial_value
        self._init_constant(self.signals[item], signal)
        return self.signals[item][signal]

    def step_function(self, op: Operator, item: int):
        """Return the step of an operator for one item of the minibatch."""
        step = self._steps[item].get(op)
        if step is None:
            # these draw nothing, or nothing that is used
            step = self._make_step(op, item, self._unused_rng)
        return step

    def start_chunk(
        self,
        n_steps: int,
        overrides: Mapping[Signal, np.ndarray] = MappingProxyType({}),
    ) -> None:
        """Take note of where a chunk begins.

        Parameters
        ----------
        n_steps : int
            Number of steps that were simulated so far.
        overrides : mapping of {Signal: ndarray}
            Values, for each step of the chunk, of signals whose functions are not to be
            called.
        """
        source = self._source
        if source is not None and source.version != self._source_version:
            self.refresh()
        self._n_steps = n_steps
        self._counts = {}
        self.overrides = overrides

    def copy_streams(self) -> list[tuple[RandomState, Any]]:
        """Return the random streams that steps of the device draw from, as they are.

        Those of operators that run ahead are not among them: nothing that they make is
        lost.
        """
        return [
            (stream, stream.get_state())
            for (op, _), streams in self.streams.items()
            if op not in self._ahead
            for stream in streams
        ]

    def restore_streams(self, states: Sequence[tuple[RandomState, Any]]) -> None:
        """Return to what `copy_streams` found."""
        for stream, state in states:
            stream.set_state(state)

    def set_time(self, n_steps: int) -> None:
        """Set the step counter and the time in all items' arrays."""
        if self.time_update is None:
            return
        if len(self._clocks) < len(self.signals):
            for signals in self.signals:
                for signal in self.time_update.sets:
                    if signal not in signals:
                        signals.init(signal)
            step, time = self.time_update.step, self.time_update.time
            self._clocks = [(signals[step], signals[time]) for signals in self.signals]
        for step, time in self._clocks:
            step[...] = n_steps
            time[...] = n_steps * self.dt

    def run(
        self,
        ops: Sequence[Operator],
        given: Sequence[Signal],
        values: Sequence[np.ndarray],
    ) -> list[np.ndarray]:
        """Run one step of operators (see `builders.base.HostSteps`)."""
        count = self._counts.get(ops[0], 0) + 1
        self._counts[ops[0]] = count
        self.set_time(self._n_steps + count)
        self.now = self._n_steps + count - 1
        try:
            items = [
                self._run_item(ops, item, given, values, count - 1)
                for item in range(self.minibatch_size)
            ]
        except BaseException as error:
            # the graph turns errors into text; keep the original for the simulator
            self.error = error
            raise
        finally:
            self.now = None
        return [np.stack(column) for column in zip(*items, strict=True)]

    def _run_item(
        self,
        ops: Sequence[Operator],
        item: int,
        given: Sequence[Signal],
        values: Sequence[np.ndarray],
        row: int,
    ) -> list[np.ndarray]:
        signals = self.signals[item]
        steps = [self.step_function(op, item) for op in ops]
        for signal, value in zip(given, values, strict=True):
            if not signal.readonly:
                signals[signal][...] = value[min(item, len(value) - 1)]
        for op in ops:
            for signal in op.incs:
                signals[signal][...] = 0
        with np.errstate(invalid="raise", divide="ignore"):
            for step, op in zip(steps, ops, strict=True):
                if op.sets and op.sets[0] in self.overrides:
                    rows = self.overrides[op.sets[0]][row]
                    signals[op.sets[0]][...] = rows[min(item, len(rows) - 1)]
                else:
                    run_step(step, op, (self._n_steps + row + 1) * self.dt)
        return [
            np.array(signals[signal])
            for kind in ("sets", "incs", "updates")
            for op in ops
            for signal in getattr(op, kind)
        ]


def _item_seed(seed: int, item: int) -> int:
    """Return the seed of an item: the simulator's own for the first one."""
    if item == 0:
        return seed
    return int(np.random.SeedSequence([seed, item]).generate_state(1)[0])


def _make_function_step(op: SimPyFunc, signals: SignalDict) -> Callable[[], None]:
    """Return a step that calls a function, and says what is wrong with its result."""
    function = op.fn
    output = signals[op.output] if op.output is not None else None
    t = signals[op.t] if op.t is not None else None
    x = signals[op.x] if op.x is not None else None

    def step_function() -> None:
        args = () if x is None else (x.copy(),)
        result = function(*args) if t is None else function(t.item(), *args)
        if output is not None:
            assign_result(output, result)

    return step_function
