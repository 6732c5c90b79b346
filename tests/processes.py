"""Processes that tests start, and that must not outlive them."""

import os
import signal
import time
from pathlib import Path

import pytest


def wait_for_end(pids, seconds=20):
    """Wait until processes have ended; end them, and fail, if they do not."""
    until = time.monotonic() + seconds
    while running := [pid for pid in pids if runs(pid)]:
        if time.monotonic() > until:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            pytest.fail(f"{len(running)} of {len(pids)} processes had not ended")
        time.sleep(0.05)


def runs(pid):
    """Return whether there is a process that has not ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
