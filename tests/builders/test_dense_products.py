"""Basic operators, merged, against nengo's own."""

import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.operator import DotInc
from nengo.builder.signal import Signal

from nengo_dl.builders.kernels import kept_apart, rows_apart
from tests.builders.harness import check_parity, random_inputs


def products(n_ops, n_rows, n_columns, constant):
    """Return matrix-vector products whose matrices are constant, or not."""
    rng = np.random.RandomState(0)
    return [
        DotInc(
            Signal(rng.randn(n_rows, n_columns), readonly=constant, name=f"A{i}"),
            Signal(np.zeros(n_columns), name=f"X{i}"),
            Signal(np.zeros(n_rows), name=f"Y{i}"),
        )
        for i in range(n_ops)
    ]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    ("n_rows", "n_columns"),
    [(5, 1), (5, 2), (5, 5), (2, 5), (1, 5), (40, 32), (40, 33), (2, 33), (1, 33)],
)
def test_products_of_any_shape_equal_nengo(n_rows, n_columns, constant, batch):
    for n_ops in (1, 3):
        ops = products(n_ops, n_rows, n_columns, constant)
        check_parity(ops, random_inputs(), n_steps=2, batch=batch)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("apart", [kept_apart, rows_apart])
def test_values_that_are_kept_apart_do_not_change(apart, dtype):
    values = np.array([[[0.1, -0.0, np.inf], [np.nan, 1e-30, -3e30]]], dtype)
    compiled = tf.function(apart, jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant(values)), values)


def test_whole_numbers_stay_whole():
    values = tf.constant([[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(rows_apart(values), values)
    assert rows_apart(values).dtype == tf.int32
