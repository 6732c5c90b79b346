"""Converted networks compute what Keras does."""

import keras
import nengo
import numpy as np
import pytest
from keras import layers as L

import nengo_dl
from nengo_dl.interchange.keras.registry import _ROWS
from tests.interchange.keras_models import MODELS, chain, make, randomized, sequence

#: Layers that are converted and are part of no model in MODELS.
ELSEWHERE = {L.ActivityRegularization, L.AlphaDropout, L.GaussianDropout, L.Identity}


def draw(model, n_items=3):
    rng = np.random.RandomState(0)
    return [
        rng.randint(0, 20, (n_items, *t.shape[1:]))
        if t.dtype == "int32"
        else rng.randn(n_items, *t.shape[1:]).astype(np.float32)
        for t in model.inputs
    ]


def outputs(converter, arrays, n_steps=1, **kwargs):
    """Return the last values of all outputs, one row for each item."""
    n_items = len(arrays[0])
    feeds = {
        converter.inputs[i]: np.repeat(x.reshape(n_items, 1, -1), n_steps, axis=1)
        for i, x in enumerate(arrays)
    }
    net = converter.net
    with nengo_dl.Simulator(net, minibatch_size=n_items, **kwargs) as sim:
        sim.run_steps(n_steps, input_feeds=feeds)
        return [
            sim.data[converter.outputs[i]][:, -1]
            for i in range(len(converter.model.outputs))
        ]


def keras_outputs(model, arrays):
    found = keras.tree.flatten(model(arrays if len(arrays) > 1 else arrays[0]))
    return [y.numpy().reshape(len(arrays[0]), -1) for y in found]


def assert_close(found, wanted, tolerance=1e-5):
    assert len(found) == len(wanted) > 0
    for ours, theirs in zip(found, wanted):
        assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()
        assert np.ptp(theirs) > 1e-3  # the comparison means something


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_keras(name):
    model = make(name)
    arrays = draw(model)
    converter = nengo_dl.Converter(model)
    assert_close(
        outputs(converter, arrays, progress_bar=False), keras_outputs(model, arrays)
    )


@pytest.mark.parametrize("name", ["conv3d", "separable", "moves", "average pooling"])
def test_outputs_are_those_of_keras_when_steps_are_compiled(name):
    model = make(name)
    arrays = draw(model)
    converter = nengo_dl.Converter(model)
    found = outputs(converter, arrays, 3, progress_bar=False, jit_compile=True)
    assert_close(found, keras_outputs(model, arrays))


def test_all_layers_with_converters_are_tested():
    tested = {type(layer) for name in MODELS for layer in _all(MODELS[name]())}
    ours = {kind for kind in _ROWS if kind.__module__.startswith("keras.")}
    assert ours - tested == ELSEWHERE


def _all(model):
    for layer in model.layers:
        yield layer
        yield from _all(layer) if hasattr(layer, "layers") else ()


def test_layers_that_act_in_training_only_are_left_out():
    layers = [
        kind(0.5) if kind in (L.AlphaDropout, L.GaussianDropout) else kind()
        for kind in sorted(ELSEWHERE, key=lambda kind: kind.__name__)
    ]
    converter = nengo_dl.Converter(chain(*layers, shape=(3,)), allow_fallback=False)
    assert converter.layers[2] is converter.inputs[0]
    assert converter.verify()


def test_sequences_run_in_the_time_of_the_simulation():
    keras.utils.set_random_seed(0)
    model = randomized(sequence())
    converter = nengo_dl.Converter(model, temporal_model=True, allow_fallback=False)
    assert converter.inputs[0].size_out == 3  # and not 7 * 3
    (x,) = draw(model)
    with nengo_dl.Simulator(converter.net, minibatch_size=3, progress_bar=False) as sim:
        sim.run_steps(7, input_feeds={converter.inputs[0]: x})
    assert_close([sim.data[converter.outputs[0]]], [model(x).numpy()])


def test_sequences_may_have_any_length_and_end_in_one_output():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 3))
    x = L.SimpleRNN(4, activation="relu")(L.Concatenate()([inputs, inputs]))
    model = randomized(keras.Model(inputs, L.Dense(2)(x)))
    assert nengo_dl.Converter(model, temporal_model=True).verify()


def test_other_simulators_run_the_network():
    model = make("conv2d")
    arrays = draw(model, 1)
    net = nengo_dl.Converter(model).net
    net.nodes[0].output = arrays[0].ravel()
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.step()
    assert_close([sim.data[net.probes[0]]], keras_outputs(model, arrays))


