"""Processes that nobody else ends."""

import signal
import subprocess
import sys

import pytest

from nengo_dl.launch import orphans


def start(script):
    """Start a process that prints a line, and wait for that."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    process.stdout.readline()
    return process


WAIT = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal")
@pytest.mark.parametrize(
    "script, expected",
    [(WAIT, -signal.SIGTERM), (STUBBORN, -signal.SIGKILL)],
    ids=["willing", "stubborn"],
)
def test_processes_are_ended(script, expected, monkeypatch):
    monkeypatch.setattr(orphans, "_LAST_SECONDS", 0.2)
    with start(script) as process:
        orphans._watch([f"+{process.pid}\n"])
        assert process.wait(30) == expected


def test_processes_that_have_ended_are_forgotten():
    with start(WAIT) as process:
        with orphans.OrphanWatch() as watch:
            watch.add(process.pid)
            watch.discard(process.pid)
        assert process.poll() is None
        process.kill()


def test_end_of_the_watch_ends_nobody_else():
    with orphans.OrphanWatch() as watch:
        watch._process.kill()
        watch._process.wait()
        watch.add(1)  # into a pipe that is closed
