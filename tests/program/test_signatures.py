"""Keys of plans: equal for equal structures, different for whatever differs."""

import nengo
import numpy as np
import pytest

import nengo_dl
from nengo_dl.compiler.signature import sign_plan
from nengo_dl.program.pool import programs
from tests.networks import FIXED, random_network
from tests.program.pooled import drive, fresh_pool, record, simulator

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def square(x):
    return x**2


def small(
    seed=0,
    n=12,
    tau=0.01,
    synapse=nengo.Lowpass,
    neuron_type=None,
    function=square,
    pre=0,
    post=0,
    sample_every=None,
    rule=None,
    transform=1,
    label=None,
    gain=None,
):
    """A network, of which one small thing can be changed."""
    with nengo.Network(seed=seed, label=label) as net:
        node = nengo.Node(drive)
        a = nengo.Ensemble(n, 2, neuron_type=neuron_type or nengo.LIF(), label=label)
        b = nengo.Ensemble(9, 1, gain=gain, bias=None if gain is None else np.ones(9))
        nengo.Connection(node, a[post], synapse=synapse(tau))
        conn = nengo.Connection(a[pre], b, function=function, transform=transform)
        if rule is not None:
            conn.learning_rule_type = rule
            nengo.Connection(b, conn.learning_rule)
        net.probe = nengo.Probe(b, sample_every=sample_every, synapse=0.02)
    return net


def key_of(net, **kwargs):
    """The whole key under which the loop of a simulator is shared."""
    with fresh_pool() as pool, simulator(net, **kwargs) as sim:
        sim.run_steps(2)
        assert sim._session.step.signature is not None
        (key,) = pool._signed
        return key


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({"seed": 5}, id="seed"),
        pytest.param({"label": "name"}, id="label"),
        pytest.param({"gain": np.full(9, 3.0)}, id="gain"),
        pytest.param({"transform": 0.5}, id="transform"),
        pytest.param({"function": np.cos}, id="function"),
        # slices of what is decoded are made by decoders
        pytest.param({"pre": 1}, id="slice of pre"),
    ],
)
def test_values_and_names_make_no_difference(same):
    assert key_of(small(**same)) == key_of(small())


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"n": 13}, id="size"),
        pytest.param({"tau": 0.011}, id="tau"),
        pytest.param({"synapse": nengo.Alpha}, id="synapse"),
        pytest.param({"neuron_type": nengo.LIFRate()}, id="neuron type"),
        pytest.param({"neuron_type": nengo.LIF(tau_rc=0.03)}, id="tau_rc"),
        pytest.param({"neuron_type": nengo.LIF(tau_ref=0.0015)}, id="tau_ref"),
        pytest.param({"neuron_type": nengo.LIF(amplitude=0.9)}, id="amplitude"),
        pytest.param({"neuron_type": nengo.LIF(min_voltage=-1)}, id="min_voltage"),
        pytest.param({"post": 1}, id="slice"),
        pytest.param({"sample_every": 0.002}, id="sample_every"),
        pytest.param({"rule": nengo.PES()}, id="rule"),
    ],
)
def test_small_differences_of_networks_change_the_key(other):
    assert key_of(small(**other)) != key_of(small())


@pytest.mark.parametrize(
    "one, other",
    [
        pytest.param(nengo.PES(1e-4), nengo.PES(2e-4), id="rate"),
        pytest.param(nengo.PES(pre_synapse=0.01), nengo.PES(), id="pre_synapse"),
        pytest.param(nengo.PES(), nengo.RLS(), id="rule"),
    ],
)
def test_small_differences_of_rules_change_the_key(one, other):
    assert key_of(small(rule=one)) != key_of(small(rule=other))


@pytest.mark.parametrize(
    "other",
    [
        {"minibatch_size": 2},
        {"dtype": "float64"},
        {"dt": 0.002},
        {"unroll_simulation": 2},
        {"device": "/cpu:0"},
        {"jit_compile": False},
    ],
    ids=lambda other: next(iter(other)),
)
def test_arguments_of_simulators_change_the_key(other):
    assert key_of(small(), **other) != key_of(small())


