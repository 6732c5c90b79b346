"""Settings of a simulation as a whole, and of what probes keep."""

import functools
import pickle
import warnings

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import BuildError, NetworkContextError, ValidationError

import nengo_dl
from nengo_dl import configure_settings, get_setting
from nengo_dl.compiler.planners import NAMED_PLANNERS, greedy
from nengo_dl.config import NetworkSettings
from nengo_dl.objectives import Regularize
from nengo_dl.setting_kinds import KINDS, PLANNERS, SIMPLIFICATIONS


def make_net(**settings):
    """Two ensembles with a passthrough node between them, a feedback, and noise."""
    with nengo.Network(seed=0) as net:
        configure_settings(**settings)
        net.node = nengo.Node([0.5, -0.2])
        net.a = nengo.Ensemble(20, 2, label="a")
        net.through = nengo.Node(size_in=2)
        net.b = nengo.Ensemble(30, 2, label="b")
        nengo.Connection(net.node, net.a)
        net.conn = nengo.Connection(net.a, net.through, synapse=None)
        nengo.Connection(net.through, net.b, synapse=0.005)
        nengo.Connection(net.b, net.b[::-1], synapse=0.01, transform=0.5)
        nengo.Node(lambda t: t)
        net.probe = nengo.Probe(net.b, synapse=0.01)
        net.spikes = nengo.Probe(net.a.neurons, sample_every=0.003)
    return net


def simulator(net, **kwargs):
    kwargs.setdefault("progress_bar", False)
    return nengo_dl.Simulator(net, seed=1, **kwargs)


def data(net, n_steps=50, **kwargs):
    with simulator(net, **kwargs) as sim:
        sim.run_steps(n_steps)
        return [np.array(sim.data[probe]) for probe in (net.probe, net.spikes)]


@functools.cache
def expected_results():
    return data(make_net(), dtype="float64", jit_compile=False)


def assert_same_results(settings):
    found = data(make_net(**settings), dtype="float64", jit_compile=False)
    for one, other in zip(found, expected_results(), strict=True):
        assert np.allclose(one, other, rtol=1e-9, atol=1e-9)


# -- where settings are


@pytest.mark.parametrize("name", [name for name, k in KINDS.items() if k.is_global])
def test_settings_of_a_simulation_are_those_of_its_network(name):
    value = {
        "planner": "none",
        "simplifications": ("remove_unread",),
        "dtype": np.dtype("float64"),
        "unroll_simulation": 3,
        "training_memory": 2**20,
    }.get(name, False)
    with nengo.Network() as net:
        configure_settings(**{name: value})
        with nengo.Network() as inner:
            pass
    assert getattr(net.config[nengo.Network], name) == value
    assert get_setting(net, net, name) == get_setting(net, inner, name) == value
    assert getattr(NetworkSettings.of(net), name) == value
    net.config[nengo.Network].update({name: None})
    assert getattr(NetworkSettings.of(net), name) == getattr(NetworkSettings(), name)


def test_settings_of_inner_networks_do_not_count():
    with nengo.Network() as net:
        with nengo.Network(label="inner") as inner:
            configure_settings(dtype="float64", stateful=True, planner=None)
            nengo.Node([0])
    with pytest.warns(UserWarning, match=r"dtype, stateful of .*inner.* are not used"):
        sim = simulator(net)
    assert sim.dtype == np.float32
    sim.close()
    with simulator(inner) as sim:  # nothing to warn of
        assert sim.dtype == np.float64


def test_inner_networks_may_agree():
    with nengo.Network() as net:
        configure_settings(dtype=tf.float64)
        with nengo.Network():
            configure_settings(dtype="float64")
            nengo.Node([0])
    with simulator(net) as sim:
        assert sim.dtype == np.float64


def test_settings_survive_pickling():
    net = pickle.loads(pickle.dumps(make_net_without_functions(dtype="float64")))
    with simulator(net) as sim:
        assert sim.dtype == np.float64
        sim.run_steps(3)
        copy = pickle.loads(pickle.dumps(sim))
    with copy:
        assert copy.dtype == np.float64
        copy.run_steps(3)
        (probe,) = copy.model.probes
        assert copy.data[probe].shape == (3, 1)  # keeps no state


