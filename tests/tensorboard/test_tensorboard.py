"""Files for TensorBoard: a run for each simulator, its graph, and summaries."""

import itertools
import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.tensorboard import board as board_module
from nengo_dl.tensorboard.board import Board

X = np.random.RandomState(0).uniform(-1, 1, (8, 2, 1))


def network():
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node([0.0], label="stim")
        with nengo.Network(label="vision"):
            net.ens = nengo.Ensemble(
                20, 1, neuron_type=nengo.RectifiedLinear(), label="cells"
            )
        net.out = nengo.Node(size_in=1, label="out")
        net.first = nengo.Connection(net.stim, net.ens, synapse=None)
        net.second = nengo.Connection(net.ens, net.out, synapse=None)
        net.probe = nengo.Probe(net.out, label="answer")
        net.other = nengo.Probe(net.ens, label="other")
    return net


def simulator(net, folder, minibatch_size=4, **kwargs):
    kwargs.setdefault("jit_compile", False)  # takes less time to compile
    return nengo_dl.Simulator(
        net,
        minibatch_size=minibatch_size,
        tensorboard=folder,
        progress_bar=False,
        **kwargs,
    )


def train(sim, net, summaries, n_epochs=1, **kwargs):
    kwargs.setdefault("optimizer", "adam")  # "sgd" would diverge
    return sim.train(
        {net.stim: X},
        {net.probe: X**2},
        n_epochs=n_epochs,
        summaries=summaries,
        **kwargs,
    )


def events(folder):
    """All events of a run."""
    files = sorted(str(path) for path in folder.glob("events.*"))
    for record in tf.data.TFRecordDataset(files):
        yield tf.compat.v1.Event.FromString(record.numpy())


