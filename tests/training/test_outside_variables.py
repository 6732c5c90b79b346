"""Functions of TensorNodes that use variables and layers made outside of them."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl

TAU = 0.002


def network(function):
    """A filtered input, times a weight, goes into a function."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0])
        tensor_node = nengo_dl.TensorNode(function, size_in=1, size_out=1)
        net.conn = nengo.Connection(
            net.node, tensor_node, transform=[[1.5]], synapse=TAU
        )
        net.probe = nengo.Probe(tensor_node)
    return net


def filtered(x):
    """What a first-order lowpass filter makes of ``x``, one step late."""
    y, decay = np.zeros_like(x), np.exp(-0.001 / TAU)
    for step in range(1, x.shape[1]):
        y[:, step] = decay * y[:, step - 1] + (1 - decay) * x[:, step - 1]
    return y


def outside():
    """Return a function of an outer variable and layer, and these two."""
    variable = tf.Variable(2.0, dtype=tf.float64)
    layer = keras.layers.Dense(1, kernel_initializer="ones", dtype="float64")
    layer.build((None, 1))
    return (lambda t, x: x * variable + layer(x)), variable, layer


@pytest.mark.parametrize("recompute", [None, 2])
@pytest.mark.parametrize("jit_compile", [None, False])
def test_outer_variables_are_used_in_several_steps(recompute, jit_compile):
    rng = np.random.RandomState(0)
    x, y = rng.randn(2, 4, 6, 1)
    function, variable, layer = outside()
    net = network(function)
    for value, feeds in ((2.0, None), (-1.0, {variable.ref(): -1.0})):
        slope = value + 1  # that of the layer is 1
        features = slope * filtered(x)
        error = 1.5 * features - y
        weight = 1.5 - 0.1 * 2 * np.mean(error * features)
        with nengo_dl.Simulator(
            net,
            minibatch_size=4,
            progress_bar=False,
            dtype="float64",
            jit_compile=jit_compile,
        ) as sim:
            history = sim.train(
                {net.node: x},
                {net.probe: y},
                keras.optimizers.SGD(0.1),
                recompute=recompute,
                extra_feeds=feeds,
            )
            assert np.isclose(history.loss[0], np.mean(error**2))
            assert np.isclose(sim.data[net.conn].weights.item(), weight)
        # the simulator does not train what is not its own
        assert variable.numpy() == 2
        assert layer.kernel.numpy() == 1


def test_gradients_through_outer_variables_are_right():
    function, _, _ = outside()
    with nengo_dl.Simulator(
        network(function), dtype="float64", progress_bar=False
    ) as sim:
        report = sim.check_gradients()
    assert report.n_entries == 6
    assert report.excess < 1
