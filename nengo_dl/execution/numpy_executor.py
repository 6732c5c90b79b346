"""Runs steps with Nengo's own NumPy operators instead of a compiled loop.

A call of a compiled function costs about a hundred microseconds, and a callback from
within one as much again: more than a whole step of a small network takes in NumPy.
So single steps, very short runs, and small networks that call Python in each step run
here, on the same operators, state and random streams.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import DotInc, Operator
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.tensor_nodes import SimTensorNode
from nengo_dl.execution.item_steps import ItemSteps
from nengo_dl.execution.live_arrays import LiveArrays
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.state import StateStore
from nengo_dl.execution.user_code import failed
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning

__all__ = ["Item", "NumpyExecutor", "estimate_seconds"]


def estimate_seconds(ops: Sequence[Operator]) -> float:
    """Return the estimated time of operators that are one group.

    Parameters
    ----------
    ops : sequence of Operator
        Operators that NumPy computes together.

    Returns
    -------
    float
        Seconds of a step of one item.
    """
    seconds = tuning.OPERATOR_SECONDS
    if isinstance(ops[0], SimNeurons):
        seconds += tuning.NEURONS_SECONDS
        seconds += tuning.NEURON_SECONDS * sum(op.J.size for op in ops)
    elif isinstance(ops[0], SimTensorNode):
        seconds += tuning.TENSOR_NODE_SECONDS
    elif isinstance(ops[0], DotInc):
        seconds += tuning.WEIGHT_SECONDS * sum(op.A.size for op in ops)
    else:
        seconds += 1e-9 * sum(s.size for op in ops for s in op.all_signals)
    return seconds


class NumpyExecutor:
    """NumPy execution of a plan's device part, item by item.

    Parameters
    ----------
    plan : Plan
        What to run.
    step : StepProgram
        Says which blocks hold state and inputs.
    host : HostOperators
        Makes the steps.
    store : StateStore
        Has the state.
    most_steps : int
        Most steps of one chunk.
    """

    #: Python code of the model never runs in two threads at once.
    runs_beside = False
    is_warm = True

    def __init__(
        self,
        plan: Plan,
        step: StepProgram,
        host: HostOperators,
        store: StateStore,
        most_steps: int = tuning.MOST_STEPS,
    ):
        self.plan = plan
        self.step = step
        self.host = host
        self.store = store
        self.most_steps = most_steps
        self._items: list[Item] | None = None
        self._version = -1
        self._available: bool | None = None

    @property
    def available(self) -> bool:
        """Whether all operators have a NumPy step, with the numbers of the device.

        XLA draws other random numbers from the same seed, and items that are computed
        one by one cannot share a state.
        """
        if self._available is None:
            try:
                self.items()
                self._available = not any(
                    op.shares_state
                    for op in self.plan.split.device
                    if isinstance(op, SimTensorNode)
                )
            except NotImplementedError:
                self._available = False
        return self._available

    @functools.cached_property
    def estimated_seconds(self) -> float:
        """Estimated time of one step, in seconds."""
        parts = itertools.chain(*self.host.program.parts)
        seconds = sum(
            estimate_seconds(part.ops if isinstance(part, Group) else (part,))
            for part in parts
        )
        return seconds * self.step.config.minibatch_size

    def prepare(self) -> None:
        """Take over the state, unless it is here already."""
        self.store.move_state_to(self)

    def items(self) -> list[Item]:
        """Return the items of the minibatch; new ones if the host has new steps."""
        self.host.refresh()
        if self._items is None or self._version != self.host.version:
            self._version = self.host.version
            self._items = [
                Item(self.plan, self.step, self.host, number, self._all_inputs())
                for number in range(self.host.minibatch_size)
            ]
        return self._items

    def _all_inputs(self) -> list[Signal]:
        return [signal for block in self.step.input_blocks for signal in block.signals]

    def read_state(self) -> list[np.ndarray]:
        """Return the state, one array of shape (minibatch, size) for each block.

        In the precision of the host's arrays, which can be higher than the device's.
        """
        host = self.host
        result = []
        for block in self.step.state_blocks:
            values = np.empty(
                (host.minibatch_size, block.size), dtype=block.signals[0].dtype
            )
            for row, signals in zip(values, host.signals, strict=True):
                for part, live in _state_arrays(block, signals):
                    row[part] = live
            result.append(values)
        return result

    def copy_state(self) -> list[list[np.ndarray]]:
        """Return copies of all live arrays of state, for `restore_state`."""
        return [item.copy_state() for item in self.items()]

    def restore_state(self, copies: Sequence[Sequence[np.ndarray]]) -> None:
        """Return to what `copy_state` found."""
        for item, arrays in zip(self.items(), copies, strict=True):
            item.restore_state(arrays)

    def write_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the state, one array of shape (minibatch, size) for each block."""
        self.items()
        for block, rows in zip(self.step.state_blocks, values, strict=True):
            for row, signals in zip(rows, self.host.signals, strict=True):
                for part, live in _state_arrays(block, signals):
                    live[...] = row[part]

    def pack(
        self, values: Mapping[Signal, np.ndarray], first: int, n_steps: int
    ) -> Mapping[Signal, np.ndarray]:
        """Return the inputs of some steps as they are; see `Executor`."""
        return values

    def run(
        self, first: int, n_steps: int, inputs: Mapping[Signal, np.ndarray]
    ) -> list[np.ndarray]:
        """Simulate some steps; see `Executor`."""
        before = self.copy_state()
        try:
            return self._run(first, n_steps, inputs)
        except BaseException:
            self.restore_state(before)
            raise

    def _run(
        self, first: int, n_steps: int, values: Mapping[Signal, np.ndarray]
    ) -> list[np.ndarray]:
        host = self.host
        items = self.items()
        for item in items:
            item.start(values, host.overrides, self.plan.sampling)
        try:
            with np.errstate(invalid="raise", divide="ignore"):
                for n in range(n_steps):
                    number = first + n + 1
                    host.set_time(number)
                    host.now = number - 1
                    for item in items:
                        item.advance(n, number)
        finally:
            host.now = None
        return [
            np.array(rows).swapaxes(0, 1)
            if rows[0]
            else np.zeros((0, host.minibatch_size, probe.size))
            for probe, *rows in zip(
                self.plan.output_signals, *(item.kept for item in items), strict=True
            )
        ]


