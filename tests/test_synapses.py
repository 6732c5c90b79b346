"""Delays of whole steps, in this simulator and in Nengo's own."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


@pytest.mark.parametrize("simulator", [nengo.Simulator, nengo_dl.Simulator])
def test_delays_are_whole_steps_of_each_element(simulator):
    with nengo.Network() as net:
        node = nengo.Node(lambda t: np.full(3, t))
        late = nengo.Node(size_in=3)
        nengo.Connection(node, late, synapse=nengo_dl.Delay([0.001, 0.003, 0.0072]))
        probe = nengo.Probe(late)
    with simulator(net, progress_bar=False) as sim:
        sim.run_steps(20)
    steps = np.arange(1, 21)[:, None] - [1, 3, 7]
    np.testing.assert_allclose(sim.data[probe], np.maximum(steps, 0) * 0.001, atol=1e-7)


@pytest.mark.parametrize("delay", [0, -1, np.nan, [0.1, np.inf]])
def test_delay_that_is_none_raises(delay):
    with pytest.raises(ValidationError, match="delay: must be finite and above 0"):
        nengo_dl.Delay(delay)


def test_number_of_delays_must_be_that_of_elements():
    with pytest.raises(ValidationError, match="2 values, for a signal of size 3"):
        nengo_dl.Delay([0.1, 0.2]).make_state((3,), (3,), 0.001)
