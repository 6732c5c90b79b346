"""Numbers are shuffled as NumPy shuffles them."""

import numpy as np
import pytest

from nengo_dl.building.randomness import N_STREAMS, FastRandom, Streams


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


def test_streams_begin_as_new_ones():
    streams = Streams()
    for seed in (0, 5, 5, 2**32 - 1):
        stream, expected = streams.seeded(seed), np.random.RandomState(seed)
        assert stream.standard_normal() == expected.standard_normal()
        # half of a pair of normal numbers is left over, for nobody
        assert stream.randint(2**31, size=3).tolist() == (
            expected.randint(2**31, size=3).tolist()
        )


def test_a_stream_is_used_again_only_if_nobody_has_it():
    streams = Streams()
    kept = [streams.seeded(seed) for seed in range(2 * N_STREAMS)]
    assert len({id(stream) for stream in kept}) == len(kept)
    expected = [np.random.RandomState(seed).rand() for seed in range(len(kept))]
    assert [stream.rand() for stream in kept] == expected
    last = id(kept[-1])
    kept.clear()
    assert id(streams.seeded(1)) == last


def test_a_stream_that_only_a_method_refers_to_is_not_used_again():
    streams = Streams()
    draw = streams.seeded(1).rand
    streams.seeded(2)
    assert draw() == np.random.RandomState(1).rand()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_that_cannot_be_are_numpys_error(seed):
    with pytest.raises(ValueError, match="Seed must be between"):
        Streams().seeded(seed)