def twice(case, **kwargs):
    """Simulate with two pools, checked; return how often a program was shared."""
    with fresh_pool() as pool:
        pool.checks = True
        for _ in range(2):
            with simulator(case().net, seed=1, **kwargs) as sim:
                sim.run_steps(3)
                signed = sim._session.step.signature is not None
                calls_python = sim._session.step.has_callbacks
        return pool.hits, signed, calls_python


@pytest.mark.parametrize("name", FIXED)
def test_networks_are_shared_without_tracing(name):
    hits, signed, calls_python = twice(FIXED[name])
    assert signed == (not calls_python)
    assert hits == int(signed)


@pytest.mark.parametrize("seed", range(6))
def test_generated_networks_with_equal_keys_have_equal_graphs(seed):
    hits, signed, calls_python = twice(lambda: random_network(seed))
    assert signed == (not calls_python)
    assert hits == int(signed)


class OnlyFirst(tuple):
    """Operators of which a step uses the first and their number, as in signatures."""

    def __iter__(self):
        raise AssertionError("a step uses other operators than the first")

    def __getitem__(self, index):
        assert index == 0, "a step uses other operators than the first"
        return super().__getitem__(index)


@pytest.mark.parametrize("name", FIXED)
def test_steps_use_the_first_operator_only(name):
    with simulator(FIXED[name]().net, seed=1) as sim:
        step = sim._session.step
        if step.signature is None:
            return
        for kernel in step.kernels:
            kernel.ops = OnlyFirst(kernel.ops)
        sim.run_steps(2)


def test_check_finds_what_a_signature_leaves_out(monkeypatch):
    from nengo_dl.builders.neurons.lif import LIFBuilder

    monkeypatch.setattr(LIFBuilder, "baked", lambda self: {})
    with fresh_pool() as pool:
        pool.checks = True
        for tau_rc in (0.02, 0.03):
            with simulator(small(neuron_type=nengo.LIF(tau_rc=tau_rc))) as sim:
                if tau_rc == 0.02:
                    sim.run_steps(2)
                    continue
                with pytest.raises(AssertionError, match="leaves something out"):
                    sim.run_steps(2)


# Builders of users


class Doubled(nengo.builder.Operator):
    """Updates ``y`` to ``factor * x``."""

    def __init__(self, x, y, factor=2.0):
        super().__init__()
        self.factor = factor
        self.sets, self.incs, self.reads, self.updates = [], [], [x], [y]

    def make_step(self, signals, dt, rng):
        x, y = signals[self.reads[0]], signals[self.updates[0]]

        def step():
            y[...] = self.factor * x

        return step


@nengo_dl.builders.register(Doubled)
class DoubledBuilder(nengo_dl.builders.OpBuilder):
    def step(self, reads, previous):
        return nengo_dl.builders.Writes(updates=(self.ops[0].factor * reads[0],))

    @classmethod
    def merge_key(cls, op):
        return op.factor


def run_operator(factor):
    model = nengo.builder.Model(dt=0.001)
    x = nengo.builder.Signal(np.ones(2), name="x")
    y = nengo.builder.Signal(np.zeros(2), name="y")
    model.add_op(Doubled(x, y, factor))
    with nengo_dl.Simulator(None, model=model, jit_compile=True) as sim:
        sim.run_steps(1)
        return sim.signals[y].tolist(), sim._session.step.signature


def test_builders_that_do_not_say_what_they_bake_are_shared_by_their_graph():
    with fresh_pool() as pool:
        assert run_operator(2.0) == ([2, 2], None)
        assert run_operator(2.0) == ([2, 2], None)
        assert (pool.hits, pool.misses) == (1, 1)
        assert run_operator(3.0) == ([3, 3], None)
        assert (pool.hits, pool.misses) == (1, 2)


def test_builders_that_say_what_they_bake_are_shared_without_tracing(monkeypatch):
    monkeypatch.setattr(
        DoubledBuilder, "baked", lambda self: {"factor": self.ops[0].factor}
    )
    with fresh_pool() as pool:
        for factor in (2.0, 2.0, 3.0):
            values, signature = run_operator(factor)
            assert values == [factor, factor]
            assert not signature.is_portable  # another process has another class
        assert (pool.hits, pool.misses) == (1, 2)
        assert len(pool._signed) == 2