class Item:
    """One item of the minibatch: its live arrays and step functions.

    Parameters
    ----------
    plan, step, host
        As of the `NumpyExecutor`.
    number : int
        Position in the minibatch.
    inputs : list of Signal
        Signals whose values the host makes.

    Attributes
    ----------
    functions : list of callable
        What runs in each step.
    owners : list of (Operator or str)
        Whose functions they are.
    """

    def __init__(
        self,
        plan: Plan,
        step: StepProgram,
        host: HostOperators,
        number: int,
        inputs: list[Signal],
    ):
        self.number = number
        self.dt = host.dt
        self.signals = host.signals[number]
        for signal in inputs:
            if signal not in self.signals:
                self.signals.init(signal)
        self.inputs = [(signal, self.signals[signal]) for signal in inputs]
        steps = ItemSteps(host, number, plan)
        self.functions, self.owners = steps.functions, steps.owners
        self.probed = steps.probed
        self.state = [
            live
            for block in step.state_blocks
            for _, live in _state_arrays(block, self.signals)
        ]
        self.varying: list[tuple[np.ndarray, np.ndarray]] = []
        self.outputs: list[tuple[np.ndarray, Any, Any]] = []
        self.kept: list[list[np.ndarray] | deque[np.ndarray]] = []
        self._n = 0

    def copy_state(self) -> list[np.ndarray]:
        """Return copies of the live arrays of state, for `restore_state`."""
        return [live.copy() for live in self.state]

    def restore_state(self, copies: Sequence[np.ndarray]) -> None:
        """Return to what `copy_state` found."""
        for live, copy in zip(self.state, copies, strict=True):
            live[...] = copy

    def start(self, values, overrides, sampling) -> None:
        """Bind the values of inputs, and begin to collect outputs."""
        self.varying = []
        for signal, live in self.inputs:
            rows = values.get(signal)
            if rows is None:
                continue
            # time and step have no axis of items
            if rows.ndim > 1:
                rows = rows[:, self.number if rows.shape[1] > 1 else 0]
            if len(rows) == 1:
                live[...] = rows[0].reshape(live.shape)
            else:
                self.varying.append((live, rows.reshape(len(rows), *live.shape)))
        self.steps = self.functions
        if overrides:
            self.steps = [
                self._given(owner, function, overrides)
                for function, owner in zip(self.functions, self.owners, strict=True)
            ]
        self.kept = [deque(maxlen=1) if s.only_last else [] for s in sampling]
        rules = [None if s.period <= 1 else s.keeps for s in sampling]
        self.outputs = list(zip(self.probed, rules, self.kept, strict=True))

    def _given(self, owner, function, overrides) -> Callable[[], None]:
        """Return what takes the place of a function whose output is given."""
        target = owner.sets[0] if isinstance(owner, Operator) and owner.sets else None
        if target not in overrides:
            return function
        rows = overrides[target]
        rows = rows[:, min(self.number, rows.shape[1] - 1)]
        live = self.signals[target]

        def give() -> None:
            live[...] = rows[self._n]

        return give

    def advance(self, n: int, number: int) -> None:
        """Run one step: the n-th of this run, with a number that counts from reset."""
        self._n = n
        for live, rows in self.varying:
            live[...] = rows[n]
        position = 0
        try:
            for step in self.steps:
                step()
                position += 1
        except Exception as error:
            raise failed(self.owners[position], number * self.dt, error) from error
        for live, keeps, rows in self.outputs:
            if keeps is None or keeps(number):
                rows.append(live.flatten())


def _state_arrays(
    block: Block, signals: SignalDict
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the parts of a block of state, and the flat arrays in which they are."""
    if isinstance(signals, LiveArrays):
        yield slice(0, block.size), signals.at(signals.places.of_block(block))
        return
    for signal in block.signals:
        start = block.starts[signal]
        yield slice(start, start + signal.size), signals[signal].reshape(-1)
