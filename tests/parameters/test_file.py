"""Saving parameters in a file and loading them: what was saved, or a clear error."""

import errno
import io
import json
import os
import pathlib
import pickle
import struct
import tracemalloc
import zipfile

import hypothesis
import nengo
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from nengo.exceptions import SimulatorClosed, ValidationError

from nengo_dl.compiler.names import name_objects
from nengo_dl.parameters import loading, saving
from nengo_dl.parameters.file import header, reading, writing
from nengo_dl.support import tuning
from tests import networks
from tests.networks import FIXED, assert_equal_data
from tests.parameters.test_parameters import change, perturb, run, simulator

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*has no TensorFlow version:UserWarning"
)


@pytest.fixture(scope="module", autouse=True)
def no_decoder_cache():
    before = nengo.rc.get("decoder_cache", "enabled")
    nengo.rc.set("decoder_cache", "enabled", "False")
    yield
    nengo.rc.set("decoder_cache", "enabled", before)


@pytest.fixture(scope="module", autouse=True)
def steps_are_not_compiled():
    """Single steps run in NumPy, also those of larger networks: compiling takes long.

    With ``jit_compile=True`` a simulator compiles nevertheless.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "SHORT_RUN_SECONDS", 0.05)
        yield


def small_network(seed=1, n_neurons=8, extra=False, label="b"):
    with nengo.Network(seed=seed) as net:
        net.stim = nengo.Node([0.3])
        if extra:
            net.extra = nengo.Ensemble(5, 1, label="extra")
        net.a = nengo.Ensemble(n_neurons, 1, label="a")
        with nengo.Network(label="inner") as net.inner:
            net.b = nengo.Ensemble(6, 1, label=label)
            net.inside = nengo.Connection(net.b, net.b, transform=0.5)
        net.conn = nengo.Connection(net.a, net.b)
        net.direct = nengo.Connection(
            net.a.neurons, net.b.neurons, transform=1e-2 * np.ones((6, n_neurons))
        )
        nengo.Connection(net.stim, net.a)
        net.probe = nengo.Probe(net.b, synapse=0.01)
    return net


def learning_network():
    with nengo.Network(seed=2) as net:
        net.stim = nengo.Node([0.5])
        pre, post = nengo.Ensemble(10, 1), nengo.Ensemble(8, 1)
        nengo.Connection(net.stim, pre)
        net.conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-2))
        nengo.Connection(net.stim, net.conn.learning_rule)
        net.probe = nengo.Probe(post)
    return net


def everything_in(sim):
    """All parameters and all state, as bytes."""
    values = sim._parameters
    signals = [p.signal for p in values.parameters]
    read = [values.read([s])[s][0].tobytes() for s in signals]
    gains = [
        None if (gain := values.gain(ens)) is None else gain.tobytes()
        for ens in sim.model.toplevel.all_ensembles
    ]
    return (
        read,
        gains,
        [state.tobytes() for state in sim._session.store.state_values()],
    )


@pytest.fixture
def small():
    with simulator(small_network()) as sim:
        yield sim


@pytest.fixture
def saved(small, tmp_path):
    """A simulator, a file of its parameters, and the parameters it had."""
    perturb(small)
    path = small.save_params(tmp_path / "params", include_local=True)
    return small, path, everything_in(small)


# -- round trips


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_loading_restores_what_was_saved_bit_for_bit(tmp_path, dtype):
    with simulator(small_network(), dtype=dtype) as sim:
        perturb(sim)
        for _ in range(5):
            sim.step()
        before = everything_in(sim)
        path = sim.save_params(tmp_path / "params", include_local=True)
        perturb(sim, seed=1)
        sim.step()
        assert everything_in(sim) != before
        report = sim.load_params(path, include_local=True)
        assert everything_in(sim) == before
        assert report.skipped == {}


@pytest.mark.parametrize(
    "name",
    [
        "composed_networks",
        "transforms",
        "slices",
        "spiking_neurons",
        "hebbian_learning",
    ],
)
def test_network_with_other_seed_does_the_same_after_loading(name, tmp_path):
    """Encoders, gains, biases, weights and initial state are all in the file."""
    build = FIXED[name]
    case = build()
    with simulator(case.net) as sim:
        perturb(sim)
        sim.save_params(tmp_path / "params", include_local=True)
        expected = run(sim, case, 15)
    other = build()
    other.net.seed += 1
    with simulator(other.net) as sim:
        sim.load_params(tmp_path / "params", include_local=True)
        actual = run(sim, other, 15)
    assert_equal_data(other, actual, expected)


@hypothesis.settings(
    max_examples=8, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.given(seed=st.integers(0, 10**6))
def test_generated_network_does_the_same_after_loading(seed, tmp_path):
    case = networks.random_network(seed)
    with simulator(case.net) as sim:
        perturb(sim)
        sim.save_params(tmp_path / "params")
        expected = run(sim, case, 10)
    other = networks.random_network(seed)
    with simulator(other.net) as sim:
        sim.load_params(tmp_path / "params")
        assert_equal_data(other, run(sim, other, 10), expected)


def test_loaded_parameters_are_those_of_the_compiled_simulation(tmp_path):
    net = small_network()
    with simulator(net, jit_compile=True) as sim:
        perturb(sim)
        sim.save_params(tmp_path / "params", include_local=True)
        sim.run_steps(60)
        expected = sim.data[net.probe]
    other = small_network(seed=9)
    with simulator(other, jit_compile=True) as sim:
        sim.run_steps(10)
        sim.load_params(tmp_path / "params", include_local=True)
        sim.clear_probes()
        sim.run_steps(60)
        np.testing.assert_allclose(sim.data[other.probe], expected, atol=1e-10)
        gain = sim.data[other.b].gain
        np.testing.assert_array_equal(sim.get_nengo_params(other.b)["gain"], gain)
        copy = pickle.loads(pickle.dumps(sim))
        (twin,) = copy.model.toplevel.networks[0].ensembles
        np.testing.assert_array_equal(copy.data[twin].gain, gain)
        copy.close()


def test_precision_may_differ_between_saving_and_loading(tmp_path):
    net = small_network()
    with simulator(net, dtype=tf.float64) as sim:
        perturb(sim)
        sim.save_params(tmp_path / "params")
        expected = sim.data[net.direct].weights
    with simulator(net, dtype=tf.float32) as sim:
        sim.load_params(tmp_path / "params")
        np.testing.assert_allclose(sim.data[net.direct].weights, expected, rtol=1e-6)


def test_neuron_types_and_probes_may_differ_between_saving_and_loading(tmp_path):
    with simulator(small_network()) as sim:
        perturb(sim)
        sim.save_params(tmp_path / "params")
        expected = everything_in(sim)[0]
    net = small_network()
    net.a.neuron_type = nengo.RectifiedLinear()
    with net:
        nengo.Node([1.0])
        new = nengo.Probe(net.a)
    with simulator(net) as sim:
        report = sim.load_params(tmp_path / "params")
        assert everything_in(sim)[0][:-1] == expected
    assert report.skipped == {
        "net.probes[1].connection.weights": "not in the file; kept as Nengo built it"
    }
    assert new in net.probes


def test_file_is_the_same_whenever_it_is_saved(small, tmp_path):
    first = small.save_params(tmp_path / "a").read_bytes()
    small.step()
    assert small.save_params(tmp_path / "b").read_bytes() == first


# -- what is in a file


def test_file_is_readable_with_numpy_alone(saved):
    sim, path, _ = saved
    net = sim.model.toplevel
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(
            file["net.ensembles[0].scaled_encoders"], sim.data[net.a].scaled_encoders
        )
        np.testing.assert_array_equal(
            file["net.networks[0].ensembles[0].bias"], sim.data[net.b].bias
        )
        np.testing.assert_array_equal(
            file["net.ensembles[0].gain"], sim.data[net.a].gain
        )
        np.testing.assert_array_equal(
            file["net.connections[1].weights"], sim.data[net.direct].weights
        )
        assert file["state/net.ensembles[0].neurons.voltage"].shape == (1, 8)
        about = json.loads(file["header"].tobytes())
        assert about["version"] == 1
        assert set(about["entries"]) == set(file.files) - {"header"}
        assert about["objects"]["net.networks[0].ensembles[0]"]["label"] == "b"


def test_global_and_local_entries_are_chosen(small, tmp_path):
    def names(path):
        with np.load(path) as file:
            return set(file.files) - {"header"}

    both = names(small.save_params(tmp_path / "both", include_local=True))
    parameters = names(small.save_params(tmp_path / "global"))
    state = names(small.save_params(tmp_path / "local", False, True))
    assert parameters | state == both and not parameters & state
    assert {name.split("/")[0] for name in state} == {"state", "streams"}
    small.load_params(tmp_path / "both")
    small.load_params(tmp_path / "both", include_global=False, include_local=True)
    with pytest.raises(ValidationError, match="holds no parameters; use include_gl"):
        small.load_params(tmp_path / "local")
    with pytest.raises(ValidationError, match="holds no state; save with include_lo"):
        small.load_params(tmp_path / "global", include_local=True)
    for method in (small.save_params, small.load_params):
        with pytest.raises(ValidationError, match="nothing to save or load"):
            method(tmp_path / "both", include_global=False)


def test_names_are_unique_for_objects_of_every_kind():
    for name in ("composed_networks", "error_driven_learning", "transforms"):
        with simulator(FIXED[name]().net) as sim:
            names = name_objects(sim.model)
            assert len(set(names.values())) == len(names)
            places = loading.Places(sim._parameters)
            n_state = sum(len(b.signals) for b in sim._session.step.state_blocks)
            learned = sum(p.learned for p in sim._parameters.parameters)
            assert len(places.state) == n_state - learned


def test_file_of_the_first_version_is_loaded(tmp_path):
    """It was written with another implementation of the archive."""
    path = pathlib.Path(__file__).parent / "data" / "first_writer.npz"
    net = small_network(seed=9)
    with net:
        nengo.Node(nengo.processes.FilteredNoise())
    with simulator(net, seed=4) as sim:
        report = sim.load_params(path, include_local=True)
        assert report.skipped == {}
        assert "optimizer/0-Adam/own[0]" in report.loaded
        assert sim.n_steps == 5
        again = sim.save_params(tmp_path / "again", include_local=True)
    with np.load(path) as old, np.load(again) as new:
        for name in set(old.files) - {"header"}:
            if not name.startswith("optimizer/0"):  # that optimizer was not used yet
                np.testing.assert_array_equal(new[name], old[name])


# -- minibatches


@pytest.mark.parametrize("sizes", [(None, 3), (3, None), (2, 3)])
def test_parameters_do_not_depend_on_the_minibatch_size(sizes, tmp_path):
    net = small_network()
    with simulator(net, minibatch_size=sizes[0]) as sim:
        perturb(sim)
        sim.save_params(tmp_path / "params")
        expected = everything_in(sim)[0]
    with simulator(net, minibatch_size=sizes[1]) as sim:
        sim.load_params(tmp_path / "params")
        assert everything_in(sim)[0] == expected


def test_state_of_another_minibatch_size_is_refused(tmp_path):
    net = small_network()
    with simulator(net, minibatch_size=2) as sim:
        sim.save_params(tmp_path / "params", include_local=True)
    with simulator(net, minibatch_size=3) as sim:
        before = everything_in(sim)
        with pytest.raises(
            ValidationError,
            match=r"state for 2 items of a minibatch, and the simulator has 3\. Use",
        ):
            sim.load_params(tmp_path / "params", include_local=True)
        assert everything_in(sim) == before
        sim.load_params(tmp_path / "params", include_local=True, item=1)


def test_learned_weights_are_saved_for_each_item(tmp_path):
    net = learning_network()
    feed = {net.stim: np.array([0.1, 0.9])[:, None, None]}
    with simulator(net, minibatch_size=2) as sim:
        for _ in range(10):
            sim.step(input_feeds=feed)
        weights = sim.data[net.conn].weights
        assert not np.allclose(weights[0], weights[1])
        sim.save_params(tmp_path / "params")
        sim.reset()
        sim.load_params(tmp_path / "params")
        np.testing.assert_array_equal(sim.data[net.conn].weights, weights)
    for size in (None, 3):
        with simulator(net, minibatch_size=size) as sim:
            with pytest.raises(ValidationError, match="learned parameters for 2 items"):
                sim.load_params(tmp_path / "params")
            sim.load_params(tmp_path / "params", item=1)
            loaded = np.reshape(sim.data[net.conn].weights, (-1, *weights[1].shape))
            for item in loaded:
                np.testing.assert_array_equal(item, weights[1])
            with pytest.raises(ValidationError, match="0 to 1; got 2"):
                sim.load_params(tmp_path / "params", item=2)
            sim.freeze_params(net)
    net = learning_network()
    net.conn.learning_rule_type = None
    del net.connections[-1]
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="saved from another network"):
            sim.load_params(tmp_path / "params")
        with pytest.raises(ValidationError, match="was learned, with other values"):
            sim.load_params(tmp_path / "params", objects=[net.conn])
        sim.load_params(tmp_path / "params", objects=[net.conn], item=0)
        np.testing.assert_array_equal(sim.data[net.conn].weights, weights[0])


def test_learned_weights_of_one_item_serve_all(tmp_path):
    net = learning_network()
    with simulator(net) as sim:
        for _ in range(10):
            sim.step()
        weights = sim.data[net.conn].weights
        sim.save_params(tmp_path / "params")
    with simulator(net, minibatch_size=2) as sim:
        sim.load_params(tmp_path / "params")
        np.testing.assert_array_equal(sim.data[net.conn].weights, [weights] * 2)


# -- files of other networks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"n_neurons": 9},
            r"'net.ensembles\[0\]' is Ensemble 'a' \(n_neurons: 8, .* in the file, "
            r"Ensemble 'a' \(n_neurons: 9,",
        ),
        ({"label": "c"}, "is Ensemble 'b' .* in the file, Ensemble 'c'"),
        ({"extra": True}, r"'net.ensembles\[0\]' is Ensemble 'a' .*'extra'"),
    ],
)
def test_file_of_another_network_is_refused(saved, arguments, message):
    _, path, _ = saved
    with simulator(small_network(**arguments)) as sim:
        before = everything_in(sim)
        with pytest.raises(ValidationError, match=message):
            sim.load_params(path)
        assert everything_in(sim) == before


def test_gains_that_a_learning_rule_computes_with_must_be_the_same(tmp_path):
    """Voja scales encoders by gains that Nengo puts into its operator."""

    def build(seed):
        with nengo.Network(seed=seed) as net:
            ens = nengo.Ensemble(8, 1, label="learner")
            nengo.Connection(nengo.Node([1.0]), ens, learning_rule_type=nengo.Voja())
        return net

    with simulator(build(0)) as sim:
        sim.save_params(tmp_path / "params")
    with simulator(build(0)) as sim:
        sim.load_params(tmp_path / "params")
    with simulator(build(1)) as sim:
        before = everything_in(sim)
        with pytest.raises(
            ValidationError, match=r"gains of .*learner.*learning rule.*same seed"
        ):
            sim.load_params(tmp_path / "params")
        assert everything_in(sim) == before


def test_missing_and_extra_objects_are_named(saved):
    _, path, _ = saved
    net = small_network()
    with net:
        nengo.Ensemble(5, 1, label="new")
    del net.inner.connections[0]
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=r"'new' .* is missing; .* is extra"):
            sim.load_params(path)


def test_parameters_of_chosen_objects_are_loaded(saved):
    saved_sim, path, _ = saved
    old = saved_sim.model.toplevel
    net = small_network(extra=True, n_neurons=7)
    with simulator(net) as sim:
        before = sim.data[net.a]
        report = sim.load_params(path, objects=[net.inner])
        np.testing.assert_array_equal(
            sim.data[net.b].encoders, saved_sim.data[old.b].encoders
        )
        np.testing.assert_array_equal(sim.data[net.a].bias, before.bias)
        assert sorted(report.loaded) == [
            "net.networks[0].connections[0].weights",
            "net.networks[0].ensembles[0].bias",
            "net.networks[0].ensembles[0].gain",
            "net.networks[0].ensembles[0].scaled_encoders",
        ]
        assert report.skipped["net.ensembles[0].bias"] == "not asked for"
        assert "skipped net.ensembles[0].bias: not asked for" in str(report)


def test_objects_may_have_other_names_in_the_file(saved):
    saved_sim, path, _ = saved
    old = saved_sim.model.toplevel
    net = small_network(extra=True)
    with simulator(net) as sim:
        sim.load_params(path, objects={net.a: "net.ensembles[0]"})
        np.testing.assert_array_equal(sim.data[net.a].bias, saved_sim.data[old.a].bias)


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda net: [net.extra], r"has shape \(8,\), and the network needs \(5,"),
        (lambda net: {net.a: "net.ensembles[7]"}, r"has no 'net.ensembles\[7\].gain'"),
        (lambda net: {net.a: 7}, "name of .* in the file must be a string"),
        (lambda net: [nengo.Ensemble], "is not part of the simulated network"),
        (lambda net: [[]], "is not part of the simulated network"),
        (lambda net: net.stim, "has no parameters"),
    ],
)
def test_objects_that_do_not_fit_are_refused(saved, choose, message):
    _, path, _ = saved
    net = small_network(extra=True)
    with simulator(net) as sim:
        before = everything_in(sim)
        with pytest.raises(ValidationError, match=message):
            sim.load_params(path, objects=choose(net))
        assert everything_in(sim) == before


# -- other things that are saved


class Counter:
    """What an optimizer might keep."""

    prefix = "optimizer/"
    group = "global"

    def __init__(self, step):
        self.step = step

    def save(self):
        return {"step": np.array(self.step)}

    def check_forms(self, forms, saved):
        if forms and forms["step"].shape != ():
            raise ValidationError("not a step", attr="step")

    def check(self, arrays):
        pass

    def load(self, arrays, item=None):
        if arrays:
            self.step = int(arrays["step"])


def test_other_parts_are_saved_with_parameters_and_checked_before(small, tmp_path):
    def checkpoint(counter):
        made = small._checkpoint()
        made.extra[:] = [counter]
        return made

    path = saving.save_parameters(checkpoint(Counter(7)), tmp_path / "params")
    counter = Counter(0)
    report = loading.load_parameters(checkpoint(counter), path)
    assert counter.step == 7
    assert "optimizer/step" in report.loaded
    report = loading.load_parameters(
        checkpoint(counter), path, objects=[small.model.toplevel.a]
    )
    assert report.skipped["optimizer/step"] == "not asked for"
    bad = saving.save_parameters(checkpoint(Counter([7, 8])), tmp_path / "bad")
    perturb(small)
    before = everything_in(small)
    with pytest.raises(ValidationError, match="not a step"):
        loading.load_parameters(checkpoint(counter), bad)
    assert everything_in(small) == before
    assert counter.step == 7


# -- paths, and writing that fails


def test_suffix_is_added_and_paths_may_be_of_any_kind(small, tmp_path):
    assert small.save_params(str(tmp_path / "a")) == tmp_path / "a.npz"
    assert small.save_params(tmp_path / "a.npz") == tmp_path / "a.npz"
    assert small.save_params(tmp_path / "v1.2") == tmp_path / "v1.2.npz"
    assert small.save_params(os.fsencode(tmp_path / "é")) == tmp_path / "é.npz"
    for path in (tmp_path / "a", str(tmp_path / "a.npz"), tmp_path / "v1.2"):
        small.load_params(path)
    (tmp_path / "a.npz").rename(tmp_path / "bare")
    small.load_params(tmp_path / "bare")


@pytest.mark.parametrize("path", [None, 3, "", "..", "a\0b"])
def test_paths_that_are_none_are_refused(small, path):
    for method in (small.save_params, small.load_params):
        with pytest.raises(ValidationError, match="path: Must be"):
            method(path)


def test_closed_simulator_neither_saves_nor_loads(small, tmp_path):
    path = small.save_params(tmp_path / "params")
    small.close()
    with pytest.raises(SimulatorClosed, match="save"):
        small.save_params(path)
    with pytest.raises(SimulatorClosed, match="load"):
        small.load_params(path)


def test_missing_folders_and_files_are_named(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Cannot save to .*none.*as it was"):
        small.save_params(tmp_path / "none" / "params")
    with pytest.raises(FileNotFoundError, match=r"Cannot load from '.*params.npz'"):
        small.load_params(tmp_path / "params")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError, match="Cannot save to"):
        small.save_params(tmp_path / "folder")
    with pytest.raises(OSError, match="Cannot load from"):
        small.load_params(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("open", PermissionError(errno.EACCES, "Permission denied")),
        ("fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("replace", PermissionError(errno.EPERM, "Operation not permitted")),
        ("fsync", KeyboardInterrupt()),
    ],
)
def test_failed_writing_leaves_the_old_file(saved, monkeypatch, function, error):
    sim, path, before = saved
    perturb(sim, seed=1)
    old = path.read_bytes()

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(writing.os, function, fail)
        if isinstance(error, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                sim.save_params(path)
        else:
            with pytest.raises(type(error), match=r"Cannot save to .*Nothing was"):
                sim.save_params(path)
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    sim.load_params(path, include_local=True)
    assert everything_in(sim) == before


def test_file_keeps_its_permissions_and_links(small, tmp_path):
    path = small.save_params(tmp_path / "params")
    path.chmod(0o640)
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    perturb(small)
    small.save_params(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    before = everything_in(small)
    perturb(small)
    small.load_params(path)
    assert everything_in(small)[0] == before[0]


# -- damaged and malicious files


def check_refused_or_right(sim, path, expected, match=None):
    """Load a file: the values must be the saved ones, or untouched after an error."""
    perturb(sim, seed=5, size=1e-3)
    before = everything_in(sim)
    try:
        sim.load_params(path, include_local=True)
    except ValidationError as error:
        assert everything_in(sim) == before
        assert "Cannot load from" in str(error)
        return str(error)
    assert everything_in(sim) == expected
    return None


def test_bit_flips_are_found_or_do_not_matter(saved):
    sim, path, expected = saved
    data = path.read_bytes()
    rng = np.random.RandomState(0)
    ends = np.arange(len(data) - 22, len(data))
    places = np.concatenate([rng.randint(len(data), size=300), ends])
    found = 0
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randint(8)
        path.write_bytes(changed)
        found += check_refused_or_right(sim, path, expected) is not None
    assert found > 0.8 * len(places)


def test_truncated_and_extended_files_are_found(saved):
    sim, path, expected = saved
    data = path.read_bytes()
    rng = np.random.RandomState(1)
    for length in [0, 1, 21, 22, len(data) - 1, *rng.randint(len(data), size=60)]:
        path.write_bytes(data[:length])
        assert check_refused_or_right(sim, path, expected) is not None
    for more in (b"\0", bytes(100), data):
        path.write_bytes(data + more)
        check_refused_or_right(sim, path, expected)
    for _ in range(60):  # blocks that moved
        start, stop = np.sort(rng.randint(len(data), size=2))
        path.write_bytes(data[:start] + data[stop:] + data[start:stop])
        check_refused_or_right(sim, path, expected)


def test_random_bytes_are_refused(saved):
    sim, path, expected = saved
    rng = np.random.RandomState(2)
    data = path.read_bytes()
    for _ in range(60):
        changed = bytearray(data)
        start = rng.randint(len(data))
        length = rng.randint(1, 64)
        changed[start : start + length] = rng.bytes(length)
        path.write_bytes(changed)
        check_refused_or_right(sim, path, expected)


def contents(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries:
            file.writestr(name, data)


def npy(array, **kwargs):
    stream = io.BytesIO()
    np.save(stream, array, **kwargs)
    return stream.getvalue()


def described(shape, descr="<f8", order="False", length=None):
    text = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"
    text = text.encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", length or len(text)) + text


BIAS = "net.ensembles[0].bias.npy"


def replaced(entries, name, data):
    return [(n, data if n == name else old) for n, old in entries.items()]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (lambda e: [*e.items(), (BIAS, e[BIAS])], "two entries named 'net.ensemb"),
        (lambda e: [(n, d) for n, d in e.items() if n != BIAS], "bias' is missing"),
        (
            lambda e: [(n if n != BIAS else "x.npy", d) for n, d in e.items()],
            "bias' is missing",
        ),
        (lambda e: [*e.items(), ("x.npy", e[BIAS])], "header does not know 'x'"),
        (lambda e: [*e.items(), ("x.txt", b"")], "'x.txt' is no array"),
        (lambda e: [*e.items(), ("../x.npy", b"")], "is damaged|not know"),
        (lambda e: replaced(e, BIAS, b""), "is damaged"),
        (lambda e: replaced(e, BIAS, b"\x93NUMPY\2\0" + bytes(60)), "unknown format"),
        (lambda e: replaced(e, BIAS, described((10**15,))), "claims shape"),
        (lambda e: replaced(e, BIAS, described((8,)) + bytes(63)), "claims shape"),
        (lambda e: replaced(e, BIAS, described((-8,))), "makes no sense"),
        (lambda e: replaced(e, BIAS, described((8,), length=60000)), "too long"),
        (lambda e: replaced(e, BIAS, described("[8]")), "makes no sense"),
        (lambda e: replaced(e, BIAS, described("(" * 999)), "makes no sense"),
        (lambda e: replaced(e, BIAS, described((8,), "|S8")), "instead of numbers"),
        (lambda e: replaced(e, BIAS, described((8,), "what")), "makes no sense"),
        (lambda e: replaced(e, BIAS, described((8,), [("a", "O")])), "makes no sense"),
        (
            lambda e: replaced(e, BIAS, npy(np.zeros(7))),
            r"float64 of shape \(7,\), and",
        ),
        (lambda e: replaced(e, BIAS, npy(np.zeros(8, "f4"))), "float32 of shape"),
        (
            lambda e: replaced(e, BIAS, npy(np.zeros(8, object), allow_pickle=True)),
            "instead of numbers",
        ),
        (lambda e: replaced(e, "header.npy", npy(np.zeros(8))), "has no header"),
        (lambda e: replaced(e, "header.npy", npy(np.zeros(8, "u1"))), "is damaged"),
        (
            lambda e: replaced(
                e, "header.npy", npy(np.frombuffer(b"[" * 10**6, np.uint8))
            ),
            "header is damaged",
        ),
        (lambda e: [], "has no header"),
    ],
)
def test_made_up_files_are_refused(saved, mutate, message):
    sim, path, expected = saved
    write(path, mutate(contents(path)))
    before = everything_in(sim)
    with pytest.raises(ValidationError, match=f"Cannot load from .*({message})"):
        sim.load_params(path, include_local=True)
    assert everything_in(sim) == before == expected


def test_order_of_entries_does_not_matter(saved):
    sim, path, expected = saved
    write(path, reversed(contents(path).items()))
    assert check_refused_or_right(sim, path, expected) is None


def test_pickled_objects_are_not_unpickled(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "exploded",))

    sim, path, expected = saved
    bomb = np.empty(8, dtype=object)
    bomb[:] = Bomb()
    write(path, replaced(contents(path), BIAS, npy(bomb, allow_pickle=True)))
    assert "instead of numbers" in check_refused_or_right(sim, path, expected)
    path.write_bytes(pickle.dumps(Bomb()))
    assert "no .npz file" in check_refused_or_right(sim, path, expected)
    assert not (tmp_path / "exploded").exists()


def header_with(path, **changes):
    entries = contents(path)
    about = json.loads(np.load(io.BytesIO(entries["header.npy"])).tobytes())
    about.update(changes)
    text = npy(np.frombuffer(json.dumps(about).encode(), np.uint8))
    write(path, replaced(entries, "header.npy", text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not that of a parameter file"),
        ({"version": 2}, "is in version 2 of the format, and this version of nengo_dl"),
        ({"version": True}, "is in version True"),
        ({"signature": "0" * 64}, "description of the network was changed"),
        ({"objects": {}}, "description of the network was changed"),
        ({"objects": [1]}, "header is damaged"),
        ({"entries": {}}, "header does not know"),
        ({"entries": {"a": 1}}, "header is damaged"),
        ({"minibatch_size": 0}, "header is damaged"),
        ({"minibatch_size": "1"}, "header is damaged"),
        ({"minibatch_size": 2}, "header is damaged"),
        ({"includes": None}, "header is damaged"),
    ],
)
def test_headers_are_checked(saved, changes, message):
    sim, path, expected = saved
    header_with(path, **changes)
    assert message in check_refused_or_right(sim, path, expected)


def peak_bytes(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_compressed_bombs_are_not_unpacked(saved):
    sim, path, expected = saved
    entries = contents(path)
    bomb = [*entries.items(), ("x.npy", bytes(2**27))]
    write(path, bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    messages = []
    used = peak_bytes(
        lambda: messages.append(check_refused_or_right(sim, path, expected))
    )
    assert "is compressed" in messages[0]
    assert used < 2**24


def test_sizes_are_checked_before_anything_is_read(saved):
    sim, path, expected = saved
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\1\2")
    data[directory + 20 : directory + 28] = struct.pack("<2L", 2**31, 2**31)
    path.write_bytes(data)
    assert "more than the file holds" in check_refused_or_right(sim, path, expected)
    data[-10:-6] = struct.pack("<L", 2**31)
    path.write_bytes(data)
    assert "claims to have 2147483648" in check_refused_or_right(sim, path, expected)


def test_overlapping_entries_are_refused(saved):
    """Many entries that share their data would take more memory than the file."""
    sim, path, expected = saved
    big = npy(np.zeros(10**5))
    write(path, [("a.npy", big), *((f"b{n}.npy", b"") for n in range(9))])
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2")
    (first,) = [data[start + 16 : start + 28]]
    at = data.index(b"PK\1\2", start + 1)
    while at != -1:
        data[at + 16 : at + 28] = first
        data[at + 42 : at + 46] = bytes(4)
        at = data.find(b"PK\1\2", at + 1)
    path.write_bytes(data)
    assert "more than the file holds" in check_refused_or_right(sim, path, expected)


def test_long_lists_and_long_headers_are_refused(saved, monkeypatch):
    sim, path, expected = saved
    with monkeypatch.context() as patch:
        patch.setattr(reading, "MAX_DIRECTORY_BYTES", 100)
        assert "its list of entries" in check_refused_or_right(sim, path, expected)
    with monkeypatch.context() as patch:
        patch.setattr(header, "_MAX_HEADER_BYTES", 100)
        assert "its header has" in check_refused_or_right(sim, path, expected)
        with pytest.raises(ValidationError, match=r"description takes .* bytes"):
            sim.save_params(path)


def test_archives_of_more_than_65535_entries(tmp_path):
    """They have another list of entries, of 64 bit numbers."""
    arrays = {str(n): np.array(n) for n in range(66_000)}
    writing.write_arrays(tmp_path / "many.npz", arrays)
    found = reading.read_arrays(tmp_path / "many.npz")[0]
    assert len(found) == 66_000 and found["65999"] == 65_999


def test_arrays_of_all_shapes_and_types(tmp_path):
    arrays = {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 3)),
        "big endian": np.arange(5, dtype=">f8"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "bool": np.array([True, False]),
        "special": np.array([np.nan, np.inf, -0.0], np.float32),
    }
    writing.write_arrays(tmp_path / "a.npz", arrays)
    found = reading.read_arrays(tmp_path / "a.npz")[0]
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert not found[name].flags.writeable
    np.savez(tmp_path / "f.npz", f=arrays["fortran"])
    np.testing.assert_array_equal(
        reading.read_arrays(tmp_path / "f.npz")[0]["f"], arrays["fortran"]
    )


def test_values_that_are_not_finite_are_kept(small, tmp_path):
    net = small.model.toplevel
    change(small, net.a.neurons, "bias", np.array([np.nan, np.inf, *range(6)]))
    path = small.save_params(tmp_path / "params")
    perturb(small)
    with pytest.warns(UserWarning, match="numbers that are not finite"):
        small.load_params(path)
    np.testing.assert_array_equal(small.data[net.a].bias[:2], [np.nan, np.inf])
