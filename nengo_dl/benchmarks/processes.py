"""Processes in which simulators are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "BackendError", "WorkerProcess", "noted_failures"]

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
        # read all the time, or the process would wait once the pipe is full
        self._complaints: list[str] = []
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        for line in self.process.stderr:
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
            self.process.stdin.write(json.dumps({"do": action, **details}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
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
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(1)
        self.process.stdout.close()
        self.process.stderr.close()


class noted_failures:
    """Notes the failure of a simulator instead of ending everything.

    Parameters
    ----------
    result : Measurement or TrainingMeasurement
        Whose ``error`` is set.
    """

    def __init__(self, result: Any):
        self.result = result

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> bool:
        if isinstance(error, BackendError):
            self.result.error = str(error)
            return True
        return False
