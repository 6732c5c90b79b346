"""The items of a minibatch in several processes."""

import concurrent.futures
import multiprocessing
import threading

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from tests.sweeps import factories

N_ITEMS, N_STEPS = 5, 12


def noisy_network():
    """Noise that is made ahead, noise of neurons, a learning rule, and inputs."""
    with nengo.Network(seed=0) as net:
        net.x = nengo.Node([0, 0], label="x")
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=None), label="noise")
        pre = nengo.Ensemble(20, 2, neuron_type=nengo.LIF())
        post = nengo.Ensemble(
            20, 1, neuron_type=nengo.StochasticSpiking(nengo.LIFRate())
        )
        nengo.Connection(net.x, pre)
        nengo.Connection(noise, pre[0], transform=0.01)
        conn = nengo.Connection(
            pre, post, function=lambda x: x[0], learning_rule_type=nengo.PES()
        )
        nengo.Connection(post, conn.learning_rule)
        net.shown = [
            nengo.Probe(post),
            nengo.Probe(noise, sample_every=0.003),
            nengo.Probe(conn, "weights"),
        ]
    return net


@pytest.fixture(scope="module")
def divided():
    """One simulation in one piece, and one in two parts in another process."""
    net = noisy_network()
    x = np.random.RandomState(0).uniform(-1, 1, (N_ITEMS, N_STEPS, 2))
    found = []
    # one process for both parts: starting is what takes long, and this one compiles
    # meanwhile
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        1, spawn, initializer=factories.import_tensorflow
    ) as pool:
        pool.submit(int)
        for divides in (False, True):
            with nengo_dl.Simulator(
                net, minibatch_size=N_ITEMS, seed=1, progress_bar=False
            ) as sim:
                sim.run_steps(4)
                if divides:
                    nengo_dl.run_items(sim, N_STEPS, {net.x: x}, 2, pool)
                else:
                    sim.run_steps(N_STEPS, {net.x: x})
                sim.run_steps(3)
                found.append([np.array(sim.data[probe]) for probe in net.shown])
                assert sim.n_steps == N_STEPS + 7
    return found


@pytest.mark.parametrize("number", range(3), ids=["spikes", "noise", "weights"])
def test_divided_run_gives_the_same_data(divided, number):
    theirs, ours = (data[number] for data in divided)
    assert len(np.unique(theirs, axis=0)) > 1
    assert np.array_equal(ours, theirs)


@pytest.fixture
def sim():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0.5], label="x")
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(node, ens)
        nengo.Probe(ens)
    with nengo_dl.Simulator(net, minibatch_size=3, progress_bar=False) as sim:
        yield sim


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"n_parts": 4}, "There are 3 items, fewer than 4 parts"),
        ({"n_parts": 0}, "n_parts"),
        ({"n_steps": 0}, "n_steps"),
        ({"sim": None}, "Must be a nengo_dl.Simulator"),
        ({"data": {"x": np.zeros((2, 5, 1))}}, "shape"),
    ],
)
def test_bad_arguments_are_explained(sim, kwargs, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.run_items(**{"sim": sim, "n_steps": 5, "n_parts": 1, **kwargs})


def test_what_cannot_travel_is_named():
    lock = threading.Lock()
    with nengo.Network() as net:
        nengo.Node(lambda t: lock.locked(), label="watch")
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        with pytest.raises(
            ValidationError, match=r"function of <Node 'watch'> .* cannot"
        ):
            nengo_dl.run_items(sim, 5, n_parts=2)


def test_failure_leaves_the_simulator_where_it_was():
    def fail(t):
        if t > 0.0035:
            raise ValueError("too late")
        return t

    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(fail))
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        sim.run_steps(2)
        with pytest.raises(SimulationError, match=r"Items 0 to 1 failed.*too late"):
            nengo_dl.run_items(sim, 5, n_parts=1)
        assert sim.n_steps == 2
        assert sim.data[probe].shape == (2, 2, 1)
