"""In which order groups run where values are overwritten.

In a compiled program, an update defines a value of the next step, and overwrites
nothing (see `dependencies`). NumPy steps write where they read, so whatever updates a
signal has to wait for all that read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nengo_dl.compiler.layout import BoundGroup, Layout

__all__ = ["InPlaceOrder", "order_in_place"]


@dataclass(frozen=True)
class InPlaceOrder:
    """Groups in an order in which they may overwrite what they update.

    Attributes
    ----------
    first : tuple of BoundGroup
        Groups that others of the same step wait for.
    last : tuple of BoundGroup
        Those that only update signals.
    apart : tuple of BoundGroup
        Those that update what others of them read, in a circle. Their operators have to
        run one by one, in the order of the reference, after all others.
    """

    first: tuple[BoundGroup, ...]
    last: tuple[BoundGroup, ...]
    apart: tuple[BoundGroup, ...]


def order_in_place(layout: Layout) -> InPlaceOrder | None:
    """Return an order in which groups may overwrite what they update.

    Parameters
    ----------
    layout : Layout
        Groups in an order for values that are never overwritten.

    Returns
    -------
    InPlaceOrder or None
        None if no order of whole groups is right.
    """
    first: list[BoundGroup] = []
    last: list[BoundGroup] = []
    for bound in layout.groups:
        group = bound.group
        only_updates = group.updates and not group.sets and not group.incs
        (last if only_updates else first).append(bound)

    # what is overwritten before the updates must not be read later
    shown = {
        piece.block
        for plan, after in zip(layout.outputs, layout.after_updates, strict=True)
        if not after
        for piece in plan.pieces
    }
    later = shown.union(*(_read(bound) for bound in last))
    for bound in reversed(first):
        if not later.isdisjoint(_updated(bound)):
            return None
        later |= _read(bound)

    ordered: list[BoundGroup] = []
    waiting = list(last)
    while waiting:
        free = [bound for bound in waiting if not _is_read(bound, waiting)]
        if not free:
            break
        ordered += free
        waiting = [bound for bound in waiting if bound not in free]
    return InPlaceOrder(tuple(first), tuple(ordered), tuple(waiting))


def _is_read(bound: BoundGroup, others: Sequence[BoundGroup]) -> bool:
    """Return whether others read what a group updates."""
    updated = _updated(bound)
    return any(
        other is not bound and not updated.isdisjoint(_read(other)) for other in others
    )


def _read(bound: BoundGroup) -> set[int]:
    """Return the blocks that a group reads."""
    return {piece.block for plan in bound.reads for piece in plan.pieces}


def _updated(bound: BoundGroup) -> set[int]:
    """Return the blocks that a group updates."""
    return {transfer.block for plan in bound.updates for transfer in plan.transfers}
