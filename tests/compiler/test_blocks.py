"""What the pieces of a read plan say."""

import numpy as np
import pytest

from nengo_dl.compiler.blocks import Piece


@pytest.mark.parametrize(
    "piece, positions",
    [
        (Piece(0, start=2, length=3), [2, 3, 4]),
        (Piece(0, start=1, length=3, step=2), [1, 3, 5]),
        (Piece(0, length=5, index=np.array([4, 0])), [4, 0]),
        (Piece(0, length=8, row=2, index=np.array([3, 1])), [6, 7, 2, 3]),
        (Piece(0, start=5, length=6, row=2, index=np.array([2, 0])), [9, 10, 5, 6]),
    ],
    ids=["slice", "every other", "elements", "rows", "rows of a part"],
)
def test_positions_are_those_that_are_read(piece, positions):
    assert piece.positions.tolist() == positions
