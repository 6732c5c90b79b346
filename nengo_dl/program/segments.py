"""Parts of a step that call Python, and those between them."""

from __future__ import annotations

from collections.abc import Sequence

from nengo_dl.compiler.layout import BoundGroup

__all__ = ["count_callbacks", "split_at_callbacks"]


def split_at_callbacks(
    groups: Sequence[BoundGroup],
) -> list[tuple[list[int], bool]]:
    """Return runs of group numbers that all call Python, or all do not.

    Parameters
    ----------
    groups : sequence of BoundGroup
        Groups, in their order.

    Returns
    -------
    list of (list of int, bool)
        Numbers of groups, and whether they call Python.
    """
    segments: list[tuple[list[int], bool]] = []
    for number, bound in enumerate(groups):
        if segments and segments[-1][1] == bound.group.is_callback:
            segments[-1][0].append(number)
        else:
            segments.append(([number], bound.group.is_callback))
    return segments


def count_callbacks(groups: Sequence[BoundGroup]) -> list[int]:
    """Return how many operators run in Python in each segment.

    Parameters
    ----------
    groups : sequence of BoundGroup
        Groups, in their order.

    Returns
    -------
    list of int
        For each run of `split_at_callbacks`; 0 for those that do not call Python.
    """
    return [
        sum(len(groups[number].group.ops) for number in segment) if calls else 0
        for segment, calls in split_at_callbacks(groups)
    ]
