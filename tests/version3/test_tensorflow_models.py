"""A model that was trained in Keras becomes a part of a network: TensorFlow models."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from tests.version3.digits import digits


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Return a function that makes a trained model without its last layer."""
    images, labels, _, _ = digits()
    keras.utils.set_random_seed(0)

    def make():
        return tf.keras.Sequential(
            [
                tf.keras.Input((8, 8, 1)),
                tf.keras.layers.Conv2D(8, 3, activation="relu"),
                tf.keras.layers.MaxPooling2D(),
                tf.keras.layers.Flatten(),
                tf.keras.layers.Dense(32, activation="tanh"),
            ]
        )

    body = make()
    model = tf.keras.Sequential([body, tf.keras.layers.Dense(10)])
    model.compile(
        tf.optimizers.Adam(1e-2),
        tf.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        images.reshape(-1, 8, 8, 1), labels[:, 0, 0], epochs=2, verbose=0, batch_size=50
    )
    path = str(tmp_path_factory.mktemp("body") / "body.weights.h5")
    body.save_weights(path)

    def load():
        made = make()
        made.load_weights(path)
        return made

    return load


def network(node):
    """Return a network that classifies what a TensorNode finds, with neurons."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        image = nengo.Node(np.zeros(64), label="image")
        body = node()
        nengo.Connection(image, body, synapse=None)
        x = nengo_dl.Layer(nengo.SpikingRectifiedLinear(amplitude=0.01))(
            body,
            shape_in=(50,),
            transform=nengo_dl.dists.Glorot(),
            max_rates=nengo.dists.Choice([100]),
            intercepts=nengo.dists.Choice([0]),
        )
        out = nengo.Node(size_in=10)
        nengo.Connection(x, out, transform=nengo_dl.dists.Glorot(), synapse=None)
        nengo.Probe(out, label="out")
        nengo.Probe(body, label="body")
    return net, body


def test_model_in_a_tensor_node_computes_what_keras_does(features):
    _, _, images, _ = digits()
    model = features()
    expected = model.predict(images.reshape(-1, 8, 8, 1), verbose=0)
    net, body = network(
        lambda: nengo_dl.TensorNode(
            model, shape_in=(8, 8, 1), pass_time=False, label="features"
        )
    )
    assert body.size_out == 32
    with nengo_dl.Simulator(net, minibatch_size=50, progress_bar=False) as sim:
        found = sim.predict({"image": np.tile(images, (1, 2, 1))})[net.probes[1]]
    for step in (0, 1):
        np.testing.assert_allclose(found[:, step], expected, atol=1e-5)


def test_layer_that_loads_weights_when_it_is_built(features):
    """A layer may make its model itself, and load weights: they stay as loaded."""

    class Features(tf.keras.layers.Layer):
        def build(self, input_shape):
            self.body = features()
            super().build(input_shape)

        def call(self, inputs):
            return self.body(inputs)

    _, _, images, _ = digits()
    net, _ = network(
        lambda: nengo_dl.TensorNode(Features(), shape_in=(8, 8, 1), pass_time=False)
    )
    with nengo_dl.Simulator(net, minibatch_size=50, progress_bar=False) as sim:
        found = sim.predict(np.tile(images[:50], (1, 2, 1)))[net.probes[1]]
    expected = features().predict(images[:50].reshape(-1, 8, 8, 1), verbose=0)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("how", ["layer", "node"])
def test_neurons_are_trained_behind_a_fixed_model(features, how):
    """The model stays as it was trained in Keras; what reads its features learns."""
    images, labels, test_images, test_labels = digits()
    model = features()
    before = model.get_weights()
    model.trainable = how != "layer"
    net, body = network(
        lambda: nengo_dl.TensorNode(model, shape_in=(8, 8, 1), pass_time=False)
    )
    if how == "node":
        net.config[body].trainable = False
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        # encoders do nothing in connections to neurons
        trained = {tuple(w.shape) for w in sim.keras_model.trainable_weights}
        assert trained == {(50, 32), (50,), (10, 50), (50, 1)}
        sim.compile(
            tf.optimizers.Adam(2e-3),
            {"out": tf.losses.SparseCategoricalCrossentropy(from_logits=True)},
            metrics={"out": ["accuracy"]},
        )
        history = sim.fit({"image": images}, {"out": labels}, epochs=4, verbose=0)
        found = sim.evaluate({"image": test_images}, {"out": test_labels}, rates=True)
        shown = sim.predict({"image": test_images}, rates=True)[net.probes[1]]
        sim.freeze_params(net)
    assert history.history["out_accuracy"][0] < 0.7 < found["out_accuracy"]
    np.testing.assert_allclose(
        shown[:, 0],
        model.predict(test_images.reshape(-1, 8, 8, 1), verbose=0),
        atol=1e-5,
    )
    for now, then in zip(body.tensor_func.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
