"""Processes that were forked after TensorFlow ran, in which it would hang."""

from __future__ import annotations

import os

from nengo.exceptions import SimulationError

from nengo_dl.support.lazy_imports import is_imported

__all__ = ["PROCESS", "check_not_forked", "tensorflow_runs"]


class _Process:
    """What is known about this process.

    Attributes
    ----------
    runs_tensorflow : bool
        Whether TensorFlow has threads in this process.
    lost_threads : bool
        Whether it had some when this process was forked; they do not exist here.
    """

    runs_tensorflow = False
    lost_threads = False


PROCESS = _Process()


def tensorflow_runs() -> None:
    """Note that TensorFlow has started its threads, if it was imported."""
    PROCESS.runs_tensorflow = PROCESS.runs_tensorflow or is_imported()


def check_not_forked() -> None:
    """Raise if TensorFlow would wait for threads that do not exist in this process.

    Raises
    ------
    SimulationError
        The message says how to start processes instead.
    """
    if PROCESS.lost_threads:
        raise SimulationError(
            "This process was forked from one in which TensorFlow had run, and "
            "TensorFlow would wait forever for its threads. Start processes with "
            "multiprocessing.get_context('spawn') (or "
            "multiprocessing.set_start_method('spawn')), or make the first simulator "
            "after the fork"
        )


def _after_fork() -> None:
    if PROCESS.runs_tensorflow:
        PROCESS.lost_threads = True


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
