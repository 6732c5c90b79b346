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


N_STEPS = 30


def run_with_spikes(model, path, **kwargs):
    """Return accuracy and mean firing rates in Hz of a converted, trained network."""
    _, _, images, labels = digits()
    frames = np.tile(images[:100], (1, N_STEPS, 1))
    converter = nengo_dl.Converter(model, **kwargs)
    with converter.net:
        probe = nengo.Probe(converter.layers["second"])
        nengo_dl.configure_settings(stateful=False)
    with nengo_dl.Simulator(
        converter.net, minibatch_size=50, progress_bar=False
    ) as sim:
        sim.load_params(path)
        shown = sim.predict({converter.inputs["image"]: frames})
    answers = shown[converter.outputs["answer"]][:, -1].argmax(axis=-1)
    # what a neuron puts out is spikes per second, times its amplitude
    amplitude = converter.layers["second"].ensemble.neuron_type.amplitude
    return np.mean(answers == labels[:100, 0, 0]), shown[probe].mean() / amplitude


def test_faster_spikes_and_synapses_make_answers_right(trained):
    model, path, accuracy = trained
    spikes = {"swap_activations": {tf.nn.relu: nengo.SpikingRectifiedLinear()}}
    slow, slow_rate = run_with_spikes(model, path, **spikes)
    assert slow < accuracy - 0.1 and slow_rate < 10
    smooth, _ = run_with_spikes(model, path, **spikes, synapse=0.01)
    fast, rate = run_with_spikes(
        model, path, **spikes, synapse=0.01, scale_firing_rates=500
    )
    assert rate > 20 * slow_rate
    assert fast > max(slow, smooth, accuracy - 0.05)
    some, other_rate = run_with_spikes(
        model,
        path,
        **spikes,
        synapse=0.01,
        scale_firing_rates={model.get_layer("first"): 500, "second": 250},
    )
    assert other_rate == pytest.approx(rate / 2, rel=0.2)
    assert some > accuracy - 0.1


def test_leaky_neurons_are_trained_by_their_rates_in_a_range(trained):
    """Neurons are swapped before training, and their rates are a part of the loss."""
    images, labels, test_images, test_labels = digits()
    model, _, _ = trained
    converter = nengo_dl.Converter(
        keras.models.clone_model(model),
        swap_activations={"relu": nengo.LIF(amplitude=0.01)},
    )
    assert type(converter.net.ensembles[0].neuron_type) is nengo.LIF
    answer = converter.outputs["answer"]
    with converter.net:
        rates = nengo.Probe(converter.layers["first"], label="rates")
        smooth = nengo.Probe(converter.layers["answer"], synapse=0.01, label="smooth")
        nengo_dl.configure_settings(lif_smoothing=0.1, stateful=False)
    for ensemble in converter.net.ensembles:
        ensemble.gain = nengo.dists.Choice([20])
        ensemble.bias = nengo.dists.Choice([1])
    wanted = np.full((len(images), 1, rates.size_in), 0.4)  # 40 Hz times the amplitude
    with nengo_dl.Simulator(
        converter.net, minibatch_size=50, seed=0, progress_bar=False
    ) as sim:
        sim.compile(
            tf.optimizers.Adam(2e-3),
            loss={
                answer: tf.losses.SparseCategoricalCrossentropy(from_logits=True),
                rates: tf.losses.MeanSquaredError(),
            },
            loss_weights={answer: 1, rates: 0.5},
            metrics={answer: "accuracy"},
        )
        history = sim.fit(images, {answer: labels, rates: wanted}, epochs=6, verbose=0)
        sim.freeze_params(converter.net)
    losses = history.history["rates_loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert history.history["answer_accuracy"][-1] > 0.8

    for connection in converter.net.connections:
        if isinstance(connection.pre_obj, nengo.ensemble.Neurons):
            connection.synapse = 0.005
    frames = np.tile(test_images[:100], (1, N_STEPS, 1))
    with nengo_dl.Simulator(
        converter.net, minibatch_size=50, progress_bar=False
    ) as sim:
        shown = sim.predict(frames)
    right = shown[smooth][:, -1].argmax(axis=-1) == test_labels[:100, 0, 0]
    assert right.mean() > 0.75
    assert 20 < shown[rates].mean() / 0.01 < 80  # Hz
