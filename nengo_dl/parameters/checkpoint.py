"""All that a simulation is at one moment: what files and copies of it are made of.

``save_params`` and ``load_params`` choose from this list, pickling takes all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

import numpy as np

from nengo_dl.parameters.continuation import Continuation
from nengo_dl.parameters.parts import (
    Group,
    Parameters,
    Part,
    StartingWeights,
    State,
)
from nengo_dl.parameters.places import Places
from nengo_dl.parameters.values import ParameterValues

__all__ = ["Checkpoint", "own_entries"]

Value = TypeVar("Value")


class Checkpoint:
    """The parts of a simulation, in the order in which they are loaded.

    Parameters
    ----------
    values : ParameterValues
        Of the simulator.

    Attributes
    ----------
    values : ParameterValues
        As given.
    places : Places
        Names of parameters and state, and where they belong.
    extra : list of Part
        What is neither parameters nor state of signals; a simulator adds the state of
        training, and what probes recorded.
    """

    def __init__(self, values: ParameterValues):
        self.values = values
        self.places = Places(values)
        self.parameters = Parameters(self.places)
        self.state = State(self.places)
        self.extra: list[Part] = [Continuation(values), StartingWeights(self.places)]

    def save(
        self, groups: Collection[Group] = ("global", "local", "copy")
    ) -> dict[str, np.ndarray]:
        """Return the arrays of some groups of parts, or of all, by their full names."""
        parts: list[Parameters | State | Part]
        parts = [self.parameters, self.state, *self.extra]
        return {
            part.prefix + name: np.asarray(array)
            for part in parts
            if part.group in groups
            for name, array in part.save().items()
        }

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore all that `save` returned, in a simulator of the same model."""
        for part in (self.parameters, self.state):
            part.load({n: a for n, a in arrays.items() if n in part.places()})
        for extra in self.extra:
            extra.load(own_entries(arrays, extra.prefix))


def own_entries(entries: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Return entries whose names begin with a prefix, by their names without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in entries.items()
        if name.startswith(prefix)
    }