def test_model_is_not_changed():
    model = make("several ends")
    before = model.get_weights()
    config = model.get_config()
    layer = model.layers[-1]
    output = layer.output
    converter = nengo_dl.Converter(model)
    with nengo_dl.Simulator(converter.net, minibatch_size=2, progress_bar=False) as sim:
        feeds = {converter.inputs[i]: np.ones((2, 1, 5)) for i in range(2)}
        targets = {converter.outputs[0]: np.ones((2, 1, 4))}
        sim.train(feeds, targets, keras.optimizers.SGD(0.1))
    assert layer.output is output  # an error, had the layer been called again
    assert model.get_config() == config
    assert all(map(np.array_equal, model.get_weights(), before))


def test_compiled_models_with_functions_of_the_user_are_converted():
    model = make("dense")
    model.compile(loss=lambda y_true, y_pred: 0.0)
    assert nengo_dl.Converter(model).verify()


def test_weights_that_calls_share_stay_shared_in_training():
    model = make("several ends")
    converter = nengo_dl.Converter(model)
    with nengo_dl.Simulator(converter.net, minibatch_size=2, progress_bar=False) as sim:
        assert sim.trainable_parameters.size == model.count_params()
        feeds = {converter.inputs[i]: np.ones((2, 1, 5)) for i in range(2)}
        targets = {converter.outputs[0]: np.ones((2, 1, 4))}
        sim.train(feeds, targets, keras.optimizers.SGD(0.1))
        shared = [converter.layers[model.layers[2], n] for n in range(2)]
        first, second = (sim.data[node].weights for node in shared)
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert not np.array_equal(first["kernel"], model.layers[2].kernel.numpy())


@pytest.mark.parametrize("option", ["split_shared_weights", "inference_only"])
def test_calls_of_shared_layers_become_nengo_objects(option):
    inputs = keras.Input((4,))
    layer = L.Dense(4, activation="relu")
    model = randomized(keras.Model(inputs, layer(layer(inputs))))
    converter = nengo_dl.Converter(model, allow_fallback=False, **{option: True})
    assert len(converter.net.ensembles) == 2
    assert converter.verify()


def test_frozen_layers_are_not_trained():
    model = make("dense")
    model.layers[0].trainable = False
    converter = nengo_dl.Converter(model)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert sim.trainable_parameters.size == 8 * 3 + 3


def test_biases_of_convolutions_are_those_of_their_neurons():
    model = chain(L.Conv2D(4, 3, padding="same", use_bias=True), L.ReLU())
    randomized(model)
    converter = nengo_dl.Converter(model)
    (ensemble,) = converter.net.ensembles
    assert len(converter.net.nodes) == 1  # the input
    biases = ensemble.bias.reshape(6, 6, 4)
    assert np.allclose(biases, model.layers[0].bias.numpy())


def test_batch_normalization_is_part_of_the_convolution_before_it():
    converter = nengo_dl.Converter(make("resnet20"))
    kinds = {type(n).__name__ for n in converter.net.all_nodes}
    assert kinds == {"Node"}
    assert len(converter.net.all_ensembles) == 19
    # no layer behind the readers of two has been taken along
    model = make("inception")
    assert all(e.folded_into is None for e in nengo_dl.Converter(model).report)


def test_maxima_become_averages_if_asked_for():
    model = chain(L.MaxPooling2D(2), L.ReLU(), L.GlobalMaxPooling2D())
    same = chain(L.AveragePooling2D(2), L.ReLU(), L.GlobalAveragePooling2D())
    arrays = draw(model)
    converter = nengo_dl.Converter(model, max_to_avg_pool=True, allow_fallback=False)
    assert_close(outputs(converter, arrays), keras_outputs(same, arrays))


@pytest.mark.parametrize(
    "layer",
    [
        L.Normalization(None, 1.5, 4.0),
        L.Normalization(-1, [1.0, 2.0, 3.0], [4.0, 0.5, 1.0]),
        L.Normalization(-1, [1.0, 2.0, 3.0], [4.0, 2.0, 1.0], invert=True),
        L.Rescaling([1.0, 2.0, 3.0], offset=0.5),
    ],
)
def test_channels_are_normalized_as_in_keras(layer):
    model = randomized(chain(L.Conv2D(3, 2), layer, L.ReLU()))
    converter = nengo_dl.Converter(model, allow_fallback=False)
    assert len(converter.report) == 3
    assert converter.report[1].folded_into == converter.report[0].name
    assert converter.verify()
    assert nengo_dl.Converter(chain(layer), allow_fallback=False).verify()


def test_products_are_computed_by_neurons_if_asked_for():
    a, b = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([a, b], L.Multiply()([a, b]))
    converter = nengo_dl.Converter(model, product_neurons=300, allow_fallback=False)
    arrays = [np.array([[0.5, -0.8]]), np.array([[0.6, 0.9]])]
    for ensemble in converter.net.all_ensembles:
        ensemble.neuron_type = nengo.LIFRate()
    (found,) = outputs(converter, arrays, 3)
    assert np.allclose(found, [[0.3, -0.72]], atol=0.05)
    assert converter.report.n_neurons == 2 * 300
