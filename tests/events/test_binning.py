"""Events as the values of an input in each time step."""

import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl

SENSOR = [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")]
SOUND = [("t", "i8"), ("x", "i8"), ("p", "i8")]


def test_binning_undoes_spike_times(rng):
    spikes = (rng.random((500, 7)) < 0.1).astype(float)
    times = nengo_dl.spike_times(spikes, dt=0.0007)
    found = nengo_dl.bin_events(times, 500, 7, dt=0.0007, dtype=float)
    np.testing.assert_array_equal(found, spikes)


def test_all_forms_of_neurons_and_times_give_the_same():
    by_neuron = [[0.0011], [], [0.0, 0.003]]
    expected = [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    neurons, times = [2, 0, 2], [0.0, 0.0011, 0.003]
    for events in (
        by_neuron,
        (neurons, times),
        np.transpose([neurons, times]),
        [np.array(part) for part in by_neuron],
    ):
        np.testing.assert_array_equal(nengo_dl.bin_events(events, 3, 3), expected)


@pytest.mark.parametrize("kind", ["i1", "bool"])
def test_events_of_a_sensor_are_counted_where_they_are(rng, kind):
    fields = [*SENSOR[:3], ("p", kind)]
    events = np.zeros(300, dtype=fields)
    for name, n_values in (("x", 5), ("y", 3), ("p", 2), ("t", 4000)):
        events[name] = rng.randint(0, n_values, 300)
    events.sort(order="t")
    expected = np.zeros((4, 3, 5, 2))
    for x, y, t, p in events:
        expected[max(0, -(-t // 1000) - 1), y, x, int(p)] += 1
    found = nengo_dl.bin_events(events, 4, (5, 3, 2))
    np.testing.assert_array_equal(found, expected.reshape(4, -1))
    first = nengo_dl.bin_events(events, 4, (5, 3, 2), channels_last=False)
    np.testing.assert_array_equal(
        first.reshape(4, 2, 3, 5), np.moveaxis(expected, -1, 1)
    )


@pytest.mark.parametrize("size", [10, (10, 1, 1)], ids=str)
def test_recordings_of_sound_have_one_place(size):
    events = np.array([(100, 3, 1), (1500, 9, 1)], dtype=SOUND)
    if size == 10:
        events = events[["t", "x"]]
    found = nengo_dl.bin_events(events, 2, size)
    np.testing.assert_array_equal(np.argwhere(found), [[0, 3], [1, 9]])


def test_value_unit_and_start():
    events = ([0, 0, 1], [9, 10, 12])  # milliseconds
    found = nengo_dl.bin_events(
        events, 2, 2, dt=0.001, unit=0.001, start=10, value=1000
    )
    np.testing.assert_array_equal(found, [[1000, 0], [0, 1000]])


def test_events_of_no_step_are_left_out():
    found = nengo_dl.bin_events([[-0.1, 0.0005, 0.002, 0.0021]], 2, 1)
    np.testing.assert_array_equal(found, [[1], [1]])
    assert nengo_dl.bin_events([], 2, 1).sum() == 0
    assert nengo_dl.bin_events([[0.1]], 0, 1).shape == (0, 1)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"size": 0}, r"size: must be a number of neurons, .* got 0"),
        ({"size": (3, 2)}, r"size: .* got \(3, 2\)"),
        ({"size": (2, 1, 1)}, r"size: must be one number"),
        ({"n_steps": 1.5}, "n_steps: must be a number of steps; got 1.5"),
        ({"dt": 0}, "dt: must be a number of seconds above 0; got 0"),
        ({"unit": -1}, "unit: must be a number of seconds above 0; got -1"),
        ({"start": np.nan}, "start: must be a finite number; got nan"),
        ({"events": "spikes"}, "events: must be a structured array, .* got str"),
        ({"events": np.zeros((3, 3))}, r"got ndarray of shape \(3, 3\)"),
        ({"events": ([0, 1], [0.1])}, r"equal lengths"),
        ({"events": [[0.1]] * 3}, "has times of 3 neurons, more than the size of 2"),
        ({"events": ([2], [0.1])}, "has neuron = 2.0 in event 0; .* from 0 to 1"),
        ({"events": ([0.5], [0.1])}, "has neuron = 0.5 in event 0"),
        ({"events": [[np.inf]]}, "has times that are not finite"),
    ],
)
def test_unusable_arguments_raise(kwargs, message):
    arguments = {"events": [[0.001]], "n_steps": 2, "size": 2, **kwargs}
    with pytest.raises(ValidationError, match=message):
        nengo_dl.bin_events(**arguments)


@pytest.mark.parametrize(
    "fields, size, message",
    [
        (SENSOR, (2, 2, 1), None),
        (SENSOR, (1, 2, 2), "has x = 1 in event 0; must be .* from 0 to 0"),
        (SENSOR, 2, "must have numbers for x, y and p, .* fields x, y, p; got 2"),
        ([("x", "i2")], 2, "with the fields t, and x, y or p; .* fields x"),
        ([("t", "i8"), ("q", "i2")], 2, "with the fields t, and x, y or p"),
    ],
)
def test_events_with_fields_that_do_not_fit_raise(fields, size, message):
    events = np.ones(1, dtype=fields)
    if message is None:  # one polarity only: all events count
        assert nengo_dl.bin_events(events, 1, size).sum() == 1
        return
    with pytest.raises(ValidationError, match=message):
        nengo_dl.bin_events(events, 1, size)
