"""Objectives without targets: the size of firing rates and of weights."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.objectives import Regularize


def probed_network():
    """Rates of four neurons, and the weights of a connection, of shape (3, 2)."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0, 0])
        net.out = nengo.Node(size_in=3)
        transform = np.arange(1.0, 7.0).reshape(3, 2)
        net.conn = nengo.Connection(net.node, net.out, transform=transform)
        net.ens = nengo.Ensemble(4, 2, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(net.node, net.ens, synapse=None)
        net.rates = nengo.Probe(net.ens.neurons)
        net.weights = nengo.Probe(net.conn, "weights")
    return net


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False, **kwargs)


def outputs(*shape, seed=0):
    return np.random.RandomState(seed).uniform(-3, 3, shape)


@pytest.mark.parametrize("order", ["euclidean", 1, 2, 3.5, np.inf, np.float32(4)])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_norms_are_those_of_numpy(order, axis):
    x = outputs(2, 5, 3, 4)
    number = 2 if order == "euclidean" else float(order)
    if axis is None:
        expected = np.linalg.norm(x.reshape(2, 5, 12), number, axis=2)
    else:
        expected = np.linalg.norm(x, number, axis=2 + axis % 2)
    found = Regularize(order, axis)(tf.constant(x))
    assert np.isclose(found, expected.mean(), rtol=1e-12)


def test_weight_is_a_factor():
    x = tf.constant(outputs(2, 5, 3))
    assert np.isclose(Regularize(weight=0.1)(x), 0.1 * Regularize()(x))
    assert Regularize(weight=0)(x) == 0


@pytest.mark.parametrize("order", [1, 2, 1.5, 20, np.inf])
def test_gradients_are_finite_at_zero_and_for_large_values(order):
    x = tf.constant([[[0.0, 0.0]], [[1e30, -2e30]], [[1e-30, 0.0]]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = Regularize(order)(x)
    gradient = tape.gradient(value, x).numpy()
    assert np.isfinite(value) and np.all(np.isfinite(gradient))
    assert np.all(gradient[0] == 0)
    # Euler's theorem of homogeneous functions
    assert np.isclose(np.sum(gradient * x), value, rtol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3.5, np.inf])
def test_gradient_is_the_derivative(order):
    x = outputs(1, 2, 5)
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        value = Regularize(order)(variable)
    gradient = tape.gradient(value, variable)
    for index in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[index] = 1e-6
        above, below = (float(Regularize(order)(tf.constant(x + d))) for d in (h, -h))
        assert np.isclose(gradient[index], (above - below) / 2e-6, atol=1e-8)


def test_no_target_is_needed():
    net = probed_network()
    x = outputs(2, 5, 2)
    with simulator(net) as sim:
        sim.run_steps(5, input_feeds={net.node: x})
        rates = sim.data[net.rates]
        found = sim.loss({net.node: x}, None, {net.rates: Regularize(1)})
    assert np.isclose(found, np.abs(rates).sum(axis=-1).mean(), rtol=1e-5)


def test_axes_of_weights_are_outputs_and_inputs():
    net = probed_network()
    weights = np.arange(1.0, 7.0).reshape(3, 2)
    with simulator(net) as sim:
        for axis in (None, 0, 1):
            norms = np.linalg.norm(
                weights if axis is not None else weights.ravel(), axis=axis
            )
            found = sim.loss(3, None, {net.weights: Regularize(axis=axis)})
            assert np.isclose(found, norms.mean(), rtol=1e-6)


def test_penalty_is_added_to_the_objectives_of_other_probes():
    net = probed_network()
    with net:
        net.probe = nengo.Probe(net.out)
    x, y = outputs(2, 5, 2), outputs(2, 5, 3)
    terms = {net.probe: "mse", net.weights: Regularize(weight=0.5)}
    with simulator(net) as sim:
        both = sim.loss({net.node: x}, {net.probe: y}, terms)
        mse = sim.loss({net.node: x}, {net.probe: y})
    assert np.isclose(both - mse, 0.5 * np.sqrt(91), rtol=1e-5)


def test_training_makes_weights_and_rates_small():
    net = probed_network()
    terms = {net.weights: Regularize(1), net.rates: Regularize(1)}
    x = np.ones((2, 3, 2))
    metrics = {"rates": {net.rates: Regularize(np.inf)}}
    with simulator(net) as sim:
        history = sim.train(
            {net.node: x},
            None,
            tf.keras.optimizers.SGD(0.05),
            n_epochs=100,
            objective=terms,
            metrics=metrics,
            truncation=2,
        )
        # each weight shrinks by the learning rate in each update
        assert np.abs(sim.data[net.conn].weights).max() < 0.1
    assert history.history["rates"][-1] < history.history["rates"][0]


def test_an_only_probe_need_not_be_named():
    with nengo.Network(seed=0) as net:
        # above their thresholds, whatever is drawn
        ens = nengo.Ensemble(4, 1, gain=np.ones(4), bias=np.full(4, 2.0))
        nengo.Probe(ens.neurons)
    with simulator(net) as sim:
        assert sim.loss(3, None, Regularize(), training=True) > 0


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"order": 0.5}, "order: .*at least 1"),
        ({"order": np.nan}, "order: .*at least 1"),
        ({"order": "manhattan"}, "order: .*'euclidean' or a number"),
        ({"axis": 1.5}, "axis: .*integer"),
        ({"weight": -1}, "weight: .*not negative"),
        ({"weight": "big"}, "weight: .*not negative"),
        ({"weight": np.inf}, "weight: .*not negative"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message):
    with pytest.raises(ValidationError, match=message):
        Regularize(**kwargs)


def test_axis_that_a_probe_does_not_have_is_refused():
    net = probed_network()
    with simulator(net) as sim:
        with pytest.raises(
            ValidationError, match=r"no axis 1 in a value of shape \(4,"
        ):
            sim.loss(3, None, {net.rates: Regularize(axis=1)})


def test_a_tuple_of_probes_is_refused():
    net = probed_network()
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="of one probe"):
            sim.loss(3, None, {(net.rates, net.weights): Regularize()})
