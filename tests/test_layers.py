"""Networks that are written as chains of layers."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl import Layer, reshaped, tensor_layer


def data_of(net, obj, n_steps=1, **kwargs):
    with net:
        probe = nengo.Probe(obj)
    with nengo_dl.Simulator(net, progress_bar=False, **kwargs) as sim:
        sim.run_steps(n_steps)
        return sim.data[probe]


@pytest.fixture
def net():
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node([1, 2, 3, 4])
    return net


def test_function_becomes_a_tensor_node(net):
    with net:
        x, conn = tensor_layer(net.inp, tf.square, return_conn=True)
    assert isinstance(x, nengo_dl.TensorNode)
    assert conn.pre is net.inp and conn.post is x and conn.synapse is None
    np.testing.assert_allclose(data_of(net, x), [[1, 4, 9, 16]])


def test_arguments_reach_the_function_and_the_node(net):
    with net:
        x = tensor_layer(
            net.inp, tf.reduce_sum, shape_in=(2, 2), axis=2, label="sums", shape_out=2
        )
    assert (x.label, x.shape_in, x.shape_out) == ("sums", (2, 2), (2,))
    np.testing.assert_allclose(data_of(net, x), [[3, 7]])


def test_time_is_passed_if_it_is_asked_for(net):
    with net:
        x = tensor_layer(net.inp, lambda t, x: t * x, pass_time=True)
    np.testing.assert_allclose(data_of(net, x), [[0.001, 0.002, 0.003, 0.004]])


def test_neuron_type_becomes_neurons_that_get_the_input(net):
    with net:
        x, conn = tensor_layer(net.inp, nengo.RectifiedLinear(), return_conn=True)
    assert conn.post is x
    assert (x.ensemble.n_neurons, x.ensemble.dimensions) == (4, 1)
    np.testing.assert_allclose(data_of(net, x), [[1, 2, 3, 4]], rtol=1e-6)


def test_arguments_reach_the_ensemble(net):
    with net:
        x = tensor_layer(
            net.inp,
            nengo.RectifiedLinear(),
            bias=nengo.dists.Choice([1]),
            label="neurons",
        )
    assert x.ensemble.label == "neurons"
    np.testing.assert_allclose(data_of(net, x), [[2, 3, 4, 5]], rtol=1e-6)


def choice(value):
    return nengo.dists.Choice([value])


def curves(max_rate, intercept):
    return {"max_rates": choice(max_rate), "intercepts": choice(intercept)}


def core_data(n_neurons, drive, neuron_type, **arguments):
    """Rates of an ensemble whose neurons get a current directly, in Nengo."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.full(n_neurons, drive))
        ens = nengo.Ensemble(n_neurons, 1, neuron_type=neuron_type, **arguments)
        nengo.Connection(node, ens.neurons, synapse=None)
        probe = nengo.Probe(ens.neurons)
    with nengo.Simulator(net, optimize=False, progress_bar=False) as sim:
        sim.run_steps(3)
        return sim.data[probe]


RATES = nengo.RectifiedLinear(amplitude=0.01)


def test_rates_and_intercepts_among_the_arguments_count():
    with nengo.Network() as net:
        node = nengo.Node(np.full(4, 2.0))
        x = tensor_layer(node, RATES, **curves(100, 0))
    assert x.ensemble.gain is None and x.ensemble.bias is None
    found = data_of(net, x, 3)
    np.testing.assert_allclose(found, core_data(4, 2.0, RATES, **curves(100, 0)))
    np.testing.assert_allclose(found, 2.0)


@pytest.mark.parametrize("given", ["max_rates", "intercepts"])
def test_one_of_both_leaves_the_other_to_nengo(given):
    argument = {given: curves(100, -0.5)[given]}
    with nengo.Network() as net:
        net.config[nengo.Ensemble].seed = 3
        x = tensor_layer(nengo.Node(np.full(4, 2.0)), RATES, **argument)
    expected = core_data(4, 2.0, RATES, seed=3, **argument)
    np.testing.assert_allclose(data_of(net, x, 3), expected, rtol=1e-6)


