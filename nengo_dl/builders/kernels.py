"""Where XLA divides a computation into kernels on CPUs, and how to choose that."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["kept_apart"]


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
        one = tf.ones((), dtype=value.dtype)
    return value / one
