"""A folder in which a sweep keeps its results, and where it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.sweeps.jobs import Job, Outcome

__all__ = ["SweepFolder"]


class SweepFolder:
    """Results in files, one for each set of parameters; nothing is unpickled.

    Parameters
    ----------
    path : str or os.PathLike
        The folder, which is made if there is none.
    job : Job
        What makes the results.

    Raises
    ------
    ValidationError
        If the results in the folder are those of another sweep.
    """

    def __init__(self, path: str | os.PathLike, job: Job):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        own = {"factory": job.name, "t": job.t, "simulator": repr(dict(job.simulator))}
        file = self.path / "sweep.json"
        if file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            if found != own:
                raise ValidationError(
                    f"{self.path} has the results of another sweep ({found}); use "
                    f"another folder for {own}",
                    attr="folder",
                )
        else:
            _write(file, json.dumps(own).encode())

    def load(self, parameters: Mapping[str, Any]) -> Outcome | None:
        """Return what was found with some parameters, if it is there."""
        file = self._file(parameters)
        if not file.exists():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            text = json.loads(str(arrays["record"]))
            results = {
                name: arrays[f"array/{name}"] if value is None else value[0]
                for name, value in text["results"].items()
            }
        return Outcome(results, seconds=text["seconds"])

    def save(self, parameters: Mapping[str, Any], outcome: Outcome) -> None:
        """Keep what was found with some parameters.

        Raises
        ------
        ValidationError
            If a result is no array, number, text, or list of these.
        """
        arrays: dict[str, Any] = {}
        results: dict[str, list[Any] | None] = {}
        for name, value in outcome.results.items():
            if isinstance(value, np.generic):
                value = value.item()
            if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
                arrays[f"array/{name}"], results[name] = value, None
                continue
            try:
                results[name] = [value]
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise ValidationError(
                    f"With a folder, results must be arrays, numbers, texts, or lists "
                    f"of these; {name!r} is {type(value).__name__}",
                    attr="folder",
                ) from error
        record = json.dumps({"results": results, "seconds": outcome.seconds})
        with tempfile.TemporaryFile() as file:
            np.savez_compressed(file, record=np.array(record), **arrays)
            file.seek(0)
            _write(self._file(parameters), file.read())

    def _file(self, parameters: Mapping[str, Any]) -> Path:
        text = repr(sorted(parameters.items()))
        if re.search(r" at 0x[0-9a-fA-F]+", text):
            raise ValidationError(
                "With a folder, parameters must be known by what they print, such as "
                f"numbers and texts (got {text[:200]})",
                attr="folder",
            )
        return self.path / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"


def _write(path: Path, content: bytes) -> None:
    """Write a file as a whole, or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
