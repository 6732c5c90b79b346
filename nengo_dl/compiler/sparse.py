"""Sparse matrices as plain index and value arrays, with or without SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import BuildError
from nengo.transforms import SparseMatrix

__all__ = ["coo", "row_slots"]


def coo(initial_value: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coordinates and values of the stored entries of a sparse matrix.

    The order of the entries is the canonical order in which the values of a sparse
    signal are laid out as a parameter: that of ``.data`` for Nengo's own matrices,
    and that of ``.tocoo().data`` for SciPy's. Entries with equal coordinates
    are kept apart; they count as their sum.

    Parameters
    ----------
    initial_value : nengo.transforms.SparseMatrix or scipy.sparse.spmatrix
        Initial value of a sparse signal.

    Returns
    -------
    rows, cols : ndarray of int32, shape (nnz,)
        Coordinates of the stored entries.
    data : ndarray, shape (nnz,)
        Their values, in the type of the matrix.

    Raises
    ------
    BuildError
        If the value is not a sparse matrix.
    """
    if isinstance(initial_value, SparseMatrix):
        indices = np.asarray(initial_value.indices, dtype=np.int32).reshape(-1, 2)
        return indices[:, 0], indices[:, 1], np.asarray(initial_value.data)
    if not hasattr(initial_value, "tocoo"):
        raise BuildError(
            "Expected a nengo.transforms.SparseMatrix or a scipy.sparse matrix, "
            f"got {type(initial_value).__name__}"
        )
    matrix = initial_value.tocoo()
    return matrix.row.astype(np.int32), matrix.col.astype(np.int32), matrix.data


def row_slots(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Arrange entries in slots, such that each row has one entry or none per slot.

    Parameters
    ----------
    rows : ndarray of int, shape (nnz,)
        Row of each entry, in any order.
    n_rows : int
        Number of rows.

    Returns
    -------
    ndarray of int32, shape (n_slots, n_rows)
        Index of the entry that fills a slot of a row, or -1. Each row fills its first
        slots, in the order of its entries; ``n_slots`` is the largest number of entries
        in a row.
    """
    rows = np.asarray(rows)
    counts = np.bincount(rows, minlength=n_rows)
    n_slots = int(counts.max(initial=0))
    order = np.argsort(rows, kind="stable")
    first = np.cumsum(counts) - counts
    slot = np.arange(len(rows)) - np.repeat(first, counts)
    slots = np.full((n_slots, n_rows), -1, dtype=np.int32)
    slots[slot, rows[order]] = order
    return slots
