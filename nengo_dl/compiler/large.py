"""Decides which operators are too large to gain anything from being merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from nengo.builder.operator import Operator

from nengo_dl.compiler.ir import BuilderLookup, n_values
from nengo_dl.support import tuning

__all__ = ["keep_large_apart"]


def keep_large_apart(
    operators: Sequence[Operator],
    keys: Sequence[Hashable],
    builder_of: BuilderLookup,
    large: float,
    minibatch_size: int = 1,
) -> list[Hashable]:
    """Give large operators keys of their own.

    Merging saves the launch of a kernel, which takes as long as copying a few thousand
    numbers. Operators that compute more than that lose, because what belongs together
    elsewhere has to be cut out of the merged results, or put together for them.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    keys : sequence of hashable
        For each operator, what it can be merged by.
    builder_of : callable
        Gives the builder of an operator.
    large : float
        Number of values in a result from which an operator is large. Of operators that
        read more than eight times as many, such as matrices, the results count as
        large, too.
    minibatch_size : int
        Number of items, of which each has a result.

    Returns
    -------
    list of hashable
        Keys; different ones for large operators, unless there are many.
    """
    apart = [
        not builder_of(op).is_callback
        and _is_large(op, builder_of(op).used_reads(op), large, minibatch_size)
        for op in operators
    ]
    counts = Counter(key for key, found in zip(keys, apart, strict=True) if found)
    return [
        ("large", number, key)
        if found and counts[key] <= tuning.MOST_LARGE_APART
        else key
        for number, (key, found) in enumerate(zip(keys, apart, strict=True))
    ]


def _is_large(
    op: Operator, used_reads: Sequence[int], large: float, minibatch_size: int
) -> bool:
    results = [n_values(signal) for signal in (*op.sets, *op.incs, *op.updates)]
    reads = [n_values(op.reads[i]) for i in used_reads]
    return (
        max(results, default=0) * minibatch_size >= large
        or max(reads, default=0) >= 8 * large
    )
