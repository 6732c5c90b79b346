"""Weights of TensorNodes: back to Keras, and into the network."""

import copy
import pickle
import subprocess
import sys
import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from tests.parameters.test_parameters import simulator

N_ITEMS = 8


def model_with_everything():
    """Weights, statistics and seeds in an order that is none of these kinds alone."""
    return keras.Sequential(
        [
            keras.layers.Dense(6, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(5),
            keras.layers.BatchNormalization(center=False),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Dense(2),
        ]
    )


class Scale(tf.Module):
    def __init__(self):
        super().__init__()
        self.factor = tf.Variable([1.0, 2.0, 3.0])

    def __call__(self, x):
        return x * self.factor


def network(code, **kwargs):
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node(np.linspace(-1, 1, 3))
        net.node = nengo_dl.TensorNode(
            code, shape_in=3, pass_time=False, label="code", **kwargs
        )
        nengo.Connection(net.stim, net.node, synapse=None)
        net.probe = nengo.Probe(net.node)
    return net


def train(sim, net, n_epochs=3):
    rng = np.random.RandomState(0)
    x = rng.uniform(-1, 1, (N_ITEMS, 1, 3))
    y = rng.uniform(-1, 1, (N_ITEMS, 1, net.node.size_out))
    optimizer = keras.optimizers.SGD(0.1)
    sim.train({net.stim: x}, {net.probe: y}, optimizer, n_epochs=n_epochs)
    return x[:, 0]


def trained_output(sim, net, x):
    sim.run_steps(1, input_feeds={net.stim: x[:, None]})
    return sim.data[net.probe][:, -1]


@pytest.mark.parametrize("is_built", [False, True])
def test_weights_are_in_the_order_of_keras(is_built):
    model = model_with_everything()
    if is_built:
        model.build((None, 3))
    net = network(model)
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        before = [np.array(w) for w in sim.data[net.node].weights.values()]
        x = train(sim, net)
        weights = list(sim.data[net.node].weights.values())
        expected = trained_output(sim, net, x)
    model.build((None, 3))
    assert [w.shape for w in weights] == [w.shape for w in model.get_weights()]
    if is_built:
        for one, two in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
    model.set_weights(weights)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)


def test_states_of_random_generators_are_no_weights_but_can_be_read():
    net = network(model_with_everything())
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        record = sim.data[net.node]
        seeds = {name: s for name, s in record.signals.items() if "seed" in name}
        assert len(seeds) == 2 and not set(seeds) & set(record.weights)
        for signal in seeds.values():
            assert sim.signals[signal].shape[-1:] == (2,)


