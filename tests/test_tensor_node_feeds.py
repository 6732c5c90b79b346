"""Values for the variables of layers, for the length of a call."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl


class Gain:
    def __init__(self):
        self.gain = tf.Variable([1.0, 2.0])

    def __call__(self, x):
        return self.gain * x


def network(layer):
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node([1.0, -1.0])
        net.node = nengo_dl.TensorNode(layer, shape_in=2, pass_time=False)
        nengo.Connection(net.inp, net.node, synapse=None)
        net.probe = nengo.Probe(net.node)
    return net


def dense():
    layer = keras.layers.Dense(2, use_bias=False)
    layer.build((None, 2))
    return layer


@pytest.mark.parametrize("kind", ["keras", "object"])
@pytest.mark.parametrize("jit_compile", [True, None])
def test_variables_of_nodes_can_be_fed(kind, jit_compile):
    layer = Gain() if kind == "object" else dense()
    net = network(layer)
    function = net.node.tensor_func
    if kind == "object":
        key, value = function.gain.ref(), np.array([3.0, 4.0])
        expected = [3.0, -4.0]
        target = function.gain
    else:
        target = function.kernel.value
        key = target.ref()
        value = np.array([[5.0, 6.0], [1.0, 2.0]])
        expected = [4.0, 4.0]
    own = target.numpy()
    with nengo_dl.Simulator(net, jit_compile=jit_compile, progress_bar=False) as sim:
        sim.run_steps(2)
        plain = sim.data[net.probe][-1].copy()
        sim.run_steps(2, extra_feeds={key: value})
        np.testing.assert_allclose(sim.data[net.probe][-1], expected, rtol=1e-6)
        sim.run_steps(1)
        np.testing.assert_allclose(sim.data[net.probe][-1], plain, rtol=1e-6)
        y = {net.probe: np.array(expected).reshape(1, 1, 2)}
        x = {net.inp: np.array([[[1.0, -1.0]]])}
        assert sim.loss(x, y, extra_feeds={key: value}) == pytest.approx(0, abs=1e-9)
        assert sim.loss(x, y) > 0.01
        history = sim.train(x, y, "sgd", extra_feeds={key: value})
        assert history.loss[0] == pytest.approx(0, abs=1e-9)
        sim.run_steps(1)
        np.testing.assert_allclose(sim.data[net.probe][-1], plain, rtol=1e-6)
    np.testing.assert_array_equal(target.numpy(), own)
