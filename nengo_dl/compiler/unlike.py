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
    that each group takes to compile. So nothing is merged where there are few shapes.
    Otherwise, builders say in which ways they could merge an operator (`for_unlike`):

    - Many operators that are alike in part, such as those of populations of one size,
      are merged, unless they would have to be filled up with many zeros.
    - Others are merged with the last of these builders, unless many of them share one
      shape.

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
    ways = {
        op: found for op in operators if (found := tuple(builder_of(op).for_unlike(op)))
    }
    key_of = dict(zip(operators, keys, strict=True))
    alike = Counter(keys)
    if len({key_of[op] for op in ways}) <= tuning.MOST_SHAPES:
        return builder_of
    others: dict[Operator, BuilderInfo] = {}
    for place in range(max(len(found) for found in ways.values()) - 1):
        left = [op for op in ways if op not in others and place < len(ways[op]) - 1]
        for other, ops in _merged(left, ways, place):
            n_shapes = len({key_of[op] for op in ops})
            is_worth = other.n_zeros(ops) <= tuning.MOST_ZEROS * (n_shapes - 1)
            if n_shapes > 1 and len(ops) > tuning.MOST_ALIKE and is_worth:
                others.update(dict.fromkeys(ops, other))
    left = [
        op for op in ways if op not in others and alike[key_of[op]] <= tuning.MOST_ALIKE
    ]
    if len({key_of[op] for op in left}) > tuning.MOST_SHAPES:
        for other, ops in _merged(left, ways, -1):
            if len({key_of[op] for op in ops}) > 1:
                others.update(dict.fromkeys(ops, other))
    if not others:
        return builder_of
    return lambda op: others.get(op) or builder_of(op)


def _merged(
    operators: Sequence[Operator],
    ways: dict[Operator, tuple[BuilderInfo, ...]],
    place: int,
) -> list[tuple[BuilderInfo, list[Operator]]]:
    """Return which operators would be merged, and by which builder."""
    classes: dict[Hashable, list[Operator]] = defaultdict(list)
    for op in operators:
        other = ways[op][place]
        classes[other, other.merge_key(op)].append(op)
    return [(ways[ops[0]][place], ops) for ops in classes.values()]
