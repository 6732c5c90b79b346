"""With stateful=True, fit, evaluate and predict are a part of the simulation."""

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl

MINIBATCH = 2
X = np.random.RandomState(0).uniform(-1, 1, size=(MINIBATCH, 20, 1))


def spiking_network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0], label="x")
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(net.node, ens)
        nengo.Connection(nengo.Node(lambda t: np.sin(50 * t)), ens)
        net.probe = nengo.Probe(ens.neurons)
    return net


def filtering_network():
    """A filter, and behind it a number that is trained."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        net.node, middle, out = (
            nengo.Node([0]),
            nengo.Node(size_in=1),
            nengo.Node(size_in=1),
        )
        net.filter = nengo.Connection(net.node, middle, synapse=0.01)
        net.config[net.filter].trainable = False
        net.trained = nengo.Connection(middle, out, transform=0.5, synapse=None)
        net.middle, net.probe = nengo.Probe(middle), nengo.Probe(out)
    return net


def simulator(net):
    return nengo_dl.Simulator(
        net, minibatch_size=MINIBATCH, dtype="float64", progress_bar=False
    )


def test_predict_goes_on_with_the_simulation_spike_for_spike():
    net = spiking_network()
    with simulator(net) as sim:
        sim.run_steps(20, input_feeds={net.node: X})
        expected = sim.data[net.probe]
        sim.reset()
        sim.run_steps(5, input_feeds={net.node: X[:, :5]})
        two = np.concatenate([X[:, 5:9], X[:, 9:13]])  # two minibatches
        found = sim.predict({"x": two}, stateful=True)[net.probe]
        assert sim.n_steps == 13
        np.testing.assert_array_equal(found[:2], expected[:, 5:9])
        np.testing.assert_array_equal(found[2:], expected[:, 9:13])
        again = sim.predict({"x": X[:, 13:]}, stateful=False)[net.probe]
        assert sim.n_steps == 13 and (again != expected[:, 13:]).any()
        sim.run_steps(7, input_feeds={net.node: X[:, 13:]})
        np.testing.assert_array_equal(sim.data[net.probe][:, 5:], expected[:, 13:])


def test_fit_and_evaluate_go_on_with_the_simulation():
    net, rate = filtering_network(), 0.5
    parts = [X[:, :10], X[:, 10:]]
    with simulator(net) as sim:
        sim.run_steps(20, input_feeds={net.node: X})
        filtered = sim.data[net.middle]
        weight, losses = 0.5, []
        for steps in (slice(0, 10), slice(10, 20)):
            error = weight * filtered[:, steps] - 1
            losses.append((error**2).mean())
            weight -= rate * (2 * error * filtered[:, steps]).mean()
        sim.reset()
        sim.compile(keras.optimizers.SGD(rate), {net.probe: "mse"})
        targets = {net.probe: np.ones((4, 10, 1))}
        history = sim.fit(
            np.concatenate(parts), targets, shuffle=False, verbose=0, stateful=True
        )
        assert sim.n_steps == 20
        assert history.history["loss"][0] == pytest.approx(np.mean(losses))
        assert sim.data[net.trained].weights == pytest.approx(weight)
        before = sim.evaluate(parts[0], {net.probe: np.ones((2, 10, 1))})
        assert sim.n_steps == 20
        sim.soft_reset()
        sim.run_steps(10, input_feeds={net.node: parts[0]})
        found = sim.evaluate(parts[1], {net.probe: np.ones((2, 10, 1))}, stateful=True)
        assert sim.n_steps == 20 and found != before
        error = weight * filtered[:, 10:] - 1
        assert found["loss"] == pytest.approx((error**2).mean())


def test_stateful_minibatches_are_whole():
    net = filtering_network()
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=r"need 2 items \(one has 1\)"):
            sim.predict(np.ones((3, 5, 1)), stateful=True)
        # where the last whole minibatch ended
        assert sim.n_steps == 5
        with pytest.raises(ValidationError, match="stateful"):
            sim.predict(X, stateful="yes")
