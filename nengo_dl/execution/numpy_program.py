"""What NumPy steps run, in which order: merged groups where possible."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from nengo.builder.operator import Operator
from nengo.builder.signal import SignalDict

from nengo_dl.compiler.in_place import InPlaceOrder, order_in_place
from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.layout import BoundGroup
from nengo_dl.compiler.plan import Plan
from nengo_dl.execution.live_arrays import LiveArrays, Places
from nengo_dl.execution.numpy_kernels import can_merge

__all__ = ["NumpyProgram"]


class NumpyProgram:
    """How a plan's device part runs in NumPy.

    Either as its groups, in an order in which values can be overwritten; or, where
    there is none, as the operators of the reference.

    Parameters
    ----------
    plan : Plan
        What is simulated.

    Attributes
    ----------
    order : InPlaceOrder or None
        The order of groups. None: operators run one by one.
    places : Places
        Where values lie, if there is an order.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.places = Places(plan.layout)
        self.order: InPlaceOrder | None = None
        if self.places.complete:
            self.order = order_in_place(plan.layout)

    def new_arrays(self) -> SignalDict:
        """Return a place for the arrays of one item."""
        return SignalDict() if self.order is None else LiveArrays(self.places)

    @functools.cached_property
    def parts(self) -> tuple[list[Group | Operator], list[Group | Operator]]:
        """What runs in order: before and after the first update of a signal."""
        if self.order is None:
            return [], list(self.plan.split.device)
        apart = [op for bound in self.order.apart for op in bound.group.ops]
        return self._parts(self.order.first), [
            *self._parts(self.order.last),
            *sorted(apart, key=self.positions.__getitem__),
        ]

    @functools.cached_property
    def builders(self) -> dict[Operator, Any]:
        """The class that builds each operator."""
        return {
            op: bound.group.builder
            for bound in self.plan.layout.groups
            for op in bound.group.ops
        }

    def name_of(self, group: Group) -> str:
        """Return a name of a group for messages."""
        return f"{group.label} ({self.labels[group]})"

    @functools.cached_property
    def labels(self) -> dict[Group, str]:
        """Names of the user's objects that each group belongs to."""
        groups = [bound.group for bound in self.plan.layout.groups]
        return dict(zip(groups, self.plan.labels, strict=True))

    @functools.cached_property
    def positions(self) -> dict[Operator, int]:
        """Number of each operator in the reference."""
        return {op: number for number, op in enumerate(self.plan.split.device)}

    def _parts(self, groups: Sequence[BoundGroup]) -> list[Group | Operator]:
        parts: list[Group | Operator] = []
        for group in (bound.group for bound in groups):
            if can_merge(group) and self.plan.callbacks.isdisjoint(group.ops):
                parts.append(group)
            else:
                parts += self.one_by_one(group)
        return parts

    def one_by_one(self, group: Group) -> list[Operator]:
        """Return the operators of a group in the order of the reference."""
        return sorted(group.ops, key=self.positions.__getitem__)
