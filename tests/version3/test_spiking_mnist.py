"""A convolutional network of LIF neurons that reads digits: spiking MNIST."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from tests.version3.digits import accuracy_of_last, digits

N_STEPS = 40


def convolutional_network():
    """Return a network, its input and its probes, without and with a filter."""
    with nengo.Network(seed=0) as net:
        net.config[nengo.Ensemble].max_rates = nengo.dists.Choice([100])
        net.config[nengo.Ensemble].intercepts = nengo.dists.Choice([0])
        net.config[nengo.Connection].synapse = None
        neurons = nengo.LIF(amplitude=0.01)
        # the weights of the Keras layers are trained nevertheless
        nengo_dl.configure_settings(trainable=False)
        nengo_dl.configure_settings(stateful=False)

        image = nengo.Node(np.zeros(64))
        x = nengo_dl.Layer(tf.keras.layers.Conv2D(8, 3))(image, shape_in=(8, 8, 1))
        x = nengo_dl.Layer(neurons)(x)
        x = nengo_dl.Layer(tf.keras.layers.Conv2D(16, 3, strides=2))(
            x, shape_in=(6, 6, 8)
        )
        x = nengo_dl.Layer(neurons)(x)
        out = nengo_dl.Layer(tf.keras.layers.Dense(10))(x)
        direct = nengo.Probe(out, label="direct")
        filtered = nengo.Probe(out, synapse=0.1, label="filtered")
    return net, image, direct, filtered


def test_trained_with_rates_read_with_spikes(tmp_path):
    images, labels, test_images, test_labels = digits()
    frames = np.tile(test_images[:100], (1, N_STEPS, 1))
    answers = np.tile(test_labels[:100], (1, N_STEPS, 1))
    net, image, direct, filtered = convolutional_network()
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        assert sim.keras_model.count_params() == (
            (9 * 8 + 8) + (9 * 8 * 16 + 16) + (2 * 2 * 16 * 10 + 10)
        )
        sim.compile(loss={filtered: accuracy_of_last})
        before = sim.evaluate(frames, {filtered: answers}, verbose=0)["loss"]
        sim.compile(
            optimizer=tf.optimizers.RMSprop(5e-3),
            loss={direct: tf.losses.SparseCategoricalCrossentropy(from_logits=True)},
        )
        history = sim.fit(images, {direct: labels}, epochs=8, verbose=0)
        sim.save_params(str(tmp_path / "digits"))

        sim.compile(loss={filtered: accuracy_of_last})
        after = sim.evaluate({image: frames}, {filtered: answers}, verbose=0)["loss"]
        shown = sim.predict(frames)
    losses = history.history["loss"]
    assert losses[-1] < losses[0] / 4
    assert before < 0.3
    assert after > 0.85
    last = shown[filtered]
    right = last[:, -1].argmax(axis=-1) == answers[:, -1, 0]
    assert right.mean() == pytest.approx(after)

    net, _, _, filtered = convolutional_network()
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        sim.load_params(str(tmp_path / "digits"))
        sim.compile(loss={filtered: accuracy_of_last})
        assert sim.evaluate(frames, {filtered: answers})["loss"] == after
        found = sim.predict(frames)[filtered]
    np.testing.assert_array_equal(found, last)


def test_callbacks_of_keras(tmp_path):
    images, labels, *_ = digits()
    net, _, direct, _ = convolutional_network()
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        sim.compile(
            optimizer=tf.optimizers.RMSprop(2e-3),
            loss={direct: tf.losses.SparseCategoricalCrossentropy(from_logits=True)},
        )
        history = sim.fit(
            images[:200],
            {direct: labels[:200]},
            epochs=3,
            verbose=0,
            callbacks=[
                rates,
                keras.callbacks.ModelCheckpoint(
                    str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True
                ),
            ],
        )
        last = sim.keras_model.get_weights()
        sim.keras_model.load_weights(str(tmp_path / "1.weights.h5"))
        assert any((a != b).any() for a, b in zip(sim.keras_model.get_weights(), last))
        sim.keras_model.load_weights(str(tmp_path / "3.weights.h5"))
        for a, b in zip(sim.keras_model.get_weights(), last, strict=True):
            np.testing.assert_array_equal(a, b)
    assert history.history["learning_rate"] == pytest.approx([1e-3, 5e-4, 2.5e-4])
