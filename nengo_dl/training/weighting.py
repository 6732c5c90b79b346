"""Weights of items: how they enter losses, and which metrics take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.masking import masked_keras, weighted_values

__all__ = ["ScaledLoss", "Weighted"]


@dataclass(frozen=True)
class Weighted:
    """A metric that counts items by their weights, as losses do.

    Attributes
    ----------
    function : object
        The metric, in any form that metrics have.
    """

    function: Any


@dataclass(frozen=True)
class ScaledLoss:
    """A loss ``f(target, output)`` times a number, as an objective.

    Attributes
    ----------
    loss : callable or keras.losses.Loss
        In Keras's order of arguments.
    factor : float
        The number.
    masks : bool
        Whether targets may be NaN; functions of users see them as they are.
    """

    loss: Callable[..., Any]
    factor: float
    masks: bool

    def __call__(self, output: Any, target: Any, weight: Any = None) -> tf.Tensor:
        """Return the values, times the number and the weights of items."""
        if self.masks:
            values = masked_keras(self.loss)(output, target, weight)
        else:
            values = weighted_values(self.loss(target, output), weight)
        return self.factor * tf.cast(values, output.dtype)
