"""Functions that training makes small; all take an output and a target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer, is_number

from nengo_dl.support.lazy_imports import tf

__all__ = ["Regularize", "mse"]


def mse(output: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    r"""Return the mean squared error.

    Parameters
    ----------
    output : tf.Tensor, shape (minibatch, n_steps, size)
        What a probe shows.
    target : tf.Tensor, shape (minibatch, n_steps, size)
        What it should show, of any type of numbers; NaN where it does not matter.

    Returns
    -------
    tf.Tensor
        A number.

    Notes
    -----
    For :math:`N` elements,

    .. math:: \frac{1}{N} \sum_i (y_i - t_i)^2

    where elements with :math:`t_i` NaN add zero to the sum, and count in :math:`N`.

    Examples
    --------
    >>> output, target = tf.constant([[[1.0], [3.0]]]), tf.constant([[[0.0], [np.nan]]])
    >>> float(nengo_dl.objectives.mse(output, target))
    0.5
    """
    output = tf.convert_to_tensor(output)
    target = tf.cast(target, output.dtype)
    # selected before the subtraction, so that gradients are zero and not NaN
    target = tf.where(tf.math.is_nan(target), output, target)
    return tf.reduce_mean(tf.math.squared_difference(output, target))


@dataclass(frozen=True)
class Regularize:
    r"""An objective without targets: the size of a probe's output.

    Use it for a Probe of firing rates to keep activity low or sparse, or for a Probe of
    the ``"weights"`` of a Connection to keep these small.

    Parameters
    ----------
    order : float or "euclidean"
        Order of the norm, at least 1; ``np.inf`` for the largest absolute value.
        ``"euclidean"`` is 2.
    axis : int, optional
        Axis along which the norm is taken, of the value that the Probe shows in one
        time step: of rates, 0 is the axis of neurons; of weights ``(size_out,
        size_in)``, 1 is that of the inputs of a unit. Default: one norm over all
        elements.
    weight : float, optional
        Factor of the result, not negative. Default: 1.

    Raises
    ------
    ValidationError
        If an argument is none of these.

    Notes
    -----
    .. math::

        \lVert x \rVert_p = \Big(\sum_i |x_i|^p\Big)^{1/p}, \qquad
        \lVert x \rVert_\infty = \max_i |x_i|

    The norms are computed for each item, each time step, and each position along the
    other axes; the objective is their mean, times ``weight``. The gradient of a norm at
    zero is taken to be zero.

    Examples
    --------
    >>> activity = nengo_dl.objectives.Regularize(order=1, weight=0.01)
    >>> float(activity(tf.constant([[[1.0, -3.0]], [[0.0, 2.0]]])).numpy())
    0.0299999...
    """

    order: float | str = 2
    axis: int | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.order != "euclidean" and not (
            _is_real(self.order) and float(self.order) >= 1
        ):
            raise ValidationError(
                f"Must be 'euclidean' or a number that is at least 1 (got "
                f"{self.order!r})",
                attr="order",
                obj=self,
            )
        if self.axis is not None and not is_integer(self.axis):
            raise ValidationError(
                f"Must be an integer or None (got {self.axis!r})", attr="axis", obj=self
            )
        if self.weight is not None and not (
            _is_real(self.weight) and 0 <= float(self.weight) < math.inf
        ):
            raise ValidationError(
                f"Must be a number that is not negative, or None (got {self.weight!r})",
                attr="weight",
                obj=self,
            )

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise if values of a shape have no such axis.

        Parameters
        ----------
        shape : tuple of int
            Shape of the value of one time step.

        Raises
        ------
        ValidationError
            If the axis is out of range.
        """
        if self.axis is not None and not -len(shape) <= self.axis < len(shape):
            raise ValidationError(
                f"There is no axis {self.axis} in a value of shape {tuple(shape)}",
                attr="axis",
                obj=self,
            )

    def __call__(self, output: tf.Tensor, target: Any = None) -> tf.Tensor:
        """Return the mean of the norms.

        Parameters
        ----------
        output : tf.Tensor, shape (minibatch, n_steps, ...)
            What a probe shows.
        target : object
            Not used.

        Returns
        -------
        tf.Tensor
            A number.
        """
        output = tf.convert_to_tensor(output)
        shape = output.shape[2:]
        self.check_shape(tuple(shape))
        if self.axis is None:
            axes = list(range(2, len(output.shape)))
        else:
            axes = [2 + self.axis % len(shape)]
        order = 2.0 if self.order == "euclidean" else float(self.order)
        norm = tf.reduce_mean(_norm(output, order, axes))
        return norm if self.weight is None else norm * self.weight


def _is_real(value: Any) -> bool:
    return is_number(value) and not isinstance(value, bool | complex)


def _norm(x: tf.Tensor, order: float, axes: list[int]) -> tf.Tensor:
    """Return norms along axes, whose gradients are finite everywhere."""
    size = tf.abs(x)
    if not axes:
        return size
    if order == 1:
        return tf.reduce_sum(size, axes)
    largest = tf.reduce_max(size, axes, keepdims=True)
    if math.isinf(order):
        return tf.squeeze(largest, axes)
    # powers of numbers up to 1 do not overflow; as the norm does not depend on the
    # scale, its derivative can leave it out
    scale = tf.stop_gradient(tf.where(largest > 0, largest, tf.ones_like(largest)))
    total = tf.reduce_sum(tf.pow(size / scale, order), axes, keepdims=True)
    # selected before the root, whose derivative at zero is infinite
    root = tf.pow(tf.where(total > 0, total, tf.ones_like(total)), 1 / order)
    return tf.squeeze(scale * tf.where(total > 0, root, tf.zeros_like(root)), axes)
