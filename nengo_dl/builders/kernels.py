"""Where XLA divides a computation into kernels on CPUs, and how to choose that."""

from __future__ import annotations

from nengo_dl.support.lazy_imports import tf

__all__ = ["computed_after", "kept_apart", "rows_apart"]


def kept_apart(value: tf.Tensor) -> tf.Tensor:
    """Return a value that is computed once, although several results depend on it.

    Parameters
    ----------
    value : tf.Tensor
        What to compute in a kernel of its own, of any floating point type.

    Returns
    -------
    tf.Tensor
        The same, element by element.

    Notes
    -----
    XLA computes what several results share in the kernel of each, unless it is
    expensive, as a division is. This one changes nothing, which the compiler cannot
    know. It also keeps it from contracting a product with a following addition.
    """
    with tf.init_scope():  # as a literal, the compiler would know
        one = tf.constant(1, dtype=value.dtype)
    return value / one


def computed_after(value: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return a value that is computed after another one, on which it need not depend.

    Parameters
    ----------
    value : tf.Tensor
        What to compute, of any floating point type.
    other : tf.Tensor, shape (batch, size)
        What is computed before, not empty.

    Returns
    -------
    tf.Tensor
        The value, element by element.
    """
    with tf.init_scope():  # as literals, the compiler would know that they are equal
        ones = tf.constant([1, 1], dtype=value.dtype)
    return value * tf.where(other[0, 0] < 0, ones[0], ones[1])


def rows_apart(value: tf.Tensor) -> tf.Tensor:
    """Return a value of several axes that is about to be flattened, computed once.

    Parameters
    ----------
    value : tf.Tensor
        What to compute in a kernel of its own, unless it has only one row or column, or
        consists of whole numbers. The first axis is that of the batch.

    Returns
    -------
    tf.Tensor
        The same, element by element.

    Notes
    -----
    A kernel with a flat result finds row and column of each element by divisions of
    integers, which cannot be vectorized. (Products with the encoders of 264 ensembles
    of 100 neurons, within the kernels of the neurons: a step takes 210 µs, and 63 if
    they are kept apart.)
    """
    longer = [length for length in value.shape[1:] if length != 1]
    if len(longer) < 2 or not value.dtype.is_floating:
        return value
    return kept_apart(value)
