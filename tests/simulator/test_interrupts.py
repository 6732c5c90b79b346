"""Ctrl-C, once or often, at any moment: the simulation goes on as if nothing was."""

import contextlib
import signal
import threading
import time

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError

import nengo_dl

pytestmark = pytest.mark.usefixtures("interruptible")


class Rectify(nengo.Process):
    """A process with input that draws in each step."""

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        return lambda t, x: np.maximum(x, 0) + rng.uniform(size=shape_out)


def network(function=None):
    """Return a network with all kinds of random streams, and state."""
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(function or (lambda t: np.sin(20 * t)), size_out=1)
        noise = nengo.Node(nengo.processes.FilteredNoise(), size_out=1)
        ens = nengo.Ensemble(20, 1, noise=nengo.processes.WhiteNoise())
        rates = nengo.StochasticSpiking(nengo.LIFRate())
        spiking = nengo.Ensemble(20, 1, neuron_type=rates)
        nengo.Connection(wave, ens)
        nengo.Connection(noise, ens)
        nengo.Connection(ens, spiking)
        for obj in (noise, ens, spiking.neurons):
            nengo.Probe(obj)
        nengo.Probe(ens, sample_every=0.003)
    return net


def stepwise(fails=()):
    """Return a network whose functions run in step with draws of the device.

    ``fails``: in which steps the function fails, once for each.
    """
    fails = list(fails)

    def function(t, x):
        if round(t / 0.001) in fails:
            fails.remove(round(t / 0.001))
            raise RuntimeError("once")
        return x

    with nengo.Network(seed=0) as net:
        poisson = nengo.Ensemble(
            20, 1, neuron_type=nengo.PoissonSpiking(nengo.LIFRate())
        )
        process = nengo.Node(Rectify(default_size_in=1, default_size_out=1))
        node = nengo.Node(function, size_in=1, size_out=1)
        nengo.Connection(poisson, process, synapse=None)
        nengo.Connection(process, node, synapse=None)
        for obj in (poisson.neurons, process, node):
            nengo.Probe(obj)
    return net


def simulator(net, **kwargs):
    kwargs = {"dtype": "float64", "progress_bar": False, **kwargs}
    return nengo_dl.Simulator(net, **kwargs)


def data_of(net, sim):
    return [sim.data[probe].copy() for probe in net.probes]


@contextlib.contextmanager
def presses(delay, count, gap=1e-4):
    """Press Ctrl-C, from another thread."""

    def press():
        while not armed:
            time.sleep(1e-5)
        time.sleep(delay)
        for _ in range(count):
            signal.raise_signal(signal.SIGINT)
            time.sleep(gap)

    armed = []
    thread = threading.Thread(target=press)
    _PRESSING.append(thread)
    thread.start()
    try:
        armed.append(True)  # not before: Ctrl-C may break the start of a thread
        yield
    finally:
        calm()


#: Threads that may still press Ctrl-C.
_PRESSING = []


def calm():
    """Wait until Ctrl-C was pressed for the last time, whatever it interrupts."""
    try:
        _wait_for_presses()
    except KeyboardInterrupt:  # at the edge of what catches it
        _wait_for_presses()


def _wait_for_presses():
    while _PRESSING:
        # without locks, which Ctrl-C may break
        with contextlib.suppress(KeyboardInterrupt):
            while _PRESSING[-1].is_alive():
                time.sleep(1e-4)
            time.sleep(1e-3)  # the last one is handled in this thread
            _PRESSING.pop()


