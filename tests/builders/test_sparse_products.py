"""Products of sparse matrices: parity with nengo's steps, and gradients."""

import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.operator import BsrDotInc, SparseDotInc
from nengo.builder.signal import Signal
from nengo.transforms import SparseMatrix

from nengo_dl.builders import BuildConfig, find_builder
from nengo_dl.builders.products.sparse import SparseDotIncBuilder
from nengo_dl.support import tuning
from tests.builders.harness import check_parity, random_inputs

F64 = np.dtype(np.float64)


def random_sparse(shape, density, seed=0, duplicates=0):
    rng = np.random.RandomState(seed)
    rows, cols = np.nonzero(rng.uniform(size=shape) < density)
    order = rng.permutation(len(rows))
    order = np.append(order, order[:duplicates])
    indices = np.stack([rows, cols], axis=1)[order]
    return SparseMatrix(indices, rng.uniform(-1, 1, size=len(order)), shape)


def arrow(n):
    """Return a matrix with one full row and a diagonal, whose slots waste most."""
    rows = np.concatenate([np.zeros(n, dtype=int), np.arange(1, n)])
    cols = np.concatenate([np.arange(n), np.arange(1, n)])
    rng = np.random.RandomState(n)
    return SparseMatrix(np.stack([rows, cols], 1), rng.uniform(size=len(rows)), (n, n))


def make_sparse(matrix, column=False):
    tail = (1,) if column else ()
    n_rows, n_cols = matrix.shape
    return SparseDotInc(
        Signal(matrix, readonly=True),
        Signal(shape=(n_cols, *tail)),
        Signal(shape=(n_rows, *tail)),
    )


@pytest.fixture(params=["slots", "dense", "segments"])
def way(request, monkeypatch):
    """Compute sparse products in one of the three ways."""
    monkeypatch.setattr(
        SparseDotIncBuilder,
        "_costs",
        classmethod(
            lambda cls, *args: {"slots": 1, "segments": 1} | {request.param: 0}
        ),
    )
    return request.param


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_sparse_products_match_nengo(way, batch, jit_compile):
    first = random_sparse((9, 12), 0.3, duplicates=3)
    second = SparseMatrix(first.indices[::-1], first.data, first.shape)
    ops = [make_sparse(first), make_sparse(second, column=True)]
    for group in (ops, ops[1:]):
        check_parity(
            group, random_inputs(), n_steps=3, batch=batch, jit_compile=jit_compile
        )


@pytest.fixture
def always_by_events(monkeypatch):
    """Keep small matrices by columns, too."""
    for name in ("EVENT_SIZE", "EVENT_ENTRIES"):
        monkeypatch.setattr(SparseDotIncBuilder, name, 1)
    monkeypatch.setattr(tuning, "WEIGHTS_PER_ITEM", 1)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("n_cols", [16, 80, 83])
