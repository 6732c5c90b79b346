"""Neurons that cannot learn are named before the first update."""

import warnings

import nengo
import numpy as np
import pytest

import nengo_dl
from nengo_dl.training.first_look import currents


def network(neuron_type, gain, bias, synapse=None):
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(lif_smoothing=None, surrogate=None)
        net.node = nengo.Node([0])
        net.ens = nengo.Ensemble(
            10,
            1,
            neuron_type=neuron_type,
            gain=gain * np.ones(10),
            bias=bias * np.ones(10),
            encoders=np.ones((10, 1)),
            label="hidden",
        )
        nengo.Connection(net.node, net.ens, synapse=synapse)
        net.probe = nengo.Probe(net.ens.neurons)
    return net


def said(net, n_steps=1, calls=1):
    """Return what two calls of train say."""
    x = np.random.RandomState(0).uniform(0.1, 0.5, (4, n_steps, 1))
    with (
        nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim,
        warnings.catch_warnings(record=True) as found,
    ):
        warnings.simplefilter("always")
        for _ in range(calls):
            sim.train({net.node: x}, {net.probe: np.ones((4, n_steps, 10))}, "sgd")
    return [str(warning.message) for warning in found]


FEW = {
    "LIF below its threshold": (nengo.LIF(), 1.2, 0.0, "are silent"),
    "LIF": (nengo.LIF(), 1.0, 2.0, None),
    "rectified below zero": (nengo.RectifiedLinear(), 1.0, -5.0, "are silent"),
    "rectified, large": (nengo.RectifiedLinear(), 1.0, 1e5, None),
    "leaky": (nengo_dl.LeakyReLU(), 1.0, -5.0, None),
    "sigmoid, large": (nengo.Sigmoid(), 1.0, 10.0, "at a bound"),
    "sigmoid, small": (nengo.Sigmoid(), 1.0, -10.0, "at a bound"),
    "sigmoid": (nengo.Sigmoid(), 1.0, 0.0, None),
    "tanh, small": (nengo.Tanh(), 1.0, -10.0, "at a bound"),
    "tanh": (nengo.Tanh(), 1.0, 0.0, None),
    "LIF without pause": (nengo.LIF(tau_ref=0.002), 1.0, 1e6, "at a bound"),
}


@pytest.mark.parametrize("name", FEW)
def test_silent_and_saturated_neurons_are_named_once(name):
    neuron_type, gain, bias, expected = FEW[name]
    messages = said(network(neuron_type, gain, bias), calls=2)
    if expected is None:
        assert not messages
    else:
        (message,) = messages
        assert '<Ensemble "hidden"> (10 of 10)' in message.replace("'", '"')
        assert expected in message
        assert "Choose" in message


@pytest.mark.parametrize("setting", [{"lif_smoothing": 0.1}, {"surrogate": "arctan"}])
def test_neurons_with_another_derivative_are_not_named(setting):
    net = network(nengo.LIF(), 1.2, 0.0)
    with net:
        nengo_dl.configure_settings(**setting)
    assert not said(net)


def test_default_ensembles_are_not_named():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0])
        net.ens = nengo.Ensemble(10, 1)
        nengo.Connection(net.node, net.ens, synapse=None)
        net.probe = nengo.Probe(net.ens.neurons)
    assert not said(net)


def test_neurons_are_looked_at_in_all_steps():
    net = network(nengo.RectifiedLinear(), 1.0, -0.01, synapse=0.002)
    assert "are silent" in " ".join(said(net, n_steps=1))
    assert not said(net, n_steps=10)


def test_currents_are_those_that_nengo_computes():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0])
        layers = [
            nengo.Ensemble(n, 1, neuron_type=nengo.RectifiedLinear()) for n in (5, 7)
        ]
        nengo.Connection(node, layers[0], synapse=0.005)
        nengo.Connection(*layers, synapse=0.003)
        probes = [nengo.Probe(ens.neurons, "input") for ens in layers]
        shown = nengo.Probe(layers[1])
    x = np.random.RandomState(0).uniform(-1, 1, (2, 6, 1))
    seen = {}
    with nengo_dl.Simulator(
        net, minibatch_size=2, progress_bar=False, dtype="float64"
    ) as sim:
        sim.run_steps(6, input_feeds={node: x})
        expected = [sim.data[probe] for probe in probes]
        trainer = sim._get_training().trainer
        data = sim._get_training().checker.read({node: x}, {shown: x})
        (parts,) = trainer.inputs.prepare(data.epoch(None), np.random.RandomState(0))
        seen = currents(
            trainer.functions.programs.step(True),
            [v.value() for v in sim._session.store.variables.constants],
            trainer.state,
            parts[0],
        )
        by_size = {op.J.size: values for op, values in seen.items()}
    for values, ens in zip(expected, layers, strict=True):
        found = by_size[ens.n_neurons].reshape(6, 2, -1).transpose(1, 0, 2)
        assert np.allclose(found, values)
