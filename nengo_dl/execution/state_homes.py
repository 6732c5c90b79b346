"""Places in which the state of a simulation can live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

__all__ = ["ArraysHome", "StateHome"]


class StateHome(Protocol):
    """A place in which the state of a simulation can live."""

    def read_state(self) -> list[np.ndarray]:
        """Return the state, one array of shape (minibatch, size) for each block."""

    def write_state(self, values: Sequence[np.ndarray]) -> None:
        """Replace the state."""


class ArraysHome:
    """State that nothing has used yet."""

    def __init__(self, values: Sequence[np.ndarray]):
        self.values = list(values)

    def read_state(self) -> list[np.ndarray]:
        """Return the values."""
        return self.values

    def write_state(self, values: Sequence[np.ndarray]) -> None:
        """Replace the values."""
        self.values = list(values)
