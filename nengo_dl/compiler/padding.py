"""Matrices of different shapes as a stack of equal ones, filled up with zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Padding"]


class Padding:
    """Where elements of matrices, vectors and results lie in padded stacks.

    Parameters
    ----------
    shapes : sequence of (int, int)
        Shapes of the matrices.

    Attributes
    ----------
    shape : (int, int)
        That of each padded matrix.
    matrix_elements : (n, n_rows, n_columns) ndarray of int64
        For each element of the stack, which of all matrices' elements, one after the
        other, it is; their number stands for a zero.
    vector_elements : (n, n_columns) ndarray of int64
        The same of the vectors. What is multiplied by zeros is an element of the same
        vector, so that a value that is not finite stays where it belongs.
    result_elements : (sum of n_rows,) ndarray of int64
        Which elements of the stacked results are used, one after the other.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]):
        rows, columns = np.array(shapes).T
        n_rows, n_columns = self.shape = int(rows.max()), int(columns.max())
        row, column = np.arange(n_rows), np.arange(n_columns)
        sizes = rows * columns
        starts = np.cumsum(sizes) - sizes
        elements = (
            starts[:, None, None]
            + row[:, None] * columns[:, None, None]
            + column[None, None, :]
        )
        is_used = (row < rows[:, None])[:, :, None] & (column < columns[:, None])[
            :, None, :
        ]
        self.matrix_elements = np.where(is_used, elements, sizes.sum())
        firsts = np.cumsum(columns) - columns
        self.vector_elements = firsts[:, None] + np.where(
            column < columns[:, None], column, 0
        )
        self.result_elements = np.flatnonzero((row < rows[:, None]).ravel())
