"""Which state a loop need not carry, and in which shapes it best carries the rest."""

from __future__ import annotations

from collections.abc import Sequence

from nengo_dl.builders.base import OpBuilder
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.compiler.blocks import Block, WritePlan
from nengo_dl.compiler.layout import Layout
from nengo_dl.support import tuning

__all__ = ["find_overwritten", "find_state_shapes", "find_twins"]


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


def find_overwritten(
    layout: Layout,
    state_blocks: Sequence[Block],
    shapes: Sequence[tuple[int, ...]],
    config: BuildConfig,
) -> dict[int, int]:
    """Return which matrices of the state are best computed late in a step.

    XLA copies what it overwrites, and the result, unless it knows that nobody reads the
    old values any more: that what is computed from them comes before. Weight changes of
    learning rules are such matrices. They are added to the weights in the next step.

    Parameters
    ----------
    layout : Layout
        Groups and blocks.
    state_blocks : sequence of Block
        The state.
    shapes : sequence of tuple of int
        Shapes of the state, see `find_state_shapes`.
    config : BuildConfig
        Properties of the simulation.

    Returns
    -------
    dict of {int: int}
        Positions of state that one group reads, and the number of a block that this
        group computes.
    """
    found: dict[int, int] = {}
    if not config.simulates_by_xla_on_cpu:
        return found
    for position, (block, shape) in enumerate(zip(state_blocks, shapes, strict=True)):
        is_small = config.minibatch_size * block.size <= tuning.SMALL_OVERWRITTEN
        if len(shape) == 1 or is_small or block.kind != "f":
            continue
        readers = [
            bound
            for bound in layout.groups
            if any(p.block == block.number for plan in bound.reads for p in plan.pieces)
        ]
        if len(readers) != 1:
            continue
        (reader,) = readers
        targets = {t.block for p in (*reader.sets, *reader.incs) for t in p.transfers}
        targets = {
            n for n in targets if layout.blocks[n].kind == "f" and layout.blocks[n].size
        }
        if targets:
            found[position] = min(targets)
    return found


def _block_filled_by(layout: Layout, plan: WritePlan) -> Block | None:
    """Return the block that a result fills from its first to its last element."""
    if len(plan.transfers) != 1:
        return None
    (transfer,) = plan.transfers
    block = layout.blocks[transfer.block]
    is_whole = transfer.mask is None and transfer.length == block.size
    return block if is_whole and transfer.source == 0 else None