def make_net_without_functions(**settings):
    with nengo.Network(seed=0) as net:
        configure_settings(stateful=False, **settings)
        nengo.Probe(nengo.Node([0.5]))
    return net


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("planner", 3, "one of 'greedy', 'none', a function"),
        ("planner", "clever", "got 'clever'"),
        ("simplifications", "find_aliases", "list of some of 'find_aliases'"),
        ("simplifications", ["fold"], r"got \['fold'\]"),
        ("simplifications", 3, "list of some"),
        ("simplifications", ["remove_unread"] * 2, "once only"),
        ("dtype", "float16", r"'mixed_bfloat16' or None \(got 'float16'\)"),
        ("dtype", int, "tf.float32, tf.float64"),
        ("inference_only", "yes", "True, False or None"),
        ("stateful", 1, "True, False or None"),
        ("jit_compile", "auto", "True, False or None"),
        ("unroll_simulation", 0, "from 1 to 1000"),
        ("unroll_simulation", 1.5, "integer"),
        ("keep_history", "last", "True, False or None"),
    ],
)
def test_wrong_values_are_refused_where_they_are_set(name, value, message):
    with nengo.Network(), pytest.raises(ValidationError, match=message):
        configure_settings(**{name: value})


def test_settings_of_a_simulation_need_a_network():
    with pytest.raises(NetworkContextError, match="inside a network"):
        configure_settings(dtype="float64")


# -- defaults of the simulator's arguments


def test_precision_of_a_network():
    net = make_net(dtype="float64")
    with simulator(net) as sim:
        assert sim.dtype == np.float64
    with simulator(net, dtype=tf.float32) as sim:
        assert sim.dtype == np.float32
    with simulator(make_net()) as sim:
        assert sim.dtype == np.float32


def test_compilation_and_unrolling_of_a_network():
    net = make_net(jit_compile=False, unroll_simulation=5)
    with simulator(net) as sim:
        assert (sim.jit_compile, sim.unroll_simulation) == (False, 5)
    with simulator(net, jit_compile=True, unroll_simulation=1) as sim:
        assert (sim.jit_compile, sim.unroll_simulation) == (True, 1)
    with simulator(make_net()) as sim:
        assert (sim.jit_compile, sim.unroll_simulation) == (None, 1)


# -- planner and simplifications


def test_named_planners_and_rules_exist():
    assert tuple(NAMED_PLANNERS) == PLANNERS
    with simulator(make_net()) as sim:
        assert tuple(sim._session.plan.counts) == ("before", *SIMPLIFICATIONS, "groups")


def test_nothing_is_merged_without_a_planner():
    assert_same_results({"planner": "none"})
    with simulator(make_net(planner="none")) as sim:
        counts = sim._session.plan.counts
        assert counts["groups"] == counts["remove_unread"]


def pairs(operators, before, keys):
    """Groups of at most two operators."""
    return [
        group[i : i + 2]
        for group in greedy(operators, before, keys)
        for i in range(0, len(group), 2)
    ]


def test_own_planner_decides():
    assert_same_results({"planner": pairs})
    with simulator(make_net(planner=pairs)) as sim:
        groups = [bound.group for bound in sim._session.step.layout.groups]
        assert {len(group.ops) for group in groups} == {1, 2}


@pytest.mark.parametrize(
    "planner, message",
    [
        (lambda ops, before, keys: pairs(ops, before, keys)[:-1], "leaves out"),
        (lambda ops, before, keys: [*pairs(ops, before, keys), [0]], "twice"),
        (lambda ops, before, keys: pairs(ops, before, keys)[::-1], "depends on"),
        (lambda ops, before, keys: [range(len(ops))], "different keys"),
        (lambda ops, before, keys: None, "must return a list of groups"),
        (lambda ops, before, keys: [[0.5]], "must return a list of groups"),
        (lambda ops, before, keys: [[len(ops)]], "one of its groups is"),
        (lambda ops, before, keys: [[]], r"one of its groups is \[\]"),
        (lambda ops, before, keys: 1 / 0, "failed: ZeroDivisionError"),
        (lambda ops: [], "failed: TypeError"),
    ],
)
def test_result_of_an_own_planner_is_checked(planner, message):
    with pytest.raises(BuildError, match=message):
        simulator(make_net(planner=planner))


