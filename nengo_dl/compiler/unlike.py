"""Decides which operators of different shapes are merged all the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from nengo.builder.operator import Operator

from nengo_dl.compiler.ir import BuilderInfo, BuilderLookup
from nengo_dl.support import tuning

__all__ = ["merge_unlike"]


def merge_unlike(
    operators: Sequence[Operator], keys: Sequence[Hashable], builder_of: BuilderLookup
) -> BuilderLookup:
    """Give operators of many shapes builders that merge them.

    Merging what has different shapes costs a little in each step, and saves the time
    that each group takes to compile. So it is left alone where there are few shapes,
    and where many operators share one.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    keys : sequence of hashable
        For each operator, what it can be merged by.
    builder_of : callable
        Gives the builder of an operator.

    Returns
    -------
    callable
        Gives the builder of an operator, perhaps another one.
    """
    alike = Counter(keys)
    others: dict[Operator, BuilderInfo] = {}
    shapes: dict[Hashable, set[Hashable]] = defaultdict(set)
    for op, key in zip(operators, keys, strict=True):
        other = builder_of(op).for_unlike(op)
        if other is not None and alike[key] <= tuning.MOST_ALIKE:
            others[op] = other
            shapes[other, other.merge_key(op)].add(key)
    if sum(map(len, shapes.values())) <= tuning.MOST_SHAPES:
        return builder_of

    def lookup(op: Operator) -> BuilderInfo:
        other = others.get(op)
        if other is None or len(shapes[other, other.merge_key(op)]) < 2:
            return builder_of(op)
        return other

    return lookup
