"""Arrays of which only the values that are not zero are kept."""

import numpy as np
import pytest

import nengo_dl


def pair(rng, n_steps, n_items, share=0.2):
    """An array of events, and the array that it stands for."""
    shape = (n_steps, n_items or 1, 4, 2)
    values = (rng.random(shape) < share) * rng.random(shape)
    positions = np.flatnonzero(values)
    events = nengo_dl.EventArray(
        positions, values.ravel()[positions], n_steps, n_items, (4, 2), "float64"
    )
    return events, values[:, 0] if n_items is None else np.moveaxis(values, 0, 1)


@pytest.mark.parametrize("n_items", [None, 3], ids=["single", "minibatch"])
@pytest.mark.parametrize("n_steps", [0, 1, 30])
def test_array_is_what_it_stands_for(rng, n_steps, n_items):
    events, array = pair(rng, n_steps, n_items)
    assert events.shape == array.shape
    assert (events.ndim, events.size, len(events)) == (
        array.ndim,
        array.size,
        len(array),
    )
    assert events.n_events == np.count_nonzero(array)
    np.testing.assert_array_equal(events, array)
    np.testing.assert_array_equal(list(events), list(array))


@pytest.mark.parametrize(
    "key",
    [
        np.s_[3],
        np.s_[-1, 2],
        np.s_[np.int64(2)],
        np.s_[0, 1, 1],
        np.s_[:, ::2],
        np.s_[::-1],
        np.s_[:, ::-2],
        np.s_[5:20:3],
        np.s_[25:5:-4, ..., 0],
        np.s_[..., 1:2, 0],
        np.s_[40:],
        None,
        np.s_[:, None],
        np.s_[[0, 1]],
        np.arange(30) % 3 == 0,
    ],
    ids=str,
)
def test_index_gives_what_an_array_gives(rng, key):
    events, array = pair(rng, 30, None)
    assert np.shape(events[key]) == np.shape(array[key])
    np.testing.assert_array_equal(events[key], array[key])


@pytest.mark.parametrize(
    "key", [np.s_[2], np.s_[1, 7:9], np.s_[:, 10], np.s_[:, -3:, 1], np.s_[..., 0]]
)
def test_index_of_a_minibatch_gives_what_an_array_gives(rng, key):
    events, array = pair(rng, 30, 3)
    np.testing.assert_array_equal(events[key], array[key])


@pytest.mark.parametrize("key", [30, (0, 4), (0, 0, 0, 0)], ids=str)
def test_index_outside_raises(rng, key):
    with pytest.raises(IndexError):
        pair(rng, 30, None)[0][key]


@pytest.mark.parametrize("axis", [None, 0, -1, 1, (0, 1), (0, 1, 2)], ids=str)
def test_sums_and_means(rng, axis):
    events, array = pair(rng, 30, None)
    np.testing.assert_allclose(np.sum(events, axis=axis), array.sum(axis=axis))
    np.testing.assert_allclose(events.mean(axis=axis), array.mean(axis=axis))
    out = np.empty_like(array.sum(axis=axis))
    assert events.sum(axis=axis, out=out) is out
    np.testing.assert_allclose(out, array.sum(axis=axis))


def test_operators_take_it_for_an_array(rng):
    events, array = pair(rng, 30, 2)
    np.testing.assert_array_equal(events > 0, array > 0)
    np.testing.assert_array_equal(2 * events + array, 3 * array)
    assert np.asarray(events, dtype="float32").dtype == np.float32


@pytest.mark.parametrize("n_items", [None, 2])
def test_window_and_indices(rng, n_items):
    events, array = pair(rng, 30, n_items)
    part = events.window(5, 21)
    expected = array[5:21] if n_items is None else array[:, 5:21]
    assert isinstance(part, nengo_dl.EventArray)
    np.testing.assert_array_equal(part, expected)
    rebuilt = np.zeros_like(array)
    rebuilt[events.indices()] = events.values
    np.testing.assert_array_equal(rebuilt, array)
    assert events.window(50).shape[-3] == 0


def test_equal_values_take_no_memory():
    positions = np.arange(1000) * 7
    events = nengo_dl.EventArray(positions, np.ones(()), 7000, None, (1,), float)
    assert events.nbytes == 8 * 1000 + 8
    assert events.window(0, 70).n_events == 10
    assert events.sum() == 1000
    assert repr(events) == "<EventArray of 7000 x 1 with 1000 events>"


def test_making_an_array_without_a_copy_raises(rng):
    with pytest.raises(ValueError, match="without a copy"):
        np.array(pair(rng, 3, None)[0], copy=False)
