"""The functions that one time step of one item of a minibatch consists of."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.plan import Plan
from nengo_dl.execution.live_arrays import LiveArrays
from nengo_dl.execution.numpy_kernels import Arrays, merged_step
from nengo_dl.execution.numpy_steps import HostOperators

__all__ = ["ItemSteps"]


class ItemSteps:
    """Binds what runs in a step to the arrays of an item.

    Parameters
    ----------
    host : HostOperators
        Has the arrays, and makes the steps of single operators.
    number : int
        Position of the item in the minibatch.
    plan : Plan
        What is simulated.

    Attributes
    ----------
    functions : list of callable
        What runs in each step, in order.
    owners : list of (Operator or str)
        For each function, the operator or the name of the group, for messages.
    probed : list of ndarray
        Arrays with the values of ``plan.output_signals`` after a step.
    """

    def __init__(self, host: HostOperators, number: int, plan: Plan):
        self.functions: list[Callable[[], None]] = []
        self.owners: list[Operator | str] = []
        self._host = host
        self._number = number
        self._plan = plan
        self._signals = host.signals[number]
        self.probed: list[np.ndarray] = []
        first, last = host.program.parts
        if not isinstance(self._signals, LiveArrays):
            for op in last:
                self._append(host.step_function(op, number), op)
            self.probed = [self._signals[signal] for signal in plan.output_signals]
            return
        self._live: LiveArrays = self._signals
        self._arrays = Arrays(self._live, self._constant, host.dt)
        self._zero_temporaries()
        self._append_all(first)
        late = self._bind_outputs()
        self._append_all(last)
        for function in late:
            self._append(function, "probes")

    def _append(self, function: Callable[[], None], owner: Operator | str) -> None:
        self.functions.append(function)
        self.owners.append(owner)

    def _zero_temporaries(self) -> None:
        for dtype, size in self._live.places.n_temporary.items():
            if size:
                values = self._live.vectors[dtype][:size]
                self._append(functools.partial(values.fill, 0), "temporary values")

    def _append_all(self, parts: list[Group | Operator]) -> None:
        for part in parts:
            if isinstance(part, Operator):
                self._append_operator(part)
                continue
            steps = merged_step(part, self._arrays)
            if steps is None:
                for op in self._host.program.one_by_one(part):
                    self._append_operator(op)
                continue
            for step in steps:
                self._append(step, self._host.program.name_of(part))

    def _append_operator(self, op: Operator) -> None:
        step = self._host.step_function(op, self._number)
        builder = self._host.program.builders[op]
        for index in builder.used_reads(op):
            copier = self._live.copier(op.reads[index], self._constant)
            if copier is not None:
                self._append(copier, op)
        self._append(step, op)

    def _bind_outputs(self) -> list[Callable[[], None]]:
        """Find the arrays of what is probed; return what has to run after the updates.

        What stands for a copy that was made before them is copied now.
        """
        layout, late = self._plan.layout, []
        for signal, after in zip(
            self._plan.output_signals, layout.after_updates, strict=True
        ):
            if self._arrays.is_constant([signal]):
                self.probed.append(self._constant(signal))
                continue
            live = self._host.array(signal, self._number)
            copier = self._live.copier(signal, self._constant)
            if copier is not None:
                if after:
                    late.append(copier)
                else:
                    self._append(copier, "probes")
            elif not after:
                live, copier = _copy_of(live)
                self._append(copier, "probes")
            self.probed.append(live)
        return late

    def _constant(self, signal: Signal) -> np.ndarray:
        return self._host.constant(signal, self._number)


def _copy_of(live: np.ndarray) -> tuple[np.ndarray, Callable[[], None]]:
    """Return an array, and a function that copies the values of another to it."""
    kept = np.array(live)

    def keep() -> None:
        kept[...] = live

    return kept, keep
