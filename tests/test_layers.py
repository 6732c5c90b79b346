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
        assert sum(v.shape[1] for v in sim.trainable_variables) == 4 * 4 + 4


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
        (nengo.LIF(), {"shape_in": 3}, r"has outputs, 4, .*transform \(got 3\)"),
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