@pytest.mark.parametrize("batch", [1, 3])
def test_sparse_products_with_spikes_match_nengo(
    always_by_events, way, n_cols, batch, jit_compile
):
    op = make_sparse(random_sparse((9, n_cols), 0.3, duplicates=3))
    config = BuildConfig(0.001, F64, minibatch_size=batch)
    assert find_builder(op)([op], config).by_events
    n_spikes = [0, 1, 2, n_cols // 8, n_cols // 4, n_cols]

    def spikes(signal, step, item):
        rng = np.random.RandomState([n_cols, step, item])
        values = np.zeros(n_cols)
        values[rng.permutation(n_cols)[: n_spikes[step - item]]] = rng.uniform(1, 2)
        return values

    check_parity(
        [op], spikes, n_steps=len(n_spikes), batch=batch, jit_compile=jit_compile
    )


def test_spikes_at_both_ends_are_found(always_by_events):
    op = make_sparse(random_sparse((5, 50), 0.5))
    inputs = [np.eye(50)[0], np.eye(50)[49], np.eye(50)[0] + np.eye(50)[49]]
    check_parity([op], lambda signal, step, item: inputs[step], n_steps=3)


def test_spikes_are_only_counted_where_it_pays():
    def by_events(matrix, **config):
        op = make_sparse(matrix)
        return find_builder(op)([op], BuildConfig(0.001, F64, **config)).by_events

    large = random_sparse((900, 900), 0.1)
    assert by_events(large)
    assert by_events(large, minibatch_size=12)
    assert not by_events(large, minibatch_size=13)
    assert not by_events(large, jit_compile=False)
    assert not by_events(large, training=lambda op: None)
    assert not by_events(random_sparse((100, 9000), 0.1))
    assert not by_events(random_sparse((300, 300), 0.1))
    assert not by_events(random_sparse((3000, 3000), 0.01))


@pytest.mark.parametrize("sparse_way", ["slots", "segments"])
def test_sparse_products_of_different_shapes_merge(sparse_way, monkeypatch):
    monkeypatch.setattr(
        SparseDotIncBuilder,
        "_costs",
        classmethod(lambda cls, *args: {"slots": 1, "segments": 1} | {sparse_way: 0}),
    )
    eye = SparseMatrix([[0, 2], [4, 0], [2, 1]], [1.0, 2.0, 3.0], (5, 3))
    other = SparseMatrix([[1, 0], [0, 5]], [0.5, -1.0], (2, 6))
    ops = [make_sparse(eye), make_sparse(other), make_sparse(eye)]
    check_parity(ops, random_inputs(), n_steps=3, batch=3)


def test_sparse_products_match_nengo_in_single_precision(way):
    ops = [make_sparse(random_sparse((9, 12), 0.3))]
    check_parity(
        ops, random_inputs(), n_steps=2, dtype=np.float32, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_scipy_matrices_match_nengo(kind):
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.random.RandomState(0).uniform(size=(20, 30))
    matrix = getattr(sparse, f"{kind}_matrix")(np.where(dense < 0.1, dense, 0))
    check_parity([make_sparse(matrix)], random_inputs(), n_steps=2)


def test_empty_sparse_matrix_adds_nothing():
    matrix = SparseMatrix(np.zeros((0, 2)), np.zeros(0), (3, 4))
    check_parity([make_sparse(matrix)], random_inputs(), n_steps=2, batch=3)


def test_values_that_are_not_finite_stay_in_their_rows():
    matrix = SparseMatrix([[0, 0], [2, 1], [2, 2]], [1.0, 2.0, 3.0], (4, 3))
    op = make_sparse(matrix)
    builder = find_builder(op)([op], BuildConfig(0.001, F64))
    builder.way = "slots"
    with tf.init_scope():
        builder._fill_slots(np.array([0, 2, 2]), np.array([0, 1, 2]))
    reads = [tf.constant(matrix.data[None]), tf.constant([[np.nan, 1.0, 1.0]], F64)]
    for builder.by_events in (False, True):
        builder.transposed = tf.constant([[0, 0], [1, 2], [2, 2]])
        (result,) = builder.step(reads, []).incs
        np.testing.assert_array_equal(result, [[np.nan, 0, 5, 0]])


@pytest.mark.parametrize(
    "matrix, batch, expected",
    [
        (random_sparse((300, 300), 0.01), 1, "slots"),
        (random_sparse((300, 300), 0.5), 1, "dense"),
        (random_sparse((300, 300), 0.06), 1, "slots"),
        (random_sparse((300, 300), 0.06), 64, "dense"),
        (arrow(3000), 1, "segments"),
    ],
)
def test_cheapest_way_is_chosen(matrix, batch, expected):
    op = make_sparse(matrix)
    builder = find_builder(op)([op], BuildConfig(0.001, F64, minibatch_size=batch))
    assert builder.way == expected


@pytest.mark.parametrize(
    "matrix, batch, expected",
    [
        (random_sparse((300, 300), 0.1), 1, "dense"),
        (random_sparse((300, 300), 0.1), 8, "dense"),
        (random_sparse((300, 300), 0.01), 1, "segments"),
        (random_sparse((300, 300), 0.02), 64, "dense"),
        (SparseMatrix([[i, i] for i in range(99)], np.ones(99), (99, 99)), 1, "slots"),
    ],
)
def test_cheapest_way_to_train_is_chosen(matrix, batch, expected):
    op = make_sparse(matrix)
    config = BuildConfig(0.001, F64, minibatch_size=batch, training=lambda op: None)
    builder = find_builder(op)([op], config)
    assert builder.way == expected
    assert builder.is_product == (expected == "dense")  # differentiated after the loop


def test_sparse_gradients_match_finite_differences(way):
    op = make_sparse(random_sparse((4, 5), 0.4, duplicates=2))
    builder = find_builder(op)([op], BuildConfig(0.001, F64))
    data = op.A.initial_value.data[None]
    X = np.random.RandomState(0).uniform(size=(3, 5))
    theoretical, numerical = tf.test.compute_gradient(
        lambda *reads: tf.sin(builder.step(reads, []).incs[0]),
        [tf.constant(data), tf.constant(X)],
    )
    for one, other in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("indptr", [[0, 2, 4], [0, 1, 4, 4]])
def test_block_sparse_products_match_nengo(indptr, batch, jit_compile):
    pytest.importorskip("scipy.sparse")
    rng = np.random.RandomState(0)
    indices = np.array([0, 1, 0, 1])
    ops = [
        BsrDotInc(
            Signal(rng.uniform(size=(4, 2, 3)), readonly=True),
            Signal(shape=(6,)),
            Signal(shape=(2 * (len(indptr) - 1),)),
            indices=indices,
            indptr=np.array(indptr),
            reshape=False,
        )
        for _ in range(2)
    ]
    check_parity(ops, random_inputs(), n_steps=3, batch=batch, jit_compile=jit_compile)
