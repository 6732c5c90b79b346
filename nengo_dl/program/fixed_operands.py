"""Operands of groups that stay the same during a run: the parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nengo_dl.compiler.blocks import ReadPlan
from nengo_dl.compiler.layout import Layout

__all__ = ["FixedOperand", "find_fixed_operands"]


@dataclass(frozen=True)
class FixedOperand:
    """An operand that consists of constants.

    Attributes
    ----------
    group : int
        Number of the group that reads it.
    index : int
        Which of the group's operands it is.
    plan : ReadPlan
        Where its values are.
    """

    group: int
    index: int
    plan: ReadPlan


def find_fixed_operands(
    layout: Layout, constant: Collection[int]
) -> list[FixedOperand]:
    """Return the operands that consist of constants, group by group.

    Parameters
    ----------
    layout : Layout
        The groups.
    constant : collection of int
        Numbers of the blocks that are constant.

    Returns
    -------
    list of FixedOperand
        In the order of groups and of their operands.
    """
    return [
        FixedOperand(number, index, plan)
        for number, bound in enumerate(layout.groups)
        for index, plan in enumerate(bound.reads)
        if plan.pieces and all(piece.block in constant for piece in plan.pieces)
    ]
