"""Stacks of matrices times stacks of vectors, in the way that suits their shapes."""

from __future__ import annotations

import numpy as np

from nengo_dl.builders.kernels import rows_apart
from nengo_dl.builders.shapes import reshape, with_axis
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["batched_matvec", "columns_matvec", "of_one_type"]


def of_one_type(a: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Convert whole numbers if only one of two factors consists of them."""
    if a.dtype == x.dtype:
        return a, x
    dtype = a.dtype if a.dtype.is_floating else x.dtype
    return tf.cast(a, dtype), tf.cast(x, dtype)


def batched_matvec(a: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Multiply stacks of matrices with stacks of vectors.

    The formulation depends on the shapes, by measurements inside compiled loops.

    Parameters
    ----------
    a : tf.Tensor, shape (batch or 1, n_ops, m, n)
        Matrices.
    x : tf.Tensor, shape (batch or 1, n_ops, n)
        Vectors.

    Returns
    -------
    tf.Tensor, shape (batch or 1, n_ops, m)
        ``sum_n a[b, k, m, n] x[b, k, n]``
    """
    n_ops, m, n = a.shape[1:]
    if n == 1:
        return rows_apart(reshape(a, a.shape[:-1]) * x)
    if a.shape[0] == 1 and n_ops == 1 and a.dtype.is_floating:
        y = tf.matmul(reshape(x, (-1, n)), reshape(a, (m, n)), transpose_b=True)
        return reshape(y, (-1, 1, m))
    if n <= tuning.LONGEST_FUSED_SUM or not a.dtype.is_floating:
        return rows_apart(
            tf.reduce_sum(tf.linalg.matrix_transpose(a) * with_axis(x, -1), axis=2)
        )
    if m == 1:
        # a batched dot product is a plain loop in XLA's CPU compiler; a product with
        # a vector of ones is not
        products = reshape(a, (*a.shape[:2], n)) * x
        with tf.init_scope():  # as a literal inside the loop it would be slow
            ones = tf.constant(np.ones((n, 1), dtype=a.dtype.as_numpy_dtype))
        sums = tf.matmul(reshape(products, (-1, n)), ones)
        return reshape(sums, (products.shape[0], n_ops, 1))
    if a.shape[0] == 1 and x.shape[0] > 1:
        # (n_ops, batch, n) x (n_ops, n, m)
        y = tf.matmul(tf.transpose(x, (1, 0, 2)), a[0], transpose_b=True)
        return tf.transpose(y, (1, 0, 2))
    return tf.linalg.matvec(a, x)


def columns_matvec(columns: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Multiply stacks of a few columns with stacks of short vectors.

    Parameters
    ----------
    columns : tf.Tensor, shape (1, n_ops, n, m)
        Matrices, transposed.
    x : tf.Tensor, shape (batch or 1, n_ops, n)
        Vectors.

    Returns
    -------
    tf.Tensor, shape (batch or 1, n_ops, m)
        ``sum_n columns[0, k, n, m] x[b, k, n]``
    """
    if x.shape[0] == 1 and columns.dtype.is_floating:
        return tf.linalg.matvec(columns, x, transpose_a=True)
    return rows_apart(tf.reduce_sum(columns * with_axis(x, -1), axis=2))
