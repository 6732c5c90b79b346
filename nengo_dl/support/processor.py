"""What the processor can do."""

from __future__ import annotations

import functools
import os
from pathlib import Path

__all__ = ["multiplies_bfloat16", "n_cores"]

#: Names, in Linux's list, of instructions that multiply bfloat16 numbers.
_BFLOAT16 = {"amx_bf16", "avx512_bf16"}


@functools.cache
def multiplies_bfloat16(path: str = "/proc/cpuinfo") -> bool:
    """Return whether the CPU has instructions for products of bfloat16 numbers.

    Parameters
    ----------
    path : str
        Where Linux lists what the processor can do. On other systems it is not known,
        and the answer is False.
    """
    try:
        text = Path(path).read_text("utf-8")
    except OSError:
        return False
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return not _BFLOAT16.isdisjoint(next(lines, "").split())


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on all systems
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
