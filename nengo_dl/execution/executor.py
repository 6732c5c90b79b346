"""What advances a simulation: one protocol, two ways, and the choice between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.support import tuning

__all__ = ["Chunk", "Executor", "ExecutorChoice"]


@dataclass(frozen=True)
class Chunk:
    """What some steps gave.

    Attributes
    ----------
    n_steps : int
        Number of steps.
    outputs : list of ndarray, shapes (n_kept, minibatch, size)
        Values of the outputs at the steps that their sampling period keeps.
    """

    n_steps: int
    outputs: list[np.ndarray]


class Executor(Protocol):
    """Simulates steps, a chunk at a time.

    Attributes
    ----------
    most_steps : int
        Most steps of one chunk.
    runs_beside : bool
        Whether `run` may be in another thread, while this one makes the inputs of the
        next chunk.
    is_warm : bool
        Whether the next call takes no longer than others (nothing is compiled).
    """

    @property
    def most_steps(self) -> int:
        """See above."""

    @property
    def runs_beside(self) -> bool:
        """See above."""

    @property
    def is_warm(self) -> bool:
        """See above."""

    def prepare(self) -> None:
        """Take over the state of the simulation, before the first chunk of a run."""

    def pack(
        self, values: Mapping[Signal, np.ndarray], first: int, n_steps: int
    ) -> Any:
        """Bring inputs into the form that `run` takes.

        Parameters
        ----------
        values : mapping of {Signal: ndarray}
            Values of the inputs, shapes ``(n_steps or 1, 1 or minibatch, ...)``.
        first : int
            Number of the step before the first one.
        n_steps : int
            How many steps.
        """

    def run(self, first: int, n_steps: int, inputs: Any) -> list[np.ndarray]:
        """Simulate some steps. After an error, the state is as it was before.

        Parameters
        ----------
        first, n_steps : int
            As for `pack`.
        inputs
            What `pack` returned for these steps.

        Returns
        -------
        list of ndarray, shapes (n_kept, minibatch, size)
            The outputs at the steps that their sampling keeps.
        """


@dataclass(frozen=True)
class ExecutorChoice:
    """The two executors of a simulation, and which one runs how many steps.

    Attributes
    ----------
    compiled : Executor
        The compiled loop.
    numpy : Executor
        Nengo's own NumPy steps; it knows, too, whether all operators have one, and
        how long a step takes.
    may_choose : bool
        Whether NumPy is used at all where it is faster.
    compile_seconds : float
        Estimated time to compile the loop; 0 if runs are not to avoid it.
    callbacks : sequence of int
        For each part of a step of the compiled loop, how many operators run in Python:
        0 for what is compiled. Empty: none ever does.
    always : Executor or None
        The one that runs everything, whatever would be faster.
    """

    compiled: Any
    numpy: Any
    may_choose: bool
    compile_seconds: float = 0.0
    callbacks: Sequence[int] = ()
    always: Executor | None = None

    def uses_numpy(self, n_steps: int, now: int = 0) -> bool:
        """Whether a run of this length uses NumPy steps.

        It does not matter what was compiled already: the same steps after a reset give
        the same data, to the last digit.

        Parameters
        ----------
        n_steps : int
            Number of steps.
        now : int
            How many steps were simulated before, since the last reset.
        """
        if self.always is not None:
            return self.always is self.numpy
        if not self.may_choose:
            return False
        seconds = self.numpy.estimated_seconds
        pays = (now + n_steps) * seconds < self.compile_seconds
        if n_steps == 1 and self.compile_seconds:
            pays = pays or seconds < tuning.LONG_STEP_SECONDS
        if self.callbacks:
            pays = pays or seconds < sum(map(_part_seconds, self.callbacks))
        else:
            pays = pays or n_steps * seconds < tuning.SHORT_RUN_SECONDS
        return pays and self.numpy.available

    def choose(self, n_steps: int, now: int = 0) -> Executor:
        """Return the executor for a run; see `uses_numpy`."""
        return self.numpy if self.uses_numpy(n_steps, now) else self.compiled


def _part_seconds(n_callbacks: int) -> float:
    """Return the estimated time of a part of a loop that calls Python somewhere."""
    if n_callbacks == 0:
        return tuning.PIECE_SECONDS
    further = (n_callbacks - 1) * tuning.CALLBACK_FUNCTION_SECONDS
    return tuning.CALLBACK_SECONDS + further
