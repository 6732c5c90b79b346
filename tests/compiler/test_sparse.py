"""Sparse matrices as arrays of coordinates and values."""

import numpy as np
import pytest
from nengo.exceptions import BuildError
from nengo.transforms import SparseMatrix

from nengo_dl.compiler.sparse import coo, row_slots

INDICES = [[2, 0], [0, 1], [2, 2], [0, 1]]


def test_coo_keeps_the_order_and_duplicates_of_nengo_matrices():
    matrix = SparseMatrix(INDICES, [1.0, 2.0, 3.0, 4.0], (3, 4))
    rows, cols, data = coo(matrix)
    np.testing.assert_array_equal(np.stack([rows, cols], axis=1), INDICES)
    np.testing.assert_array_equal(data, [1, 2, 3, 4])


def test_coo_of_empty_nengo_matrix():
    rows, cols, data = coo(SparseMatrix(np.zeros((0, 2)), np.zeros(0), (3, 4)))
    assert rows.shape == cols.shape == data.shape == (0,)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "lil"])
def test_coo_describes_scipy_matrices(kind):
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 2.0, 0], [0, 0, 0], [1.0, 0, 3.0]])
    matrix = getattr(sparse, f"{kind}_matrix")(dense)
    rows, cols, data = coo(matrix)
    np.testing.assert_array_equal(data, matrix.tocoo().data)
    restored = np.zeros_like(dense)
    np.add.at(restored, (rows, cols), data)
    np.testing.assert_array_equal(restored, dense)


def test_coo_rejects_dense_arrays():
    with pytest.raises(BuildError, match=r"Expected .*SparseMatrix.* got ndarray"):
        coo(np.eye(3))


def test_row_slots_fill_each_row_in_order():
    slots = row_slots(np.array([2, 0, 2, 2]), n_rows=4)
    np.testing.assert_array_equal(
        slots, [[1, -1, 0, -1], [-1, -1, 2, -1], [-1, -1, 3, -1]]
    )


def test_row_slots_hold_every_entry_once():
    rows = np.random.RandomState(0).randint(20, size=100)
    slots = row_slots(rows, n_rows=20)
    assert slots.shape == (np.bincount(rows).max(), 20)
    slot, row = np.nonzero(slots >= 0)
    entries = slots[slot, row]
    np.testing.assert_array_equal(np.sort(entries), np.arange(100))
    np.testing.assert_array_equal(rows[entries], row)


def test_row_slots_of_no_entries():
    assert row_slots(np.zeros(0, dtype=int), n_rows=3).shape == (0, 3)
