"""Basic operators, merged, against nengo's own."""

import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.operator import DotInc
from nengo.builder.signal import Signal

from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.kernels import kept_apart, rows_apart
from nengo_dl.builders.products.events import event_matvec
from nengo_dl.builders.products.padded import PaddedDotIncBuilder
from nengo_dl.builders.registry import find_builder
from nengo_dl.support import tuning
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


SHAPES = [(5, 1), (1, 7), (3, 4), (4, 3), (20, 33), (33, 20), (2, 40)]


def unlike():
    rng = np.random.RandomState(0)
    return [
        DotInc(
            Signal(rng.randn(*shape), readonly=True, name=f"A{shape}"),
            Signal(np.zeros(shape[1]), name=f"X{shape}"),
            Signal(np.zeros(shape[0]), name=f"Y{shape}"),
        )
        for shape in SHAPES
    ]


@pytest.mark.parametrize("batches", [(1, 1), (1, 3), (3, 3), (3, 1)])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_padded_products_are_those_of_the_matrices(constant, batches, jit_compile):
    ops = unlike()
    builder = PaddedDotIncBuilder(ops, BuildConfig(0.001, np.float64))
    rng = np.random.RandomState(0)
    n_a, n_x = (1, batches[1]) if constant else batches
    a = [rng.randn(n_a, *shape) for shape in SHAPES]
    x = [rng.randn(n_x, shape[1]) for shape in SHAPES]
    reads = [
        tf.constant(np.concatenate([v.reshape(len(v), -1) for v in values], axis=1))
        for values in (a, x)
    ]
    if constant:
        builder.constant_reads = {0}
        reads[0] = builder.arrange(0, reads[0])
    step = tf.function(lambda *operands: builder.step(operands, []).incs[0])
    compiled = tf.function(step, jit_compile=jit_compile)
    expected = [(m @ v[..., None])[..., 0] for m, v in zip(a, x, strict=True)]
    np.testing.assert_allclose(compiled(*reads), np.concatenate(expected, axis=1))


def test_padded_products_have_the_derivatives_of_products():
    ops = unlike()
    builder = PaddedDotIncBuilder(ops, BuildConfig(0.001, np.float64))
    reads = [
        np.concatenate([op.A.initial_value.ravel() for op in ops])[None],
        np.random.RandomState(1).randn(2, sum(op.X.size for op in ops)),
    ]
    theoretical, numerical = tf.test.compute_gradient(
        lambda *operands: tf.sin(builder.step(operands, []).incs[0]),
        [tf.constant(value) for value in reads],
    )
    for one, other in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture
def always_by_events(monkeypatch):
    """Multiply small matrices by columns, too."""
    for name in ("ROWS", "COLUMNS", "WEIGHTS"):
        monkeypatch.setattr(tuning, f"FEWEST_EVENT_{name}", 1)
    monkeypatch.setattr(tuning, "WEIGHTS_PER_ITEM", 1)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_products_with_spikes_equal_nengo(
    always_by_events, constant, batch, jit_compile
):
    ops = products(1, 7, 80, constant)
    n_spikes = [0, 1, 10, 11, 80]  # up to an eighth are added one by one

    def spikes(signal, step, item):
        rng = np.random.RandomState([step, item])
        values = np.zeros(80)
        values[rng.permutation(80)[: n_spikes[step - item]]] = rng.uniform(1, 2)
        return values

    check_parity(
        ops, spikes, n_steps=len(n_spikes), batch=batch, jit_compile=jit_compile
    )


@pytest.mark.parametrize(
    ("n_spikes", "by_columns"),
    [
        ([16], True),
        ([17], False),
        ([0, 16, 5], True),
        ([0, 17, 0], False),
        ([16, 9, 0, 5], True),
        ([16, 9, 0, 6], False),  # 1.9 * 16 are the most that four items may have
        ([1] * 32, True),
        ([1] * 33, False),
    ],
)
def test_few_spikes_of_all_items_are_added_one_by_one(n_spikes, by_columns):
    columns = np.random.RandomState(0).randn(128, 3)
    x = np.zeros((len(n_spikes), 128))
    for row, n in zip(x, n_spikes, strict=True):
        row[-n:] = n > 0
    y = event_matvec(
        tf.constant(columns),
        tf.constant(x),
        lambda: tf.fill((len(x), 3), tf.constant(7, tf.float64)),
    )
    expected = x @ columns if by_columns else np.full((len(x), 3), 7)
    np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("n_items", [1, 3])
def test_many_values_that_are_not_finite_are_too_many(n_items):
    # each one counts as more than may differ, whose sum exceeds an int32
    n = 2**18
    y = event_matvec(
        tf.zeros((n, 1)), tf.fill((n_items, n), np.nan), lambda: tf.ones((n_items, 1))
    )
    np.testing.assert_array_equal(y, 1)


def test_spikes_are_only_counted_for_large_constant_matrices():
    def by_events(n_rows=1000, n=300, n_ops=1, constant_reads=(0,), **config):
        ops = products(n_ops, n_rows, n, constant=True)
        builder = find_builder(ops[0])(ops, BuildConfig(0.001, np.float64, **config))
        builder.constant_reads = set(constant_reads)
        return builder.by_events

    assert by_events()
    assert not by_events(n_rows=100)
    assert not by_events(n_rows=800)
    assert not by_events(n_rows=10000, n=64)
    assert not by_events(n_ops=2)
    assert not by_events(constant_reads=())
    assert by_events(minibatch_size=4)
    assert not by_events(minibatch_size=5)
    assert by_events(n_rows=10000, n=1000, minibatch_size=32)
    assert not by_events(n_rows=10000, n=1000, minibatch_size=33)
    assert not by_events(jit_compile=False)
    assert not by_events(training=lambda op: None)
    assert not by_events(processor="GPU")
