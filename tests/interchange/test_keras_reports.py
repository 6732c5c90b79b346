"""What a conversion refuses, says, and finds again."""

import keras
import nengo
import numpy as np
import pytest
from keras import layers as L
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.interchange.keras import LayerConverter
from tests.interchange.keras_models import chain, make, randomized


def two_layers():
    keras.utils.set_random_seed(0)
    return randomized(
        chain(
            L.Conv2D(2, 3, activation="relu", name="first"),
            L.Flatten(name="flat"),
            L.Dense(3, name="second"),
        )
    )


PADDED = L.Conv1DTranspose(2, 3, strides=2, output_padding=1, name="it")


@pytest.mark.parametrize(
    "layer, reason",
    [
        (L.LSTM(2, name="it"), "LSTM, .*there is no converter for LSTM"),
        (L.Conv1D(2, 2, dilation_rate=2, name="it"), "has no dilated convolutions"),
        (L.MaxPooling1D(2, name="it"), "do not compute a maximum; max_to_avg"),
        (L.Dense(2, "softmax", name="it"), "there are no neurons for 'softmax'"),
        (L.Activation("gelu", name="it"), "there are no neurons for 'gelu'"),
        (L.BatchNormalization(axis=1, name="it"), "axis 1 is not the last one"),
        (L.Softmax(axis=1, name="it"), "axis 1 is not the last one, -1"),
        (L.Rescaling(np.ones((6, 3)), name="it"), "has more than one axis"),
        (
            L.Normalization(1, np.arange(6.0), np.ones(6), name="it"),
            r"shape \(1, 6, 1\); only one axis",
        ),
        (L.SimpleRNN(2, name="it"), "temporal_model=True computes one time step"),
        (L.TimeDistributed(L.LayerNormalization(), name="it"), "no LayerNormalization"),
        pytest.param(
            PADDED,
            r"output_padding=\(1,\) has no counterpart",
            marks=pytest.mark.skipif(
                "output_padding" not in PADDED.get_config(),
                reason="Keras before 3.15 forgets output_padding",
            ),
        ),
    ],
)
def test_layers_without_nengo_objects_are_errors_without_fallback(layer, reason):
    model = randomized(chain(layer, shape=(6, 3)))
    with pytest.raises(ValidationError, match=f"'it', a.*{reason}"):
        nengo_dl.Converter(model, allow_fallback=False)
    converter = nengo_dl.Converter(model)
    assert any(isinstance(n, nengo_dl.TensorNode) for n in converter.net.nodes)
    assert converter.verify()


def test_layer_whose_copy_differs_in_size_is_an_error():
    class Repeat(L.Layer):
        def __init__(self, n_times=2, **kwargs):
            super().__init__(**kwargs)
            self.n_times = n_times

        def call(self, inputs):
            return keras.ops.concatenate([inputs] * self.n_times, axis=-1)

        def get_config(self):
            return {"name": self.name}

    with pytest.raises(ValidationError, match=r"'it', a Repeat, has 9 .* of it 6"):
        nengo_dl.Converter(chain(Repeat(3, name="it"), shape=(3,)))


def test_interpolation_is_left_to_keras():
    model = chain(L.UpSampling2D(2, interpolation="bilinear"))
    converter = nengo_dl.Converter(model)
    assert "interpolation is 'bilinear'" in next(
        iter(converter.report.fallbacks.values())
    )
    assert converter.verify()


def test_layers_that_mix_time_steps_are_errors_in_temporal_models():
    model = chain(L.Conv1D(2, 2, name="mixes"), shape=(4, 3))
    with pytest.raises(
        ValidationError, match=r"'mixes', a Conv1D, cannot be .* step by"
    ):
        nengo_dl.Converter(model, temporal_model=True)
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, L.Concatenate(axis=1, name="j")([inputs, inputs]))
    with pytest.raises(ValidationError, match=r"joins sequences along .* time"):
        nengo_dl.Converter(model, temporal_model=True)
    with pytest.raises(ValidationError, match="has no axis for time"):
        nengo_dl.Converter(make("dense"), temporal_model=True)
    model = chain(L.SimpleRNN(2, return_state=True), shape=(4, 3)).layers[0]
    inputs = keras.Input((4, 3))
    with pytest.raises(ValidationError, match="from a state of zero"):
        nengo_dl.Converter(keras.Model(inputs, model(inputs)), temporal_model=True)


