"""Exported networks: the same output from Nengo alone."""

import pickle
import subprocess
import sys

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulatorClosed, ValidationError

import nengo_dl
from nengo_dl.interchange.plain_nengo import export_network
from tests import networks

SCRIPT = """
import importlib.abc, pickle, sys
import numpy as np
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("nengo_dl", "tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import nengo
with open(sys.argv[1], "rb") as file:
    net = pickle.load(file)
with nengo.Simulator(net, seed=1, progress_bar=False) as sim:
    sim.run_steps(int(sys.argv[2]))
np.savez(sys.argv[3], *(sim.data[probe] for probe in net.all_probes))
"""


def elsewhere(net, n_steps, folder):
    """Run a pickled network where neither nengo_dl nor TensorFlow can be imported."""
    (folder / "net.pkl").write_bytes(pickle.dumps(net))
    arguments = [folder / "net.pkl", str(n_steps), folder / "data.npz"]
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments], check=True)
    with np.load(folder / "data.npz") as data:
        return [data[name] for name in data.files]


def simulator(net, **kwargs):
    kwargs = {"dtype": "float64", "progress_bar": False, "seed": 1, **kwargs}
    return nengo_dl.Simulator(net, **kwargs)


def spiking_network():
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None, surrogate="arctan")
        stim = nengo.Node([0.5, -0.3], label="stim")
        with nengo.Network(label="inner"):
            a = nengo.Ensemble(30, 2, label="a")
            b = nengo.Ensemble(20, 1, neuron_type=nengo.AdaptiveLIF())
            nengo.Connection(a, b, function=lambda x: x[0] * x[1])
            nengo.Connection(b, b, solver=nengo.solvers.LstsqL2(weights=True))
        c = nengo.networks.EnsembleArray(10, 3)
        nengo.Connection(stim, a)
        nengo.Connection(a[1], c.input[1:], transform=[[1], [0.5]])
        nengo.Connection(a.neurons[:5], c.ea_ensembles[0].neurons[2:7], transform=0.1)
        nengo.Connection(
            b.neurons, c.ea_ensembles[2], transform=np.ones((1, 20)) * 1e-3
        )
        nengo.Probe(a, synapse=0.01, label="first")
        nengo.Probe(a[0])
        nengo.Probe(a.neurons, sample_every=0.002)
        nengo.Probe(b.neurons, "voltage")
        nengo.Probe(c.output, synapse=0.03)
    return net


def train(sim, net, n_epochs=2):
    rng = np.random.RandomState(0)
    stim, probe = net.nodes[0], net.probes[0]
    x = rng.uniform(-1, 1, (8, 4, stim.size_out))
    y = rng.uniform(-1, 1, (8, 4, probe.size_in))
    sim.train({stim: x}, {probe: y}, keras.optimizers.Adam(0.01), n_epochs=n_epochs)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_spiking_network_gives_the_same_output_elsewhere(tmp_path):
    net = spiking_network()
    with simulator(net) as sim:
        train(sim, net)
        plain = export_network(sim)
        sim.run_steps(100)
        expected = [sim.data[probe] for probe in net.all_probes]
    for one, two in zip(elsewhere(plain, 100, tmp_path), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_exported_network_has_the_same_places():
    net = spiking_network()
    with simulator(net) as sim:
        plain = export_network(sim)
    for old, new in zip(net.all_networks, plain.all_networks, strict=True):
        assert old.label == new.label
    for kind in ("ensembles", "nodes", "probes", "connections"):
        old, new = getattr(net, f"all_{kind}"), getattr(plain, f"all_{kind}")
        assert [obj.label for obj in old] == [obj.label for obj in new]
        assert not set(map(id, old)) & set(map(id, new))
    assert plain.probes[0].target is plain.networks[0].ensembles[0]
    assert "trainable" not in plain.config[nengo.Ensemble].extra_params


def test_simulated_network_is_not_changed():
    net = spiking_network()
    before = pickle.dumps(
        [
            {n: getattr(o, n) for n in ("gain", "bias", "encoders")}
            for o in net.all_ensembles
        ]
    )
    with simulator(net) as sim:
        export_network(sim)
    after = pickle.dumps(
        [
            {n: getattr(o, n) for n in ("gain", "bias", "encoders")}
            for o in net.all_ensembles
        ]
    )
    assert before == after
    assert len(nengo.Network.context) == 0


@pytest.mark.parametrize(
    "name", ["composed_networks", "transforms", "slices", "error_driven_learning"]
)
def test_fixed_networks_give_the_same_output(name):
    case = networks.FIXED[name]()
    with simulator(case.net) as sim:
        plain = export_network(sim, strict=name != "error_driven_learning")
        sim.run_steps(30)
    with nengo.Simulator(
        plain, seed=1, progress_bar=False, optimize=False
    ) as reference:
        reference.run_steps(30)
    for old, new in zip(case.net.all_probes, plain.all_probes, strict=True):
        if isinstance(old.target, nengo.Connection) and old.target.solver.weights:
            continue  # that is before gains now
        np.testing.assert_allclose(reference.data[new], sim.data[old], atol=1e-9)


def test_learned_weights_between_neurons_are_refused():
    """Nengo's own solver would multiply them by encoders."""
    net = networks.FIXED["error_driven_learning"]().net
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="weights between neurons that a"):
            export_network(sim)


