"""Simulations that go on after saving and loading, as if nothing had happened."""

import itertools
import pickle

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError
from nengo.params import NumberParam

import nengo_dl
from nengo_dl.parameters.continuation import Continuation
from nengo_dl.parameters.file.header import Form
from nengo_dl.parameters.file.reading import read_arrays
from nengo_dl.parameters.file.writing import write_arrays
from nengo_dl.parameters.parts import SavedBatch
from tests import networks
from tests.simulator.test_simulator import recorded

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*has no TensorFlow version:UserWarning"
)


def simulator(net, **kwargs):
    kwargs = {"dtype": "float64", "progress_bar": False, **kwargs}
    return nengo_dl.Simulator(net, **kwargs)


class Counting(nengo.Process):
    """Count steps where nobody sees it, and draw from the given stream."""

    start = NumberParam("start")

    def __init__(self, start=0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def make_step(self, shape_in, shape_out, dt, rng, state):
        count = itertools.count(self.start)

        def step(t, *x):
            return np.full(shape_out, next(count) + 0.1 * rng.uniform())

        return step


class Drawing(nengo.Process):
    """Add noise from the given stream to the input."""

    def make_step(self, shape_in, shape_out, dt, rng, state):
        return lambda t, x: x + rng.normal(size=shape_out)


class Hiding(nengo.Process):
    """Add noise from a stream that it made itself."""

    def make_step(self, shape_in, shape_out, dt, rng, state):
        own = np.random.RandomState(0)
        return lambda t, x: x + own.normal(size=shape_out)


def noisy_network():
    """All that draws random numbers, with and without seeds."""
    with nengo.Network(seed=0) as net:
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=2)
        filtered = nengo.Node(nengo.processes.FilteredNoise(nengo.Alpha(0.01)))
        fixed = nengo.Node(nengo.processes.WhiteSignal(0.1, high=50, seed=1))
        signal = nengo.Node(nengo.processes.WhiteSignal(0.1, high=50))
        brown = nengo.Node(nengo.processes.BrownNoise(seed=3))
        counting = nengo.Node(Counting(start=3))
        drawing = nengo.Node(Drawing(), size_in=1, size_out=1)
        poisson = nengo.Ensemble(
            8, 1, neuron_type=nengo.PoissonSpiking(nengo.LIFRate()), seed=1
        )
        stochastic = nengo.Ensemble(
            8, 1, neuron_type=nengo.StochasticSpiking(nengo.LIFRate()), seed=1
        )
        lif = nengo.Ensemble(9, 1, noise=nengo.processes.WhiteNoise())
        nengo.Connection(noise[0], drawing)
        for pre, post in ((filtered, poisson), (signal, stochastic), (drawing, lif)):
            nengo.Connection(pre, post)
        net.case = networks.Case(
            net,
            [
                nengo.Probe(obj)
                for obj in (noise, filtered, fixed, signal, brown, counting, drawing)
            ]
            + [nengo.Probe(ens.neurons) for ens in (poisson, stochastic, lif)],
            "noisy",
        )
    return net


def loaded_goes_on(build, tmp_path, n_before=50, n_after=50, **kwargs):
    """Compare a run with one that is saved in the middle, and go on elsewhere."""
    case = build()
    with simulator(case.net, **kwargs) as sim:
        sim.run_steps(n_before)
        path = sim.save_params(tmp_path / "all", include_local=True)
        sim.clear_probes()
        expected = recorded(sim, case, n_after)
    # built with another seed: its parameters, state and streams all come from the file
    other = build()
    with simulator(other.net, **{**kwargs, "seed": 99}) as sim:
        sim.run_steps(3)
        sim.load_params(path, include_local=True)
        assert sim.n_steps == n_before
        sim.clear_probes()
        actual = recorded(sim, other, n_after)
        assert sim.time == pytest.approx((n_before + n_after) * sim.dt)
    for one, two in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loaded_simulation_goes_on_in_the_precision_of_nengo(tmp_path, dtype):
    """Python in the loop is computed by Nengo's steps, whatever the device has."""
    loaded_goes_on(networks.python_in_the_loop, tmp_path, dtype=dtype, seed=5)


@pytest.mark.parametrize("minibatch_size", [None, 2])
def test_loaded_simulation_goes_on_spike_for_spike(tmp_path, minibatch_size):
    loaded_goes_on(
        lambda: noisy_network().case, tmp_path, seed=5, minibatch_size=minibatch_size
    )