def test_models_without_a_graph_are_errors():
    class Mine(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValidationError, match="calls of 'mine' are not known"):
        nengo_dl.Converter(Mine(name="mine"))
    with pytest.raises(ValidationError, match=r"give the latter a keras.Input"):
        nengo_dl.Converter(keras.Sequential([L.Dense(2)]))
    with pytest.raises(ValidationError, match=r"Must be a keras.Model .got Dense"):
        nengo_dl.Converter(L.Dense(2))


def test_shapes_must_be_known():
    model = keras.Sequential([keras.Input((None, 3), name="words"), L.Dense(2)])
    with pytest.raises(ValidationError, match=r"Give keras.Input a shape without None"):
        nengo_dl.Converter(model)


def test_verify_names_the_first_layer_that_differs():
    model = two_layers()
    converter = nengo_dl.Converter(model)
    assert converter.verify(rtol=1e-6)
    model.layers[0].kernel.assign(1.5 * model.layers[0].kernel)
    with pytest.raises(
        ValidationError,
        match=r"Output 0 of .* differs from Keras's by up to [\d.]+, where Keras's "
        r"values are up to [\d.]+\. The first layer to differ is 'first', a Conv2D: "
        r"by up to [\d.]+ of [\d.]+$",
    ):
        converter.verify()
    assert len(converter.net.probes) == 1  # those that looked for it are gone


def test_verify_names_the_last_layer_if_only_that_differs():
    model = two_layers()
    converter = nengo_dl.Converter(model)
    model.layers[2].bias.assign(model.layers[2].bias + 1)
    with pytest.raises(ValidationError, match="first layer to differ is 'second'"):
        converter.verify()
    assert converter.verify(atol=1.1)


def test_verify_says_which_layers_are_computed_along():
    model = make("separable")
    converter = nengo_dl.Converter(model)
    model.layers[1].beta.assign(model.layers[1].beta + 1)
    with pytest.raises(
        ValidationError,
        match=r"is 'activation.*', a.* \(computed along with 'separable_conv",
    ):
        converter.verify()


def test_verify_says_what_is_not_meant_to_be_exact():
    spikes = {"relu": nengo.SpikingRectifiedLinear()}
    converter = nengo_dl.Converter(two_layers(), spikes, synapse=0.01)
    with pytest.raises(
        ValidationError, match="not meant to be exact with swap_activations, synapse;"
    ):
        converter.verify()


def test_verify_takes_inputs_as_array_list_or_dict():
    model = make("several ends")
    converter = nengo_dl.Converter(model)
    arrays = [np.ones((2, 5)), np.zeros((2, 5))]
    assert converter.verify(inputs=arrays)
    assert converter.verify(inputs={"left": arrays[0], "right": arrays[1]})
    with pytest.raises(
        ValidationError, match=r"an array for each input .* left, right"
    ):
        converter.verify(inputs=arrays[:1])
    with pytest.raises(
        ValidationError, match=r"has the shape \(2, 4\); \(n_items, 5\)"
    ):
        converter.verify(inputs=[np.ones((2, 4)), arrays[1]])


def test_verify_compares_training():
    converter = nengo_dl.Converter(two_layers())
    assert converter.verify(training=True)
    model = make("batch normalization")
    before = model.get_weights()
    with pytest.raises(
        ValidationError, match=r"In training, output 0 .*batch_normalization.*dropout"
    ):
        nengo_dl.Converter(model).verify(training=True)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_objects_are_found_by_layer_tensor_name_and_position():
    model = two_layers()
    first, flat, second = model.layers
    converter = nengo_dl.Converter(model)
    neurons = converter.net.ensembles[0].neurons
    for key in (first, first.output, "first", 0, (first, 0)):
        assert converter.layers[key] == neurons
    assert converter.layers[flat] == neurons
    assert converter.inputs[model.inputs[0]] is converter.net.nodes[0]
    assert converter.inputs[0] is converter.inputs[model.inputs[0].name]
    (probe,) = converter.net.probes
    for key in (second, model.outputs[0], "second", 0, -1):
        assert converter.outputs[key] is probe
    assert list(converter.layers) == model.layers
    assert list(converter.outputs.values()) == [probe]
    assert len(converter.inputs) == 1


