"""A Keras model is converted and trained: from Keras to an SNN, with rates."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from tests.version3.digits import digits


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a model, trained through its converter, and the file of parameters."""
    images, labels, test_images, test_labels = digits()
    keras.utils.set_random_seed(0)
    inp = tf.keras.Input(shape=(8, 8, 1), name="image")
    x = tf.keras.layers.Conv2D(8, 3, activation=tf.nn.relu, name="first")(inp)
    x = tf.keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="second")(x)
    x = tf.keras.layers.Flatten()(x)
    x = tf.keras.layers.Dense(10, name="answer")(x)
    model = tf.keras.Model(inputs=inp, outputs=x)
    converter = nengo_dl.Converter(model)
    assert converter.verify()
    net, path = converter.net, str(tmp_path_factory.mktemp("keras") / "params")
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        sim.compile(
            optimizer=tf.optimizers.RMSprop(2e-3),
            loss=tf.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        history = sim.fit(
            {converter.inputs[inp]: images},
            {converter.outputs[x]: labels},
            validation_data=(
                {converter.inputs[inp]: test_images},
                {converter.outputs[x]: test_labels},
            ),
            epochs=8,
            verbose=0,
        )
        sim.save_params(path)
    accuracy = history.history["val_answer_accuracy"][-1]
    assert accuracy == history.history["val_accuracy"][-1]
    assert accuracy > 0.9
    return model, path, accuracy


def test_rates_are_those_of_the_model(trained):
    model, path, accuracy = trained
    _, _, images, labels = digits()
    converter = nengo_dl.Converter(model)
    with nengo_dl.Simulator(
        converter.net, minibatch_size=50, progress_bar=False
    ) as sim:
        sim.load_params(path)
        outputs = sim.predict(images)[converter.outputs["answer"]][:, 0]
        sim.freeze_params(converter.net)
    right = outputs.argmax(axis=-1) == labels[:, 0, 0]
    assert right.mean() == pytest.approx(accuracy)
    with converter.net:
        converter.inputs["image"].output = images[3, 0]
    with nengo.Simulator(converter.net, progress_bar=False) as reference:
        reference.run_steps(1)
        np.testing.assert_allclose(
            reference.data[converter.outputs["answer"]][-1], outputs[3], atol=1e-4
        )


def test_layers_without_a_converter_fall_back_or_raise():
    class Twice(tf.keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    model = tf.keras.Sequential(
        [tf.keras.Input((4,)), tf.keras.layers.Dense(3), Twice()]
    )
    converter = nengo_dl.Converter(model)
    assert isinstance(converter.layers[model.layers[-1]], nengo_dl.TensorNode)
    with pytest.raises(nengo.exceptions.ValidationError, match="twice"):
        nengo_dl.Converter(model, allow_fallback=False)
