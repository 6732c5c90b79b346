"""Nodes with an input to which nothing is connected are input nodes."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


def network(kind, extra):
    """A node without connections to it, whose values are filtered and weighted."""
    with nengo.Network(seed=0) as net:
        function = (lambda t, x: x + 1) if kind == "function" else None
        net.inp = nengo.Node(function, size_in=2, size_out=2 if function else None)
        net.raw = nengo.Probe(net.inp)
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(net.inp, net.out, transform=[[2, -1]], synapse=None)
        net.probe = nengo.Probe(net.out)
        net.filtered = nengo.Probe(net.inp, synapse=0.01)
        if extra:
            nengo.Node(lambda t, x: None, size_in=1)
    return net


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("jit_compile", [True, None, False])
@pytest.mark.parametrize("kind", ["passthrough", "function"])
def test_feeds_replace_the_output(kind, jit_compile, extra):
    net = network(kind, extra)
    x = np.random.RandomState(0).normal(size=(3, 6, 2))
    with nengo.Network() as other:
        node = nengo.Node(lambda t: x[1, round(t / 0.001) - 1])
        filtered = nengo.Probe(node, synapse=0.01)
    with nengo.Simulator(other, progress_bar=False) as core:
        core.run_steps(6)
    with nengo_dl.Simulator(
        net, minibatch_size=3, jit_compile=jit_compile, progress_bar=False
    ) as sim:
        sim.run_steps(4, input_feeds={net.inp: x[:, :4]})
        for n in (4, 5):
            sim.run_steps(1, input_feeds={net.inp: x[:, n : n + 1]})
        np.testing.assert_allclose(sim.data[net.raw], x, rtol=1e-5)
        expected = x @ [[2], [-1]]
        np.testing.assert_allclose(sim.data[net.probe], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            sim.data[net.filtered][1], core.data[filtered], rtol=1e-4, atol=1e-6
        )
        # without feeds, as in Nengo
        sim.clear_probes()
        sim.run_steps(2)
        value = 1.0 if kind == "function" else 0.0
        np.testing.assert_array_equal(sim.data[net.raw], np.full((3, 2, 2), value))


@pytest.mark.parametrize("kind", ["passthrough", "function"])
def test_loss_and_training_feed_them(kind):
    net = network(kind, False)
    rng = np.random.RandomState(0)
    x = rng.normal(size=(8, 1, 2))
    y = x @ np.array([[0.5], [1.5]])
    data = {net.inp: x}, {net.probe: y}
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        expected = np.mean((x @ np.array([[2.0], [-1.0]]) - y) ** 2)
        assert sim.loss(*data) == pytest.approx(expected, rel=1e-5)
        sim.train(*data, "sgd", n_epochs=300)
        np.testing.assert_allclose(sim.data[net.conn].weights, [[0.5, 1.5]], atol=0.05)


def test_connected_nodes_and_processes_with_input_are_none():
    with nengo.Network() as net:
        connected = nengo.Node(size_in=1)
        process = nengo.Node(nengo.Lowpass(0.1), size_in=1)
        nengo.Connection(nengo.Node([1]), connected)
        nengo.Probe(connected)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        for node in (connected, process):
            with pytest.raises(ValidationError, match="to which nothing is connected"):
                sim.run_steps(1, input_feeds={node: np.ones((1, 1, 1))})


def test_nodes_that_cannot_be_fed_are_constants_and_no_inputs():
    with nengo.Network() as net:
        nengo_dl.configure_settings(can_be_fed=None)
        net.x, one = nengo.Node([0], label="x"), nengo.Node([1], label="one")
        net.config[one].can_be_fed = False
        out = nengo.Node(size_in=1)
        nengo.Connection(net.x, out, transform=2, synapse=None)
        nengo.Connection(one, out, transform=3, synapse=None)
        probe = nengo.Probe(out)
    x = np.array([[[1.0], [2.0]]])
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert list(sim.keras_model.input_names) == ["x"]
        assert np.allclose(sim.predict(x)[probe], 2 * x + 3)  # one array: for x
        with pytest.raises(ValidationError, match="one"):
            sim.run_steps(2, input_feeds={one: x})
        sim.compile("sgd", "mse")
        sim.fit(x, 2 * x, verbose=0)
        assert np.allclose(sim.data[one_connection(net)].weights, 3, atol=0.1)


def one_connection(net):
    return net.connections[1]
