"""Targets that are NaN: what they mean to losses of Keras and to those of users."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["masked_function", "masked_keras", "masked_metric"]

#: Losses that compare one element at a time, and average them along the last axis.
_ELEMENTWISE = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.hinge,
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.poisson,
    keras.losses.squared_hinge,
)

#: Losses that are one number, to which zeros add nothing.
_OVERLAPS = (keras.losses.dice, keras.losses.tversky)

Objective = Callable[[Any, Any], Any]


def masked_keras(loss: Callable[..., Any]) -> Objective:
    """Turn a loss of Keras into an objective for which NaN is no error.

    Parameters
    ----------
    loss : callable or keras.losses.Loss
        ``loss(target, output)``.

    Returns
    -------
    callable
        ``f(output, target)``. Of functions that compare elements, those whose target
        is NaN add zero, and count in the mean. Of others, and of Loss objects, those
        items and steps do of which any target is NaN.
    """

    def objective(output: Any, target: Any) -> Any:
        missing = _missing(target)
        if missing is None:
            return loss(target, output)
        if isinstance(loss, keras.losses.Loss):
            safe = _without(output, target, missing)
            return loss(*safe, sample_weight=_weights(output, missing))
        if loss in _ELEMENTWISE and output.shape == target.shape:
            safe = _without(output, target, missing)
            errors = loss(*(value[..., None] for value in safe))
            return tf.reduce_mean(_zero(errors, missing), axis=-1)
        if loss in _OVERLAPS:
            return loss(*_without(output, target, missing, 0.0))
        errors = loss(*_without(output, target, missing))
        return _zero(errors, _any_along(missing, len(errors.shape)))

    return objective


def masked_metric(metric: keras.metrics.Metric) -> Objective:
    """Return the value of a metric for one minibatch, without what has no target."""
    weighs = isinstance(metric, keras.metrics.MeanMetricWrapper)

    def value(output: Any, target: Any) -> Any:
        missing = _missing(target) if weighs else None
        weight = {}
        if missing is not None:
            weight = {"sample_weight": _weights(output, missing)}
            target, output = _without(output, target, missing)
        variables = metric.stateless_reset_state()
        variables = metric.stateless_update_state(variables, target, output, **weight)
        return metric.stateless_result(variables)

    return value


def masked_function(function: Callable[..., Any]) -> Objective | None:
    """Return an objective that tells a user's function where targets are missing.

    Parameters
    ----------
    function : callable
        ``f(output, target)``, with another parameter ``mask`` (True where the target
        is a number, of the target's shape) or ``sample_weight`` (of shape ``(n_items,
        n_steps)``; zero where any is missing). Missing targets are given as zeros.

    Returns
    -------
    callable or None
        ``f(output, target)``. None: it has no such parameter.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return None
    wanted = [name for name in ("mask", "sample_weight") if name in parameters]
    if not wanted:
        return None

    def objective(output: Any, target: Any) -> Any:
        target = tf.convert_to_tensor(target)
        missing = _missing(target)
        if missing is None:
            missing = tf.zeros(target.shape, tf.bool)
        else:
            target = tf.where(missing, tf.zeros_like(target), target)
        given = {"mask": ~missing, "sample_weight": _weights(output, missing)}
        return function(output, target, **{name: given[name] for name in wanted})

    return objective


def _missing(target: Any) -> tf.Tensor | None:
    """Return where a target is NaN, or None if it cannot be."""
    if not isinstance(target, tf.Tensor) or not target.dtype.is_floating:
        return None
    return tf.math.is_nan(target)


def _without(output, target, missing, neutral=0.5):
    """Return target and output with harmless numbers where targets are missing.

    Gradients then are zero there, whatever the loss is.
    """
    target = tf.where(missing, tf.zeros_like(target), target)
    if missing.shape != output.shape:
        shared = 0  # axes that both have: items, and mostly steps
        for one, other in zip(missing.shape, output.shape):
            if one != other:
                break
            shared += 1
        missing = _any_along(missing, shared)
        rest = len(output.shape) - shared
        missing = tf.reshape(missing, (*missing.shape, *[1] * rest))
    return target, tf.where(missing, tf.constant(neutral, output.dtype), output)


def _weights(output, missing):
    """Return 1 for items and steps with all of their targets, and 0 for others."""
    return tf.cast(~_any_along(missing, 2), output.dtype)


def _any_along(missing, rank):
    """Return whether any is missing, along the axes from a certain one on."""
    return tf.reduce_any(missing, axis=list(range(rank, len(missing.shape))))


def _zero(errors, missing):
    return tf.where(missing, tf.zeros_like(errors), errors)
