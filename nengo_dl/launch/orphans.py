"""Ends processes whose launcher was killed, so that nobody else ends them.

`OrphanWatch` runs this file by its path, as a small process of its own. It must not
import anything but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

__all__ = ["OrphanWatch"]

#: How long processes may take to end after they were told to, in seconds.
_LAST_SECONDS = 5.0

_PAUSE = 0.05


class OrphanWatch:
    """A process that ends others as soon as this one has ended, in whatever way.

    It reads from a pipe, which the operating system closes with this process.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # -I, -S: nothing that it does not need
            [sys.executable, "-I", "-S", os.path.abspath(__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # else it would keep that of this one open
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C, and a terminal that closes, are for the others
            start_new_session=True,
        )

    def __enter__(self) -> OrphanWatch:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def add(self, pid: int) -> None:
        """Watch a process, and those in its group.

        Parameters
        ----------
        pid : int
            Number of the process, and of its group.
        """
        self._write(f"+{pid}\n")

    def discard(self, pid: int) -> None:
        """Forget a process, since its number may be given to another one.

        Parameters
        ----------
        pid : int
            Number of a process that has ended.
        """
        self._write(f"-{pid}\n")

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        with contextlib.suppress(OSError):  # if somebody has ended it
            self._process.stdin.write(line)
            self._process.stdin.flush()


def _watch(lines: Iterable[str]) -> None:
    """Read numbers of processes until the end, then end those that were left."""
    left: set[int] = set()
    for line in lines:
        (left.add if line[0] == "+" else left.discard)(int(line[1:]))
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        left = {pid for pid in left if _send(pid, number)}
        until = time.monotonic() + _LAST_SECONDS
        while left and time.monotonic() < until:
            time.sleep(_PAUSE)
            left = {pid for pid in left if _send(pid, 0)}


def _send(pid: int, number: int) -> bool:
    """Send a signal to a group of processes; return whether there is one."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        elif number:  # Windows, which knows no groups; 0 would end the process
            os.kill(pid, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    _watch(sys.stdin)
