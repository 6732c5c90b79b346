"""Products of matrices with vectors of which few elements differ from zero: spikes."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np

from nengo_dl.builders.shapes import reshape, with_axis
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["event_matvec"]


def event_matvec(
    columns: tf.Tensor, x: tf.Tensor, otherwise: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """Multiply a matrix with a vector by adding the columns that count.

    Parameters
    ----------
    columns : tf.Tensor, shape (n, m)
        The matrix, transposed.
    x : tf.Tensor, shape (batch, n)
        The vector; or several, such as those of all steps of an evaluation.
    otherwise : callable
        Returns the product when there are several vectors, or too many elements differ
        from zero; see Notes.

    Returns
    -------
    tf.Tensor, shape (batch, m)
        ``sum_j columns[j] x[:, j]`` over all j where ``x[:, j]`` is not zero.

    Notes
    -----
    Of 2,000 neurons that fire with 30 Hz, 60 spike in a step of 1 ms. Adding 60 columns
    of a dense 2,000 x 2,000 matrix takes 65 µs where reading all of it takes 1,100
    and SciPy's sparse product (10 % of the entries) 600, all on a busy machine.
    """
    if x.shape[0] != 1:
        return otherwise()
    x = x[0]
    n, m = columns.shape
    capacity = max(int(n * tuning.MOST_EVENTS), 1)
    capacity += -capacity % tuning.COLUMNS_AT_ONCE
    differs = tf.cast(x != 0, tf.float32)
    # columns have zeros in the place of entries that are not stored, which must not
    # meet what is not finite
    too_many = tf.constant(capacity + 1, tf.float32)
    weights = tf.where(tf.math.is_finite(x), differs, too_many)
    count = tf.cast(reshape(_sum_of_rows(with_axis(weights, 1)), ()), tf.int32)

    def add_columns() -> tf.Tensor:
        indices = _nonzero_indices(differs, capacity)
        used = tf.range(capacity) < count
        indices = tf.where(used, indices, 0)
        values = tf.where(used, tf.gather(x, indices), tf.zeros((), x.dtype))

        values = reshape(values, (-1, tuning.COLUMNS_AT_ONCE))
        indices = reshape(indices, (-1, tuning.COLUMNS_AT_ONCE))

        def body(k: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # gathers, since slices would have XLA take the vector for a constant
            some_values = tf.unstack(tf.gather(values, k))
            some_indices = tf.unstack(tf.gather(indices, k))
            for value, index in zip(some_values, some_indices, strict=True):
                total += value * tf.gather(columns, index)
            return k + 1, total

        _, total = tf.while_loop(
            lambda k, total: k * tuning.COLUMNS_AT_ONCE < count,
            body,
            (tf.constant(0), tf.zeros(m, x.dtype)),
            parallel_iterations=1,
        )
        return total[None]

    return tf.cond(count <= capacity, add_columns, otherwise)


def _nonzero_indices(differs: tf.Tensor, capacity: int) -> tf.Tensor:
    """Return the positions of the first ones in a vector of ones and zeros.

    Positions after the last one are meaningless, but not negative. The vector is cut
    into rows; where the k-th one lies is found from the counts in rows, and within its
    row. The counts come from matrix products, since XLA's cumulative sums are slow on
    CPUs.
    """
    length = isqrt(differs.shape[0] - 1) + 1
    n_rows = -(-differs.shape[0] // length)
    rows = tf.pad(differs, [(0, n_rows * length - differs.shape[0])])
    with tf.init_scope():  # as literals inside of a loop they would be slow
        to_element = tf.constant(np.triu(np.ones((length, length), np.float32)))
        to_row = tf.constant(np.triu(np.ones((n_rows, n_rows), np.float32)))
    cumulative = tf.matmul(reshape(rows, (n_rows, length)), to_element)
    in_row = cumulative[:, -1]
    ends = tf.matmul(in_row[None], to_row)[0]
    number = tf.range(capacity, dtype=tf.float32)
    # rows that end before the k-th one, then elements of its row that come before it
    row = _count_rows(with_axis(ends, 1) <= number)
    row = tf.minimum(row, n_rows - 1)
    number -= tf.gather(ends - in_row, row)
    before = tf.transpose(tf.gather(cumulative, row)) <= number
    return row * length + _count_rows(before)


def _count_rows(mask: tf.Tensor) -> tf.Tensor:
    """Return in how many rows each column of booleans is true."""
    return tf.cast(_sum_of_rows(tf.cast(mask, tf.float32)), tf.int32)


def _sum_of_rows(values: tf.Tensor) -> tf.Tensor:
    """Return the sum of the rows of a matrix, by a product with ones.

    XLA's own sums of more than 32 values are two or three kernels on CPUs.
    """
    with tf.init_scope():  # as a literal inside of a loop it would be slow
        ones = tf.constant(np.ones((1, values.shape[0]), np.float32))
    return reshape(tf.matmul(ones, values), (values.shape[1],))
