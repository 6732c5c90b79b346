"""How much memory there is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["memory_limit"]

#: Where Linux says what the processes of a container may use, in either version.
_GROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def memory_limit(paths: Sequence[str] = _GROUP_LIMITS) -> int | None:
    """Return how many bytes this process can have at most, if it is known.

    Parameters
    ----------
    paths : sequence of str
        Files with the limits of containers.

    Returns
    -------
    int or None
        The computer's memory, or less where a container has a limit.
    """
    found = []
    try:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on all systems
        pass
    for path in paths:
        try:
            text = Path(path).read_text("ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdigit():  # not "max"
            found.append(int(text))
    return min(found, default=None)
