"""NumPy steps on the host: random streams, live arrays, overrides, and errors."""

import time

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError

from tests.execution.sessions import core_data, make_session, run


def random_everything():
    """Return a network in which many things draw from the simulator's random stream."""
    with nengo.Network(seed=3) as net:
        noise = [
            nengo.Node(nengo.processes.WhiteSignal(1.0, high=50), size_out=1),
            nengo.Node(nengo.processes.WhiteNoise(), size_out=2),
            nengo.Node(nengo.processes.FilteredNoise(seed=5), size_out=1),
        ]
        ens = nengo.Ensemble(10, 1, noise=nengo.processes.WhiteNoise(scale=False))
        spiking = nengo.Ensemble(
            10, 1, neuron_type=nengo.StochasticSpiking(nengo.RectifiedLinear())
        )
        poisson = nengo.Ensemble(
            10, 1, neuron_type=nengo.PoissonSpiking(nengo.RectifiedLinear())
        )
        # its stream is drawn, although it needs none
        nengo.Connection(noise[0], ens, synapse=0.01)
        nengo.Connection(ens, spiking, synapse=0.01)
        for obj in (*noise, ens.neurons, spiking.neurons, poisson.neurons):
            nengo.Probe(obj)
    return net


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
@pytest.mark.parametrize("seed", [0, 7])
def test_random_streams_are_those_of_core(executor, seed):
    net = random_everything()
    found = run(make_session(net, seed=seed, executor=executor), 30)
    for values, expected in zip(found, core_data(net, 30, seed=seed), strict=True):
        assert expected.any()
        np.testing.assert_allclose(values[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_first_item_is_core_and_the_others_differ():
    net = random_everything()
    found = run(make_session(net, minibatch_size=3), 20)
    for i, (values, expected) in enumerate(zip(found, core_data(net, 20), strict=True)):
        np.testing.assert_allclose(values[:, 0], expected, rtol=1e-9, atol=1e-9)
        seeded = i == 2
        assert np.array_equal(values[:, 1], values[:, 0]) == seeded
        assert np.array_equal(values[:, 1], values[:, 2]) == seeded


def test_reset_starts_all_streams_again():
    session = make_session(random_everything())
    first = run(session, 10)
    assert any((a != b).any() for a, b in zip(first, run(session, 10), strict=True))
    session.reset(0)
    assert session.n_steps == 0
    for a, b in zip(first, run(session, 10), strict=True):
        np.testing.assert_array_equal(a, b)
    session.reset(1)
    assert any((a != b).any() for a, b in zip(first, run(session, 10), strict=True))


def callback_network(function, **kwargs):
    with nengo.Network(seed=0) as net:
        source = nengo.Node(lambda t: t)
        node = nengo.Node(function, size_in=1, **kwargs)
        nengo.Connection(source, node, synapse=None)
        nengo.Probe(node)
    return net


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_callbacks_get_the_time_and_their_input_once_a_step(executor):
    log = []

    def function(t, x):
        log.append((t, x[0]))
        return 2 * x

    session = make_session(
        callback_network(function, size_out=1), minibatch_size=2, executor=executor
    )
    (values,) = run(session, 4)
    times = [0.001, 0.002, 0.003, 0.004]
    assert [t for t, _ in log] == [t for t in times for _ in range(2)]
    np.testing.assert_allclose([x for _, x in log], np.repeat(times, 2))
    np.testing.assert_allclose(values[:, 1, 0], 2 * np.array(times))


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_callbacks_know_the_time_while_processes_run_ahead(executor):
    """The next chunk of noise is made while the callbacks of this one run."""
    log = []

    def wait():
        time.sleep(2e-4)  # lets other threads run, as waiting for a file would

    class Clock(nengo.Process):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t: wait() or np.full(shape_out, t)

    def function(t, x):
        log.append((t, x[0]))
        wait()

    with nengo.Network(seed=0) as net:
        clock = nengo.Node(Clock(default_size_in=0, default_size_out=1))
        node = nengo.Node(function, size_in=1, size_out=0)
        nengo.Connection(clock, node, synapse=None)
    run(make_session(net, minibatch_size=2, executor=executor, most_steps=5), 60)
    expected = np.repeat(0.001 * np.arange(1, 61), 2)
    np.testing.assert_allclose([x for _, x in log], expected)
    np.testing.assert_allclose([t for t, _ in log], expected)


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_errors_in_callbacks_reach_the_user_with_their_cause(executor):

    def function(t, x):
        if t > 0.0025:
            raise RuntimeError("not now")
        return x

    session = make_session(callback_network(function, size_out=1), executor=executor)
    with pytest.raises(SimulationError, match=r"function 'function' .*not now") as info:
        run(session, 5)
    assert isinstance(info.value.__cause__, RuntimeError)
    assert session.n_steps == 0
    assert session.host.error is None


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "returned None; one finite number is needed"),
        ("1", "'1' of type str"),
        (np.ones(1, dtype=object), "has the type object"),
        (np.ones(1, dtype=complex), "has the type complex128"),
        (np.inf, "non-finite"),
    ],
)
def test_bad_results_of_callbacks_are_refused(result, words):
    session = make_session(
        callback_network(lambda t, x: result, size_out=1), executor="numpy"
    )
    with pytest.raises(SimulationError, match=words):
        run(session, 1)


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_fed_functions_in_lock_step_are_not_called(executor):
    log = []
    with nengo.Network(seed=0) as net:
        source = nengo.Node(lambda t: log.append(t) or t, size_out=1)
        node = nengo.Node(lambda t, x: 2 * x, size_in=1, size_out=1)
        nengo.Connection(source, node, synapse=None)
        nengo.Probe(node)
        nengo.Probe(source)
    session = make_session(net, minibatch_size=2, executor=executor)
    signal = session.plan.output_signals[1]
    rows = np.arange(8.0).reshape(4, 2, 1)
    doubled, fed = run(session, 4, {signal: rows})
    assert log == []
    np.testing.assert_array_equal(fed, rows)
    np.testing.assert_array_equal(doubled, 2 * rows)
    doubled, fed = run(session, 1)
    np.testing.assert_allclose(fed, 0.005)
