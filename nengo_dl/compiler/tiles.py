"""Rows that are multiplied with a few vectors, as a stack of small matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nengo.builder.operator import DotInc
from nengo.builder.signal import Signal

__all__ = ["Tiles", "vectors_of_rows"]

#: Rows of the largest tile that is considered.
_MOST_ROWS = 8


class Tiles:
    """Rows of matrices, divided into tiles of equally many, filled up with zeros.

    All rows of a tile are multiplied with one vector. Tiles have as many rows as make
    what is read the least: those of all tiles, and a vector for each.

    Parameters
    ----------
    owners : (n_rows,) ndarray of int
        For each row, the vector that it is multiplied with.

    Attributes
    ----------
    owners : (n_tiles,) ndarray of int64
        For each tile, the vector that it is multiplied with.
    rows : (n_tiles, rows_per_tile) ndarray of int64
        Which rows tiles consist of; their number stands for a row of zeros.
    places : (n_rows,) ndarray of int64
        For each row, where it is among the rows of all tiles.

    Examples
    --------
    >>> import numpy as np
    >>> from nengo_dl.compiler.tiles import Tiles
    >>> tiles = Tiles(np.array([0, 0, 1, 0]))
    >>> tiles.owners
    array([0, 1])
    >>> tiles.rows
    array([[0, 1, 3],
           [2, 4, 4]])
    >>> tiles.places
    array([0, 1, 3, 2])
    """

    def __init__(self, owners: np.ndarray):
        n_rows = len(owners)
        counts = np.bincount(owners)
        height = min(
            range(1, _MOST_ROWS + 1),
            key=lambda rows: int((-(-counts // rows)).sum()) * (rows + 1),
        )
        n_tiles = -(-counts // height)
        # stable: rows of a vector keep their order
        order = np.argsort(owners, kind="stable")
        number = np.arange(n_rows) - np.repeat(np.cumsum(counts) - counts, counts)
        first = np.cumsum(n_tiles) - n_tiles
        slots = first[owners[order]] * height + number
        self.owners = np.repeat(np.arange(len(counts)), n_tiles)
        rows = np.full(len(self.owners) * height, n_rows)
        rows[slots] = order
        self.rows = rows.reshape(-1, height)
        self.places = np.empty(n_rows, dtype=np.int64)
        self.places[order] = slots


def vectors_of_rows(ops: Sequence[DotInc]) -> tuple[list[Signal], np.ndarray]:
    """Return the vectors that rows of matrices are multiplied with.

    Parameters
    ----------
    ops : sequence of DotInc
        Products of matrices and vectors.

    Returns
    -------
    vectors : list of Signal
        The vectors, each one once, in the order in which they come first.
    owners : (n_rows,) ndarray of int
        For each row of all matrices, the number of its vector.
    """
    numbers = {x: number for number, x in enumerate(dict.fromkeys(op.X for op in ops))}
    n_rows = [op.A.shape[0] for op in ops]
    return list(numbers), np.repeat([numbers[op.X] for op in ops], n_rows)
