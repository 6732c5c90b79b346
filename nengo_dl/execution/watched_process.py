"""Processes whose random streams are to be known."""

from __future__ import annotations

from typing import Any

from nengo.processes import Process
from numpy.random import RandomState

from nengo_dl.compiler.process_traits import traits_of

__all__ = ["WatchedProcess"]


class WatchedProcess:
    """A process that says which stream, and which step function, it is used with.

    Parameters
    ----------
    process : Process
        The original; it is not modified.
    """

    def __init__(self, process: Process):
        self.process = process
        self.traits = traits_of(process)
        self.stream: RandomState | None = None
        self.step: Any = None

    def get_rng(self, rng: RandomState) -> RandomState:
        """Return the stream of the process."""
        self.stream = self.process.get_rng(rng)
        return self.stream

    def make_step(self, *args: Any, **kwargs: Any) -> Any:
        """Return the step function of the process."""
        self.step = self.process.make_step(*args, **kwargs)
        return self.step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.process, name)
