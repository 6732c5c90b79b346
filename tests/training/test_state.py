"""Training that goes on after saving and loading, as if it had not been interrupted."""

import pathlib
import pickle
import subprocess
import sys

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.parameters.file.header import Form
from nengo_dl.parameters.parts import SavedBatch

N_ITEMS, N_STEPS = 6, 3
OPTIMIZERS = {
    "adam": lambda: "adam",
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "old momentum": lambda: tf.compat.v1.train.MomentumOptimizer(0.01, 0.9),
    "old adam": lambda: tf.compat.v1.train.AdamOptimizer(0.01),
}


def network(extra=False):
    """A network whose inputs during training are partly random."""
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node([0.0])
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        if extra:  # other operators, merged in another way
            net.first = nengo.Ensemble(7, 1, neuron_type=nengo.RectifiedLinear())
            nengo.Connection(net.stim, net.first, synapse=None)
        net.ens = nengo.Ensemble(5, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(net.stim, net.ens, synapse=None)
        nengo.Connection(noise, net.ens, synapse=None, transform=0.01)
        net.probe = nengo.Probe(net.ens, synapse=None)
    return net


def simulator(net):
    return nengo_dl.Simulator(
        net, minibatch_size=2, dtype=tf.float64, progress_bar=False, seed=3
    )


def train(sim, net, optimizer, n_epochs):
    rng = np.random.RandomState(0)
    inputs = {net.stim: rng.uniform(-1, 1, size=(N_ITEMS, N_STEPS, 1))}
    targets = {net.probe: inputs[net.stim] ** 2}
    sim.train(inputs, targets, optimizer, n_epochs=n_epochs)


def parameters(sim):
    values = sim._parameters
    return [values.read([p.signal])[p.signal][0].copy() for p in values.parameters]


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_after_loading(name, tmp_path):
    net = network()
    optimizer = OPTIMIZERS[name]()
    with simulator(net) as sim:
        built = parameters(sim)
        train(sim, net, optimizer, 2)
        sim.save_params(tmp_path / "params")
        half = parameters(sim)
        train(sim, net, optimizer, 2)
        expected = parameters(sim)
        assert not np.allclose(built[1], half[1])
        assert not np.allclose(half[1], expected[1])
        # the same simulator, with the optimizer that it knows
        report = sim.load_params(tmp_path / "params")
        assert_same(parameters(sim), half)
        assert "optimizer/random/keys" in report.loaded
        train(sim, net, optimizer, 2)
        assert_same(parameters(sim), expected)
    with simulator(net) as sim:
        sim.load_params(tmp_path / "params")
        train(sim, net, OPTIMIZERS[name](), 2)
        assert_same(parameters(sim), expected)


def test_training_goes_on_in_another_process(tmp_path):
    net = network()
    with simulator(net) as sim:
        train(sim, net, "adam", 2)
        sim.save_params(tmp_path / "params")
        train(sim, net, "adam", 2)
        expected = parameters(sim)
    script = (
        "import sys, numpy as np\n"
        "from tests.training.test_state import network, parameters, simulator, train\n"
        "net = network()\n"
        "with simulator(net) as sim:\n"
        "    sim.load_params(sys.argv[1])\n"
        "    train(sim, net, 'adam', 2)\n"
        "    np.savez(sys.argv[2], *parameters(sim))\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "params", tmp_path / "result.npz"],
        check=True,
        capture_output=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    with np.load(tmp_path / "result.npz") as result:
        assert_same(list(result.values()), expected)


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_training_goes_on_after_pickling(name):
    net = network()
    optimizer = OPTIMIZERS[name]()
    with simulator(net) as sim:
        train(sim, net, optimizer, 2)
        copy = pickle.loads(pickle.dumps(sim))
        train(sim, net, optimizer, 2)
        expected = parameters(sim)
    with copy:
        twin = copy.model.toplevel
        assert twin.stim in twin.nodes
        train(copy, twin, OPTIMIZERS[name](), 2)
        assert_same(parameters(copy), expected)


def test_entries_are_named_after_parameters(tmp_path):
    net = network()
    with simulator(net) as sim:
        train(sim, net, "adam", 1)
        path = sim.save_params(tmp_path / "params")
    with np.load(path, allow_pickle=False) as file:
        assert file["optimizer/0-Adam/own[0]"] == N_ITEMS // 2
        for slot in ("momentum", "velocity"):
            entry = file[f"optimizer/0-Adam/{slot}/net.ensembles[0].bias"]
            assert entry.shape == (5,) and entry.any()


def test_other_parameters_keep_what_their_optimizer_remembers(tmp_path):
    """Parameters of chosen objects do not bring the optimizer with them."""
    net = network()
    with simulator(net) as sim:
        train(sim, net, "adam", 1)
        sim.save_params(tmp_path / "params")
    other = network(extra=True)
    with simulator(other) as sim:
        report = sim.load_params(
            tmp_path / "params", objects={other.ens: "net.ensembles[0]"}
        )
        assert report.skipped["optimizer/random/keys"] == "not asked for"
        assert sim._training is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("random/keys"), "'random/keys' is missing"),
        (lambda a: a.update({"random/keys": np.zeros(3)}), "'random/keys' is float64"),
        (lambda a: a.update({"random/position": np.array([700, 0])}), "position 700"),
        (lambda a: a.update({"what": np.zeros(3)}), "'what' is float64 of shape"),
        (
            lambda a: a.update({"0-Adam/momentum/net.ensembles[0].bias": np.zeros(4)}),
            r"bias' is float64 of shape \(4,\)",
        ),
    ],
)
def test_damaged_state_is_refused(change, message):
    net = network()
    with simulator(net) as sim:
        train(sim, net, "adam", 1)
        (state,) = (p for p in sim._checkpoint().extra if p.prefix == "optimizer/")
        arrays = dict(state.save())

        def check():
            forms = {name: Form(a.shape, a.dtype) for name, a in arrays.items()}
            state.check_forms(forms, SavedBatch(1, None))
            state.check(arrays)

        check()
        change(arrays)
        with pytest.raises(ValidationError, match=message):
            check()


def test_other_kind_of_optimizer_starts_anew(tmp_path):
    net = network()
    with simulator(net) as sim:
        train(sim, net, "adam", 1)
        sim.save_params(tmp_path / "params")
    with simulator(net) as sim:
        sim.load_params(tmp_path / "params")
        train(sim, net, keras.optimizers.SGD(0.01), 1)
        assert int(sim._training.trainer.optimizers.last.state.own[0]) == N_ITEMS // 2


def test_optimizer_with_other_variables_is_refused(tmp_path):
    net = network()
    with simulator(net) as sim:
        train(sim, net, keras.optimizers.SGD(0.01, momentum=0.9), 1)
        sim.save_params(tmp_path / "params")
    with simulator(net) as sim:
        sim.load_params(tmp_path / "params")
        with pytest.raises(ValidationError, match="keeps no 'momentum' of parameters"):
            train(sim, net, keras.optimizers.SGD(0.01), 1)