@pytest.mark.parametrize("name", ["everything", "python_in_the_loop"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_simulation_of_a_mixed_network_goes_on_after_loading(tmp_path, name):
    loaded_goes_on(getattr(networks, name), tmp_path, 17, 13, seed=2)


@pytest.mark.parametrize("minibatch_size", [None, 2])
def test_unpickled_simulation_goes_on_spike_for_spike(minibatch_size):
    net = noisy_network()
    with simulator(net, seed=5, minibatch_size=minibatch_size) as sim:
        sim.run_steps(20)
        with pickle.loads(pickle.dumps(sim)) as copy:
            sim.run_steps(20)
            copy.run_steps(20)
            for one, two in zip(sim.model.probes, copy.model.probes, strict=True):
                np.testing.assert_array_equal(sim.data[one], copy.data[two])


def test_streams_go_on_after_soft_resets_and_replaced_inputs(tmp_path):
    """Neither the time nor the number of steps says where a stream is."""
    net = noisy_network()
    noise, counting = net.nodes[0], net.nodes[5]
    feeds = {noise: np.zeros((1, 7, 2)), counting: np.zeros((1, 7, 1))}
    with simulator(net, seed=5) as sim:
        sim.run_steps(4)
        sim.run_steps(7, input_feeds=feeds)
        sim.soft_reset(include_probes=True)
        sim.run_steps(2)
        path = sim.save_params(tmp_path / "all", include_local=True)
        copy = pickle.loads(pickle.dumps(sim))
        sim.run_steps(9)
        expected = [sim.data[probe][2:] for probe in net.probes]
    copy.clear_probes()
    with simulator(net, seed=6) as sim, copy:
        sim.load_params(path, include_local=True)
        for again in (sim, copy):
            again.run_steps(9)
            assert again.n_steps == 11
            for probe, data in zip(again.model.probes, expected, strict=True):
                np.testing.assert_array_equal(again.data[probe], data)


def test_values_that_were_made_ahead_are_not_lost(tmp_path):
    """A function fails in step 6, and noise for all steps was made before."""
    broken = [True]

    def fails(t):
        if broken[0] and t > 0.0055:
            raise RuntimeError("no")
        return t

    with nengo.Network(seed=0) as net:
        noise = nengo.Probe(nengo.Node(nengo.processes.WhiteNoise()))
        function = nengo.Probe(nengo.Node(fails))
    with simulator(net, seed=1) as sim:
        with pytest.raises(SimulationError, match="no"):
            sim.run_steps(20)
        path = sim.save_params(tmp_path / "all", include_local=True)
        broken[0] = False
        sim.run_steps(20 - sim.n_steps)
        expected = sim.data[noise], sim.data[function]
    with simulator(net, seed=2) as sim:
        sim.load_params(path, include_local=True)
        n_steps = sim.n_steps
        assert n_steps == 5
        sim.run_steps(20 - n_steps)
        for probe, data in zip((noise, function), expected, strict=True):
            np.testing.assert_array_equal(sim.data[probe], data[n_steps:])


def test_one_item_goes_on_in_a_simulator_of_another_size(tmp_path):
    net = noisy_network()
    with simulator(net, seed=5, minibatch_size=3) as sim:
        sim.run_steps(10)
        path = sim.save_params(tmp_path / "all", include_local=True)
        sim.clear_probes()
        sim.run_steps(10)
        expected = [sim.data[probe][2] for probe in net.probes]
    with simulator(net, seed=6) as sim:
        with pytest.raises(ValidationError, match="3 items of a minibatch"):
            sim.load_params(path, include_local=True)
        assert sim.n_steps == 0
        sim.load_params(path, include_local=True, item=2)
        sim.run_steps(10)
        for probe, data in zip(net.probes, expected, strict=True):
            np.testing.assert_array_equal(sim.data[probe], data)


def test_parameters_alone_leave_time_and_streams(tmp_path):
    net = noisy_network()
    with simulator(net, seed=5) as sim:
        path = sim.save_params(tmp_path / "all", include_local=True)
        sim.run_steps(5)
        report = sim.load_params(path)
        assert sim.n_steps == 5
        assert report.skipped["streams/steps"] == "not asked for"


def test_streams_are_readable_with_numpy(tmp_path):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node(nengo.processes.WhiteNoise(seed=7)))
    with simulator(net) as sim:
        sim.run_steps(11)
        path = sim.save_params(tmp_path / "all", include_local=True)
    with np.load(path, allow_pickle=False) as file:
        assert file["streams/steps"] == 11
        keys = file["streams/net.nodes[0].out/random/keys"]
        assert keys.shape == (1, 624) and keys.dtype == np.uint32


def test_hidden_streams_are_named(tmp_path):
    with nengo.Network() as net:
        node = nengo.Node(Hiding(), size_in=1, size_out=1)
        nengo.Connection(nengo.Node([1.0]), node)
    with simulator(net) as sim:
        with pytest.warns(UserWarning, match=r"Hiding.*nodes\[0\].*stream of its own"):
            sim.save_params(tmp_path / "all", include_local=True)
        with pytest.warns(UserWarning, match="cannot be saved and starts again"):
            pickle.dumps(sim)
        sim.save_params(tmp_path / "parameters")  # needs no streams


def changed(change):
    """Return the arrays of a noisy simulator, changed, and the simulator."""
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Node(nengo.processes.FilteredNoise()))
    sim = simulator(net, seed=1)
    arrays = Continuation(sim._parameters).save()
    change(arrays)
    return sim, arrays