@pytest.mark.parametrize(
    "names",
    [(), ("find_aliases",), ("remove_unread", "find_aliases"), SIMPLIFICATIONS[::-1]],
    ids="-".join,
)
def test_simplifications_never_change_results(names):
    assert_same_results({"simplifications": names})
    with simulator(make_net(simplifications=names)) as sim:
        assert tuple(sim._session.plan.counts) == ("before", *names, "groups")


def test_training_is_the_same_without_simplifications_and_merging():
    found = []
    for settings in ({}, {"simplifications": [], "planner": "none"}):
        net = make_net(**settings)
        with simulator(net, dtype="float64", jit_compile=False) as sim:
            sim.train(5, {net.probe: np.ones((1, 5, 2))}, "sgd", n_epochs=2)
            found.append(np.array(sim.data[net.conn].weights))
            found.append(np.array(sim.data[net.a].bias))
    assert np.allclose(found[0], found[2], rtol=1e-9)
    assert np.allclose(found[1], found[3], rtol=1e-9)


# -- inference only


def test_inference_only_networks_are_not_trained():
    net = make_net(inference_only=True)
    with simulator(net) as sim:
        assert sim.trainable_variables == []
        with pytest.raises(ValidationError, match=r"Cannot train: .*inference_only=T"):
            sim.train(5, {net.probe: np.ones((1, 5, 2))}, "sgd")
        with pytest.raises(ValidationError, match="Cannot check gradients"):
            sim.check_gradients()
        assert sim.loss(5, {net.probe: np.ones((1, 5, 2))}) > 0


def test_inference_only_saves_variables_and_changes_nothing_else():
    assert_same_results({"inference_only": True})
    blocks = []
    for flag in (True, False):
        with simulator(make_net(inference_only=flag)) as sim:
            blocks.append(len(sim._session.step.constant_blocks))
    assert blocks[0] < blocks[1]


def test_trained_parameters_can_be_loaded_for_inference(tmp_path):
    net = make_net()
    with simulator(net) as sim:
        sim.train(5, {net.probe: np.ones((1, 5, 2))}, tf.keras.optimizers.Adam())
        sim.save_params(tmp_path / "trained")
        expected = np.array(sim.data[net.conn].weights)
    with net:
        configure_settings(inference_only=True)
    with simulator(net) as sim:
        sim.load_params(tmp_path / "trained")
        assert np.array_equal(sim.data[net.conn].weights, expected)


# -- keep_history


@pytest.mark.parametrize("jit_compile", [True, None], ids=["compiled", "numpy"])
@pytest.mark.parametrize("minibatch_size", [None, 3])
def test_only_the_last_step_is_kept(jit_compile, minibatch_size):
    kwargs = {"jit_compile": jit_compile, "minibatch_size": minibatch_size}
    for n_steps in (2, 9):  # the second probe has its first sample in step 3
        full = make_net()
        last = make_net(keep_history=False)
        for expected, found in zip(
            data(full, n_steps, **kwargs), data(last, n_steps, **kwargs), strict=True
        ):
            if expected.size:
                expected = expected[..., -1:, :]
            assert np.array_equal(found, expected)


def test_runs_and_chunks_replace_what_was_kept():
    full, last = make_net(), make_net(keep_history=False)
    for net in (full, last):
        with simulator(net) as sim:
            for n_steps in (1500, 1, 1):
                sim.run_steps(n_steps)
            net.found = [sim.data[net.probe][-1:], sim.data[net.spikes][-1:]]
            net.size = [len(sim.data[net.probe]), len(sim.data[net.spikes])]
    assert np.array_equal(full.found[0], last.found[0])
    assert np.array_equal(full.found[1], last.found[1])
    assert last.size == [1, 1] and full.size == [1502, 500]