def summaries(folder):
    """{tag: {step: value}} of a run, and {tag: name of the plugin}."""
    found, plugins = {}, {}
    for event in events(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
            if value.metadata.plugin_data.plugin_name:
                plugins[value.tag] = value.metadata.plugin_data.plugin_name
    return found, plugins


def graph(folder):
    """The graph of a run."""
    (definition,) = (e.graph_def for e in events(folder) if e.graph_def)
    return tf.compat.v1.GraphDef.FromString(definition)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of six updates with all kinds of summaries, in two calls of train."""
    folder = tmp_path_factory.mktemp("logs") / "new" / "folder"
    net = network()
    calls = []
    with simulator(net, folder) as sim:
        kinds = [net.second, net.ens, net.ens.neurons, "loss", lambda: calls.append(1)]
        biases = []
        for n_epochs in (2, 1):
            history = train(
                sim,
                net,
                kinds,
                n_epochs,
                validation=({net.stim: X}, {net.probe: X}),
                metrics={"error": lambda y, target: tf.reduce_mean(tf.abs(y - target))},
            )
            biases.append(sim.data[net.ens].bias)
    return folder / "run_0", biases, calls, history


# -- runs


def test_each_simulator_has_a_run_of_its_own(tmp_path):
    for number in range(2):
        with simulator(network(), tmp_path):
            assert sorted(os.listdir(tmp_path)) == [
                f"run_{i}" for i in range(number + 1)
            ]


def test_number_of_a_run_follows_the_largest(tmp_path):
    for name in ("run_7", "run_x", "other", "run_"):
        (tmp_path / name).mkdir()
    assert Board(str(tmp_path)).path == tmp_path / "run_8"


def test_runs_that_begin_at_the_same_time_differ(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(
            pool.map(lambda _: board_module._new_run(tmp_path), range(40), chunksize=1)
        )
    assert sorted(p.name for p in paths) == sorted(f"run_{i}" for i in range(40))


def test_simulator_without_a_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = network()
    with simulator(net, None) as sim:
        sim.run_steps(2)
        train(sim, net, None)
    assert os.listdir(tmp_path) == []


def test_results_are_the_same_with_a_board(tmp_path):
    net = network()
    data = []
    for folder in (None, tmp_path):
        with simulator(net, folder) as sim:
            train(sim, net, None if folder is None else ["loss", net.ens])
            sim.run_steps(20)
            data.append((sim.data[net.probe], sim.data[net.second].weights))
    for plain, recorded in zip(*data, strict=True):
        assert np.array_equal(plain, recorded)


@pytest.mark.filterwarnings("ignore:'Node.size_out' is being overwritten")
def test_unpickled_simulator_has_a_new_run_and_goes_on_counting(tmp_path):
    net = network()
    with simulator(net, tmp_path) as sim:
        train(sim, net, ["loss"])
        pickled = pickle.dumps(sim)
        assert list(summaries(tmp_path / "run_0")[0]["loss"]) == [1, 2]  # is flushed
    with pickle.loads(pickled) as sim:
        net = sim.model.toplevel
        stim, probe = net.nodes[0], net.probes[0]
        sim.train({stim: X}, {probe: X}, "sgd", summaries="loss")
    assert list(summaries(tmp_path / "run_1")[0]["loss"]) == [3, 4]


def test_steps_go_on_where_saved_parameters_were(tmp_path):
    net = network()
    with simulator(net, tmp_path) as sim:
        train(sim, net, None)
        sim.save_params(tmp_path / "params")
    with simulator(net, tmp_path) as sim:
        sim.load_params(tmp_path / "params")
        train(sim, net, "loss")
        sim.reset()
        train(sim, net, net.ens)
    found, _ = summaries(tmp_path / "run_1")
    assert list(found["loss"]) == [3, 4]
    assert list(found["encoders/vision/cells"]) == [1, 2]


# -- the graph


def test_graph_is_grouped_by_objects(trained):
    names = [node.name for node in graph(trained[0]).node]
    assert len(names) == len(set(names))
    for scope in (
        "vision/RectifiedLinear.cells/",
        "weights.vision.cells->out",
        "vision/encoders.cells/",
        "parameters/vision/encoders.cells",
        "inputs/out.stim",
        "probes/answer",
    ):
        assert any(name.startswith(scope) for name in names), (scope, names)
    tops = {name.partition("/")[0] for name in names}
    assert all(re.match(r"[a-zA-Z]+(\.|$)|next_state", top) for top in tops), tops


def test_graph_is_whole(trained):
    definition = graph(trained[0])
    names = {node.name for node in definition.node}
    inputs = {name for node in definition.node for name in node.input}
    assert {re.sub(r"^\^|:\d+$", "", name) for name in inputs} <= names
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(definition, name="")
        probe = imported.get_tensor_by_name("probes/answer:0")
        assert probe.shape == (4, 1)


def test_large_constants_are_shown_without_their_values(tmp_path):
    with nengo.Network(seed=0) as net:
        a = nengo.Node(np.zeros(3000))
        b = nengo.Node(size_in=3000)
        order = np.random.RandomState(0).permutation(3000)
        nengo.Connection(a[order], b, synapse=0.1)
        nengo.Probe(b)
    with simulator(net, tmp_path):
        assert graph(tmp_path / "run_0").ByteSize() < 20_000


def test_graph_shows_python_code(tmp_path):
    with nengo.Network() as net:
        node = nengo.Node(lambda t, x: x, size_in=1, label="control")
        nengo.Connection(nengo.Node([1.0]), node)
    with simulator(net, tmp_path):
        nodes = graph(tmp_path / "run_0").node
    assert any(n.name.startswith("SimPyFunc.control/") for n in nodes)


# -- summaries


def test_steps_count_updates_over_calls(trained):
    found, _ = summaries(trained[0])
    assert all(
        list(values) == [1, 2, 3, 4, 5, 6]
        for tag, values in found.items()
        if not tag.startswith("epoch/")
    )
    assert len(trained[2]) == 6


def test_losses_and_metrics_are_scalars(trained):
    found, plugins = summaries(trained[0])
    history = trained[3]
    batches = [float(found["loss"][step]) for step in (5, 6)]
    assert np.allclose(batches, history.batch_losses)
    for name in ("loss", "error", "val_loss", "val_error"):
        assert list(found[f"epoch/{name}"]) == [2, 4, 6]
        assert np.isclose(found[f"epoch/{name}"][6], history[name][-1]), name
        assert plugins[f"epoch/{name}"] == "scalars"
    assert plugins["loss"] == "scalars"


def test_parameters_are_histograms(trained):
    found, plugins = summaries(trained[0])
    sizes = {
        "weights/vision.cells->out": 20,
        "encoders/vision/cells": 20,
        "bias/vision/cells": 20,
    }
    for tag, size in sizes.items():
        assert plugins[tag] == "histograms"
        for rows in found[tag].values():
            assert rows.shape[1] == 3
            assert rows[:, 2].sum() == size
    assert set(found) - set(sizes) == {"loss"} | {
        f"epoch/{name}" for name in ("loss", "error", "val_loss", "val_error")
    }


def test_histogram_is_that_of_the_values_after_the_update(trained):
    folder, biases, *_ = trained
    rows = summaries(folder)[0]["bias/vision/cells"]
    for step, bias in zip((4, 6), biases, strict=True):
        counts, edges = np.histogram(bias.astype(float), bins=30)
        assert np.allclose(rows[step][:, 0], edges[:-1])
        assert np.array_equal(rows[step][:, 2], counts)


def test_losses_of_several_probes_are_recorded_each(tmp_path):
    net = network()
    with simulator(net, tmp_path) as sim:
        sim.train(
            {net.stim: X},
            {net.probe: X, net.other: X},
            "sgd",
            summaries=["loss"],
        )
    found, _ = summaries(tmp_path / "run_0")
    parts = found["loss/answer"][2] + found["loss/other"][2]
    assert np.isclose(parts, found["loss"][2])


def test_sparse_weights_and_objects_of_one_name(tmp_path):
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node([0.0])
        out = [nengo.Node(size_in=1, label="same") for _ in range(2)]
        sparse = nengo.transforms.Sparse((1, 1), indices=[[0, 0]], init=[2.0])
        conns = [
            nengo.Connection(net.stim, node, transform=sparse, label="w", synapse=None)
            for node in out
        ]
        net.probe = nengo.Probe(out[0])
        nengo.Probe(out[1])
    with simulator(net, tmp_path) as sim:
        train(sim, net, conns)
    found, _ = summaries(tmp_path / "run_0")
    assert set(found) == {"weights/w", "weights/w_1"}
    assert np.array_equal(found["weights/w_1"][1], [[1.5, 2.5, 1]])


def test_weights_of_tensor_nodes_are_histograms(tmp_path):
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node([0.0])
        layers = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])
        node = nengo_dl.TensorNode(layers, shape_in=1, pass_time=False, label="model")
        nengo.Connection(net.stim, node, synapse=None)
        net.probe = nengo.Probe(node)
    with simulator(net, tmp_path) as sim:
        train(sim, net, [node])
        weights = sim.data[node].weights
        (fetched,) = sim.data.get_params((node, "weights"))
    assert all(np.array_equal(fetched[name], weights[name]) for name in weights)
    found, _ = summaries(tmp_path / "run_0")
    assert len(found) == len(weights) == 4
    for name, value in weights.items():
        histogram = found[f"weights/model/{name}"][max(found[f"weights/model/{name}"])]
        assert histogram[:, 2].sum() == value.size


def test_functions_write_their_own_entries(tmp_path):
    net = network()
    metadata = tf.compat.v1.SummaryMetadata()

    def record():
        tf.summary.write("mine", tf.constant([1.0, 2.0]), metadata=metadata)

    with simulator(net, tmp_path) as sim:
        train(sim, net, [record])
    found, _ = summaries(tmp_path / "run_0")
    assert list(found["mine"]) == [1, 2]
    assert found["mine"][1].tolist() == [1, 2]


@pytest.mark.parametrize(
    "values, rows",
    [
        ([], np.zeros((0, 3))),
        ([3.0], [[2.5, 3.5, 1]]),
        ([[2.0, 2.0]], [[1.5, 2.5, 2]]),
        ([np.nan, 1.0, np.inf], [[0.5, 1.5, 1]]),
    ],
)
def test_histograms_of_few_values(values, rows):
    assert np.array_equal(board_module._bins(np.array(values)), rows)


# -- what can go wrong


@pytest.mark.parametrize("folder", [3, True, b"logs", "", ["logs"]])
def test_folder_of_a_wrong_type_is_refused(folder):
    with pytest.raises(ValidationError, match=r"name of a folder, or None.*got"):
        simulator(network(), folder)


@pytest.mark.parametrize("inner", ["", "logs"])
def test_folder_that_cannot_be_written_to_is_refused_before_building(tmp_path, inner):
    (tmp_path / "file").touch()

    class Unbuildable(nengo.Network):
        @property
        def all_ensembles(self):
            raise AssertionError

    with pytest.raises(ValidationError, match=r"Cannot write to the folder .*file"):
        simulator(Unbuildable(), tmp_path / "file" / inner)


@pytest.mark.parametrize(
    "summary, message",
    [
        ("losses", "Cannot record 'losses'.*Connections.*Ensembles.*Neurons.*'loss'"),
        (3, "Cannot record 3; what can be recorded is"),
        (lambda x: None, "Cannot record <function.*functions without arguments"),
    ],
)
def test_unknown_summaries_are_refused(tmp_path, summary, message):
    net = network()
    with simulator(net, tmp_path) as sim:
        with pytest.raises(ValidationError, match=message):
            train(sim, net, ["loss", summary])
        train(sim, net, ["loss"])


def test_objects_without_the_parameter_are_refused(tmp_path):
    net = network()
    with net:
        direct = nengo.Ensemble(5, 1, neuron_type=nengo.Direct(), label="direct")
    foreign = network().ens
    with simulator(net, tmp_path) as sim:
        for obj, name in [
            (direct, "encoders"),
            (direct.neurons, "bias"),
            (net.first, "weights"),
            (foreign, "encoders"),
        ]:
            with pytest.raises(ValidationError, match=f"has no {name}, or is not part"):
                train(sim, net, [obj])


def test_probes_are_no_summaries(tmp_path):
    net = network()
    with simulator(net, tmp_path) as sim:
        with pytest.raises(ValidationError, match=r"Cannot record <Probe"):
            train(sim, net, net.probe)


def test_summaries_without_a_folder_warn(tmp_path):
    net = network()
    with simulator(net, None) as sim:
        with pytest.warns(UserWarning, match=r"not recorded.*tensorboard='folder'"):
            history = train(sim, net, ["loss"])
        assert history.n_epochs == 1
        with pytest.raises(ValidationError, match="Cannot record"):
            train(sim, net, ["losses"])


def test_failing_functions_are_named_and_training_can_go_on(tmp_path):
    net = network()
    count = itertools.count()

    def record():
        if next(count) == 1:
            raise OSError("the disk is full")

    with simulator(net, tmp_path) as sim:
        with pytest.raises(SimulationError, match=r"'record' failed at step 2.*disk"):
            train(sim, net, [record])
        train(sim, net, [record, "loss"])
    assert list(summaries(tmp_path / "run_0")[0]["loss"]) == [3, 4]


def test_missing_tensorboard_is_reported_with_what_to_install(tmp_path, monkeypatch):
    def fail():
        raise RuntimeError("TensorBoard is not installed")

    board = Board(str(tmp_path))
    monkeypatch.setattr(board_module, "find_spec", lambda name: None)
    with pytest.raises(SimulationError, match=r"pip install tensorboard$"):
        board.call(fail, 1)
    board.close()