KEYS = "net.nodes[0].out/random/"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("steps"), "'steps' is missing"),
        (lambda a: a.pop(KEYS + "keys"), "keys' is missing"),
        (lambda a: a.update({"steps": np.array(-1)}), "number of time steps, -1"),
        (lambda a: a.update({"seeds": np.array([2**32])}), "impossible seeds"),
        (lambda a: a.update({"seeds": np.array([1, 2])}), r"'seeds' is int64 of shape"),
        (
            lambda a: a.update({KEYS + "position": np.array([[700, 0]])}),
            "no position 700",
        ),
        (lambda a: a.update({KEYS + "keys": np.zeros((1, 624))}), "keys' is float64"),
        (lambda a: a.update({"other/random/keys": np.zeros(1)}), "network has no 'oth"),
        (lambda a: a.update({"net.nodes[0].out/ahead": np.zeros((1, 3, 1))}), "ahead"),
        (lambda a: a.update({"other/ahead": np.zeros((1, 1, 1))}), "no 'other/ahead'"),
        (lambda a: a.pop("net.nodes[0].out/state[0]"), r"state\[0\]' is missing"),
    ],
)
def test_streams_that_do_not_fit_are_refused(change, message):
    sim, arrays = changed(change)
    forms = {name: Form(array.shape, array.dtype) for name, array in arrays.items()}
    with sim, pytest.raises(ValidationError, match=f"{message}.*"):
        Continuation(sim._parameters).check_forms(forms, SavedBatch(1, None))
        Continuation(sim._parameters).check(arrays)


def test_state_without_time_is_refused_and_changes_nothing(tmp_path):
    net = noisy_network()
    with simulator(net, seed=5) as sim:
        path = sim.save_params(tmp_path / "state", False, True)
        arrays = read_arrays(path)[0]
        sim.run_steps(3)
        voltage = sim.model.sig[net.ensembles[2].neurons]["voltage"]
        before = sim.signals[voltage]
        # a file of another network with the same state
        with nengo.Network(seed=0) as other:
            nengo.Ensemble(9, 1)
            nengo.Probe(nengo.Node(nengo.processes.WhiteNoise()))
        with simulator(other) as second:
            with pytest.raises(ValidationError, match=r"the network needs|this state"):
                second.load_params(path, False, True)
            assert second.n_steps == 0
        write_arrays(path, {n: a for n, a in arrays.items() if n != "streams/steps"})
        with pytest.raises(ValidationError, match="'streams/steps' is missing"):
            sim.load_params(path, False, True)
        np.testing.assert_array_equal(sim.signals[voltage], before)
        assert sim.n_steps == 3


@pytest.mark.filterwarnings("ignore:.*is set to be trainable, and a learning rule")
@pytest.mark.parametrize("minibatch_size", [None, 2])
@pytest.mark.parametrize("how", ["file", "pickle"])
def test_start_of_learned_weights_outlives_saving(tmp_path, how, minibatch_size):
    """Training sets where weights start, learning moves them, and a reset goes back."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        stim = nengo.Node([0.5])
        pre, post = nengo.Ensemble(10, 1), nengo.Ensemble(10, 1)
        conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-2))
        nengo.Connection(stim, pre, synapse=None)
        nengo.Connection(stim, conn.learning_rule, synapse=None)
        probe = nengo.Probe(post)
    net.config[conn].trainable = True
    with simulator(net, minibatch_size=minibatch_size) as sim:
        data = np.ones((2, 20, 1))
        sim.train({stim: data}, {probe: data}, "sgd", n_epochs=1)
        start = sim.data[conn].weights
        for _ in range(10):
            sim.step(input_feeds={stim: np.ones((1, 1, 1))})
        now = sim.data[conn].weights
        assert not np.array_equal(now, start)
        if how == "file":
            path = sim.save_params(tmp_path / "all", include_local=True)
            with np.load(path) as file:
                assert "start/net.connections[0].weights" in file.files
            other = simulator(net, minibatch_size=minibatch_size)
            other.load_params(path, include_local=True)
        else:
            other = pickle.loads(pickle.dumps(sim))
            net = other.model.toplevel
            conn = net.connections[0]
    with other:
        np.testing.assert_array_equal(other.data[conn].weights, now)
        other.soft_reset()
        np.testing.assert_array_equal(other.data[conn].weights, start)