def interrupted(delay, count, action):
    """Call something that Ctrl-C may end; whether it did."""
    found = False
    try:
        with presses(delay, count):
            action()
            time.sleep(1e-3)
    except KeyboardInterrupt:
        found = True
    calm()  # if it came when the context was left
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("jit_compile", [True, None])
def test_interrupted_runs_go_on_where_they_were(jit_compile, count):
    n_steps = 6000
    net = network()
    with simulator(net, jit_compile=True) as sim:
        sim.run_steps(n_steps)
        expected = data_of(net, sim)
    with simulator(net, jit_compile=jit_compile) as sim:
        sim.run_steps(1000)
        for i in range(8):
            rest = n_steps - 1000 - sim.n_steps
            if rest > 0:
                interrupted(1e-3 * (1 + 3 * i), count, lambda r=rest: sim.run_steps(r))
            assert len(sim.data[net.probes[0]]) == sim.n_steps
            assert len(sim.data[net.probes[3]]) == sim.n_steps // 3
        sim.run_steps(n_steps - sim.n_steps)
        for found, wanted in zip(data_of(net, sim), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_interrupted_steps_go_on_where_they_were(count):
    n_steps = 1500
    net = network()
    with simulator(net) as sim:
        sim.run_steps(n_steps)
        expected = data_of(net, sim)

    def steps():
        for _ in range(n_steps - 1 - sim.n_steps):
            sim.step()

    with simulator(net) as sim:
        n_interrupts = 0
        for i in range(25):
            n_interrupts += interrupted(1e-3 + 1.37e-4 * i, count, steps)
            lengths = [len(sim.data[probe]) for probe in net.probes[:3]]
            assert lengths == [sim.n_steps] * 3
        assert n_interrupts > 5
        sim.run_steps(n_steps - sim.n_steps)
        for found, wanted in zip(data_of(net, sim), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("jit_compile", [None, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("single", [True, False], ids=["steps", "run"])
@pytest.mark.filterwarnings("ignore:Rectify has no TensorFlow version")
def test_streams_of_a_step_that_failed_start_it_again(jit_compile, single):
    n_steps = 12
    net = stepwise()
    with simulator(net, jit_compile=jit_compile) as sim:
        sim.run_steps(n_steps)
        expected = data_of(net, sim)
    net = stepwise(fails=[1, 4, 5, 11])
    with simulator(net, jit_compile=jit_compile) as sim:
        n_errors = 0
        while sim.n_steps < n_steps:
            try:
                sim.step() if single else sim.run_steps(n_steps - sim.n_steps)
            except SimulationError:
                n_errors += 1
        assert n_errors == 4
        for found, wanted in zip(data_of(net, sim), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_function_that_never_returns_can_be_ended():
    stuck = []

    def function(t):
        if round(t / 0.001) == 5 and not stuck:
            stuck.append(1)
            end = time.monotonic() + 60
            while time.monotonic() < end:
                pass
            raise AssertionError("nothing ended this function")
        return t

    net = network(function)
    with simulator(net, jit_compile=True) as sim:
        assert interrupted(0.3, 3, lambda: sim.run_steps(20)) or stuck
        assert len(sim.data[net.probes[0]]) == sim.n_steps <= 4
        sim.run_steps(20 - sim.n_steps)
        found = data_of(net, sim)
    net = network(lambda t: t)
    with simulator(net, jit_compile=True) as sim:
        sim.run_steps(20)
        for values, wanted in zip(found, data_of(net, sim), strict=True):
            np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_interrupted_training_has_made_whole_updates(count):
    with nengo.Network(seed=0) as net:
        node, out = nengo.Node([0]), nengo.Node(size_in=1)
        conn = nengo.Connection(node, out, transform=0.5, synapse=None)
        probe = nengo.Probe(out)
    x = np.random.RandomState(0).uniform(-1, 1, (40000, 1, 1))
    with simulator(net, minibatch_size=4) as sim:
        sim.train({node: x[:8]}, {probe: x[:8]}, "sgd", shuffle=False)

        def train():
            sim.train({node: x}, {probe: x}, "sgd", shuffle=False)

        assert interrupted(0.5, count, train)
        updates = sim._training.trainer.n_updates - 2
        weights = sim.data[conn].weights
        assert 0 < updates < 10000
        sim.loss({node: x[:8]}, {probe: x[:8]})
    with simulator(net, minibatch_size=4) as sim:
        sim.train({node: x[:8]}, {probe: x[:8]}, "sgd", shuffle=False)
        part = x[: 4 * updates]
        sim.train({node: part}, {probe: part}, "sgd", shuffle=False)
        np.testing.assert_allclose(sim.data[conn].weights, weights, rtol=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_interrupted_saving_leaves_a_whole_file_or_none(tmp_path, count):
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(2000, 20))
    with simulator(net) as sim:
        for i in range(10):
            path = tmp_path / f"params{i}.npz"
            interrupted(1e-3 * i, count, lambda path=path: sim.save_params(path))
            if path.exists():
                sim.load_params(path)
            sim.run_steps(1)
        assert sorted(p.suffix for p in tmp_path.iterdir()).count(".npz") == len(
            list(tmp_path.iterdir())
        )


# a simulator is open if Ctrl-C comes after it was made and before ``with`` has it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_build_leaves_nothing():
    net = network()
    for i in range(6):
        try:
            with presses(0.02 * i, 2), simulator(net) as sim:
                sim.run_steps(3)
        except KeyboardInterrupt:
            pass
        calm()
    with simulator(net) as sim:
        sim.run_steps(3)
        assert len(sim.data[net.probes[0]]) == 3
