"""Chunks, the two ways to run, and where a session is after an error."""

import dataclasses

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError

from nengo_dl.compiler.sampling import Sampling
from nengo_dl.execution.chunk_buffers import ChunkBuffers
from nengo_dl.program.chunk_loop import LoopShape
from nengo_dl.support import tuning
from tests.execution.sessions import (
    core_data,
    counting_network,
    make_session,
    run,
)


def mixed_network():
    """Return a network with input, noise, neurons, learning and sampled probes."""
    with nengo.Network(seed=2) as net:
        stim = nengo.Node(lambda t: np.sin(40 * t))
        a = nengo.Ensemble(15, 1, noise=nengo.processes.WhiteNoise(seed=1))
        b = nengo.Ensemble(10, 1)
        error = nengo.Node(size_in=1)
        nengo.Connection(stim, a, synapse=None)
        conn = nengo.Connection(
            a, b, learning_rule_type=nengo.PES(), function=lambda x: 0 * x
        )
        nengo.Connection(b, error)
        nengo.Connection(stim, error, transform=-1)
        nengo.Connection(error, conn.learning_rule)
        nengo.Probe(a.neurons)
        nengo.Probe(b, synapse=0.01)
        nengo.Probe(conn, "weights", sample_every=0.004)
        nengo.Probe(stim, sample_every=0.0025)
        nengo.Probe(error, sample_every=0.0005)
    return net


N_STEPS = 23


@pytest.fixture(scope="module")
def reference():
    return core_data(mixed_network(), N_STEPS)


def assert_equal_data(found, expected, item=0):
    assert len(found) == len(expected)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            values[:, item].reshape(wanted.shape), wanted, rtol=1e-9, atol=1e-10
        )


@pytest.mark.parametrize("most", [1, 2, 3, 7, 22, 23, 24])
def test_chunks_do_not_change_results(reference, most):
    session = make_session(mixed_network(), most_steps=most)
    chunks = list(session.run(N_STEPS, {}))
    assert sum(chunk.n_steps for chunk in chunks) == session.n_steps == N_STEPS
    assert max(chunk.n_steps for chunk in chunks) <= most
    found = [np.concatenate(p) for p in zip(*(c.outputs for c in chunks), strict=True)]
    assert_equal_data(found, reference)


@pytest.mark.parametrize(("unroll", "jit_compile"), [(2, True), (5, False)])
def test_unrolling_does_not_change_results_or_steps(reference, unroll, jit_compile):
    session = make_session(
        mixed_network(), unroll=unroll, jit_compile=jit_compile, most_steps=9
    )
    assert_equal_data(run(session, N_STEPS), reference)
    assert session.n_steps == N_STEPS


def test_little_room_makes_short_chunks(monkeypatch, reference):
    monkeypatch.setattr("nengo_dl.support.tuning.CHUNK_BYTES", 2000)
    session = make_session(mixed_network())
    chunks = list(session.run(N_STEPS, {}))
    assert len(chunks) > 2
    found = [np.concatenate(p) for p in zip(*(c.outputs for c in chunks), strict=True)]
    assert_equal_data(found, reference)


def test_buffers_are_small_where_single_steps_are_worth_a_call(monkeypatch, reference):
    assert make_session(mixed_network()).compiled.most_steps == tuning.MOST_STEPS
    monkeypatch.setattr("nengo_dl.support.tuning.SMALL_CHUNK_BYTES", 100)
    monkeypatch.setattr("nengo_dl.support.tuning.WORTH_A_CALL_SECONDS", 1e-3)
    session = make_session(mixed_network(), executor="compiled")
    most = session.compiled.most_steps
    assert most == int(1e-3 / session.numpy.estimated_seconds) < N_STEPS
    assert_equal_data(run(session, N_STEPS), reference)


