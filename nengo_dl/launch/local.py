"""Processes on this machine: started, watched, and ended together."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from nengo.exceptions import ValidationError

from nengo_dl.distribution.cluster import VARIABLE, Cluster, check_port
from nengo_dl.launch.orphans import OrphanWatch
from nengo_dl.support.processor import shares_of_cores

__all__ = ["launch_local", "reserved_ports"]

#: How often to look at the processes, in seconds.
_PAUSE = 0.05

#: How long a process may take to end after it was told to.
_LAST_SECONDS = 5.0


def launch_local(
    command: Sequence[str],
    n_workers: int | None = None,
    port: int | None = None,
    shares_cores: bool = True,
    grace: float = 15.0,
    output: TextIO | None = None,
) -> int:
    """Run a command in several processes that know of each other.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    n_workers : int, optional
        Number of processes. Default: one for each GPU, or two.
    port : int, optional
        First port to listen at. Default: ports that are free.
    shares_cores : bool
        Whether each process gets its share of the processor's cores.
    grace : float
        How many seconds the others have to end if one fails.
    output : file, optional
        Where lines go. Default: standard output.

    Returns
    -------
    int
        0, or the exit code of the process that failed first (128 and the number of the
        signal that ended it).

    Raises
    ------
    ValidationError
        If there are fewer GPUs than processes, or a port is in use.
    """
    gpus = _gpus()
    if n_workers is None:
        n_workers = len(gpus) or 2
    if n_workers < 1:
        raise ValidationError(f"Must be 1 or more (got {n_workers})", attr="workers")
    if gpus and n_workers > len(gpus):
        raise ValidationError(
            f"There are {len(gpus)} GPUs, and each of {n_workers} workers needs one of "
            "its own; start fewer, or hide GPUs with CUDA_VISIBLE_DEVICES=-1",
            attr="workers",
        )
    given = None if port is None else range(port, port + n_workers)
    cores = shares_of_cores(n_workers) if shares_cores else []
    with _ports(n_workers, given) as ports, OrphanWatch() as watch:
        crew = _Crew(sys.stdout if output is None else output, watch)
        addresses = [f"127.0.0.1:{number}" for number in ports]
        with crew.handling_signals():
            for rank in range(n_workers):
                variables = {VARIABLE: Cluster(tuple(addresses), rank).config}
                if gpus:
                    variables["CUDA_VISIBLE_DEVICES"] = gpus[rank]
                crew.start(command, variables, cores[rank] if cores else None)
            return crew.wait(grace)


class _Crew:
    """Processes, whose output appears with their numbers before each line.

    Parameters
    ----------
    output : file
        Where it appears.
    watch : OrphanWatch
        Ends those that run if this process is killed.
    """

    def __init__(self, output: TextIO, watch: OrphanWatch):
        self.output = output
        self.watch = watch
        self.processes: list[subprocess.Popen] = []
        self._watched: set[int] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._interrupted = False

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        cores: set[int] | None,
    ) -> None:
        """Start one more process.

        Parameters
        ----------
        command : sequence of str
            Program and arguments.
        variables : mapping of {str: str}
            Environment variables besides those of this process.
        cores : set of int or None
            Which cores of the processor it may use.
        """
        before = os.sched_getaffinity(0) if cores else None
        if cores:  # a new process has those of the one that starts it
            os.sched_setaffinity(0, cores)
        try:
            process = subprocess.Popen(
                list(command),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # a group of its own, to end with all that it starts
                start_new_session=True,
            )
        finally:
            if before is not None:
                os.sched_setaffinity(0, before)
        self.watch.add(process.pid)
        self._watched.add(process.pid)
        rank = len(self.processes)
        self.processes.append(process)
        thread = threading.Thread(target=self._show, args=(rank, process), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _show(self, rank: int, process: subprocess.Popen) -> None:
        stream = process.stdout
        assert stream is not None, "it is a pipe"
        with stream:
            for line in stream:
                self._print(f"[{rank}] {line.decode(errors='replace').rstrip()}")

    def _print(self, line: str) -> None:
        with self._lock:
            print(line, file=self.output, flush=True)

    def wait(self, grace: float) -> int:
        """Wait until all have ended, and end them if one fails; return an exit code."""
        code = 0
        try:
            while self._any_runs():
                code = self._failed()
                if code:
                    self._wait_for_all(grace)
                    break
                time.sleep(_PAUSE)
            code = code or self._failed()
        finally:
            self._end()
        for thread in self._threads:
            thread.join(_LAST_SECONDS)
        return code

    def _failed(self) -> int:
        """Return the exit code of a process that failed, and say which one, or 0."""
        for rank, process in enumerate(self.processes):
            code = process.poll()
            if not code:
                continue
            if code < 0:
                name = signal.Signals(-code).name
                reason, code = f"was ended by {name}", 128 - code
            else:
                reason = f"ended with exit code {code}"
            others = sum(p.poll() is None for p in self.processes)
            rest = f"; ending {others} more" if others else ""
            self._print(f"nengo_dl.launch: worker {rank} {reason}{rest}")
            return code
        return 0

    def _wait_for_all(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._any_runs():
            time.sleep(_PAUSE)

    def _any_runs(self) -> bool:
        """Return whether a process still runs; those that do not are forgotten."""
        for process in self.processes:
            if process.pid in self._watched and process.poll() is not None:
                self._watched.discard(process.pid)
                self.watch.discard(process.pid)
        return bool(self._watched)

    def _end(self) -> None:
        """End what still runs."""
        for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            self._send(number)
            self._wait_for_all(_LAST_SECONDS)

    def _send(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    if hasattr(os, "killpg"):
                        os.killpg(process.pid, number)
                    else:  # Windows, which knows no groups
                        process.send_signal(number)

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Pass Ctrl-C, and requests to end, on to all processes."""

        def pass_on(number: int, frame: Any) -> None:
            # the second time, there is nothing to wait for
            self._send(signal.SIGTERM if self._interrupted else number)
            self._interrupted = True

        numbers = [signal.SIGINT, signal.SIGTERM]
        # a terminal that closes; under nohup, it is to be survived
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
            numbers.append(hangup)
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [signal.signal(number, pass_on) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Find ports that no program listens at, and keep them from others that look.

    Two launchers at the same time would otherwise find the same ones.

    Parameters
    ----------
    count : int
        How many.
    """
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            # whoever sets this, too, may listen there, which TensorFlow does
            if os.name == "posix":
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("", 0))
            ports.append(held.getsockname()[1])
        if os.name != "posix":  # elsewhere, nobody could listen at a port that is held
            stack.close()
        yield ports


@contextlib.contextmanager
def _ports(count: int, given: Sequence[int] | None) -> Iterator[Sequence[int]]:
    if given is None:
        with reserved_ports(count) as ports:
            yield ports
        return
    for number in given:
        check_port(f"127.0.0.1:{number}")
    yield given


def _gpus() -> list[str]:
    """Return the GPUs of this machine, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = (name.strip() for name in visible.split(","))
        return [name for name in names if name not in ("", "-1")]
    found = (re.fullmatch(r"nvidia(\d+)", p.name) for p in Path("/dev").glob("nvidia*"))
    return sorted((match[1] for match in found if match), key=int)
