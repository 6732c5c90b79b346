"""How many synapses carry a value on."""

import nengo
import numpy as np
import pytest
from nengo.builder import Model, Signal

from nengo_dl.inspection.fan_out import fan_out_of


def matrix_of(transform):
    """The matrix that a transform is, by applying it to unit vectors."""
    columns = []
    for unit in np.eye(transform.size_in):
        model = Model()
        signal = Signal(unit)
        out, _ = model.build(transform, signal, rng=np.random)
        values = nengo.builder.signal.SignalDict()
        for op in model.operators:
            op.init_signals(values)
        for op in model.operators:
            op.make_step(values, 0.001, np.random)()
        columns.append(np.array(values[out]))
    return np.transpose(columns)


def convolutions():
    for kind in (nengo.Convolution, nengo.ConvolutionTranspose):
        for padding in ("same", "valid"):
            for last in (True, False):
                for size, kernel, strides in (
                    ((5, 4), (3, 2), (1, 1)),
                    ((6, 5), (2, 4), (2, 3)),
                    ((7,), (3,), (2,)),
                ):
                    shape = (*size, 4) if last else (4, *size)
                    yield kind, (shape, kernel, strides, padding, last, 1)
    yield nengo.Convolution, ((5, 4, 4), (3, 3), (2, 1), "same", True, 2)
    yield nengo.Convolution, ((4, 5, 4), (3, 3), (2, 1), "valid", False, 4)


@pytest.mark.parametrize("kind, arguments", convolutions(), ids=str)
def test_convolutions_are_counted_as_their_matrices(rng, kind, arguments):
    shape, kernel_size, strides, padding, last, groups = arguments
    kernel = rng.rand(*kernel_size, 4 // groups, 8) + 0.1
    kernel[rng.rand(*kernel.shape) < 0.3] = 0
    options = {
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": padding,
        "channels_last": last,
        "groups": groups,
    }
    if groups == 1:
        del options["groups"]
    transform = kind(8, shape, init=kernel, **options)
    found = fan_out_of(transform, kernel, transform.size_in)
    matrix = matrix_of(transform)
    np.testing.assert_array_equal(found.effective, np.count_nonzero(matrix, axis=0))
    full = kind(8, shape, init=np.ones_like(kernel), **options)
    assert found.dense == np.count_nonzero(matrix_of(full))
    assert found.n_weights == kernel.size
    assert found.n_zeros == (kernel == 0).sum()


def test_matrices_with_and_without_items(rng):
    weights = rng.rand(3, 4, 5) * (rng.rand(3, 4, 5) < 0.5)
    one = fan_out_of(None, weights[0], 5)
    np.testing.assert_array_equal(one.effective, (weights[0] != 0).sum(axis=0))
    assert (one.dense, one.n_weights, one.n_zeros) == (20, 20, (weights[0] == 0).sum())
    items = fan_out_of(None, weights, 5)
    np.testing.assert_allclose(items.effective, (weights != 0).sum(axis=1).mean(axis=0))


@pytest.mark.parametrize("with_scipy", [False, True])
def test_sparse_matrices(with_scipy):
    indices, data = [[0, 1], [2, 1], [2, 0], [1, 3]], [1.0, 2.0, 0.0, 3.0]
    if with_scipy:
        sparse = pytest.importorskip("scipy.sparse")
        weights = sparse.csr_matrix((data, np.transpose(indices)), (3, 4))
    else:
        weights = nengo.transforms.SparseMatrix(indices, data, (3, 4))
    found = fan_out_of(None, weights, 4)
    np.testing.assert_array_equal(found.effective, [0, 2, 0, 1])
    assert (found.dense, found.n_weights, found.n_zeros) == (12, 12, 9)


def test_scalars_diagonals_and_identity():
    scalar = fan_out_of(None, np.array(2.0), 3)
    np.testing.assert_array_equal(scalar.effective, [1, 1, 1])
    assert (scalar.dense, scalar.n_weights) == (3, 1)
    diagonal = fan_out_of(None, np.array([1.0, 0.0, 2.0]), 3)
    np.testing.assert_array_equal(diagonal.effective, [1, 0, 1])
    assert (diagonal.dense, diagonal.n_weights, diagonal.n_zeros) == (3, 3, 1)
    identity = fan_out_of(None, None, 3)
    np.testing.assert_array_equal(identity.effective, [1, 1, 1])
    assert (identity.dense, identity.n_weights) == (3, 0)
