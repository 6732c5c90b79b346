"""A script of Nengo in either simulator: the tutorial for users of Nengo."""

import nengo
import numpy as np
import pytest

import nengo_dl


def product_network():
    """Return a network that is to multiply two inputs, and its ends."""
    with nengo.Network(seed=0) as net:
        a = nengo.Node([0.5], label="a")
        b = nengo.Node(lambda t: np.cos(8 * t), label="b")
        hidden = nengo.Ensemble(60, 2, radius=1.4, label="hidden")
        out = nengo.Node(size_in=1)
        nengo.Connection(a, hidden[0])
        nengo.Connection(b, hidden[1])
        nengo.Connection(hidden, out, function=lambda x: x[0] * x[1], label="product")
        probe = nengo.Probe(out, synapse=0.01, label="out")
    return net, a, b, probe


def test_same_script_in_either_simulator():
    net, _, _, probe = product_network()
    with nengo.Simulator(net, progress_bar=False, optimize=False) as reference:
        reference.run(0.1)
    with nengo_dl.Simulator(net, progress_bar=False, dtype="float64") as sim:
        sim.run(0.1)
        assert sim.data[probe].shape == (100, 1)
        np.testing.assert_allclose(sim.data[probe], reference.data[probe], atol=1e-9)


def test_names_of_objects_without_labels():
    with nengo.Network(seed=0) as net:
        first, second = nengo.Node([0]), nengo.Node([0, 0])
        probes = [nengo.Probe(first), nengo.Probe(second)]
    x = {"node": np.ones((2, 3, 1)), "node_1": np.full((2, 3, 2), 2.0)}
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        found = sim.predict(x)
        assert (found[probes[0]] == 1).all()
        assert (found[probes[1]] == 2).all()
        sim.compile(loss={"probe": "mse", "probe_1": "mae"})
        results = sim.evaluate(
            [x["node"], x["node_1"]],
            {"probe": np.zeros((2, 3, 1)), "probe_1": np.zeros((2, 3, 2))},
        )
    assert results == pytest.approx({"loss": 3, "probe_loss": 1, "probe_1_loss": 2})


def test_settings_and_learning_rules_go_together():
    """Online learning in a minibatch; what a rule changes, fit leaves alone."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(stateful=False)
        target = nengo.Node([0.7])
        pre, post = nengo.Ensemble(30, 1), nengo.Node(size_in=1)
        error = nengo.Node(size_in=1)
        nengo.Connection(target, pre)
        conn = nengo.Connection(
            pre,
            post,
            function=lambda x: 0,
            learning_rule_type=nengo.PES(1e-3),
        )
        nengo.Connection(post, error)
        nengo.Connection(target, error, transform=-1)
        nengo.Connection(error, conn.learning_rule)
        probe = nengo.Probe(post, synapse=0.02)
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        sim.run(0.3)
        first = sim.data[probe]
        np.testing.assert_allclose(first[:, -50:].mean(axis=(1, 2)), 0.7, atol=0.1)
        sim.run(0.3)  # starts anew, because the network is not stateful
        assert sim.data[probe].shape == (2, 300, 1)
        np.testing.assert_allclose(sim.data[probe], first, atol=1e-6)
