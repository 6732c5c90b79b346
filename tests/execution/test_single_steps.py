"""Single steps: the same as runs, with less around them."""

import functools

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, SimulatorClosed

import nengo_dl
from nengo_dl.execution.session import Session
from tests.execution.sessions import make_session


@pytest.fixture
def only_single_steps(monkeypatch):
    """Fail where a step takes the long way."""

    def run(*args, **kwargs):
        raise AssertionError("this step was not a single step")

    monkeypatch.setattr(Session, "run", run)


def network():
    """Return a network with all kinds of inputs, and state of all kinds."""
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: [np.sin(50 * t), np.cos(50 * t)])
        number = nengo.Node(lambda t: t)
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        fixed = nengo.Node([0.3])
        double = nengo.Node(lambda t, x: 2 * x + t, size_in=1)
        ens = nengo.Ensemble(30, 2, noise=nengo.processes.FilteredNoise())
        nengo.Connection(wave, ens)
        for node in (number, noise, fixed):
            nengo.Connection(node, double)
        nengo.Connection(double, ens[0])
        learned = nengo.Connection(ens, ens, learning_rule_type=nengo.PES())
        nengo.Connection(wave, learned.learning_rule)
        nengo.Probe(ens, synapse=0.01)
        nengo.Probe(ens.neurons, sample_every=0.003)
        nengo.Probe(double)
        nengo.Probe(noise)
    return net


def simulator(net, **kwargs):
    kwargs = {"dtype": tf.float64, "seed": 3, "progress_bar": False, **kwargs}
    return nengo_dl.Simulator(net, **kwargs)


def data(sim, net):
    return [np.array(sim.data[probe]) for probe in net.all_probes]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert np.any(a)
        np.testing.assert_array_equal(a, b)


def assert_close(first, second):
    # decoders can differ in the last bits, see the page on differences
    for a, b in zip(first, second, strict=True):
        assert np.any(a)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_steps_are_those_of_core(only_single_steps):
    net = network()
    with (
        simulator(net) as sim,
        nengo.Simulator(net, seed=3, progress_bar=False, optimize=False) as core,
    ):
        for _ in range(40):
            sim.step()
            core.step()
        assert sim.n_steps == 40
        assert_close(data(sim, net), data(core, net))


def test_steps_are_those_of_a_run():
    net = network()
    with simulator(net) as sim, simulator(net) as other:
        for _ in range(30):
            sim.step()
        other.run_steps(30)
        assert_close(data(sim, net), data(other, net))


def test_steps_and_runs_alternate():
    net = network()
    with simulator(net) as sim, simulator(net) as other:
        feeds = {net.nodes[0]: np.ones((1, 2, 2))}
        for _ in range(5):
            sim.step()
            sim.run_steps(2, input_feeds=feeds)
            sim.step()
            other.run_steps(1)
            other.run_steps(2, input_feeds=feeds)
            other.run_steps(1)
        assert_same(data(sim, net), data(other, net))


def test_values_given_for_a_run_are_gone_in_the_next_step():
    with nengo.Network() as net:
        fixed = nengo.Node([0.5])
        wave = nengo.Node(lambda t: t)
        probes = [nengo.Probe(fixed), nengo.Probe(wave)]
    with simulator(net) as sim:
        sim.step()
        sim.run_steps(
            1, input_feeds={fixed: np.full((1, 1, 1), 7), wave: np.ones((1, 1, 1))}
        )
        sim.step()
        np.testing.assert_allclose(sim.data[probes[0]][:, 0], [0.5, 7, 0.5])
        np.testing.assert_allclose(sim.data[probes[1]][:, 0], [0.001, 1, 0.003])


def test_steps_go_on_after_reset_soft_reset_and_loading(tmp_path):
    net = network()
    with simulator(net) as sim, simulator(net) as other:
        for s in (sim, other):
            s.run_steps(4)
            s.save_params(str(tmp_path / "p"), include_local=True)
        for _ in range(3):
            sim.step()
        sim.load_params(str(tmp_path / "p"), include_local=True)
        other.load_params(str(tmp_path / "p"), include_local=True)
        for s in (sim, other):
            s.clear_probes()
        for _ in range(6):
            sim.step()
            other.run_steps(1)
        assert_same(data(sim, net), data(other, net))
        for reset in ("soft_reset", "reset"):
            getattr(sim, reset)()
            getattr(other, reset)()
            for _ in range(6):
                sim.step()
                other.run_steps(1)
            assert_same(data(sim, net), data(other, net))


