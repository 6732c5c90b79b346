"""State that training changes, and simulations do not: moving averages of layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nengo_dl.compiler.plan import Plan
from nengo_dl.program.step import StepProgram

__all__ = ["LastingState"]


class LastingState:
    """Values of state that outlive minibatches and resets.

    Parameters
    ----------
    plan : Plan
        Says which state this is.
    step : StepProgram
        Says where signals are, and their initial values.

    Attributes
    ----------
    numbers : list of int
        Positions among the state blocks.
    version : int
        Grows whenever the values are replaced.
    """

    def __init__(self, plan: Plan, step: StepProgram):
        minibatch = step.config.minibatch_size
        self.numbers = [
            number
            for number, block in enumerate(step.state_blocks)
            if plan.lasting.issuperset(block.signals)
        ]
        blocks = [step.state_blocks[number] for number in self.numbers]
        self._original = [
            np.repeat(values, minibatch, axis=0)
            for values in step.initial_values(blocks)
        ]
        self._values = self._original
        self.version = 0

    def put(self, state: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return a state, shapes (minibatch, size), with these values in it."""
        state = list(state)
        for number, values in zip(self.numbers, self._values, strict=True):
            state[number] = values
        return state

    def keep(self, state: Sequence[np.ndarray]) -> None:
        """Take over the values in a state."""
        self._values = [np.array(state[number]) for number in self.numbers]
        self.version += 1

    def reset(self) -> None:
        """Return to the values that were built."""
        self._values = self._original
        self.version += 1
