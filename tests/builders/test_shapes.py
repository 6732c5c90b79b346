"""Changes of shape: right, and without operations that change nothing."""

import numpy as np
import pytest
import tensorflow as tf

from nengo_dl.builders.shapes import broadcast, columns, outer, reshape, with_axis

VALUES = np.arange(24.0).reshape(2, 3, 4)


def n_operations(change):
    """How many operations a change of a tensor of shape (2, 3, 4) consists of."""
    with tf.Graph().as_default() as graph:
        value = tf.constant(VALUES)
        before = len(graph.get_operations())
        change(value)
        return len(graph.get_operations()) - before


@pytest.mark.parametrize("shape", [(2, 12), (-1, 4), (4, 3, -1), (24,), (2, 3, 4)])
def test_reshape_equals_numpy(shape):
    np.testing.assert_array_equal(
        reshape(tf.constant(VALUES), shape), VALUES.reshape(shape)
    )


@pytest.mark.parametrize("shape", [(0, 4), (5, 0), (-1, 5)])
def test_reshape_of_nothing_has_the_shape(shape):
    nothing = np.zeros((0, 5))
    expected = nothing.reshape(shape).shape
    assert reshape(tf.constant(nothing), shape).shape == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda value: reshape(value, (2, 3, 4)),
        lambda value: reshape(value, (2, -1, 4)),
        lambda value: broadcast(value, (2, 3, 4)),
        lambda value: columns(value, 0, 3),
    ],
)
def test_what_changes_nothing_is_no_operation(change):
    assert n_operations(change) == 0


@pytest.mark.parametrize(("start", "length"), [(0, 2), (1, 2), (2, 1), (1, 0)])
def test_columns_are_a_slice(start, length):
    np.testing.assert_array_equal(
        columns(tf.constant(VALUES), start, length), VALUES[:, start : start + length]
    )


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -4])
def test_with_axis_equals_numpy(axis):
    np.testing.assert_array_equal(
        with_axis(tf.constant(VALUES), axis), np.expand_dims(VALUES, axis)
    )


def test_broadcast_and_outer_equal_numpy():
    row = VALUES[:1, :1]
    np.testing.assert_array_equal(
        broadcast(tf.constant(row), VALUES.shape), np.broadcast_to(row, VALUES.shape)
    )
    np.testing.assert_array_equal(
        outer(tf.constant(VALUES[:, 0, :2]), tf.constant(VALUES[:, 1])),
        VALUES[:, 0, :2, None] * VALUES[:, 1, None, :],
    )
