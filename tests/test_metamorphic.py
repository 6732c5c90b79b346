"""Ways to run a network that must not change what is recorded.

Each test simulates one network in two ways and compares, in float64, without asking
what the numbers should be (`test_parity` does that).
"""

import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from tests import networks
from tests.networks import FIXED, Case, assert_equal_data, recorded

pytestmark = pytest.mark.filterwarnings(
    # user-defined processes run their NumPy step, and say so
    "ignore::UserWarning"
)

SEED = 3
N_STEPS = 48

#: Networks that together have every kind of state: on the device, and in Python.
STATEFUL = {
    "everything": networks.everything,
    "python_in_the_loop": networks.python_in_the_loop,
}
stateful = pytest.mark.parametrize("name", STATEFUL)


@pytest.fixture(scope="module", autouse=True)
def no_decoder_cache():
    before = nengo.rc.get("decoder_cache", "enabled")
    nengo.rc.set("decoder_cache", "enabled", "False")
    yield
    nengo.rc.set("decoder_cache", "enabled", before)


@pytest.fixture(scope="module")
def plain():
    """What a network records with the default arguments, simulated once per name."""
    data = {}

    def run(name, build):
        if name not in data:
            data[name] = simulate(build(), N_STEPS)
        return data[name]

    return run


def simulator(case, **kwargs):
    kwargs.setdefault("seed", SEED)
    return nengo_dl.Simulator(case.net, dtype=tf.float64, progress_bar=False, **kwargs)


def simulate(case, *n_steps, **kwargs):
    with simulator(case, **kwargs) as sim:
        for n in n_steps:
            sim.run_steps(n)
        return recorded(sim, case)


# -- minibatches


@pytest.mark.parametrize(
    "name", ["python_in_the_loop", "transforms", "error_driven_learning", "recurrent"]
)
def test_minibatch_of_equal_items_equals_single_runs(name, plain):
    build = getattr(networks, name)
    case = build()
    batched = simulate(case, N_STEPS, minibatch_size=3)
    single = plain(name, build)
    for item in range(3):
        assert_equal_data(case, [data[item] for data in batched], single)


def test_minibatch_of_one_has_a_batch_axis_and_the_same_data(plain):
    case = networks.everything()
    batched = simulate(case, N_STEPS, minibatch_size=1)
    single = plain("everything", networks.everything)
    assert [d.shape for d in batched] == [(1, *d.shape) for d in single]
    assert_equal_data(case, [data[0] for data in batched], single)


def test_minibatch_of_different_inputs_equals_single_runs():
    with nengo.Network(seed=1) as net:
        stim = nengo.Node([0.0, 0.0])
        pre = nengo.Ensemble(15, 2)
        post = nengo.Ensemble(10, 2, neuron_type=nengo.LIFRate())
        nengo.Connection(stim, pre)
        conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-3))
        nengo.Connection(stim, conn.learning_rule, transform=-1)
        probes = [nengo.Probe(pre.neurons), nengo.Probe(conn, "weights")]
    case = Case(net, probes, "learning from input_feeds")
    feed = np.random.RandomState(0).uniform(-1, 1, size=(3, N_STEPS, 2))
    with simulator(case, minibatch_size=3) as sim:
        batched = recorded(sim, case, N_STEPS, input_feeds={stim: feed})
    assert not np.allclose(batched[1][0], batched[1][1])
    with simulator(case) as sim:
        for item in range(3):
            sim.reset()
            single = recorded(sim, case, N_STEPS, input_feeds={stim: feed[[item]]})
            assert_equal_data(case, [data[item] for data in batched], single)


@pytest.mark.parametrize("name", ["noise", "input_processes", "random_spikes"])
def test_first_item_of_random_minibatch_equals_run_without_minibatch(name, plain):
    case = FIXED[name]()
    batched = simulate(case, N_STEPS, minibatch_size=2)
    assert_equal_data(case, [d[0] for d in batched], plain(name, FIXED[name]))