def failing(calls, fail_at, error=ValueError):
    """Return a network of two functions of time, of which the second one fails."""

    def first(t):
        calls.append(("first", round(1000 * t)))
        return t

    def second(t):
        calls.append(("second", round(1000 * t)))
        if ("failed", round(1000 * t)) not in calls and round(1000 * t) == fail_at:
            calls.append(("failed", fail_at))
            raise error("no")
        return 2 * t

    with nengo.Network(seed=0) as net:
        nodes = [nengo.Node(first, size_out=1), nengo.Node(second, size_out=1)]
        noise = nengo.Node(nengo.processes.WhiteNoise())
        ens = nengo.Ensemble(10, 1)
        for node in (*nodes, noise):
            nengo.Connection(node, ens)
        nengo.Probe(ens, synapse=0.01)
        nengo.Probe(noise)
        for node in nodes:
            nengo.Probe(node)
    return net


@pytest.mark.parametrize("go_on", ["step", "run_steps"])
def test_after_a_failed_input_the_step_can_be_repeated(go_on):
    calls = []
    net = failing(calls, 3)
    with simulator(net) as sim, simulator(failing([], 0)) as other:
        sim.step()
        sim.step()
        with pytest.raises(SimulationError, match=r"'second' of .* at t=0.003: no"):
            sim.step()
        assert sim.n_steps == 2
        for _ in range(3):
            sim.step() if go_on == "step" else sim.run_steps(1)
        other.run_steps(5)
        assert calls.count(("first", 3)) == 1
        assert calls.count(("second", 3)) == 2
        for a, b in zip(data(sim, net), data(other, other.model.toplevel), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("single", [True, False])
def test_after_a_failed_operator_the_state_is_as_before(single):
    failures = []

    def fail_once(t, x):
        if round(1000 * t) == 31 and not failures:
            failures.append(t)
            raise KeyError("x")

    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(nengo.Node(lambda t: t), ens)
        nengo.Connection(ens, nengo.Node(fail_once, size_in=1))
        nengo.Probe(ens, synapse=0.01)
        nengo.Probe(ens.neurons, "voltage")
    with (
        simulator(net) as sim,
        nengo.Simulator(net, progress_bar=False, seed=3) as core,
    ):
        step = sim.step if single else functools.partial(sim.run_steps, 1)
        for _ in range(30):
            step()
        with pytest.raises(SimulationError, match=r"'fail_once' of .* KeyError\('x'\)"):
            step()
        assert sim.n_steps == 30
        for _ in range(10):
            step()
        core.run_steps(40)
        assert_close(data(sim, net), data(core, net))


def test_interrupts_leave_the_state_as_it_was():
    net = failing([], 2, KeyboardInterrupt)
    with simulator(net) as sim:
        sim.step()
        before = sim.data[net.probes[0]].copy()
        with pytest.raises(KeyboardInterrupt):
            sim.step()
        assert sim.n_steps == 1
        np.testing.assert_array_equal(sim.data[net.probes[0]], before)
        sim.step()
        assert sim.n_steps == 2


def test_closed_simulators_take_no_step():
    net = network()
    sim = simulator(net)
    sim.close()
    with pytest.raises(SimulatorClosed):
        sim.step()


@pytest.mark.parametrize(
    "options", [{"minibatch_size": 2}, {"jit_compile": True}, {"unroll_simulation": 2}]
)
def test_other_simulators_step_like_runs(options):
    net = network()
    if options.get("jit_compile"):
        with nengo.Network(seed=0) as net:
            ens = nengo.Ensemble(10, 1)
            nengo.Connection(nengo.Node(lambda t: t), ens)
            nengo.Probe(ens, synapse=0.01)
    with simulator(net, **options) as sim, simulator(net, **options) as other:
        for _ in range(4):
            sim.step()
            other.run_steps(1)
        assert_same(data(sim, net), data(other, net))


def test_networks_without_state_between_runs_start_anew_in_each_step():
    net = network()
    with net:
        nengo_dl.configure_settings(stateful=False)
    with simulator(net) as sim:
        sim.step()
        sim.step()
        assert sim.n_steps == 1
        assert len(sim.data[net.probes[0]]) == 1


def test_minibatches_and_compiled_loops_have_no_single_steps():
    net = network()
    assert make_session(net, jit_compile=None).run_one() is not None
    assert make_session(net, 2, jit_compile=None).run_one() is None
