"""Spikes whose derivative is replaced by a surrogate (see `nengo_dl.Surrogate`)."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from nengo_dl.config import Surrogate
from nengo_dl.support.lazy_imports import tf

__all__ = ["derivative", "spikes_above", "whole_spikes"]

_SHAPES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "fast_sigmoid": lambda z: 1 / tf.square(1 + tf.abs(z)),
    "arctan": lambda z: 1 / (1 + tf.square(pi / 2 * z)),
    "triangular": lambda z: tf.nn.relu(1 - tf.abs(z)),
    "gaussian": lambda z: tf.exp(-0.5 * tf.square(z)),
    "straight_through": lambda z: tf.ones_like(z),
}


def derivative(surrogate: Surrogate, x: tf.Tensor) -> tf.Tensor:
    """Return the surrogate derivative at a distance from the threshold.

    Parameters
    ----------
    surrogate : Surrogate
        Shape and slope.
    x : tf.Tensor
        Distances of the voltages from their thresholds.

    Returns
    -------
    tf.Tensor
        Values of the shape of ``x``.
    """
    if callable(surrogate.shape):
        return tf.cast(surrogate.shape(x), x.dtype)
    return _SHAPES[surrogate.shape](surrogate.slope * x)


def spikes_above(x: tf.Tensor, surrogate: Surrogate) -> tf.Tensor:
    """Return 1 where ``x`` is above zero and else 0, with a surrogate derivative."""

    @tf.custom_gradient
    def spikes(x):
        def gradient(upstream):
            return upstream * derivative(surrogate, x)

        return tf.cast(x > 0, x.dtype), gradient

    return spikes(x)


def whole_spikes(voltage: tf.Tensor, surrogate: Surrogate, negative: bool) -> tf.Tensor:
    """Return how many thresholds of distance 1 a voltage passed, differentiable.

    Parameters
    ----------
    voltage : tf.Tensor
        Voltages; each whole number is a threshold.
    surrogate : Surrogate
        Its distance is that to the nearest threshold.
    negative : bool
        Whether zero is a threshold, too (for negative spikes).

    Returns
    -------
    tf.Tensor
        ``floor(voltage)``
    """

    @tf.custom_gradient
    def spikes(voltage):
        def gradient(upstream):
            nearest = tf.round(voltage)
            if not negative:
                nearest = tf.maximum(nearest, tf.ones_like(nearest))
            return upstream * derivative(surrogate, voltage - nearest)

        return tf.floor(voltage), gradient

    return spikes(voltage)
