"""Functions that training makes small; all take an output and a target."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["mse"]


def mse(output: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    r"""Return the mean squared error.

    Parameters
    ----------
    output : tf.Tensor, shape (minibatch, n_steps, size)
        What a probe shows.
    target : tf.Tensor, shape (minibatch, n_steps, size)
        What it should show; NaN where it does not matter.

    Returns
    -------
    tf.Tensor
        A number.

    Notes
    -----
    For :math:`N` elements,

    .. math:: \frac{1}{N} \sum_i (y_i - t_i)^2

    where elements with :math:`t_i` NaN add zero to the sum, and count in :math:`N`.
    """
    # selected before the subtraction, so that gradients are zero and not NaN
    target = tf.where(tf.math.is_nan(target), output, target)
    return tf.reduce_mean(tf.math.squared_difference(output, target))