def test_learning_goes_on_from_the_learned_weights():
    with nengo.Network(seed=0) as net:
        stim = nengo.Node([0.5])
        pre, post = nengo.Ensemble(20, 2), nengo.Node(size_in=1)
        rules = {"pes": nengo.PES(1e-3), "bcm": nengo.PES(1e-4)}
        conn = nengo.Connection(
            pre, post, function=lambda x: x[0], learning_rule_type=rules
        )
        nengo.Connection(stim, pre[0])
        nengo.Connection(stim, conn.learning_rule["pes"], transform=-1)
        nengo.Connection(stim, conn.learning_rule["bcm"], transform=-0.5)
        probe = nengo.Probe(conn, "weights")
    with simulator(net, minibatch_size=2) as sim:
        sim.run_steps(20, input_feeds={stim: [[[0.5]], [[0.9]]] * np.ones((1, 20, 1))})
        weights = sim.data[conn].weights
        plain = export_network(sim, item=1)
    with nengo.Simulator(plain, progress_bar=False) as reference:
        (new,) = (c for c in plain.connections if c.learning_rule_type)
        np.testing.assert_allclose(reference.data[new].weights, weights[1])
        reference.run_steps(20)
        changed = reference.data[plain.probes[0]]
    assert not np.allclose(changed[-1], weights[1])
    assert changed.shape[1:] == sim.data[probe].shape[2:]


# -- TensorNodes


def keras_network(layers, shape_in):
    with nengo.Network(seed=0) as net:
        n_inputs = int(np.prod(shape_in))
        stim = nengo.Node(np.linspace(-1, 1, n_inputs))
        model = keras.Sequential(layers)
        node = nengo_dl.TensorNode(model, shape_in=shape_in, label="model")
        nengo.Connection(stim, node, synapse=None)
        nengo.Probe(node)
        after = nengo.Ensemble(10, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(node[0], after)
        nengo.Probe(after)
    return net


MODELS = {
    "dense": lambda: (
        [
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(6, activation="tanh"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(6, activation="leaky_relu", bias_initializer="uniform"),
            keras.layers.LeakyReLU(0.1),
            keras.layers.Dense(3, activation="sigmoid"),
        ],
        (4,),
    ),
    "convolutions": lambda: (
        [
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(3, 2),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Activation("relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ],
        (6, 6, 1),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_trained_models_give_the_same_output_elsewhere(name, tmp_path):
    net = keras_network(*MODELS[name]())
    with simulator(net, minibatch_size=4) as sim:
        train(sim, net)
        plain = export_network(sim)
        sim.run_steps(10)
        expected = [sim.data[probe][0] for probe in net.probes]
    assert not any(isinstance(n, nengo_dl.TensorNode) for n in plain.all_nodes)
    assert plain.networks[-1].label == "model"
    for one, two in zip(elsewhere(plain, 10, tmp_path), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_chains_of_layers_become_transforms_and_neurons(tmp_path):
    with nengo.Network(seed=0) as net:
        x = nengo.Node(np.linspace(-1, 1, 16))
        x = nengo_dl.tensor_layer(x, keras.layers.Conv2D(2, 3), shape_in=(4, 4, 1))
        x = nengo_dl.tensor_layer(
            x, nengo.RectifiedLinear(), gain=np.ones(8), bias=np.zeros(8)
        )
        x = nengo_dl.tensor_layer(x, keras.layers.Dense(2), synapse=0.005)
        nengo.Probe(x)
    with simulator(net) as sim:
        train(sim, net)
        plain = export_network(sim)
        sim.run_steps(20)
    (actual,) = elsewhere(plain, 20, tmp_path)
    np.testing.assert_allclose(actual, sim.data[net.probes[0]], atol=1e-5)
    transforms = [type(c.transform) for c in plain.all_connections]
    assert nengo.Convolution in transforms and nengo.Dense in transforms


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (tf.tanh, "'code'.* cannot become Nengo objects.*it is not a Keras layer"),
        (
            keras.layers.Dense(3, activation="softmax"),
            "cannot become Nengo objects.*softmax.*strict=False leaves",
        ),
        (keras.layers.LayerNormalization(), "cannot become Nengo objects"),
    ],
)
def test_what_has_no_form_in_nengo_is_refused_or_left(code, message):
    with nengo.Network(seed=0) as net:
        stim = nengo.Node([0.1, 0.2, 0.3])
        node = nengo_dl.TensorNode(code, shape_in=3, pass_time=False, label="code")
        nengo.Connection(stim, node, synapse=None)
        probe = nengo.Probe(node)
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=message):
            export_network(sim)
        left = export_network(sim, strict=False)
        sim.run_steps(3)
    with nengo.Simulator(left, progress_bar=False) as reference:
        reference.run_steps(3)
    np.testing.assert_allclose(
        reference.data[left.probes[0]], sim.data[probe], atol=1e-6
    )


def test_own_neuron_types_are_refused():
    with nengo.Network() as net:
        nengo.Ensemble(5, 1, neuron_type=nengo_dl.SoftLIFRate(), label="soft")
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=r"'soft'.*is SoftLIFRate"):
            export_network(sim)
        assert export_network(sim, strict=False).ensembles[0].n_neurons == 5


def test_wrong_arguments_are_refused():
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([1]))
    with pytest.raises(ValidationError, match=r"Must be a nengo_dl.Simul.* \(got Net"):
        export_network(net)
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="item of the minibatch, 0 to 0"):
            export_network(sim, item=1)
    with pytest.raises(SimulatorClosed, match="Cannot export the network"):
        export_network(sim)
    model = nengo.builder.Model()
    model.add_op(nengo.builder.operator.Reset(nengo.builder.Signal(np.ones(1))))
    with simulator(None, model=model) as sim:
        with pytest.raises(ValidationError, match="a model without a network"):
            export_network(sim)
