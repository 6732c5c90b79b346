"""Check a layout: what is read and written lies where the blocks say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from nengo.exceptions import BuildError

from nengo_dl.compiler.blocks import Block, Piece, ReadPlan, WritePlan
from nengo_dl.compiler.ir import n_values, name_of
from nengo_dl.compiler.layout import BoundGroup, Layout
from nengo_dl.compiler.traits import Role

__all__ = ["verify_layout"]

#: Roles of the blocks that operators may write in each way.
_WRITABLE = {
    "sets": (Role.TEMPORARY, Role.STATE),
    "incs": (Role.TEMPORARY, Role.STATE),
    "updates": (Role.STATE,),
}


def verify_layout(layout: Layout) -> None:
    """Raise if signals overlap, or a plan reaches beyond its block or operand.

    Parameters
    ----------
    layout : Layout
        Groups with their plans, and blocks.

    Raises
    ------
    BuildError
        The message names the group, or the signal.
    """
    for number, block in enumerate(layout.blocks):
        _check_block(number, block)
    owners: dict[int, list[tuple[int, int, str]]] = {}
    for bound in layout.groups:
        group = bound.group
        for operands, plans in (
            (group.operands_read, bound.reads),
            (group.previous, bound.previous),
        ):
            for operand, plan in zip(operands, plans, strict=True):
                _check_read(plan, operand.size, layout, group.label)
        for kind in _WRITABLE:
            for operand, write in zip(
                getattr(group, kind), getattr(bound, kind), strict=True
            ):
                _check_write(write, operand.size, kind, layout, group.label)
        for block_number, start, end in _slices_set(bound):
            owners.setdefault(block_number, []).append((start, end, group.label))
    _check_owners(owners, layout)
    for plan in layout.outputs:
        _check_read(plan, math.prod(plan.shape), layout, "A probe")


def _check_block(number: int, block: Block) -> None:
    end = 0
    for signal in block.signals:
        if block.starts[signal] != end:
            raise BuildError(
                f"The layout puts {name_of(signal)} at {block.starts[signal]} of block "
                f"{number}, where {end} is the first free place"
            )
        end += n_values(signal)
    if block.number != number or block.size != end:
        raise BuildError(
            f"Block {number} of the layout is called {block.number}, and has "
            f"{block.size} places for {end} values"
        )


def _check_read(plan: ReadPlan, size: int, layout: Layout, reader: str) -> None:
    length = 0
    for piece in plan.pieces:
        first, last, count = _extent(piece)
        length += count
        if count and not 0 <= first <= last < layout.blocks[piece.block].size:
            raise BuildError(
                f"{reader} reads elements {first} to {last} of block {piece.block}, "
                f"which has {layout.blocks[piece.block].size}"
            )
    if plan.order is not None:
        if len(plan.order) and not 0 <= plan.order.min() <= plan.order.max() < length:
            raise BuildError(f"{reader} puts together elements that it does not read")
        length = len(plan.order)
    if length != size:
        raise BuildError(f"{reader} reads {length} elements for an operand of {size}")


def _extent(piece: Piece) -> tuple[int, int, int]:
    """Return the first and last element of a piece, and their number."""
    if piece.index is None:
        last = piece.start + (piece.length - 1) * piece.step
        return piece.start, last, piece.length
    if not len(piece.index):
        return 0, -1, 0
    first = piece.start + int(piece.index.min()) * piece.row
    last = piece.start + (int(piece.index.max()) + 1) * piece.row - 1
    return first, last, len(piece.index) * piece.row


def _check_write(
    plan: WritePlan, size: int, kind: str, layout: Layout, writer: str
) -> None:
    for transfer in plan.transfers:
        block = layout.blocks[transfer.block]
        if block.role not in _WRITABLE[kind]:
            raise BuildError(
                f"{writer} {kind} {name_of(block.signals[0])}, which is "
                f"{block.role.value}"
            )
        if transfer.index is not None:
            fits = len(transfer.index) == block.size and _within(transfer.index, size)
        elif transfer.segments is not None:
            sources, targets = transfer.segments
            fits = _within(sources, size - 1) and _within(targets, block.size - 1)
        else:
            fits = (
                0 <= transfer.source <= transfer.source + transfer.length <= size
                and 0 <= transfer.target
                and transfer.target + transfer.length <= block.size
            )
        if not fits:
            raise BuildError(
                f"{writer} {kind} elements of block {transfer.block} that do not exist "
                f"there (it has {block.size}), or in its result (which has {size})"
            )


def _within(positions: np.ndarray, last: int) -> bool:
    return not positions.size or bool(0 <= positions.min() <= positions.max() <= last)


def _slices_set(bound: BoundGroup) -> Iterator[tuple[int, int, int]]:
    """Yield which slices of blocks a group sets: block, start, end."""
    for plan in bound.sets:
        for transfer in plan.transfers:
            if transfer.index is None and transfer.segments is None:
                end = transfer.target + transfer.length
                yield transfer.block, transfer.target, end


def _check_owners(
    owners: dict[int, list[tuple[int, int, str]]], layout: Layout
) -> None:
    """Raise if two groups set the same elements within a step."""
    for number, slices in owners.items():
        slices.sort()
        for (_, end, one), (start, _, other) in itertools.pairwise(slices):
            if start < end:
                raise BuildError(
                    f"{one} and {other} both set elements from {start} to {end} of "
                    f"block {number} ({name_of(layout.blocks[number].signals[0])}, ...)"
                )