@pytest.mark.parametrize("outer", [False, True])
def test_rates_and_intercepts_of_the_configuration_count(outer):
    with nengo.Network() as net:
        net.config[nengo.Ensemble].max_rates = choice(200)
        net.config[nengo.Ensemble].intercepts = choice(-0.5)
        node = nengo.Node(np.full(4, 2.0))
        with nengo.Network() if outer else net:
            x = tensor_layer(node, RATES)
    expected = core_data(4, 2.0, RATES, **curves(200, -0.5))
    np.testing.assert_allclose(data_of(net, x, 3), expected, rtol=1e-6)


def test_arguments_beat_the_configuration_and_the_nearest_one_counts():
    with nengo.Network() as net:
        net.config[nengo.Ensemble].gain = choice(7)
        net.config[nengo.Ensemble].bias = choice(7)
        node = nengo.Node(np.full(2, 2.0))
        a = tensor_layer(node, RATES, **curves(100, 0))
        b = tensor_layer(node, RATES, gain=choice(3))
        with nengo.Network() as inner:
            inner.config[nengo.Ensemble].max_rates = choice(50)
            inner.config[nengo.Ensemble].intercepts = choice(0)
            c = tensor_layer(node, RATES)
            d = tensor_layer(node, RATES, gain=choice(3))
    expected = {
        a: core_data(2, 2.0, RATES, **curves(100, 0)),
        b: core_data(2, 2.0, RATES, gain=choice(3), bias=choice(7)),
        c: core_data(2, 2.0, RATES, **curves(50, 0)),
        d: core_data(2, 2.0, RATES, gain=choice(3), bias=choice(0)),
    }
    for x, wanted in expected.items():
        np.testing.assert_allclose(data_of(net, x, 3), wanted, rtol=1e-6)


def test_what_contradicts_is_refused(net):
    with (
        net,
        pytest.raises(
            ValidationError, match=r"gain as well as intercepts and max_rates.*ignored"
        ),
    ):
        tensor_layer(net.inp, RATES, gain=choice(1), **curves(100, 0))


def test_lif_neurons_that_stay_silent_are_a_warning(net):
    with net, pytest.warns(UserWarning, match="silent unless.*max_rates=nengo.dists"):
        x = tensor_layer(net.inp, nengo.LIF())
    np.testing.assert_array_equal(x.ensemble.gain.options, [1])


@pytest.mark.parametrize(
    "arguments",
    [curves(100, 0), {"gain": choice(1)}, {"bias": choice(1)}],
)
@pytest.mark.parametrize("neuron_type", [nengo.LIF(), nengo.AdaptiveLIFRate()])
def test_lif_neurons_with_arguments_are_none(net, neuron_type, arguments):
    with net:  # warnings are errors in these tests
        tensor_layer(net.inp, neuron_type, **arguments)


def test_transform_and_synapse_are_the_connections(net):
    transform = np.arange(8).reshape(2, 4)
    with net:
        x, conn = tensor_layer(
            net.inp,
            nengo.RectifiedLinear(),
            transform=transform,
            synapse=0.01,
            return_conn=True,
        )
        y = tensor_layer(net.inp, tf.identity, transform=transform)
        z = tensor_layer(
            net.inp, nengo.Tanh(), shape_in=3, transform=nengo_dl.dists.Glorot()
        )
    assert conn.synapse == nengo.Lowpass(0.01)
    assert (x.size_in, y.size_in, z.size_in) == (2, 2, 3)
    np.testing.assert_allclose(data_of(net, y), [transform @ [1, 2, 3, 4]])


def test_default_connection_has_no_weights(net):
    with net:
        tensor_layer(net.inp, tf.identity)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert sim.trainable_variables == []


