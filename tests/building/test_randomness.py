"""Numbers are shuffled as NumPy shuffles them."""

import numpy as np
import pytest

from nengo_dl.building.randomness import FastRandom


@pytest.mark.parametrize(
    "shape", [(750, 1), (33, 3), (2, 1), (1, 2), (0, 2), (7, 2, 3), (9,)], ids=str
)
def test_rows_are_shuffled_as_by_numpy(shape):
    ours, theirs = FastRandom(5), np.random.RandomState(5)
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    y = x.copy()
    for _ in range(2):
        ours.shuffle(x)
        theirs.shuffle(y)
        np.testing.assert_array_equal(x, y)
    # and as many numbers were drawn
    assert ours.randint(2**31) == theirs.randint(2**31)


@pytest.mark.parametrize("kind", ["list", "view", "masked"])
def test_other_sequences_are_left_to_numpy(kind):
    found = []
    for random in (FastRandom(5), np.random.RandomState(5)):
        x = np.arange(12.0).reshape(6, 2)
        given = {"list": x[:, 0].tolist(), "view": x[::2], "masked": np.ma.array(x)}
        random.shuffle(given[kind])
        found.append(np.array(given[kind]).tolist())
    assert found[0] == found[1]
