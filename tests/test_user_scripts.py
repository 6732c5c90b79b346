"""What users do that is easily overlooked."""

import warnings

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl


class Environment:
    """State that several functions of time share."""

    def __init__(self):
        self.x = 0.0
        self.noise = np.random.RandomState(0)

    def step(self, t):
        self.x = 0.9 * self.x + np.sin(20 * t)
        return self.x

    def distance(self, t):
        return abs(self.x)

    def random(self, t):
        return self.noise.randn()


class SharedProcess(nengo.Process):
    def __init__(self, environment):
        super().__init__(default_size_in=0, default_size_out=1)
        self.environment = environment

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        return lambda t: np.full(shape_out, self.environment.x + rng.rand())


def shared_network():
    environment = Environment()
    with nengo.Network(seed=0) as net:
        for output in (
            environment.step,
            environment.distance,
            SharedProcess(environment),
            environment.random,
            environment.random,
        ):
            nengo.Probe(nengo.Node(output))
        nengo.Probe(nengo.Ensemble(5, 1))
    return net


@pytest.mark.parametrize("jit_compile", [None, True])
def test_functions_of_time_share_state(jit_compile):
    results = []
    for make in (
        lambda net: nengo.Simulator(net, progress_bar=False, optimize=False),
        lambda net: nengo_dl.Simulator(
            net, progress_bar=False, dtype="float64", jit_compile=jit_compile
        ),
    ):
        net = shared_network()
        with make(net) as sim:
            for n_steps in (1, 40, 100):
                sim.run_steps(n_steps)
        results.append([sim.data[probe] for probe in net.all_probes])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_error_among_functions_of_time_calls_none_twice():
    calls = []
    fails = [True]

    def first(t):
        calls.append(("first", round(t, 3)))
        return t

    def second(t):
        calls.append(("second", round(t, 3)))
        if t > 0.0045 and fails.pop():
            raise KeyError("x")
        return t

    with nengo.Network() as net:
        nodes = [nengo.Node(first), nengo.Node(second)]
        probes = [nengo.Probe(node) for node in nodes]
        nengo.Probe(nengo.Ensemble(5, 1))
    with nengo_dl.Simulator(net, progress_bar=False, jit_compile=True) as sim:
        with pytest.raises(SimulationError, match=r"at t=0.005: KeyError\('x'\)"):
            sim.run_steps(10)
        assert sim.n_steps == 4
        fails.append(False)
        fails.extend([False] * 10)
        sim.run_steps(6)
        for probe in probes:
            np.testing.assert_allclose(sim.data[probe], sim.trange()[:, None])
    # the first call is Nengo's, when the Node is made
    assert [t for name, t in calls if name == "first"][1:] == [
        round(0.001 * n, 3) for n in range(1, 11)
    ]


def test_division_by_zero_in_a_function_is_as_in_nengo():
    def infinite(t):
        return float(t == 0 or np.isinf(1 / np.float64(t <= 0)))

    with nengo.Network() as net:
        node = nengo.Node(infinite)
        probe = nengo.Probe(node)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(20)
    assert (sim.data[probe] == 1).all()


def test_cause_without_message_is_named():
    with nengo.Network() as net:
        nengo.Probe(nengo.Node(lambda t: next(iter(())) if t > 0.0015 else t))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(SimulationError, match=r"t=0.002: StopIteration\(\)"):
            sim.run_steps(5)


@pytest.mark.parametrize("wrong", [5, "yes", object()])
def test_wrong_progress_bar_is_refused(wrong):
    with nengo.Network() as net:
        nengo.Node([1])
    with pytest.raises(ValidationError, match="progress bar of nengo"):
        nengo_dl.Simulator(net, progress_bar=wrong)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(ValidationError, match="progress bar of nengo"):
            sim.run_steps(2, progress_bar=wrong)
        assert sim.n_steps == 0


@pytest.mark.parametrize("wrong", [5, "x", None, [1]])
def test_what_is_no_signal_has_no_value(wrong):
    with nengo.Network() as net:
        nengo.Ensemble(5, 1)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert wrong not in sim.signals
        with pytest.raises(KeyError, match="is not a Signal"):
            sim.signals[wrong]
