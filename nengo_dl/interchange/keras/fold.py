"""What is computed along with the call of a layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nengo_dl.interchange.keras.activation_functions import LINEAR, Activation
from nengo_dl.interchange.keras.graph import Call

__all__ = ["Fold"]


@dataclass
class Fold:
    """What is computed along with a call.

    Attributes
    ----------
    factor, summand : float or ndarray
        Of each channel.
    activation : Activation
        Of the layer itself, or of one that follows.
    calls : list of Call
        The calls that follow and are computed along.
    """

    factor: Any = 1.0
    summand: Any = 0.0
    activation: Activation = LINEAR
    calls: list[Call] = field(default_factory=list)

    def apply(
        self, kernel: np.ndarray, biases: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return weights and biases, channels last, with factor and summand."""
        if biases is None and not self.calls_change_channels:
            return kernel, None
        summand = 0 if biases is None else biases
        return (
            (kernel * self.factor).astype(kernel.dtype),
            np.asarray(summand * self.factor + self.summand, dtype=kernel.dtype),
        )

    @property
    def calls_change_channels(self) -> bool:
        """Whether there are factors or summands."""
        return np.ndim(self.factor) > 0 or np.ndim(self.summand) > 0

    def then(self, factor: np.ndarray, summand: np.ndarray) -> None:
        """Add factors and summands behind those that there are."""
        self.summand = np.asarray(self.summand) * factor + summand
        self.factor = np.asarray(self.factor) * factor
