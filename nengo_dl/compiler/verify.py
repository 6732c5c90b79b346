"""Check a plan: every operator once, and nothing read before it was written."""

from __future__ import annotations

from collections.abc import Sequence

from nengo.builder.operator import Operator
from nengo.exceptions import BuildError

from nengo_dl.compiler.ir import Group, name_of

__all__ = ["verify_plan"]


def verify_plan(
    groups: Sequence[Group],
    operators: Sequence[Operator],
    before: Sequence[set[int]],
) -> None:
    """Raise if a plan is not a legal order of the operators.

    Parameters
    ----------
    groups : sequence of Group
        The plan.
    operators : sequence of Operator
        The operators that were planned.
    before : sequence of set of int
        Result of `planners.dependencies`.

    Raises
    ------
    BuildError
        If an operator is missing or doubled, or runs before one that it depends on.
        The message names both.
    """
    group_of: dict[Operator, int] = {}
    for number, group in enumerate(groups):
        for op in group.ops:
            if op in group_of:
                raise BuildError(
                    f"The plan runs {name_of(op)} twice, in groups "
                    f"{group_of[op]} and {number}"
                )
            group_of[op] = number
    missing = [op for op in operators if op not in group_of]
    if missing:
        raise BuildError(
            f"The plan leaves out {', '.join(name_of(op) for op in missing[:10])}"
        )
    if len(group_of) > len(operators):
        known = set(operators)
        extra = [op for op in group_of if op not in known]
        raise BuildError(
            f"The plan runs operators that it was not given: "
            f"{', '.join(name_of(op) for op in extra[:10])}"
        )
    for op, found in zip(operators, before, strict=True):
        for other in found:
            first = operators[other]
            if group_of[first] >= group_of[op]:
                raise BuildError(
                    f"The plan runs {name_of(op)} in group {group_of[op]}, but it "
                    f"depends on {name_of(first)} in group {group_of[first]}"
                )
