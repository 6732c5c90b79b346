"""What the processor can do."""

from __future__ import annotations

import functools
import os
from pathlib import Path

__all__ = ["multiplies_bfloat16", "n_cores", "shares_of_cores"]

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


def shares_of_cores(n_processes: int) -> list[set[int]]:
    """Return the cores that each of several processes should run on.

    Parameters
    ----------
    n_processes : int
        How many share the cores that this process may use.

    Returns
    -------
    list of set of int
        Numbers of cores, as many for each process. Empty if there are fewer cores than
        processes, or if a process cannot choose its cores on this system.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    size = len(cores) // n_processes
    if not size:
        return []
    return [set(cores[number * size :][:size]) for number in range(n_processes)]