def test_history_can_be_kept_for_one_probe():
    net = make_net(keep_history=False)
    net.config[net.probe].keep_history = True
    one, other = data(net, 10)
    assert len(one) == 10 and len(other) == 1


def test_objectives_see_the_last_step():
    full, last = make_net(), make_net(keep_history=False)
    y = np.random.RandomState(0).uniform(-1, 1, (2, 6, 2))
    losses = []
    for net, target, objective in (
        (full, y, {full.probe: lambda o, t: tf.square(o - t)[:, -1:]}),
        (last, y[:, -1:], "mse"),
        (last, y[:, -1:], {last.probe: lambda o, t: tf.square(o - t)}),
    ):
        with simulator(net, minibatch_size=2, jit_compile=False) as sim:
            for training in (False, True):
                losses.append(
                    sim.loss(6, {net.probe: target}, objective, None, training)
                )
            sim.train(6, {net.probe: target}, "sgd", objective=objective)
            losses.append(float(sim.data[net.conn].weights.sum()))
            losses.append(float(sim.data[net.a].bias.sum()))
    assert np.allclose(losses[:4], losses[4:8], rtol=1e-5)
    assert losses[4:8] == losses[8:]


def test_targets_of_the_last_step_have_one_step():
    net = make_net(keep_history=False)
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=r"\(1, 1, 2\) .*keeps no history"):
            sim.loss(6, {net.probe: np.ones((1, 6, 2))})


# synapses delay by more steps than some parts have
@pytest.mark.filterwarnings("ignore:.*will not be trained with 3 time steps")
def test_truncated_gradients_of_the_last_step():
    """Only the last part of a minibatch has a loss, and an update."""
    target = np.ones((1, 1, 2))
    found = []
    for truncation in (None, 7, 3):
        net = make_net(keep_history=False)
        with simulator(net, dtype="float64", jit_compile=False) as sim:
            loss = sim.loss(7, {net.probe: target}, training=True)
            history = sim.train(7, {net.probe: target}, "sgd", truncation=truncation)
            found.append(np.array(sim.data[net.conn].weights))
        # parts without a loss hand their state on
        assert np.allclose(history.batch_losses, [loss], rtol=1e-9)
    assert np.allclose(found[0], found[1], rtol=1e-9)
    assert not np.allclose(found[0], found[2], rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.*will not be trained with 2 time steps")
def test_truncation_with_probes_of_both_kinds():
    net = make_net(keep_history=None)
    net.config[net.probe].keep_history = False
    objective = {net.probe: "mse", net.spikes: Regularize(weight=1e-3)}
    target = {net.probe: np.ones((1, 1, 2))}
    with simulator(net, dtype="float64", jit_compile=False) as sim:
        history = sim.train(6, target, "sgd", objective=objective, truncation=2)
        size = sim.loss(6, None, {net.spikes: Regularize(weight=1e-3)}, training=True)
    first, second, last = history.batch_losses
    # three updates, the last of which sees both terms
    assert 0 < first and last > second
    assert np.isfinite(history.history["loss"]).all() and size > 0


def test_gradients_of_the_last_step_are_right():
    with nengo.Network(seed=0) as net:
        configure_settings(keep_history=False)
        ens = nengo.Ensemble(5, 1, neuron_type=nengo.Tanh())
        nengo.Connection(nengo.Node([0.3]), ens, synapse=0.01)
        nengo.Probe(ens, synapse=0.01)
    with simulator(net, dtype="float64") as sim:
        assert 0 < sim.check_gradients().n_entries


# -- stateful


@pytest.mark.parametrize("jit_compile", [True, None], ids=["compiled", "numpy"])
def test_stateless_runs_are_all_the_same(jit_compile):
    net = make_net(stateful=False)
    expected, _ = data(make_net(), 20, jit_compile=jit_compile)
    with simulator(net, jit_compile=jit_compile) as sim:
        for n_steps in (20, 20, 7, 1):
            sim.run_steps(n_steps)
            # probes and time are those of the last run; its precision depends on length
            assert np.allclose(sim.data[net.probe], expected[:n_steps], atol=1e-5)
            assert sim.n_steps == n_steps and len(sim.trange()) == n_steps
        sim.step()
        assert np.allclose(sim.data[net.probe], expected[:1], atol=1e-5)


def test_stateless_runs_leave_the_state_as_it_was(tmp_path):
    net = make_net(stateful=False)
    voltage = None
    with simulator(net, jit_compile=True) as sim:
        signal = sim.model.sig[net.a.neurons]["voltage"]
        before = np.array(sim.signals[signal])
        sim.run_steps(20)
        voltage = np.array(sim.signals[signal])
    assert np.array_equal(voltage, before)


def test_time_starts_again_in_stateless_runs():
    times = []
    with nengo.Network() as net:
        configure_settings(stateful=False)
        nengo.Node(lambda t: times.append(round(t, 6)), size_out=0)
        ramp = nengo.Probe(nengo.Node(lambda t: t))
    with simulator(net) as sim:
        times.clear()
        sim.run_steps(2)
        sim.run_steps(2)
        assert np.allclose(sim.data[ramp][:, 0], [0.001, 0.002])
    assert times == [0.001, 0.002, 0.001, 0.002]


def test_random_streams_go_on_between_stateless_runs():
    with nengo.Network(seed=0) as net:
        configure_settings(stateful=False)
        noise = nengo.Node(nengo.processes.WhiteNoise(nengo.dists.Gaussian(0, 1)))
        probe = nengo.Probe(noise)
    found = []
    with simulator(net) as sim:
        for _ in range(2):
            sim.run_steps(5)
            found.append(np.array(sim.data[probe]))
    assert not np.array_equal(*found)


def test_learning_starts_again_from_what_was_loaded(tmp_path):
    with nengo.Network(seed=0) as net:
        pre = nengo.Ensemble(10, 1)
        error = nengo.Node([0.5])
        post = nengo.Node(size_in=1)
        conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-2))
        nengo.Connection(error, conn.learning_rule)
        weights = nengo.Probe(conn, "weights")
    with simulator(net) as sim:
        initial = np.array(sim.data[conn].weights)
        sim.run_steps(50)
        learned = np.array(sim.data[conn].weights)
        sim.save_params(tmp_path / "learned")
    assert not np.allclose(initial, learned)
    with net:
        configure_settings(stateful=False)
    with simulator(net) as sim:
        sim.load_params(tmp_path / "learned")
        runs = []
        for _ in range(2):
            sim.run_steps(50)
            runs.append(np.array(sim.data[weights]))
            assert np.allclose(sim.data[conn].weights, learned, rtol=1e-6)
        assert np.array_equal(*runs)
        assert np.abs(runs[0][-1] - learned).max() > np.abs(runs[0][0] - learned).max()


