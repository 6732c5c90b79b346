"""Which state a loop need not carry, and in which shapes it best carries the rest."""

from __future__ import annotations

from collections.abc import Sequence

from nengo_dl.builders.base import OpBuilder
from nengo_dl.compiler.blocks import Block, WritePlan
from nengo_dl.compiler.layout import Layout

__all__ = ["find_state_shapes", "find_twins"]


def find_twins(
    layout: Layout, kernels: Sequence[OpBuilder], state_blocks: Sequence[Block]
) -> dict[int, int]:
    """Return which state blocks equal another one after every step.

    Parameters
    ----------
    layout : Layout
        Groups and blocks.
    kernels : sequence of OpBuilder
        Builders of the groups.
    state_blocks : sequence of Block
        The state.

    Returns
    -------
    dict of {int: int}
        Positions of blocks, and of those that they equal.
    """
    positions = {block.number: i for i, block in enumerate(state_blocks)}
    result: dict[int, int] = {}
    for bound, kernel in zip(layout.groups, kernels, strict=True):
        blocks = [
            _block_filled_by(layout, bound.updates[i]) for i in kernel.equal_updates
        ]
        found = [block for block in blocks if block is not None]
        if found and len(found) == len(blocks) and len({b.size for b in found}) == 1:
            first, *others = (positions[block.number] for block in found)
            result.update(dict.fromkeys(others, first))
    return result


def find_state_shapes(
    layout: Layout, state_blocks: Sequence[Block]
) -> list[tuple[int, ...]]:
    """Return the shapes, without the batch axis, in which a loop is best given state.

    Matrices that one group computes stay matrices: its kernel would otherwise divide by
    the length of their rows for each element.

    Parameters
    ----------
    layout : Layout
        Groups and blocks.
    state_blocks : sequence of Block
        The state.
    """
    shapes: dict[int, tuple[int, ...]] = {
        block.number: (block.size,) for block in state_blocks
    }
    for bound in layout.groups:
        for operand, plan in zip(bound.group.updates, bound.updates, strict=True):
            block = _block_filled_by(layout, plan)
            if block is not None and not operand.flat and len(operand.shape) > 2:
                shapes[block.number] = operand.shape
    return [shapes[block.number] for block in state_blocks]


def _block_filled_by(layout: Layout, plan: WritePlan) -> Block | None:
    """Return the block that a result fills from its first to its last element."""
    if len(plan.transfers) != 1:
        return None
    (transfer,) = plan.transfers
    block = layout.blocks[transfer.block]
    is_whole = transfer.mask is None and transfer.length == block.size
    return block if is_whole and transfer.source == 0 else None
