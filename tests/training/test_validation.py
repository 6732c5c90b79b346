"""What validation and losses measure: rates or spikes, layers as in simulations."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl

LIF = nengo.LIF(amplitude=0.01)


def network(neuron_type=LIF, layer=None):
    """Neurons with known currents, and a probe of them."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None, surrogate=None)
        net.node = nengo.Node([0])
        net.ens = nengo.Ensemble(
            5,
            1,
            neuron_type=neuron_type,
            gain=np.ones(5),
            bias=np.linspace(0.9, 4, 5),
            encoders=np.ones((5, 1)),
        )
        nengo.Connection(
            net.node, net.ens.neurons, transform=np.ones((5, 1)), synapse=None
        )
        out = net.ens.neurons
        if layer is not None:
            out = nengo_dl.TensorNode(layer, size_in=5)
            nengo.Connection(net.ens.neurons, out, synapse=None)
        net.probe = nengo.Probe(out)
    return net


def simulator(net):
    return nengo_dl.Simulator(
        net, minibatch_size=4, progress_bar=False, dtype="float64"
    )


def data(n_steps):
    x = np.random.RandomState(0).uniform(0, 2, (8, n_steps, 1))
    return x, np.ones((8, n_steps, 5))


def rate_loss(net, x, y):
    ens = net.ens
    rates = ens.neuron_type.rates(x[:, 0, 0], np.ones(5), ens.bias)
    return np.mean((rates[:, None] - y) ** 2)


def spike_loss(net, x, y):
    """What Nengo simulates, item by item."""
    losses = []
    for inputs, targets in zip(x, y, strict=True):
        net.node.output = nengo.processes.PresentInput(inputs, 0.001)
        with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
            sim.run_steps(x.shape[1])
        losses.append(np.mean((sim.data[net.probe] - targets) ** 2))
    net.node.output = [0]
    return np.mean(losses)


def validation_loss(net, x, y, **kwargs):
    """Return the loss of an epoch that changes nothing, and what was said."""
    with simulator(net) as sim, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = sim.train(
            {net.node: x},
            {net.probe: y},
            keras.optimizers.SGD(0.0),
            n_epochs=2,
            validation=({net.node: x}, {net.probe: y}),
            **kwargs,
        )
    assert history["val_loss"][0] == history["val_loss"][1]
    about = [str(w.message) for w in said if "alidation" in str(w.message)]
    return history["val_loss"][0], about


def test_one_step_is_validated_with_rates_and_said_once():
    net, (x, y) = network(), data(1)
    found, said = validation_loss(net, x, y)
    assert np.isclose(found, rate_loss(net, x, y))
    assert len(said) == 1
    assert "one time step, so it is evaluated with the rates" in said[0]


def test_several_steps_are_validated_with_spikes():
    net, (x, y) = network(), data(20)
    found, said = validation_loss(net, x, y)
    assert np.isclose(found, spike_loss(net, x, y))
    assert not said


@pytest.mark.parametrize("n_steps", [1, 20])
def test_rates_or_spikes_can_be_chosen(n_steps):
    net, (x, y) = network(), data(n_steps)
    x = np.repeat(x[:, :1], n_steps, axis=1)
    found, said = validation_loss(net, x, y, validation_rates=True)
    assert np.isclose(found, rate_loss(net, x, y))
    assert not said
    found, said = validation_loss(net, x, y, validation_rates=False)
    assert np.isclose(found, spike_loss(net, x, y))
    assert not said


def test_datasets_are_validated_in_the_same_way():
    net, (x, y) = network(), data(1)
    pairs = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    with (
        simulator(net) as sim,
        pytest.warns(UserWarning, match="evaluated with the rates"),
    ):
        history = sim.train(x, y, keras.optimizers.SGD(0.0), validation=pairs)
    assert np.isclose(history["val_loss"][0], rate_loss(net, x, y))


@pytest.mark.parametrize("neuron_type", [nengo.LIFRate(), nengo.Tanh()])
def test_nothing_is_said_where_nothing_spikes(neuron_type):
    net, (x, y) = network(neuron_type), data(1)
    found, said = validation_loss(net, x, y)
    assert np.isclose(found, rate_loss(net, x, y))
    assert not said


def test_spikes_that_are_trained_are_validated():
    net, (x, y) = network(), data(1)
    net.config[net.ens].surrogate = "arctan"
    found, said = validation_loss(net, x, y)
    assert np.isclose(found, spike_loss(net, x, y))
    assert not said


def test_loss_of_one_step_of_spikes_is_said_once():
    net, (x, y) = network(), data(1)
    with simulator(net) as sim:
        with pytest.warns(UserWarning, match=r"one time step of spikes.*training=True"):
            assert np.isclose(sim.loss(x, y), spike_loss(net, x, y))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sim.loss(x, y)
            assert np.isclose(sim.loss(x, y, training=True), rate_loss(net, x, y))


def test_early_stopping_keeps_the_weights_that_rates_made_best():
    net, (x, y) = network(), data(1)
    best = keras.callbacks.EarlyStopping(
        "val_loss", patience=3, restore_best_weights=True
    )
    with simulator(net) as sim, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = sim.train(
            x, y, keras.optimizers.Adam(0.05), n_epochs=30,
            validation=(x, y), callbacks=[best],
        )  # fmt: skip
        assert history["val_loss"][-1] < 0.5 * history["val_loss"][0]
        assert np.isclose(sim.loss(x, y, training=True), min(history["val_loss"]))


def test_layers_are_validated_as_they_are_simulated():
    net, (x, y) = network(layer=keras.layers.Dropout(0.5)), data(1)
    found, _ = validation_loss(net, x, y)
    assert np.isclose(found, rate_loss(net, x, y))
    with simulator(net) as sim:
        assert not np.isclose(sim.loss(x, y, training=True), rate_loss(net, x, y))


@pytest.mark.parametrize("name", ["validation_rates", "shuffle"])
def test_flags_are_true_or_false(name):
    net, (x, y) = network(), data(1)
    with (
        simulator(net) as sim,
        pytest.raises(ValidationError, match=rf"{name}: Must be True.*got 'no'"),
    ):
        sim.train(x, y, "sgd", **{name: "no"})