def test_what_a_builder_inherits_does_not_speak_for_it():
    class Special(nengo_dl.builders.OpBuilder):
        def step(self, reads, previous):
            return nengo_dl.builders.Writes()

        def baked(self):
            return {}

    class Other(Special):
        pass

    net = small()
    with simulator(net) as sim:
        layout, kernels = sim._session.plan.layout, list(sim._session.step.kernels)
        for kind, is_known in ((Special, True), (Other, False)):
            kernels[0] = kind((), None)
            found = sign_plan(layout, kernels, encode=lambda obj: b"")
            assert (found is not None) == is_known


def test_checks_are_off_by_default_and_on_by_an_environment_variable(monkeypatch):
    from nengo_dl.program.pool import CHECK_VARIABLE, ProgramPool

    for value, expected in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv(CHECK_VARIABLE, value)
        assert ProgramPool().checks is expected
    monkeypatch.delenv(CHECK_VARIABLE)
    assert not ProgramPool().checks
    assert isinstance(programs, ProgramPool)


# Parameters that are no literals


def swept(seed=0, tau=0.01, amplitude=0.5, rate=1e-3, shared=True, neurons=None):
    with nengo.Network(seed=seed) as net:
        nengo_dl.configure_settings(shared_parameters=shared)
        node = nengo.Node(drive)
        a = nengo.Ensemble(12, 1, neuron_type=neurons or nengo.LIF(amplitude=amplitude))
        b = nengo.Ensemble(9, 1, neuron_type=nengo.LIFRate(tau_ref=tau / 10))
        nengo.Connection(node, a, synapse=nengo.Alpha(tau))
        nengo.Connection(b, a, synapse=2 * tau)
        conn = nengo.Connection(a, b, synapse=tau, learning_rule_type=nengo.PES(rate))
        nengo.Connection(node, conn.learning_rule, synapse=tau)
        net.probe = nengo.Probe(b, synapse=tau)
    return net


SWEEP = [{"tau": 0.02}, {"tau": 0.013}, {"amplitude": 0.7}, {"rate": 2e-3}]


def test_sweep_over_parameters_shares_a_program():
    with fresh_pool() as pool:
        for arguments in ({}, *SWEEP):
            record(swept(**arguments), dtype="float64")
        assert (pool.hits, pool.misses) == (4, 1)


def test_literals_are_not_shared_in_a_sweep():
    with fresh_pool() as pool:
        for arguments in ({}, *SWEEP):
            record(swept(shared=False, **arguments), dtype="float64")
        assert pool.misses == 5


@pytest.mark.parametrize("arguments", SWEEP)
def test_swept_data_are_those_with_literals(arguments):
    with fresh_pool():
        record(swept(), dtype="float64")
        found = record(swept(**arguments), 200, dtype="float64")
        expected = record(swept(shared=False, **arguments), 200, dtype="float64")
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "neurons",
    [
        nengo.LIFRate(tau_rc=0.03),
        nengo.AdaptiveLIF(tau_n=0.3, inc_n=0.02),
        nengo.AdaptiveLIFRate(tau_n=0.3),
        nengo.SpikingRectifiedLinear(amplitude=0.3),
        nengo.RectifiedLinear(amplitude=0.3),
        nengo.Tanh(tau_ref=0.0015),
        nengo.Izhikevich(tau_recovery=0.03),
        nengo.RegularSpiking(nengo.LIFRate(amplitude=0.4)),
        nengo_dl.SoftLIFRate(sigma=0.05),
        nengo_dl.LeakyReLU(negative_slope=0.2),
        nengo_dl.SpikingLeakyReLU(negative_slope=0.2),
    ],
    ids=lambda neurons: type(neurons).__name__,
)
def test_neurons_with_shared_parameters_are_those_with_literals(neurons):
    with fresh_pool():
        found = record(swept(neurons=neurons), 100, dtype="float64")
        expected = record(swept(neurons=neurons, shared=False), 100, dtype="float64")
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_shared_parameters_can_be_trained_around():
    histories = []
    for shared in (True, False):
        net = swept(shared=shared, neurons=nengo.LIFRate(tau_rc=0.03))
        with simulator(net, minibatch_size=2, dtype="float64") as sim:
            history = sim.train(4, {net.probe: np.ones((2, 4, 1))}, "sgd", n_epochs=3)
        histories.append(history.batch_losses)
    np.testing.assert_allclose(*histories, rtol=1e-9)
