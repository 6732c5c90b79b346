"""Layers of Keras and neurons of Nengo: the tutorial for users of TensorFlow."""

import keras
import nengo
import numpy as np
import tensorflow as tf

import nengo_dl
from tests.version3.digits import accuracy_of_last, digits


def classifier(neuron_type):
    """Return a network of two layers of neurons between Keras layers."""
    with nengo.Network(seed=0) as net:
        net.config[nengo.Ensemble].max_rates = nengo.dists.Choice([100])
        net.config[nengo.Ensemble].intercepts = nengo.dists.Choice([0])
        net.config[nengo.Connection].synapse = None
        image = nengo.Node(np.zeros(64), label="image")
        x = nengo_dl.Layer(tf.keras.layers.Dense(48))(image)
        x = nengo_dl.Layer(neuron_type)(x)
        x = nengo_dl.Layer(tf.keras.layers.Dense(32))(x)
        x = nengo_dl.Layer(neuron_type)(x)
        out = nengo_dl.Layer(tf.keras.layers.Dense(10))(x)
        nengo.Probe(out, label="out")
        nengo.Probe(out, synapse=0.05, label="filtered")
    return net


def test_layers_learn_digits():
    images, labels, test_images, test_labels = digits()
    net = classifier(nengo.LIFRate(amplitude=0.01))
    out, _ = net.probes
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        sim.compile(
            optimizer=tf.optimizers.Adam(5e-3),
            loss={out: keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
            metrics={out: ["accuracy"]},
        )
        before = sim.evaluate(test_images, {out: test_labels})
        history = sim.fit(
            images,
            {out: labels},
            epochs=5,
            validation_data=(test_images, {out: test_labels}),
            verbose=0,
        )
        after = sim.evaluate(test_images, {out: test_labels}, verbose=0)
    assert set(history.history) == {
        *("loss", "out_accuracy"),
        *("val_loss", "val_out_accuracy"),
    }
    assert before["out_accuracy"] < 0.3
    assert after["out_accuracy"] > 0.9
    assert after["loss"] < before["loss"] / 4
    assert history.history["val_out_accuracy"][-1] == after["out_accuracy"]


def test_spiking_neurons_take_over_parameters(tmp_path):
    """Trained with rates, then simulated with spikes: parameters go through a file."""
    images, labels, test_images, test_labels = digits()
    test_images = np.tile(test_images[:100], (1, 60, 1))
    test_labels = np.tile(test_labels[:100], (1, 60, 1))
    rates = classifier(nengo.LIFRate(amplitude=0.01))
    path = str(tmp_path / "params")
    with nengo_dl.Simulator(rates, minibatch_size=50, progress_bar=False) as sim:
        sim.compile(
            tf.optimizers.Adam(5e-3),
            {"out": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        )
        sim.fit(images, {"out": labels}, epochs=4, verbose=0)
        sim.compile(loss={"filtered": accuracy_of_last})
        of_rates = sim.evaluate(test_images, {"filtered": test_labels})
        sim.save_params(path)
    spikes = classifier(nengo.LIF(amplitude=0.01))
    with nengo_dl.Simulator(spikes, minibatch_size=50, progress_bar=False) as sim:
        sim.load_params(path)
        sim.compile(loss={"filtered": accuracy_of_last})
        of_spikes = sim.evaluate(test_images, {"filtered": test_labels})
    assert of_rates["loss"] > 0.88
    assert of_spikes["loss"] > of_rates["loss"] - 0.06


def test_tensor_node_of_a_function_and_of_a_layer():
    """A TensorNode of a function has the time; one of a Keras layer may do without."""

    class Scale(keras.layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

        def call(self, inputs):
            return inputs * self.factor

    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node([1.0, 2.0, 3.0])
        timed = nengo_dl.TensorNode(lambda t, x: x * t, shape_in=(3,), shape_out=(3,))
        scaled = nengo_dl.TensorNode(Scale(), shape_in=(3,), pass_time=False)
        nengo.Connection(stimulus, timed, synapse=None)
        nengo.Connection(stimulus, scaled, synapse=None)
        times, factors = nengo.Probe(timed), nengo.Probe(scaled, label="scaled")
    data = np.random.RandomState(0).normal(size=(16, 1, 3)).astype(np.float32)
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        shown = sim.predict(None, n_steps=2)
        np.testing.assert_allclose(
            shown[times][0], [[0.001, 0.002, 0.003], [0.002, 0.004, 0.006]], rtol=1e-5
        )
        sim.compile(tf.optimizers.SGD(0.3), loss={factors: "mse"})
        history = sim.fit({stimulus: data}, {factors: -2 * data}, epochs=20, verbose=0)
        assert history.history["loss"][-1] < 1e-4 * history.history["loss"][0]
        np.testing.assert_allclose(
            sim.predict({stimulus: data})[factors], -2 * data, atol=0.05
        )