@pytest.mark.parametrize(
    "make", [model_with_everything, lambda: keras.layers.Dense(2), Scale]
)
def test_frozen_nodes_give_the_trained_output_everywhere(make):
    code = make()
    net = network(code)
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        x = train(sim, net)
        expected = trained_output(sim, net, x)
        frozen = sim.freeze_params(net)
    assert net.node in frozen.objects
    assert net.node.tensor_func is not code and type(net.node.tensor_func) is type(code)
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        np.testing.assert_allclose(trained_output(sim, net, x), expected, atol=1e-6)
    net.stim.output = x[3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(2)
    np.testing.assert_allclose(sim.data[net.probe], [expected[3]] * 2, atol=1e-6)
    frozen.undo()
    assert net.node.tensor_func is code
    with pytest.warns(UserWarning, match="not with those that a nengo_dl.Simulator"):
        nengo.Simulator(net, progress_bar=False).close()


def test_nodes_can_be_frozen_alone():
    net = network(keras.layers.Dense(2))
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        train(sim, net)
        sim.freeze_params([net.node])
        for one, two in zip(
            net.node.tensor_func.get_weights(),
            sim.data[net.node].weights.values(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, two)
        with pytest.raises(TypeError, match="TensorNodes can be frozen; got Node"):
            sim.freeze_params(net.stim)


def test_nodes_that_share_a_layer_share_the_frozen_one():
    layer = keras.layers.Dense(3)
    net = network(layer)
    with net:
        second = nengo_dl.TensorNode(layer, shape_in=3, pass_time=False)
        nengo.Connection(net.node, second, synapse=None)
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        train(sim, net)
        sim.freeze_params(net)
    assert second.tensor_func is net.node.tensor_func is not layer


def test_layer_that_cannot_be_copied_cannot_be_frozen():
    class Odd(keras.layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.inner = keras.layers.Dense(units)

        def call(self, x):
            return self.inner(x)

        def get_config(self):
            raise NotImplementedError

    layer = Odd(2)
    layer(np.ones((1, 3)))
    net = network(layer)
    with simulator(net, dtype="float32") as sim:
        with pytest.raises(ValidationError, match=r"trained weights cannot be stored"):
            sim.freeze_params(net)
    assert net.node.tensor_func is layer


def test_other_simulators_with_untrained_weights_say_so(tmp_path):
    net = network(keras.layers.Dense(2))
    nengo.Simulator(net, progress_bar=False).close()  # nothing was trained: no warning
    with simulator(net, minibatch_size=N_ITEMS, dtype="float32") as sim:
        path = sim.save_params(tmp_path / "params")
        train(sim, net)
    simulator(net).close()  # has weights of its own, as always
    copies = (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net)))
    for each in copies[:2]:
        with pytest.warns(UserWarning, match=r"'code'.*freeze_params\(net\) first"):
            nengo.Simulator(each, progress_bar=False).close()
    other = network(keras.layers.Dense(2))
    with simulator(other, dtype="float32") as sim:
        sim.load_params(path)
    with pytest.warns(UserWarning, match="trained or loaded"):
        nengo.Simulator(other, progress_bar=False).close()


SCRIPT = """
import importlib.abc, pickle, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("nengo_dl", "tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import nengo
with open(sys.argv[1], "rb") as file:
    net = pickle.load(file)
with nengo.Simulator(net, progress_bar=False) as sim:
    sim.run_steps(3)
print(sim.data[net.probes[0]].shape, net.config[net.ensembles[0]].trainable)
"""


def settings_network():
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(
            trainable=None, surrogate="arctan", lif_smoothing=0.1, dtype="float64"
        )
        ens = nengo.Ensemble(5, 1)
        nengo.Probe(ens)
    net.config[ens].trainable = False
    net.config[ens].surrogate = nengo_dl.Surrogate("gaussian", 2.0)
    return net


def test_networks_with_settings_are_unpickled_without_this_package(tmp_path):
    (tmp_path / "net").write_bytes(pickle.dumps(settings_network()))
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "net"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.split("\n")[0] == "(3, 1) False"


@pytest.mark.parametrize(
    "make", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_copies_of_networks_keep_settings(make):
    net = make(settings_network())
    (ens,) = net.ensembles
    setting = nengo_dl.get_setting(net, ens, "surrogate")
    assert setting == nengo_dl.Surrogate("gaussian", 2.0)
    assert isinstance(setting, nengo_dl.Surrogate)
    assert nengo_dl.get_setting(net, ens, "trainable") is False
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert sim.dtype == np.float64
    net.config[nengo.Ensemble].lif_smoothing = 0.2
    assert nengo_dl.get_setting(net, ens, "lif_smoothing") == 0.2


def test_wrong_settings_of_copies_are_refused():
    net = copy.deepcopy(settings_network())
    with pytest.raises(ValidationError, match="Must be a positive number"):
        net.config[nengo.Ensemble].lif_smoothing = -1
    net = pickle.loads(pickle.dumps(settings_network()))
    net.config[nengo.Ensemble].lif_smoothing = -1
    with pytest.raises(ValidationError, match="Must be a positive number"):
        nengo_dl.get_setting(net, net.ensembles[0], "lif_smoothing")
