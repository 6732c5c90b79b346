"""Neurons, firing rates and synapses of converted networks."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.interchange.keras import firing_rate_scales
from tests.interchange.keras_models import chain, make, randomized

SPIKES = {"relu": nengo.SpikingRectifiedLinear()}


def mlp():
    keras.utils.set_random_seed(0)
    return randomized(
        chain(L.Dense(20, "relu"), L.Dense(10, "relu"), L.Dense(2), shape=(5,))
    )


def mean_output(converter, x, n_steps):
    """Return the mean output of the second half of some steps."""
    feeds = {converter.inputs[0]: np.repeat(x[:, None], n_steps, axis=1)}
    net = converter.net
    with nengo_dl.Simulator(net, minibatch_size=len(x), progress_bar=False) as sim:
        sim.run_steps(n_steps, input_feeds=feeds)
    return sim.data[converter.outputs[0]][:, n_steps // 2 :].mean(axis=1)


RECTIFIERS = {
    "keras": keras.activations.relu,
    "name": "relu",
    "tensorflow": tf.nn.relu,
    "operation": keras.ops.relu,
    "layer": L.ReLU(),
}
KEYS = {**RECTIFIERS, "type of layer": L.ReLU, "neurons": nengo.RectifiedLinear()}


@pytest.mark.parametrize("activation", RECTIFIERS)
def test_activations_are_swapped_however_they_are_given(activation):
    model = chain(L.Dense(3, RECTIFIERS[activation]), L.Dense(2), shape=(4,))
    exact = nengo_dl.Converter(model, allow_fallback=False)
    assert [e.neuron_type for e in exact.net.ensembles] == [nengo.RectifiedLinear()]
    assert exact.verify()
    neurons = nengo.LIF(tau_rc=0.03)
    for name, key in KEYS.items():
        net = nengo_dl.Converter(model, swap_activations={key: neurons}).net
        assert [e.neuron_type for e in net.ensembles] == [neurons], name
        assert len(net.nodes) == len(exact.net.nodes)
        assert len(net.connections) == len(exact.net.connections)


@pytest.mark.parametrize(
    "function, neurons",
    [
        (tf.identity, None),
        (tf.sigmoid, nengo.Sigmoid(tau_ref=1)),
        (tf.math.tanh, nengo.Tanh(tau_ref=1)),
        (tf.nn.leaky_relu, nengo_dl.LeakyReLU(0.2)),
    ],
)
def test_functions_of_tensorflow_are_those_of_keras(function, neurons):
    converter = nengo_dl.Converter(
        chain(L.Dense(3, function), shape=(4,)), allow_fallback=False
    )
    found = [e.neuron_type for e in converter.net.ensembles]
    assert found == ([] if neurons is None else [neurons])
    assert converter.verify()


class Slopes(L.Layer):
    """A layer of the user, with weights."""

    def build(self, shape):
        self.slopes = self.add_weight(shape=shape[-1:], initializer="normal")

    def call(self, x):
        return x * self.slopes


def prelu(**kwargs):
    return L.PReLU(alpha_initializer="normal", **kwargs)


def shared_prelu():
    inputs = keras.Input((4,))
    layer = prelu()
    x = L.Activation(layer)(L.Dense(4, layer)(inputs))
    return keras.Model(inputs, layer(x))


WEIGHTED = {
    "alone": lambda: chain(L.Activation(prelu()), shape=(4,)),
    "behind a layer": lambda: chain(L.Dense(3), L.Activation(prelu()), shape=(4,)),
    "in a layer": lambda: chain(L.Dense(3, prelu()), L.Dense(3), shape=(4,)),
    "of the user": lambda: chain(
        L.Conv2D(3, 2, use_bias=False), L.Activation(Slopes())
    ),
    "of channels": lambda: chain(
        L.Conv2DTranspose(3, 2, use_bias=False), L.Activation(prelu(shared_axes=[1, 2]))
    ),
    "in an activation": lambda: chain(L.Activation(L.Activation(prelu()))),
    "a model": lambda: chain(
        L.Activation(chain(L.Dense(4, "relu"), L.Dense(4), shape=(4,))), shape=(4,)
    ),
    "shared": shared_prelu,
    "distributed": lambda: chain(
        L.TimeDistributed(L.Dense(3, prelu())),
        L.TimeDistributed(L.Activation(Slopes())),
        shape=(5, 4),
    ),
    "of an axis": lambda: chain(
        L.TimeDistributed(L.Dense(3, L.Softmax(axis=1))),
        L.Activation(L.Softmax(axis=1)),
        shape=(5, 4),
    ),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_layers_with_weights_as_activations_are_tensor_nodes(name):
    keras.utils.set_random_seed(0)
    model = randomized(WEIGHTED[name]())
    converter = nengo_dl.Converter(model)
    assert converter.verify()
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert sim.trainable_parameters.size == model.count_params()
    with pytest.raises(
        ValidationError, match=r"cannot become Nengo objects: .*(PRe|S|s)"
    ):
        nengo_dl.Converter(model, allow_fallback=False)


def test_biases_of_zero_are_trained_where_keras_would():
    model = chain(L.Dense(3), L.Dense(2, trainable=False), L.Dense(4), shape=(4,))
    with nengo_dl.Simulator(nengo_dl.Converter(model).net, progress_bar=False) as sim:
        assert sim.trainable_parameters.size == 4 * 3 + 3 + 2 * 4 + 4
    net = nengo_dl.Converter(model, inference_only=True).net
    assert [c.size_in for c in net.connections] == [4, 3, 2]  # none of biases


def test_layers_with_weights_are_no_keys_of_swaps():
    model = chain(L.Dense(3, L.PReLU()), shape=(4,))
    with pytest.raises(ValidationError, match="is no activation; give one of"):
        nengo_dl.Converter(model, swap_activations={L.PReLU(): nengo.LIF()})


@pytest.mark.parametrize("layer", [prelu(), L.Softmax(axis=1)])
def test_layers_as_activations_of_whole_sequences_are_errors_in_time(layer):
    model = chain(L.Dense(3, layer, name="rates"), shape=(5, 4))
    with pytest.raises(ValidationError, match=r"'rates', .* sees the whole sequence"):
        nengo_dl.Converter(model, temporal_model=True)


def test_layers_as_activations_of_single_steps_run_in_time():
    model = chain(L.TimeDistributed(L.Dense(3, prelu())), shape=(5, 4))
    assert nengo_dl.Converter(model, temporal_model=True).verify()


def test_activations_without_neurons_can_be_swapped():
    model = chain(L.Dense(3, "swish"), L.ReLU(6.0), L.LeakyReLU(0.2), shape=(4,))
    swaps = {"swish": nengo.RectifiedLinear(), "relu6": nengo.LIFRate()}
    swaps[nengo_dl.LeakyReLU(0.2)] = nengo_dl.SpikingLeakyReLU(0.2)
    converter = nengo_dl.Converter(model, swap_activations=swaps, allow_fallback=False)
    kinds = [type(e.neuron_type).__name__ for e in converter.net.ensembles]
    assert kinds == ["RectifiedLinear", "LIFRate", "SpikingLeakyReLU"]


def test_activations_are_swapped_beside_layers_that_are_distributed():
    model = chain(
        L.TimeDistributed(L.LayerNormalization()),
        L.Flatten(),
        L.Dense(3, "relu"),
        shape=(4, 2),
    )
    converter = nengo_dl.Converter(model, swap_activations={"relu": nengo.LIFRate()})
    assert converter.report.layers[0].fallback.startswith("only dense layers are")
    (ens,) = converter.net.ensembles
    assert type(ens.neuron_type) is nengo.LIFRate


def test_swap_of_an_activation_that_does_not_occur_is_a_warning():
    model = chain(L.Dense(3, "tanh"), L.Dense(3, "relu"), shape=(4,))
    swaps = {"sigmoid": nengo.LIF(), "relu": nengo.LIF()}
    with pytest.warns(UserWarning, match="has sigmoid, which does.*: relu, tanh$"):
        nengo_dl.Converter(model, swap_activations=swaps)


@pytest.mark.parametrize(
    "swaps, message",
    [
        ({"no such": nengo.LIF()}, "'no such' is no activation"),
        ({nengo.LIF: nengo.LIF()}, "is no activation; give one of"),
        ({"relu": nengo.LIF}, "must be a neuron type, such as"),
        ([nengo.LIF()], "Must be a dict of neuron types by activation"),
    ],
)
def test_wrong_swaps_are_errors(swaps, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.Converter(mlp(), swap_activations=swaps)


@pytest.mark.parametrize("scale", [7.0, "layers", "names"])
def test_scaled_rates_of_rectifiers_compute_the_same(scale):
    model = mlp()
    factors = {"layers": {model.layers[0]: 7.0}, "names": {model.layers[0].name: 7.0}}
    converter = nengo_dl.Converter(model, scale_firing_rates=factors.get(scale, scale))
    gains = [ensemble.gain[0] for ensemble in converter.net.ensembles]
    assert gains == [7.0, 7.0 if scale == 7.0 else 1.0]
    assert converter.verify()


def test_spiking_networks_approach_keras():
    model = mlp()
    x = np.random.RandomState(0).randn(4, 5).astype(np.float32)
    wanted = model(x).numpy()
    converter = nengo_dl.Converter(
        model, SPIKES, scale_firing_rates=1000, synapse=0.005, initial_voltage=0.5
    )
    found = mean_output(converter, x, 200)
    assert np.abs(found - wanted).max() < 0.01 * np.abs(wanted).max()


def test_currents_of_leaky_neurons_are_fitted():
    model = mlp()
    x = np.random.RandomState(0).randn(4, 5).astype(np.float32)
    wanted = model(x).numpy()
    converter = nengo_dl.Converter(
        model,
        {"relu": nengo.LIF(tau_ref=0)},
        scale_firing_rates=100,
        synapse=0.005,
        initial_voltage=0.5,
    )
    found = mean_output(converter, x, 400)
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    # 1 / (4 tau_rc) is 12.5 Hz
    assert all(e.rate_error < 0.126 for e in converter.report if e.n_neurons)


def test_own_state_and_amplitude_of_neurons_are_kept():
    voltage = nengo.dists.Choice([0.25])
    neurons = nengo.LIF(0.03, 0.001, amplitude=2, initial_state={"voltage": voltage})
    converter = nengo_dl.Converter(
        mlp(), {"relu": neurons}, scale_firing_rates=4, initial_voltage=0.5
    )
    made = converter.net.ensembles[0].neuron_type
    assert (made.tau_rc, made.tau_ref, made.amplitude) == (0.03, 0.001, 0.5)
    assert made.initial_state["voltage"] is voltage


def test_initial_voltages_are_set():
    converter = nengo_dl.Converter(mlp(), SPIKES, initial_voltage=0.5)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        for ensemble in converter.net.ensembles:
            signal = sim.model.sig[ensemble.neurons]["voltage"]
            assert np.all(sim.signals[signal] == 0.5)


def test_neurons_without_amplitude_cannot_be_scaled():
    model = chain(L.Dense(3, "tanh"), shape=(2,))
    scales = {model.layers[0]: 10}
    with pytest.warns(UserWarning, match="does not change '.*': Tanh has no amplitude"):
        nengo_dl.Converter(model, scale_firing_rates=scales)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"scale_firing_rates": 0}, "Must be a positive number, or a dict .*got 0"),
        ({"scale_firing_rates": {"dense": -1}}, "Must be a positive number.*got -1"),
        ({"scale_firing_rates": {"other": 2}}, "'other' is no layer .* layers are d"),
        ({"initial_voltage": "half"}, "Must be a number or a distribution"),
        ({"product_neurons": 0}, "Must be a number of neurons, or None"),
        ({"inference_only": 1}, "Must be True or False"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2, name="dense")])
    with pytest.raises(ValidationError, match=message):
        nengo_dl.Converter(model, **arguments)


def test_synapses_are_behind_neurons_only():
    model = randomized(chain(L.Conv2D(2, 3), L.ReLU(), L.AveragePooling2D(2)))
    converter = nengo_dl.Converter(model, synapse=0.01)
    synapses = {
        type(c.pre_obj).__name__: c.synapse for c in converter.net.all_connections
    }
    assert synapses == {"Node": None, "Neurons": nengo.Lowpass(0.01)}
    assert converter.outputs[0].synapse is None
    ends = nengo_dl.Converter(chain(L.Dense(2, "relu"), shape=(3,)), synapse=0.01)
    assert ends.outputs[0].synapse == nengo.Lowpass(0.01)


def residual():
    """A network whose output is zero if both branches are in step."""
    inputs = keras.Input((3,))
    first = L.Activation("relu")(inputs)
    deep = first
    for _ in range(3):
        deep = L.Activation("relu")(deep)
    return keras.Model(inputs, L.Subtract()([first, deep]))


def test_branches_of_different_depth_stay_in_step():
    converter = nengo_dl.Converter(residual(), synapse=0.005)
    feeds = {converter.inputs[0]: np.ones((1, 30, 3))}
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        sim.run_steps(30, input_feeds=feeds)
        assert np.abs(sim.data[converter.outputs[0]]).max() < 1e-6
    (entry,) = (e for e in converter.report if e.n_delays)
    assert (entry.kind, entry.n_delays) == ("Subtract", 3)
    assert "3 synapses more keep branches in step" in str(converter.report)


def test_branches_without_synapses_need_nothing_to_stay_in_step():
    converter = nengo_dl.Converter(residual())
    assert not any(entry.n_delays for entry in converter.report)


def test_maxima_of_spikes_are_a_warning():
    model = chain(L.Conv2D(2, 3, activation="relu"), L.MaxPooling2D(2))
    with pytest.warns(
        UserWarning, match="maximum of spikes is .* max_to_avg_pool=True"
    ):
        nengo_dl.Converter(model, SPIKES)
    nengo_dl.Converter(model)  # rates: no warning
    nengo_dl.Converter(model, SPIKES, max_to_avg_pool=True)


def test_masks_are_a_warning():
    model = keras.Sequential(
        [keras.Input((4,)), L.Embedding(5, 2, mask_zero=True), L.LSTM(2)]
    )
    with pytest.warns(UserWarning, match="'embedding.*' makes a mask"):
        nengo_dl.Converter(model)


def test_scales_give_the_strongest_activations_one_rate():
    model = mlp()
    x = np.random.RandomState(0).randn(200, 5).astype(np.float32)
    scales = firing_rate_scales(model, x, rate=100, percentile=100)
    assert list(scales) == model.layers[:2]
    converter = nengo_dl.Converter(model, scale_firing_rates=scales)
    for layer in model.layers[:2]:
        amplitude = converter.layers[layer].ensemble.neuron_type.amplitude
        strongest = keras.Model(model.inputs[0], layer.output)(x).numpy().max()
        assert np.isclose(strongest / amplitude, 100, rtol=1e-4)
    lower = firing_rate_scales(model, x, rate=100, percentile=90)
    assert all(lower[layer] > scales[layer] for layer in scales)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rate": 0}, "Must be positive, in Hz"),
        ({"percentile": 101}, "Must be above 0, and at most 100"),
        ({"inputs": [1, 2]}, "has 1 inputs"),
    ],
)
def test_wrong_arguments_of_scales_are_errors(arguments, message):
    with pytest.raises(ValidationError, match=message):
        firing_rate_scales(mlp(), **{"inputs": np.ones((2, 5)), **arguments})


@pytest.mark.training
def test_converted_networks_are_trained_with_surrogates():
    model = mlp()
    converter = nengo_dl.Converter(
        model, SPIKES, scale_firing_rates=100, synapse=0.005, initial_voltage=0.5
    )
    with converter.net:
        nengo_dl.configure_settings(surrogate="straight_through")
    rng = np.random.RandomState(0)
    x = np.repeat(rng.randn(40, 1, 5), 15, axis=1)
    y = np.repeat(rng.randn(40, 1, 2), 15, axis=1)
    y[:, :8] = np.nan
    node, probe = converter.inputs[0], converter.outputs[0]
    with nengo_dl.Simulator(
        converter.net, minibatch_size=20, progress_bar=False, seed=0
    ) as sim:
        assert sim.trainable_parameters.size == model.count_params()
        before = sim.loss({node: x}, {probe: y})
        sim.train({node: x}, {probe: y}, keras.optimizers.Adam(0.02), n_epochs=30)
        assert sim.loss({node: x}, {probe: y}) < 0.5 * before


def test_inference_only_is_a_setting_of_the_network():
    net = nengo_dl.Converter(make("dense"), inference_only=True).net
    assert nengo_dl.get_setting(net, net, "inference_only") is True
