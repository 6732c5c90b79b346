"""When neurons spiked."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


def test_spike_times_are_those_of_the_steps_with_spikes():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1, neuron_type=nengo_dl.ResetLIF())
        probe = nengo.Probe(ens.neurons)
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        sim.run_steps(100)
        found = nengo_dl.spike_times(sim.data[probe], sim.dt)
        times = sim.trange()
    assert sum(len(neuron) for neuron in found[0]) > 10
    for item, data in zip(found, sim.data[probe], strict=True):
        for neuron, column in zip(item, data.T, strict=True):
            np.testing.assert_allclose(neuron, times[column > 0])


def test_silent_neurons_have_no_times():
    found = nengo_dl.spike_times(np.zeros((5, 3)))
    assert [len(times) for times in found] == [0, 0, 0]
    assert nengo_dl.spike_times(np.zeros((5, 0))) == []


def test_invalid_data_raises():
    with pytest.raises(ValidationError, match=r"data: must have the axes .* \(3,\)"):
        nengo_dl.spike_times(np.zeros(3))
    with pytest.raises(ValidationError, match="dt: must be above 0; got 0"):
        nengo_dl.spike_times(np.zeros((3, 2)), dt=0)


@pytest.mark.parametrize("n_items", [None, 3])
def test_times_of_an_event_array_are_those_of_the_array(rng, n_items):
    spikes = rng.random((40, n_items or 1, 5)) < 0.2
    positions = np.flatnonzero(spikes)
    events = nengo_dl.EventArray(positions, np.ones(()), 40, n_items, (5,), float)
    expected = nengo_dl.spike_times(events.toarray(), dt=0.002)
    found = nengo_dl.spike_times(events, dt=0.002)
    if n_items is None:
        found, expected = [found], [expected]
    for item, reference in zip(found, expected, strict=True):
        for times, others in zip(item, reference, strict=True):
            np.testing.assert_array_equal(times, others)