def test_state_is_restored_after_an_error():
    def fail_once(t):
        if t > 0.0035 and not failed:
            failed.append(t)
            raise RuntimeError("not now")
        return t

    failed = [None]
    with nengo.Network(seed=0) as net:
        configure_settings(stateful=False)
        node = nengo.Node(fail_once)
        out = nengo.Node(size_in=1)
        nengo.Connection(node, out, synapse=0.01)
        probe = nengo.Probe(out)
    with simulator(net) as sim:
        sim.run_steps(10)
        expected = np.array(sim.data[probe])
        failed.clear()
        with pytest.raises(nengo.exceptions.SimulationError, match="not now"):
            sim.run_steps(10)
        sim.run_steps(10)
        assert np.array_equal(sim.data[probe], expected)


def test_state_is_restored_after_an_interrupt():
    net = make_net(stateful=False)
    with simulator(net, jit_compile=True) as sim:
        signal = sim.model.sig[net.a.neurons]["voltage"]
        before = np.array(sim.signals[signal])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sim, "_record", interrupting)
            with pytest.raises(KeyboardInterrupt) as caught:
                sim.run_steps(3000)
        # although the traceback still holds the generator
        assert caught.tb is not None
        assert np.array_equal(sim.signals[signal], before)


def interrupting(chunk):
    raise KeyboardInterrupt


def test_no_setting_warns_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with simulator(make_net()):
            pass
