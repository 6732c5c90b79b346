"""Targets that are NaN: what they mean to losses of Keras and to those of users."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["masked_function", "masked_keras", "missing_masked", "weighted_values"]

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

Objective = Callable[..., Any]


def masked_keras(loss: Callable[..., Any]) -> Objective:
    """Turn a loss of Keras into an objective for which NaN is no error.

    Parameters
    ----------
    loss : callable or keras.losses.Loss
        ``loss(target, output)``.

    Returns
    -------
    callable
        ``f(output, target, weight=None)``. Of functions that compare elements, those
        whose target is NaN add zero, and count in the mean. Of others, and of Loss
        objects, those items and steps do of which any target is NaN. The weight is
        that of items, or of their steps.
    """

    def objective(output: Any, target: Any, weight: Any = None) -> Any:
        if isinstance(loss, keras.losses.Loss):
            target, output, weight = missing_masked(output, target, weight)
            return loss(target, output, sample_weight=weight)
        return weighted_values(errors_of(output, target), weight)

    def errors_of(output: Any, target: Any) -> Any:
        missing = _missing(target)
        if missing is None:
            return loss(target, output)
        if loss in _ELEMENTWISE and output.shape == target.shape:
            safe = _without(output, target, missing)
            errors = loss(*(value[..., None] for value in safe))
            return tf.reduce_mean(_zero(errors, missing), axis=-1)
        if loss in _OVERLAPS:
            return loss(*_without(output, target, missing, 0.0))
        errors = loss(*_without(output, target, missing))
        return _zero(errors, _any_along(missing, len(errors.shape)))

    return objective


def missing_masked(output: Any, target: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Return target, output, and weights that are zero where targets are missing.

    Parameters
    ----------
    output : tf.Tensor, shape (n_items, n_steps, size)
        What a probe shows.
    target : tf.Tensor
        Targets.
    weight : tf.Tensor, shape (n_items,) or (n_items, 1 or n_steps), or None
        Weights of items.

    Returns
    -------
    tuple of tf.Tensor
        The weights are None if nothing is weighed or can be missing.
    """
    missing = _missing(target)
    if missing is None:
        return target, output, weight
    seen = _weights(output, missing)
    if weight is not None:
        seen = seen * _expanded(tf.cast(weight, seen.dtype), len(seen.shape))
    return *_without(output, target, missing), seen


def weighted_values(values: Any, weight: Any) -> tf.Tensor:
    """Return values times the weights of their items.

    Parameters
    ----------
    values : tf.Tensor, shape () or (n_items, ...)
        A loss of each item or step, or of all.
    weight : tf.Tensor, shape (n_items,) or (n_items, 1 or n_steps), or None
        The weights. Of one value for all items, their mean is the factor, as in Keras.
    """
    if weight is None:
        return values
    values = tf.convert_to_tensor(values)
    weight = tf.cast(weight, values.dtype)
    rank = len(values.shape)
    if rank == 0:
        return values * tf.reduce_mean(weight)
    if rank == 1 and len(weight.shape) == 2 and weight.shape[1] == 1:
        weight = weight[:, 0]
    return values * _expanded(weight, rank)


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
        ``f(output, target, weight=None)``. None: it has no such parameter. Weights of
        items are factors of ``sample_weight``, or else of what is returned.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return None
    wanted = [name for name in ("mask", "sample_weight") if name in parameters]
    if not wanted:
        return None

    def objective(output: Any, target: Any, weight: Any = None) -> Any:
        target = tf.convert_to_tensor(target)
        missing = _missing(target)
        if missing is None:
            missing = tf.zeros(target.shape, tf.bool)
        else:
            target = tf.where(missing, tf.zeros_like(target), target)
        seen = _weights(output, missing)
        if weight is not None and "sample_weight" in wanted:
            seen = seen * _expanded(tf.cast(weight, seen.dtype), len(seen.shape))
            weight = None
        given = {"mask": ~missing, "sample_weight": seen}
        values = function(output, target, **{name: given[name] for name in wanted})
        return weighted_values(values, weight)

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


def _expanded(weight, rank):
    """Return weights with as many axes as values have."""
    return tf.reshape(weight, (*weight.shape, *[1] * (rank - len(weight.shape))))


def _any_along(missing, rank):
    """Return whether any is missing, along the axes from a certain one on."""
    return tf.reduce_any(missing, axis=list(range(rank, len(missing.shape))))


def _zero(errors, missing):
    return tf.where(missing, tf.zeros_like(errors), errors)
