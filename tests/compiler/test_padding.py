"""Stacks of padded matrices compute the products of the matrices."""

import numpy as np
import pytest

from nengo_dl.compiler.padding import Padding


def padded_products(matrices, vectors):
    padding = Padding([matrix.shape for matrix in matrices])
    flat = np.concatenate([*(matrix.ravel() for matrix in matrices), [0.0]])
    stacked = flat[padding.matrix_elements]
    assert stacked.shape == (len(matrices), *padding.shape)
    results = np.einsum(
        "kmn,kn->km", stacked, np.concatenate(vectors)[padding.vector_elements]
    )
    return results.ravel()[padding.result_elements]


@pytest.mark.parametrize(
    "shapes", [[(2, 3)], [(1, 1), (4, 2), (3, 5)], [(3, 1), (3, 4)], [(5, 2), (1, 2)]]
)
def test_products_are_those_of_the_matrices(shapes):
    rng = np.random.RandomState(0)
    matrices = [rng.randn(*shape) for shape in shapes]
    vectors = [rng.randn(n_columns) for _, n_columns in shapes]
    expected = [a @ x for a, x in zip(matrices, vectors, strict=True)]
    np.testing.assert_allclose(
        padded_products(matrices, vectors), np.concatenate(expected)
    )


def test_values_that_are_not_finite_stay_where_they_belong():
    matrices = [np.ones((2, 1)), np.ones((1, 3))]
    vectors = [np.array([np.inf]), np.array([1.0, 2.0, 3.0])]
    with np.errstate(invalid="ignore"):
        result = padded_products(matrices, vectors)
    assert not np.isfinite(result[:2]).any()
    assert result[2] == 6
