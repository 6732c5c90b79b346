"""Tiles hold each row once, and rows of one vector only."""

import numpy as np
import pytest

from nengo_dl.compiler.tiles import Tiles

OWNERS = {
    "one": [0],
    "one each": [0, 1, 2, 3],
    "many of one": [0] * 37,
    "in turns": [0, 1, 0, 1, 0, 1, 2],
    "random": np.random.RandomState(0).permutation(np.r_[np.arange(9), [3] * 20, 5, 5]),
}


@pytest.mark.parametrize("name", OWNERS)
def test_rows_are_where_the_places_say(name):
    owners = np.array(OWNERS[name])
    tiles = Tiles(owners)
    n_rows = len(owners)
    np.testing.assert_array_equal(tiles.rows.ravel()[tiles.places], np.arange(n_rows))
    assert (tiles.rows.ravel() < n_rows).sum() == n_rows
    for owner, rows in zip(tiles.owners, tiles.rows, strict=True):
        used = rows[rows < n_rows]
        assert len(used) and (owners[used] == owner).all()


@pytest.mark.parametrize(
    ("counts", "height"),
    [([1] * 10, 1), ([2] * 10, 2), ([8] * 10, 8), ([3, 1, 1, 1], 1), ([4, 8, 12], 4)],
)
def test_tiles_have_the_height_that_reads_least(counts, height):
    tiles = Tiles(np.repeat(np.arange(len(counts)), counts))
    assert tiles.rows.shape[1] == height