@pytest.mark.parametrize(
    "process",
    [
        nengo.processes.WhiteNoise,
        nengo.processes.FilteredNoise,
        nengo.processes.BrownNoise,
        lambda seed: nengo.processes.WhiteSignal(0.1, high=100, seed=seed),
        lambda seed: networks.RandomWalk(seed=seed),
    ],
    ids=["WhiteNoise", "FilteredNoise", "BrownNoise", "WhiteSignal", "RandomWalk"],
)
def test_items_of_minibatch_differ_in_noise_without_seed_only(process):
    with nengo.Network(seed=0) as net:
        free = nengo.Probe(nengo.Node(process(seed=None), size_out=1))
        seeded = nengo.Probe(nengo.Node(process(seed=5), size_out=1))
    case = Case(net, [free, seeded], "one process with and one without a seed")
    free, seeded = simulate(case, 20, minibatch_size=3)
    assert len({data.tobytes() for data in free}) == 3
    assert len({data.tobytes() for data in seeded}) == 1


def test_items_of_minibatch_differ_in_ensemble_noise_without_seed_only():
    case = FIXED["noise"]()
    for probe, data in zip(
        case.probes, simulate(case, N_STEPS, minibatch_size=2), strict=True
    ):
        ens = getattr(probe.obj, "ensemble", probe.obj)
        assert np.array_equal(data[0], data[1]) == (ens.noise.seed is not None)


# -- how a run is divided


@stateful
@pytest.mark.parametrize("parts", [(1, 46, 1), (16, 16, 16), (13, 35)])
def test_run_in_parts_equals_one_run(name, parts, plain):
    assert sum(parts) == N_STEPS
    case = STATEFUL[name]()
    assert_equal_data(case, simulate(case, *parts), plain(name, STATEFUL[name]))


@stateful
def test_single_steps_equal_one_run(name, plain):
    case = STATEFUL[name]()
    with simulator(case) as sim:
        for _ in range(N_STEPS):
            sim.step()
        data = recorded(sim, case)
    assert_equal_data(case, data, plain(name, STATEFUL[name]))


def test_run_of_many_chunks_equals_many_runs():
    """The device holds a bounded number of steps; data joins without a seam."""
    with nengo.Network(seed=2) as net:
        stim = nengo.Node(lambda t: np.sin(7 * t))
        noise = nengo.Node(nengo.processes.WhiteNoise())
        ens = nengo.Ensemble(5, 1, neuron_type=nengo.LIFRate())
        nengo.Connection(stim, ens)
        nengo.Connection(noise, ens, synapse=nengo.Alpha(0.1))
        probes = [
            nengo.Probe(stim),
            nengo.Probe(noise, sample_every=0.0103),
            nengo.Probe(ens, synapse=0.2),
            nengo.Probe(ens.neurons, sample_every=0.7),
        ]
    case = Case(net, probes, "long run")
    whole = simulate(case, 25_000)
    parts = simulate(case, 1, 999, 1001, 7, 12_992, 10_000)
    assert_equal_data(case, parts, whole)
    np.testing.assert_allclose(
        whole[0][:, 0], np.sin(7e-3 * np.arange(1, 25_001)), atol=1e-12
    )


# -- how a run is compiled


@pytest.mark.parametrize(
    ("name", "unroll"),
    [  # compile time grows with the number of steps unrolled
        ("everything", 3),
        ("python_in_the_loop", 3),
        ("python_in_the_loop", 7),
        ("sampling", 7),
    ],
)
def test_unrolled_simulation_equals_plain_one(name, unroll, plain):
    build = getattr(networks, name)
    case = build()
    # parts of which neither 3 nor 7 is a divisor: never a step too many
    data = simulate(case, 20, 28, unroll_simulation=unroll)
    assert_equal_data(case, data, plain(name, build))


def test_unrolled_simulation_runs_exactly_the_steps_asked_for():
    calls = []
    with nengo.Network() as net:
        node = nengo.Node(lambda t: calls.append(t) or t, size_out=1)
        probe = nengo.Probe(node)
    with nengo_dl.Simulator(net, unroll_simulation=7, progress_bar=False) as sim:
        calls.clear()
        sim.run_steps(10)
        assert sim.n_steps == 10
        assert sim.data[probe].shape == (10, 1)
        np.testing.assert_allclose(calls[:10], 0.001 * np.arange(1, 11))


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize(
    "name", ["everything", "transforms", "synapses", "hebbian_learning", "recurrent"]
)
def test_compilation_changes_rounding_at_most(name, jit_compile, plain):
    build = getattr(networks, name)
    case = build()
    data = simulate(case, N_STEPS, jit_compile=jit_compile)
    assert_equal_data(case, data, plain(name, build))


