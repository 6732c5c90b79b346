"""State of TensorNodes that training carries on, and streams that a seed starts.

Each call in training replaces moving averages, which simulations only read; counters
and the states of random generators are replaced in simulations, too. Training has its
own values of the latter, so that neither notices how often the other one ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.tensor_nodes import StateTraits, state_of_nodes
from nengo_dl.program.step import StepProgram

__all__ = ["LastingState", "NodeStreams"]


def _state_blocks(plan: Plan, step: StepProgram) -> dict[int, StateTraits]:
    """Return the positions of the state blocks of TensorNodes (one signal in each)."""
    traits = state_of_nodes(plan.split.device)
    return {
        number: traits[block.signals[0]]
        for number, block in enumerate(step.state_blocks)
        if block.signals and block.signals[0] in traits
    }


class LastingState:
    """Values of state that outlive minibatches and resets.

    Parameters
    ----------
    plan : Plan
        Says which state this is.
    step : StepProgram
        Says where signals are.
    initial : sequence of ndarray, shapes (minibatch, size)
        Values of all state blocks that were built.

    Attributes
    ----------
    numbers : list of int
        Positions, among the state blocks, of what simulations leave alone.
    carried : list of int
        Positions of what a minibatch begins with as the one before left it.
    version : int
        Grows whenever the values are replaced.
    """

    def __init__(self, plan: Plan, step: StepProgram, initial: Sequence[np.ndarray]):
        blocks = _state_blocks(plan, step)
        self.numbers = [n for n, traits in blocks.items() if not traits.advances]
        own = [n for n, t in blocks.items() if t.advances and not t.per_item]
        self.carried = [*self.numbers, *own]
        self._streams = {n for n in own if blocks[n].is_stream}
        self.version = 0
        self.begin(initial)

    @property
    def averaged(self) -> list[int]:
        """Positions of moving averages: what minibatches carry, but for streams."""
        return [number for number in self.carried if number not in self._streams]

    @property
    def streams(self) -> list[int]:
        """Positions of random generators that minibatches carry."""
        return [number for number in self.carried if number in self._streams]

    def begin(self, initial: Sequence[np.ndarray]) -> None:
        """Start with values that were built, and with streams that were seeded."""
        self._original = {number: initial[number] for number in self.numbers}
        self._values = dict(self._original)
        #: of training alone, where they differ from those of a simulation's start
        self.own: dict[int, np.ndarray] = {}
        self.version += 1

    def put(self, state: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return a state, shapes (minibatch, size), with these values in it."""
        return _put(state, self._values)

    def put_for_training(self, state: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return a state with these values in it, for the start of a minibatch."""
        return _put(state, {**self._values, **self.own})

    def keep(self, state: Sequence[np.ndarray]) -> None:
        """Take over the values in a state of a simulation."""
        self._values = {number: np.array(state[number]) for number in self.numbers}
        self.version += 1

    def keep_of_training(self, state: Sequence[np.ndarray]) -> None:
        """Take over the values in a state after training."""
        own = (number for number in self.carried if number not in self._values)
        self.own = {number: np.array(state[number]) for number in own}
        self.keep(state)

    def continue_training(self, own: Mapping[int, np.ndarray]) -> None:
        """Let training go on with values that it had, by position."""
        self.own = dict(own)
        self.version += 1

    def reset(self) -> None:
        """Return to the values that were built; the streams of training go on."""
        self._values = dict(self._original)
        self.own = {n: values for n, values in self.own.items() if n in self._streams}
        self.version += 1


def _put(
    state: Sequence[np.ndarray], values: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    return [values.get(number, found) for number, found in enumerate(state)]


class NodeStreams:
    """States of the random generators in TensorNodes.

    Parameters
    ----------
    plan : Plan
        What is simulated.
    step : StepProgram
        Says where signals are.
    """

    def __init__(self, plan: Plan, step: StepProgram):
        blocks = _state_blocks(plan, step)
        streams = {n: traits for n, traits in blocks.items() if traits.is_stream}
        self._advancing = [n for n, traits in streams.items() if traits.advances]
        self._unseeded = [n for n, traits in streams.items() if not traits.is_seeded]

    def seed(self, state: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
        """Return a state with the starts of those that have no seed of their own."""
        found = {}
        for place, number in enumerate(self._unseeded):
            words = np.random.SeedSequence([seed, place]).generate_state(1)
            # of the size of those that Keras draws
            start = np.zeros_like(state[number])
            start[:, 0] = words[0] % 10**9 + 1
            found[number] = start
        return _put(state, found)

    def carry(
        self, state: Sequence[np.ndarray], now: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return a state in which the streams are where they are now."""
        return _put(state, {number: now[number] for number in self._advancing})

    def __bool__(self) -> bool:
        return bool(self._advancing)
