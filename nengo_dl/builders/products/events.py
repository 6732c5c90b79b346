"""Products of matrices with vectors of which few elements differ from zero: spikes."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np

from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.shapes import reshape, with_axis
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["event_matvec", "suits_events"]


def suits_events(config: BuildConfig, n_weights: int) -> bool:
    """Return whether products with spikes may be computed by `event_matvec`.

    Parameters
    ----------
    config : BuildConfig
        Says where products are computed, and for how many items.
    n_weights : int
        Size of the matrix, zeros included.
    """
    # A loop of unknown length is slow backwards. Many small kernels one after the other
    # suit neither GPUs nor TensorFlow without XLA.
    most_items = min(tuning.MOST_EVENT_ITEMS, n_weights / tuning.WEIGHTS_PER_ITEM)
    return config.simulates_by_xla_on_cpu and config.minibatch_size <= most_items


def event_matvec(
    columns: tf.Tensor, x: tf.Tensor, otherwise: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """Multiply a matrix with vectors by adding the columns that count.

    Parameters
    ----------
    columns : tf.Tensor, shape (n, m)
        The matrix, transposed.
    x : tf.Tensor, shape (batch, n)
        The vectors of all items; or of all items and steps of an evaluation.
    otherwise : callable
        Returns the products when there are very many vectors, or when too many elements
        differ from zero; see Notes.

    Returns
    -------
    tf.Tensor, shape (batch, m)
        ``sum_j columns[j] x[:, j]`` over all j where ``x[:, j]`` is not zero.

    Notes
    -----
    Of 2,000 neurons that fire with 30 Hz, 60 spike in a step of 1 ms. Adding 60 columns
    of a dense 2,000 x 2,000 matrix takes 65 µs where reading all of it takes 1,100
    and SciPy's sparse product (10 % of the entries) 600, all on a busy machine.

    With several items, the whole product reads the matrix once for all of them, columns
    are added for one item after the other (steps of that network with 2, 8, and 32
    items: 80, 250, and 1,000 µs instead of 630, 650, and 1,900). So fewer columns in
    all are worth it, see `tuning.MORE_EVENTS`.
    """
    n_items, n = x.shape
    if n_items > tuning.MOST_EVENT_ITEMS:
        return otherwise()
    capacity = max(int(n * tuning.MOST_EVENTS), 1)
    capacity += -capacity % tuning.COLUMNS_AT_ONCE
    differs = tf.cast(x != 0, tf.float32)
    # columns have zeros in the place of entries that are not stored, which must not
    # meet what is not finite
    too_many = tf.constant(capacity + 1, tf.float32)
    weights = tf.where(tf.math.is_finite(x), differs, too_many)
    counts = _sum_of_rows(tf.transpose(weights))
    few = tf.reduce_max(counts) <= capacity
    if n_items > 1:
        more = 1 + tuning.MORE_EVENTS * (n_items - 1)
        few &= tf.reduce_sum(counts) <= more * capacity

    def add_item(number: tf.Tensor | int) -> tf.Tensor:
        count = tf.cast(counts[number], tf.int32)
        return _add_columns(columns, x[number], differs[number], count, capacity)

    def add_columns() -> tf.Tensor:
        if n_items == 1:
            return with_axis(add_item(0), 0)
        sums = tf.TensorArray(x.dtype, n_items, element_shape=columns.shape[1:])
        _, sums = tf.while_loop(
            lambda number, sums: number < n_items,
            lambda number, sums: (number + 1, sums.write(number, add_item(number))),
            (tf.constant(0), sums),
            parallel_iterations=1,
        )
        return sums.stack()

    return tf.cond(few, add_columns, otherwise)


def _add_columns(
    columns: tf.Tensor,
    x: tf.Tensor,
    differs: tf.Tensor,
    count: tf.Tensor,
    capacity: int,
) -> tf.Tensor:
    """Return the product with one vector, of which few elements differ from zero.

    Parameters
    ----------
    columns : tf.Tensor, shape (n, m)
        The matrix, transposed.
    x : tf.Tensor, shape (n,)
        The vector.
    differs : tf.Tensor, shape (n,)
        Ones where elements of the vector differ from zero, and zeros.
    count : tf.Tensor of int32, shape ()
        How many differ.
    capacity : int
        How many may differ at most, a multiple of `tuning.COLUMNS_AT_ONCE`.

    Returns
    -------
    tf.Tensor, shape (m,)
        The sum of the columns.
    """
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
        (tf.constant(0), tf.zeros(columns.shape[1], x.dtype)),
        parallel_iterations=1,
    )
    return total


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
