"""Parts of a step that call Python, and those between them."""

from __future__ import annotations

from collections.abc import Sequence

from nengo_dl.compiler.layout import BoundGroup

__all__ = ["split_at_callbacks"]


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
