"""Neurons are built as Nengo builds them, with states of their own."""

import nengo
import numpy as np
import pytest
from nengo.builder import Builder, Model
from nengo.builder.neurons import SimNeurons
from nengo.exceptions import BuildError

from nengo_dl.building.builder import FastBuilder

TYPES = [
    nengo.LIF(),
    nengo.LIF(initial_state={"voltage": nengo.dists.Choice([0.5])}),
    nengo.AdaptiveLIF(),
    nengo.Izhikevich(),
    nengo.Sigmoid(),
    nengo.StochasticSpiking(nengo.LIFRate()),
    nengo.PoissonSpiking(nengo.Tanh()),
    nengo.RegularSpiking(nengo.RectifiedLinear()),
]


def built(builder, neuron_types, seed=2):
    with nengo.Network(seed=seed) as net:
        for neuron_type in neuron_types:
            nengo.Ensemble(7, 1, neuron_type=neuron_type)
    model = Model(builder=builder)
    model.build(net)
    return [op for op in model.operators if isinstance(op, SimNeurons)]


@pytest.mark.parametrize("neuron_type", TYPES, ids=repr)
def test_states_and_streams_are_nengos_to_the_last_bit(neuron_type):
    types = [neuron_type] * 4
    ours, theirs = built(FastBuilder(), types), built(Builder(), types)
    for op, other in zip(ours, theirs, strict=True):
        assert op.neurons == other.neurons
        assert list(op.state) == list(other.state)
        for name, signal in other.state.items():
            np.testing.assert_array_equal(
                op.state[name].initial_value, signal.initial_value
            )
        assert list(op.state_extra) == list(other.state_extra)
    # each keeps its own stream
    draws = [[rng.rand() for rng in op.state_extra.values()] for op in ours]
    assert draws == [[rng.rand() for rng in op.state_extra.values()] for op in theirs]


@pytest.mark.parametrize("value", ["voltage", object()], ids=["text", "object"])
@pytest.mark.parametrize("name", ["in", "own"])
def test_states_that_cannot_be_are_nengos_error(name, value):
    class Wrong(nengo.LIF):
        def make_state(self, n_neurons, rng=np.random, dtype=None):
            return {name: np.zeros(n_neurons) if name == "in" else value}

    errors = []
    for builder in (FastBuilder(), Builder()):
        with pytest.raises(BuildError) as error:
            built(builder, [Wrong()])
        errors.append(str(error.value))
    assert errors[0] == errors[1]