def test_objects_of_shared_layers_are_found_by_tensor_and_number():
    inputs = keras.Input((3,))
    layer = L.Dense(3, name="shared")
    first = layer(inputs)
    second = layer(first)
    model = keras.Model(inputs, [second, first])
    converter = nengo_dl.Converter(model, split_shared_weights=True)
    assert converter.layers[first] is converter.layers[layer, 0]
    assert converter.layers[second] is converter.layers[layer, 1]
    assert converter.layers[first] is not converter.layers[second]
    with pytest.raises(ValidationError, match="'shared' is called 2 times; give the"):
        converter.layers[layer]


@pytest.mark.parametrize("key", ["third", 5, L.Dense(2, name="third"), None])
def test_unknown_keys_list_the_known_ones(key):
    converter = nengo_dl.Converter(two_layers())
    with pytest.raises(KeyError, match=r"is no layer of .*: first, flat, second"):
        converter.layers[key]
    assert key not in converter.layers


def test_report_says_what_became_of_each_layer():
    model = chain(
        L.Conv2D(2, 3, name="conv"),
        L.BatchNormalization(name="norm"),
        L.ReLU(name="relu"),
        L.MaxPooling2D(2, name="pool"),
        L.Flatten(name="flat"),
        L.Dense(4, "sigmoid", name="end"),
    )
    with pytest.warns(UserWarning, match="maximum"):
        converter = nengo_dl.Converter(
            model, {"relu": nengo.SpikingRectifiedLinear()}, scale_firing_rates=100
        )
    report = converter.report
    conv = report["conv"]
    assert (conv.n_neurons, conv.neurons) == (32, "SpikingRectifiedLinear")
    assert conv.error == "10 / n"  # 1 / (100 Hz * 1 ms)
    assert report["norm"].folded_into == report["relu"].folded_into == "conv"
    assert "maximum" in report["pool"].fallback
    assert report["flat"].outcome == "nothing to compute"
    assert report["end"].error == "none"
    assert report.n_neurons == 36 and len(report) == 6
    text = str(report)
    for name in ("conv", "norm", "relu", "pool", "flat", "end", "in conv", "10 / n"):
        assert name in text
    assert "1 of 6 calls are TensorNodes" in text
    assert "<table>" in report._repr_html_()
    with pytest.raises(KeyError, match="other"):
        report["other"]


def test_report_measures_how_far_rates_are_from_activations():
    model = chain(L.Dense(3, "tanh", name="dense"), shape=(2,))
    converter = nengo_dl.Converter(model, {"tanh": nengo.RectifiedLinear()})
    assert np.isclose(converter.report["dense"].rate_error, np.tanh(1), atol=1e-6)


def test_report_is_drawn():
    report = nengo_dl.Converter(make("unet")).report
    axes = report.plot()
    assert len(axes.patches) == len(report)
    widths = [bar.get_width() for bar in axes.patches]
    assert sum(widths) == report.n_neurons > 0


def test_converters_of_layers_are_registered_once():
    class Half(keras.layers.Layer):
        def call(self, x):
            return x / 2

    @nengo_dl.Converter.register(Half)
    class ConvertHalf(LayerConverter):
        def convert(self, node_id):
            output = self.add_nengo_obj(node_id)
            self.add_connection(node_id, output, transform=0.5, trainable=False)
            return output

        @classmethod
        def convertible(cls, layer, converter):
            return layer.name != "other"

    model = chain(Half(), shape=(3,))
    assert nengo_dl.Converter(model, allow_fallback=False).verify()
    with pytest.raises(ValidationError, match="ConvertHalf does not convert it"):
        nengo_dl.Converter(chain(Half(name="other"), shape=(3,)), allow_fallback=False)
    with pytest.raises(ValidationError, match="Half is converted by ConvertHalf"):
        nengo_dl.Converter.register(Half)(ConvertHalf)
    with pytest.raises(ValidationError, match=r"Must be a subclass of keras.Layer"):
        nengo_dl.Converter.register(int)


def test_converters_must_convert():
    with pytest.raises(NotImplementedError, match="LayerConverter must implement con"):
        LayerConverter(L.Dense(2), None).convert(0)