def test_room_is_for_steps_without_what_a_call_computes_once(monkeypatch):
    monkeypatch.setattr(tuning, "SMALL_CHUNK_BYTES", 100)
    monkeypatch.setattr(tuning, "WORTH_A_CALL_SECONDS", 5e-3)
    with nengo.Network(seed=0) as net:
        shown = nengo.processes.PresentInput(np.eye(400)[:3], 0.1)
        image = nengo.Node(shown)
        ens = nengo.Ensemble(400, 1)
        nengo.Connection(
            image, ens.neurons, synapse=None, transform=np.ones((400, 400))
        )
    session = make_session(net)
    step_seconds = session.numpy.estimated_seconds
    product_seconds = 400 * 400 * tuning.WEIGHT_SECONDS + tuning.OPERATOR_SECONDS
    assert session.compiled.most_steps == int(5e-3 / (step_seconds - product_seconds))
    monkeypatch.setattr(tuning, "WORTH_HOISTING", 10**9)
    assert make_session(net).compiled.most_steps == int(5e-3 / step_seconds)


def test_room_is_that_of_memory_where_the_time_of_a_step_is_not_known(monkeypatch):
    monkeypatch.setattr(tuning, "SMALL_CHUNK_BYTES", 100)
    session = make_session(mixed_network())
    sampling = session.plan.sampling
    shapes = [
        # a little less than nothing is what is left of a step that is hoisted
        ChunkBuffers(session.step, sampling, step_seconds=seconds).shape
        for seconds in (0.0, -1e-12, 1.0)
    ]
    assert shapes[0] == shapes[1] and shapes[0].capacity > shapes[2].capacity


def test_slow_steps_make_short_chunks():
    session = make_session(mixed_network())
    session._seconds_per_step = 0.1
    first = next(session.run(50, {}))
    assert first.n_steps == 5


@pytest.mark.parametrize("runs", [(23,), (1, 22), (4, 1, 1, 17), (1,) * 23])
@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_runs_may_be_split_anywhere(reference, runs, executor):
    session = make_session(mixed_network(), executor=executor)
    parts = [run(session, n) for n in runs]
    found = [np.concatenate(p) for p in zip(*parts, strict=True)]
    assert_equal_data(found, reference)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("minibatch_size", [1, 3])
def test_state_survives_switching_between_both_ways_to_run(
    reference, first, minibatch_size
):
    session = make_session(mixed_network(), minibatch_size)
    choice, parts = session.executors, []
    for number, n_steps in enumerate((5, 1, 6, 2, 9)):
        executor = choice.numpy if (number % 2 == 0) == first else choice.compiled
        session.executors = dataclasses.replace(choice, always=executor)
        parts.append(run(session, n_steps))
    found = [np.concatenate(p) for p in zip(*parts, strict=True)]
    for item in range(minibatch_size):
        assert_equal_data(found, reference, item)