def test_python_functions_run_without_compilation(plain):
    case = networks.python_in_the_loop()
    data = simulate(case, N_STEPS, jit_compile=False)
    assert_equal_data(
        case, data, plain("python_in_the_loop", networks.python_in_the_loop)
    )


# -- resets, and simulators side by side


@stateful
def test_reset_simulator_repeats_itself(name, plain):
    case = STATEFUL[name]()
    with simulator(case) as sim:
        sim.run_steps(11)
        sim.reset()
        again = recorded(sim, case, N_STEPS)
    assert_equal_data(case, again, plain(name, STATEFUL[name]), rtol=0, atol=0)


def test_reset_with_seed_equals_new_simulator_with_that_seed(plain):
    case = networks.everything()
    with simulator(case, seed=SEED + 1) as sim:
        other = recorded(sim, case, N_STEPS)
        sim.reset(seed=SEED)
        same = recorded(sim, case, N_STEPS)
        sim.reset()  # the seed given last is the default now
        again = recorded(sim, case, N_STEPS)
    expected = plain("everything", networks.everything)
    assert not np.allclose(other[1], expected[1])
    assert_equal_data(case, same, expected, rtol=0, atol=0)
    assert_equal_data(case, again, expected, rtol=0, atol=0)


@pytest.fixture
def resettable():
    """Deterministic state after a probe of an unseeded random stream."""
    with nengo.Network(seed=7) as net:
        stim = nengo.Node(networks.wave)
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        ens = nengo.Ensemble(10, 2)
        nengo.Connection(stim, ens, synapse=nengo.Alpha(0.01))
        nengo.Connection(ens, ens, synapse=0.02)
        probes = [
            nengo.Probe(noise),
            nengo.Probe(ens.neurons),
            nengo.Probe(ens.neurons, "voltage"),
            nengo.Probe(ens, synapse=0.02),
            nengo.Probe(ens, sample_every=0.003),
        ]
    return Case(net, probes, "soft reset")


@pytest.mark.parametrize("include_trainable", [False, True])
def test_soft_reset_resets_state_but_not_random_streams(resettable, include_trainable):
    with simulator(resettable) as sim:
        noise, *first = recorded(sim, resettable, 21)
        sim.soft_reset(include_trainable=include_trainable, include_probes=True)
        assert (sim.n_steps, sim.time) == (0, 0.0)
        assert [len(data) for data in recorded(sim, resettable)] == [0] * 5
        later_noise, *second = recorded(sim, resettable, 21)
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(after, before)
    unbroken = simulate(resettable, 42)[0]
    np.testing.assert_allclose(np.concatenate([noise, later_noise]), unbroken)


def test_soft_reset_keeps_probe_data_by_default(resettable):
    with simulator(resettable) as sim:
        first = recorded(sim, resettable, 21)
        sim.soft_reset()
        kept = recorded(sim, resettable)
        both = recorded(sim, resettable, 21)
    for before, after, data in zip(first, kept, both, strict=True):
        np.testing.assert_array_equal(after, before)
        np.testing.assert_array_equal(data[: len(before)], before)
        assert len(data) == 2 * len(before)


def test_reset_resets_random_streams_too(resettable):
    with simulator(resettable) as sim:
        first = recorded(sim, resettable, 21)
        sim.soft_reset()
        sim.run_steps(5)
        sim.reset()
        assert (sim.n_steps, sim.time) == (0, 0.0)
        assert [len(data) for data in recorded(sim, resettable)] == [0] * 5
        second = recorded(sim, resettable, 21)
    assert_equal_data(resettable, second, first, rtol=0, atol=0)


@stateful
def test_simulators_of_one_network_do_not_influence_each_other(name, plain):
    case = STATEFUL[name]()
    with simulator(case) as first, simulator(case) as second:
        for _ in range(4):
            first.run_steps(N_STEPS // 4)
            second.run_steps(N_STEPS // 6)
        expected = plain(name, STATEFUL[name])
        assert_equal_data(case, recorded(first, case), expected)
        second.reset()
        assert_equal_data(case, recorded(first, case), expected)
        assert_equal_data(case, recorded(second, case, N_STEPS), expected)
