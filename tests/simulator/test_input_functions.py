"""Functions on connections from Nodes without input are called ahead of the device."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.compiler.signature import sign_plan


class Logged:
    """A function of an input that logs its arguments, and fails where it is told to."""

    def __init__(self, fail_at=()):
        self.log = []
        self.fail_at = list(fail_at)

    def __call__(self, x):
        self.log.append(x.copy())
        if len(self.log) in self.fail_at:
            raise RuntimeError("not to my liking")
        x *= 2  # it may keep, and change, what it gets
        return x[:1] + 0.5


def network(function, output, **connection):
    """Return a network, its input, and a probe of a function of the input."""
    with nengo.Network(seed=1) as net:
        net.node = nengo.Node(output, size_out=2)
        state = nengo.Node(size_in=1)
        nengo.Connection(
            net.node[connection.pop("part", slice(None))],
            state,
            function=function,
            synapse=None,
            **connection,
        )
        net.raw = nengo.Probe(net.node)
        net.probe = nengo.Probe(state)
    return net


def make(net, **kwargs):
    return nengo_dl.Simulator(net, progress_bar=False, dtype="float64", **kwargs)


def expected(net, n_steps):
    with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
        sim.run_steps(n_steps)
        return sim.data[net.probe]


INPUTS = {
    "function": lambda t: [np.sin(20 * t), t],
    "constant": [0.3, -0.4],
    "process": nengo.processes.WhiteSignal(1.0, high=20),
}


@pytest.mark.parametrize("part", [slice(None), slice(1, 2), slice(None, None, -1)])
@pytest.mark.parametrize("kind", INPUTS)
def test_results_are_those_of_the_reference(kind, part):
    net = network(lambda x: x[:1] ** 2 + 1, INPUTS[kind], part=part)
    reference = expected(net, 14)
    with make(net) as sim:
        for _ in range(4):
            sim.step()
        sim.run_steps(10)
        assert not sim._session.plan.callbacks
        np.testing.assert_array_equal(sim.data[net.probe], reference)
        sim.reset()
        sim.run_steps(14)
        np.testing.assert_array_equal(sim.data[net.probe], reference)


def test_compiled_programs_have_no_python_in_them():
    net = network(lambda x: x[:1] ** 2, INPUTS["function"])
    reference = expected(net, 20)
    with make(net, jit_compile=True) as sim:
        sim.run_steps(20)
        assert not sim._session.step.has_callbacks
        np.testing.assert_array_equal(sim.data[net.probe], reference)


@pytest.mark.parametrize("minibatch_size", [None, 3])
def test_one_call_a_step_where_all_items_get_the_same(minibatch_size):
    function = Logged()
    net = network(function, INPUTS["function"])
    with make(net, minibatch_size=minibatch_size) as sim:
        function.log.clear()
        sim.run_steps(5)
        sim.step()
        np.testing.assert_array_equal(
            function.log, sim.data[net.raw].reshape(-1, 6, 2)[0]
        )


@pytest.mark.parametrize("kind", INPUTS)
def test_feeds_are_what_functions_get(kind):
    function = Logged()
    net = network(function, INPUTS[kind])
    own = np.random.RandomState(0).uniform(-1, 1, (3, 4, 2))
    with make(net, minibatch_size=3) as sim:
        function.log.clear()
        sim.run_steps(4, input_feeds={net.node: own})
        # all items of a step, one after the other
        np.testing.assert_array_equal(function.log, own.swapaxes(0, 1).reshape(-1, 2))
        np.testing.assert_array_equal(sim.data[net.probe], 2 * own[..., :1] + 0.5)
        function.log.clear()
        sim.run_steps(4, input_feeds={net.node: own[:1]})
        np.testing.assert_array_equal(function.log, own[0])


def test_values_of_an_unfinished_run_are_used_if_the_input_is_the_same():
    function, later = Logged(), Logged()
    net = network(function, INPUTS["function"])
    with net:
        nengo.Connection(net.node, nengo.Node(size_in=1), function=later, synapse=None)
    reference = expected(net, 6)
    with make(net) as sim:
        function.log.clear()
        later.log.clear()
        later.fail_at.append(4)
        with pytest.raises(SimulationError, match="not to my liking"):
            sim.run_steps(6)
        sim.run_steps(6 - sim.n_steps)
        np.testing.assert_array_equal(sim.data[net.probe], reference)
    assert len(function.log) in (6, 7) and len(function.log) + len(later.log) == 13


@pytest.mark.parametrize("n_steps", [1, 2])
def test_values_of_an_unfinished_run_are_dropped_if_something_else_is_fed(n_steps):
    function, later = Logged(), Logged()
    net = network(function, INPUTS["function"])
    with net:
        nengo.Connection(net.node, nengo.Node(size_in=1), function=later, synapse=None)
    with make(net) as sim:
        function.log.clear()
        later.log.clear()
        later.fail_at.append(1)
        with pytest.raises(SimulationError, match="not to my liking"):
            sim.run_steps(n_steps)
        fed = np.full((1, n_steps, 2), 7.0)
        sim.run_steps(n_steps, input_feeds={net.node: fed})
        np.testing.assert_array_equal(sim.data[net.probe], 2 * fed[0, :, :1] + 0.5)


def test_runs_apart_leave_values_and_what_they_were_made_of():
    """Values of an unfinished run wait while a run apart feeds something else."""

    def make_network():
        function = Logged()
        return function, network(function, INPUTS["function"])

    def fail_once(net):
        """Leave values ahead that no step has used."""
        with net:
            bad = Logged(fail_at=[4])
            nengo.Connection(
                net.node, nengo.Node(size_in=1), function=bad, synapse=None
            )

    _, plain = make_network()
    fail_once(plain)
    with make(plain) as sim:
        with pytest.raises(SimulationError):
            sim.run_steps(6)
        done = sim.n_steps
        sim.run_steps(8, data={plain.node: np.ones((1, 8, 2))}, stateful=False)
        sim.clear_probes()
        sim.run_steps(5)
        found = sim.data[plain.probe]
    reference = expected(make_network()[1], done + 5)
    np.testing.assert_array_equal(found, reference[done:])


def test_single_steps_that_fail_call_nothing_twice():
    function, later = Logged(), Logged()
    net = network(function, INPUTS["function"])
    with net:
        nengo.Connection(net.node, nengo.Node(size_in=1), function=later, synapse=None)
    reference = expected(net, 4)
    with make(net) as sim:
        sim.step()
        sim.step()
        function.log.clear()
        later.log.clear()
        later.fail_at.append(1)
        function.fail_at.append(1)
        for _ in range(2):
            with pytest.raises(SimulationError, match="not to my liking"):
                sim.step()
        sim.step()
        sim.step()
        np.testing.assert_array_equal(sim.data[net.probe], reference)
    # two steps, and both failed once
    assert len(function.log) == len(later.log) == 3


def test_soft_reset_keeps_the_values_equal():
    net = network(lambda x: x[:1] ** 2, INPUTS["function"])
    with make(net) as sim:
        sim.run_steps(5)
        first = np.array(sim.data[net.probe])
        sim.soft_reset(include_probes=True)
        sim.run_steps(5)
        np.testing.assert_array_equal(sim.data[net.probe], first)


def test_functions_stay_in_step_with_others_of_the_user():
    calls = []

    def note(name, value):
        calls.append(name)
        return value

    with nengo.Network(seed=1) as net:
        node = nengo.Node(lambda t: note("input", t))
        other = nengo.Node(lambda t, x: note("other", x), size_in=1)
        nengo.Connection(node, other, function=lambda x: note("x", x), synapse=None)
    with make(net) as sim:
        assert len(sim._session.plan.callbacks) == 3
        calls.clear()
        sim.run_steps(3)
    assert calls == ["input", "x", "other"] * 3


@pytest.mark.parametrize(
    "result, message",
    [
        (None, "it returned None; one finite number is needed"),
        ([1.0, 2.0], "one finite number is needed"),
        (np.nan, "it returned non-finite values"),
    ],
)
def test_wrong_results_are_told_with_the_connection(result, message):
    results = [1.0, 1.0]
    net = network(lambda x: results[0], INPUTS["function"])
    with make(net) as sim:
        results[0] = result
        for advance in (sim.step, lambda: sim.run_steps(3)):
            with pytest.raises(SimulationError, match=rf"Connection .*{message}"):
                advance()
        assert sim.n_steps == 0


def test_errors_chain_those_of_the_user():
    function = Logged()
    net = network(function, INPUTS["function"])
    with make(net) as sim:
        function.fail_at.append(len(function.log) + 1)
        with pytest.raises(SimulationError, match=r"of <Connection from .*liking") as e:
            sim.run_steps(3)
        assert isinstance(e.value.__cause__, RuntimeError)


def test_training_computes_functions_of_each_item():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0.0, 0.0])
        out = nengo.Node(size_in=1)
        middle = nengo.Node(size_in=1)
        nengo.Connection(node, middle, function=lambda x: x[0] * x[1], synapse=None)
        nengo.Connection(middle, out, transform=1.0, synapse=None)
        probe = nengo.Probe(out)
    x = np.random.RandomState(0).uniform(-1, 1, (8, 1, 2))
    wanted = 3 * x[..., :1] * x[..., 1:]
    with make(net, minibatch_size=4) as sim:
        before = np.mean((x[..., :1] * x[..., 1:] - wanted) ** 2)
        loss = sim.loss({node: x}, {probe: wanted}, "mse")
        np.testing.assert_allclose(loss, before)
        sim.train(
            {node: x}, {probe: wanted}, tf.keras.optimizers.Adam(0.1), n_epochs=60
        )
        assert sim.loss({node: x}, {probe: wanted}, "mse") < 1e-3 * before


def test_a_fed_function_cannot_be_part_of_a_keras_model():
    with nengo.Network(seed=0) as net:
        node, out = nengo.Node([0.0, 0.0]), nengo.Node(size_in=1)
        nengo.Connection(node, out, function=lambda x: x[0], transform=1.0)
        nengo.Probe(out)
    with make(net, minibatch_size=2) as sim:
        with pytest.raises(ValidationError, match="functions in Python on connections"):
            sim.keras_model(tf.zeros((2, 3, 2)))


def test_simulators_with_different_functions_share_a_program():
    signatures = []
    for factor in (1, 2):
        net = network(lambda x, factor=factor: factor * x[:1], INPUTS["function"])
        with make(net, jit_compile=True) as sim:
            step = sim._session.step
            signature = sign_plan(sim._session.plan.layout, step.kernels)
            signatures.append(signature.key)
    assert signatures[0] == signatures[1]