def test_both_ways_to_run_leave_the_same_state():
    states = []
    for executor in ("numpy", "compiled"):
        session = make_session(mixed_network(), minibatch_size=2, executor=executor)
        run(session, 10)
        states.append(session.store.state_values())
    assert len(states[0]) > 3
    for a, b in zip(*states, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_state_can_be_replaced_and_reset():
    session = make_session(mixed_network())
    initial = [values.copy() for values in session.store.state_values()]
    run(session, 5)
    later = [np.array(values) for values in session.store.state_values()]
    assert any((a != b).any() for a, b in zip(initial, later, strict=True))
    session.store.reset_state()
    for a, b in zip(initial, session.store.state_values(), strict=True):
        np.testing.assert_array_equal(a, b)
    session.store.set_state_values(later)
    for a, b in zip(later, session.store.state_values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_feeds_replace_inputs_in_every_chunk():
    log = []
    session = make_session(counting_network(log), minibatch_size=2, most_steps=4)
    signal = session.plan.output_signals[0]
    rows = np.random.RandomState(0).uniform(size=(10, 2, 1))
    fed, _ = run(session, 10, {signal: rows})
    np.testing.assert_array_equal(fed, rows)
    (fed, _) = run(session, 10, {signal: rows[:, :1]})
    np.testing.assert_array_equal(fed, np.repeat(rows[:, :1], 2, axis=1))
    assert log == []
    (fed, _) = run(session, 1)
    assert log == [21]


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
@pytest.mark.parametrize("fail_at", [1, 2, 4, 6, 9])
@pytest.mark.parametrize("most", [4, 100])
def test_steps_before_an_error_are_simulated(executor, fail_at, most):
    log = []
    net = counting_network(log, fail_at=[fail_at])
    session = make_session(net, executor=executor, most_steps=most)
    outputs = []
    with pytest.raises(SimulationError, match=f"step {fail_at} is not to my liking"):
        for chunk in session.run(9, {}):
            outputs.append(chunk.outputs)
    assert session.n_steps == fail_at - 1 == sum(len(out[0]) for out in outputs)
    # nothing was lost, and only the step that failed is tried again
    outputs += [chunk.outputs for chunk in session.run(10 - fail_at, {})]
    assert session.n_steps == 9
    assert log == [*range(1, fail_at + 1), *range(fail_at, 10)]
    found = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    assert_equal_data(found, core_data(counting_network([]), 9))


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_error_within_a_step_leaves_the_end_of_the_last_chunk(executor):
    to_fail = [6]

    def function(t, x):
        if to_fail and t > 0.0055:
            to_fail.pop()
            raise RuntimeError("once")
        return x

    with nengo.Network(seed=0) as net:
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        node = nengo.Node(function, size_in=1, size_out=1)
        nengo.Connection(noise, node, synapse=0.003)
        nengo.Probe(node)
        nengo.Probe(nengo.Node(lambda t: 3 * t))
    session = make_session(net, executor=executor, most_steps=4)
    outputs = []
    with pytest.raises(SimulationError, match="once"):
        for chunk in session.run(10, {}):
            outputs.append(chunk.outputs)
    assert session.n_steps == 4 == len(outputs[0][0])
    outputs += [chunk.outputs for chunk in session.run(6, {})]
    found = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    assert_equal_data(found, core_data(net, 10))


@pytest.mark.parametrize("executor", ["numpy", "compiled"])
def test_run_that_nobody_finishes_keeps_what_was_made(executor):
    log = []
    session = make_session(counting_network(log), executor=executor, most_steps=3)
    running = session.run(12, {})
    outputs = [next(running).outputs]
    running.close()
    assert session.n_steps == 3
    outputs += [chunk.outputs for chunk in session.run(9, {})]
    found = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    assert_equal_data(found, core_data(counting_network([]), 12))
    assert log == list(range(1, 13))


@pytest.mark.parametrize("period", [1.0, 1.5, 2.5, 3.0, 7.3, 40.0])
@pytest.mark.parametrize("capacity", [1, 2, 5, 16])
@pytest.mark.parametrize("only_last", [False, True])
def test_slots_hold_what_sampling_keeps(period, capacity, only_last):
    buffers = ChunkBuffers.__new__(ChunkBuffers)
    buffers.clocks = [Sampling(period, only_last)]
    buffers.shape = LoopShape(capacity, (), ())
    room = Sampling(period, only_last).room(capacity)
    for now in range(60):
        for count in range(1, capacity + 1):
            (row,) = buffers.slots(now, count)
            steps = np.arange(now + 1, now + count + 1)
            kept = steps % period < 1
            assert row.shape == (capacity,) and row.dtype == np.int32
            assert row.max() < room
            # the last write to each slot that is read is one that sampling keeps
            stored = dict(zip(row[:count].tolist(), steps.tolist(), strict=True))
            expected = steps[kept].tolist()
            if only_last:
                expected = expected[-1:]
            assert [stored[i] for i in range(len(expected))] == expected


def test_probes_with_one_period_share_a_clock():
    with nengo.Network() as net:
        node = nengo.Node(1.0)
        for sample_every in (None, 0.002, 0.005, 0.002):
            nengo.Probe(node, sample_every=sample_every)
    session = make_session(net)
    assert session.compiled.buffers.clocks == [
        Sampling(1.0),
        Sampling(2.0),
        Sampling(5.0),
    ]
    assert session.compiled.buffers.shape.clocks == (0, 1, 2, 1)


def test_short_runs_on_the_cpu_are_interpreted_unless_told_otherwise():
    net = counting_network([])
    assert make_session(net, jit_compile=None).executors.uses_numpy(1)
    assert not make_session(net, jit_compile=None).executors.uses_numpy(10**6)
    assert not make_session(net, jit_compile=True).executors.uses_numpy(1)
    assert not make_session(net, jit_compile=False).executors.uses_numpy(1)


@pytest.mark.parametrize("n_functions", [1, 40, 100])
def test_many_functions_run_in_numpy_as_a_single_one_does(n_functions):
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        for _ in range(n_functions):
            function = nengo.Node(lambda t, x: 0.5 * x, size_in=1)
            nengo.Connection(node, function)
        nengo.Probe(function)
    executors = make_session(net, jit_compile=None).executors
    assert executors.callbacks.count(n_functions) == 1
    assert executors.uses_numpy(10**6)


def test_interrupt_while_the_next_inputs_are_made_keeps_the_chunk(monkeypatch):
    session = make_session(counting_network([]), most_steps=4)
    make, calls = session.sources.make, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return make(*args)

    monkeypatch.setattr(session.sources, "make", interrupted)
    outputs = []
    with pytest.raises(KeyboardInterrupt):
        for chunk in session.run(10, {}):
            outputs.append(chunk.outputs)
    assert session.n_steps == 4 == len(outputs[0][0])
    outputs += [chunk.outputs for chunk in session.run(6, {})]
    found = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    assert_equal_data(found, core_data(counting_network([]), 10))


# -- the form of the state within a loop


def test_matrices_that_one_group_computes_stay_matrices():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1)
        error = nengo.Node(size_in=3)
        learned = nengo.Connection(
            ens, error, function=lambda x: [0] * 3, learning_rule_type=nengo.PES()
        )
        nengo.Connection(error, learned.learning_rule)
        nengo.Probe(error)
    session = make_session(net)
    step = session.step
    sizes = [block.size for block in step.state_blocks]
    assert [np.prod(shape) for shape in step.state_shapes] == sizes
    assert (1, 3, 10) in step.state_shapes and (10,) in step.state_shapes
    assert_equal_data(run(session, 20), core_data(net, 20))


# -- state that is the same as other state


def filtered_network():
    with nengo.Network(seed=0) as net:
        ones = nengo.Node([1.0, 2.0])
        state = nengo.Node(size_in=2)
        nengo.Connection(ones, state, synapse=0.005)
        nengo.Probe(state)
    return net


def test_output_and_state_of_lowpass_are_carried_once():
    session = make_session(filtered_network())
    ((state, output),) = session.step.twins.items()
    run(session, 5)
    values = session.store.state_values()
    assert np.all(values[output] > 0)
    np.testing.assert_array_equal(values[output], values[state])


@pytest.mark.parametrize("n_before", [0, 4])
def test_output_that_differs_from_state_is_seen_for_one_step(n_before):
    net = filtered_network()
    plain, changed = make_session(net), make_session(net)
    for session in (plain, changed):
        run(session, n_before) if n_before else None
    (output,) = changed.step.twins.values()
    values = changed.store.state_values()
    values[output] = values[output] + 10
    changed.store.set_state_values(values)
    (expected,), (found,) = run(plain, 6), run(changed, 6)
    np.testing.assert_allclose(found[0], expected[0] + 10)
    np.testing.assert_array_equal(found[1:], expected[1:])
