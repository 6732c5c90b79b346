"""Processes in which simulators are measured."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "BackendError", "WorkerProcess", "take_turns"]

#: That of this package.
FOLDER = Path(__file__).resolve().parent


class BackendError(Exception):
    """A simulator that could not be imported, built or run."""


class WorkerProcess:
    """The other end of ``worker.py``.

    Parameters
    ----------
    python : str
        Path of the interpreter.
    timeout : float
        After how many seconds without an answer it is given up.

    Raises
    ------
    BackendError
        If there is no such interpreter.
    """

    def __init__(self, python: str, timeout: float):
        self.timeout = timeout
        environment = dict(os.environ)
        if python == sys.executable:
            # find this very package, installed or not
            paths = [str(FOLDER.parent.parent), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        else:
            environment.pop("PYTHONPATH", None)
        try:
            self.process = subprocess.Popen(
                [python, str(FOLDER / "worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise BackendError(
                f"Cannot start the interpreter {python!r}: {error.strerror}"
            ) from error
        stdin, stdout = self.process.stdin, self.process.stdout
        stderr = self.process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        # read all the time, or the process would wait once the pipe is full
        self._complaints: list[str] = []
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        for line in self._stderr:
            self._complaints.append(line)
            del self._complaints[:-20]

    def ask(self, action: str, **details: Any) -> dict[str, Any]:
        """Send a command and return the answer.

        Parameters
        ----------
        action : str
            What to do.
        **details
            Arguments of the action.

        Returns
        -------
        dict
            The answer.

        Raises
        ------
        BackendError
            If it failed, ended, or did not answer in time.
        """
        timer = threading.Timer(self.timeout, self.process.kill)
        timer.start()
        try:
            self._stdin.write(json.dumps({"do": action, **details}) + "\n")
            self._stdin.flush()
            line = self._stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            in_time = timer.is_alive()
            timer.cancel()
        if not line:
            if not in_time:
                raise BackendError(
                    f"No answer to {action!r} in {self.timeout:g} seconds"
                )
            code = self.process.wait()
            self._reader.join(1)
            last = "".join(self._complaints[-3:]).strip()
            raise BackendError(f"Ended with exit status {code} in {action!r}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise BackendError(answer["error"])
        return answer

    def end(self) -> None:
        """End the process."""
        self._stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(1)
        self._stdout.close()
        self._stderr.close()


@contextlib.contextmanager
def _noted_failures(result: Any) -> Iterator[None]:
    """Note the failure of a simulator instead of ending everything.

    Parameters
    ----------
    result : Measurement or TrainingMeasurement
        Whose ``error`` is set.
    """
    try:
        yield
    except BackendError as error:
        result.error = str(error)


def take_turns(
    backends: Sequence[Any],
    results: Sequence[Any],
    rounds: int,
    timeout: float,
    prepare: Callable[[WorkerProcess, Any, Any], None],
    run: Callable[[WorkerProcess, Any], None],
    finish: Callable[[WorkerProcess, Any], None],
    report: Callable[[str], None],
) -> None:
    """Prepare what is measured, each in a process of its own, and run all in turns.

    What fails is left out from then on.

    Parameters
    ----------
    backends : sequence of Backend
        What is measured.
    results : sequence of Measurement or TrainingMeasurement
        One for each, to which the functions add their numbers.
    rounds : int
        How often to run.
    timeout : float
        After how many seconds without an answer a process is given up.
    prepare : callable
        Called with process, backend and result, one after the other.
    run, finish : callable
        Called with process and result: in each round, and at the end.
    report : callable
        Called with ``"preparing NAME"`` and ``"run 1 of 7"``.
    """
    processes: list[WorkerProcess | None] = [None] * len(backends)

    def alive() -> Iterator[tuple[WorkerProcess, Any]]:
        for process, result in zip(processes, results):
            if process is not None and result.error is None:
                yield process, result

    try:
        for number, (backend, result) in enumerate(zip(backends, results)):
            report(f"preparing {backend.name}")
            with _noted_failures(result):
                processes[number] = process = WorkerProcess(backend.python, timeout)
                prepare(process, backend, result)
        for number in range(rounds):
            report(f"run {number + 1} of {rounds}")
            for process, result in alive():
                with _noted_failures(result):
                    run(process, result)
        for process, result in alive():
            with _noted_failures(result):
                finish(process, result)
    finally:
        for started in processes:
            if started is not None:
                started.end()