def test_layers_are_chained(net):
    with net:
        x = Layer(keras.layers.Dense(8, kernel_initializer="ones"))(net.inp)
        x = Layer(nengo.RectifiedLinear())(x)
        x = Layer(keras.layers.Conv1D)(x, shape_in=(4, 2), filters=3, kernel_size=2)
        x = Layer(tf.reshape)(x[:6], shape=(-1, 6))
        ens = nengo.Ensemble(10, 6, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(x, ens)
        end = tensor_layer(ens, lambda x: x, synapse=0.1)
    assert end.size_out == 6
    assert data_of(net, end, 2, minibatch_size=3).shape == (3, 2, 6)


def test_one_keras_layer_called_twice_shares_its_weights(net):
    layer = Layer(keras.layers.Dense(4))
    with net:
        layer(layer(net.inp))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert sum(v.shape.num_elements() for v in sim.trainable_variables) == 4 * 4 + 4


def test_chain_is_trained():
    with nengo.Network(seed=0) as net:
        inp = nengo.Node(np.zeros(4))
        x = Layer(keras.layers.Dense(16))(inp)
        x = Layer(nengo.Tanh())(x)
        x = Layer(keras.layers.Dense(2))(x)
        probe = nengo.Probe(x)
    rng = np.random.RandomState(0)
    inputs = {inp: rng.uniform(-1, 1, (32, 1, 4))}
    targets = {probe: inputs[inp][..., :2] * inputs[inp][..., 2:]}
    with nengo_dl.Simulator(net, minibatch_size=32, progress_bar=False) as sim:
        loss = sim.loss(inputs, targets)
        sim.train(inputs, targets, keras.optimizers.Adam(0.02), n_epochs=60)
        assert sim.loss(inputs, targets) < 0.2 * loss


def test_reshaped_gives_shapes_and_flattens():
    @reshaped((2, 2))
    def first_row(t, x):
        """Return the first row."""
        assert x.shape[1:] == (2, 2)
        return x[:, :1]

    assert first_row.__name__ == "first_row"
    with nengo.Network() as net:
        inp = nengo.Node([1, 2, 3, 4])
        node = nengo_dl.TensorNode(first_row, size_in=4)
        nengo.Connection(inp, node, synapse=None)
    assert node.shape_out == (2,)
    np.testing.assert_allclose(data_of(net, node), [[1, 2]])


def test_reshaped_works_without_time(net):
    with net:
        x = tensor_layer(net.inp, reshaped((2, 2))(lambda x: x[:, ::-1]))
    np.testing.assert_allclose(data_of(net, x), [[3, 4, 1, 2]])


@pytest.mark.parametrize("shape", [(), 0, (2, -1), (2, 1.5)])
def test_reshaped_refuses_what_is_no_shape(shape):
    with pytest.raises(ValidationError, match="Must be a positive integer or a tuple"):
        reshaped(shape)


@pytest.mark.parametrize(
    "layer_func, arguments, message",
    [
        (3, {}, "Must be a function, a Keras layer"),
        (nengo.LIF, {}, r"pass an instance, LIF\(\)"),
        (nengo.Direct(), {}, "Direct mode has no neurons"),
        (keras.layers.Dense(2), {"units": 3}, "takes no further arguments.*units"),
        (tf.square, {"shape_in": (3,)}, r"has outputs, 4, .*transform \(got \(3,\)"),
        (nengo.Tanh(), {"shape_in": 3}, r"has outputs, 4, .*transform \(got 3\)"),
        (tf.square, {"transform": nengo.dists.Gaussian(0, 1)}, "shape_in is needed"),
        (lambda x: None, {}, "returned None"),
    ],
)
def test_wrong_layers_are_refused(net, layer_func, arguments, message):
    with net, pytest.raises(ValidationError, match=message):
        tensor_layer(net.inp, layer_func, **arguments)


def test_wrong_input_is_refused(net):
    with net, pytest.raises(ValidationError, match="Must be a Node, an Ensemble"):
        tensor_layer(np.ones(3), tf.square)
