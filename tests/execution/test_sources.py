"""Values that are made ahead: each once, none lost."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError

from tests.execution.sessions import (
    core_data,
    counting_network,
    make_session,
    run,
)


def make_inputs(net, minibatch_size=1):
    """Return the sources of a network's inputs, and the signal of its first probe."""
    session = make_session(net, minibatch_size)
    return session.sources, session.plan.output_signals[0]


def noisy_network(seed=None):
    with nengo.Network(seed=1) as net:
        node = nengo.Node(nengo.processes.WhiteNoise(seed=seed), size_out=2)
        nengo.Probe(node)
    return net


def test_values_are_those_of_the_function_and_the_time():
    feeds, signal = make_inputs(counting_network([]))
    values, n_made, error = feeds.make(0, 4)
    assert (n_made, error) == (4, None)
    np.testing.assert_array_equal(values[signal].ravel(), [0.5, 1.0, 1.5, 2.0])
    (step,) = (s for s in values if s.name == "step")
    np.testing.assert_array_equal(values[step].ravel(), [1, 2, 3, 4])


def test_no_function_is_called_twice_for_a_step():
    log = []
    feeds, signal = make_inputs(counting_network(log))
    feeds.make(0, 6)
    # a run was interrupted after two steps; the next one asks for fewer, then for more
    feeds.consume(2)
    for n_steps in (1, 3, 6):
        values, n_made, _ = feeds.make(2, n_steps)
        assert n_made == n_steps
        np.testing.assert_array_equal(
            values[signal].ravel(), 0.5 * np.arange(3, 3 + n_steps)
        )
    assert log == [1, 2, 3, 4, 5, 6, 7, 8]


def test_values_of_the_next_chunk_are_made_before_the_last_is_consumed():
    log = []
    feeds, signal = make_inputs(counting_network(log))
    feeds.make(0, 3)
    values, _, _ = feeds.make(3, 2)
    np.testing.assert_array_equal(values[signal].ravel(), [2.0, 2.5])
    feeds.consume(3)
    values, _, _ = feeds.make(3, 3)
    np.testing.assert_array_equal(values[signal].ravel(), [2.0, 2.5, 3.0])
    assert log == [1, 2, 3, 4, 5, 6]


def test_error_leaves_the_steps_before_it():
    log = []
    feeds, signal = make_inputs(counting_network(log, fail_at=[4]))
    values, n_made, error = feeds.make(0, 6)
    assert n_made == 3 and values[signal].shape[0] == 3
    assert isinstance(error, SimulationError)
    assert "step 4 is not to my liking" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
    feeds.consume(3)
    values, n_made, error = feeds.make(3, 3)
    assert (n_made, error) == (3, None)
    np.testing.assert_array_equal(values[signal].ravel(), [2.0, 2.5, 3.0])


def test_error_in_one_source_keeps_what_others_made():
    logs = [], []
    with nengo.Network(seed=1) as net:
        counting_network(logs[0])
        counting_network(logs[1], fail_at=[3])
    feeds, _ = make_inputs(net)
    _, n_made, error = feeds.make(0, 5)
    assert n_made == 2 and error is not None
    feeds.consume(2)
    _, n_made, error = feeds.make(2, 3)
    assert (n_made, error) == (3, None)
    assert logs[0] == [1, 2, 3, 4, 5]
    assert logs[1] == [1, 2, 3, 3, 4, 5]


def test_interrupts_are_handed_on_like_errors():
    def interrupt(t):
        if t > 0.0025:
            raise KeyboardInterrupt
        return t

    with nengo.Network() as net:
        nengo.Probe(nengo.Node(interrupt))
    feeds, _ = make_inputs(net)
    _, n_made, error = feeds.make(0, 5)
    assert n_made == 2 and isinstance(error, KeyboardInterrupt)


@pytest.mark.parametrize(
    ("result", "words"),
    [(None, "returned None"), ("a", "'a' of type str"), (np.nan, "non-finite")],
)
def test_results_that_are_no_numbers_are_refused(result, words):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node(lambda t: result if t > 0.0015 else 1.0, size_out=1))
    feeds, _ = make_inputs(net)
    _, n_made, error = feeds.make(0, 3)
    assert n_made == 1
    assert words in str(error) and "t=0.002" in str(error)


@pytest.mark.parametrize(
    "result",
    [
        np.array([1.0, 2.0]),
        np.array([1, 2]),
        np.array([[1.0, 2.0]]),
        np.array([1.0, 2.0], dtype=np.float32),
        [1.0, 2.0],
    ],
)
def test_results_of_any_form_that_fits_are_taken(result):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node(lambda t: result, size_out=2))
    feeds, signal = make_inputs(net)
    values, n_made, error = feeds.make(0, 3)
    assert (n_made, error) == (3, None)
    np.testing.assert_array_equal(values[signal][:, 0], [np.ravel(result)] * 3)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (np.array([1.0, np.inf]), "non-finite"),
        (np.array([1.0, 2.0, 3.0]), "2 finite numbers are needed"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(result, words):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node(lambda t: result if t > 0.0015 else [0, 0], size_out=2))
    feeds, _ = make_inputs(net)
    _, n_made, error = feeds.make(0, 3)
    assert n_made == 1
    assert words in str(error) and "t=0.002" in str(error)


def test_sources_that_are_replaced_are_not_asked():
    log = []
    feeds, signal = make_inputs(counting_network(log))
    values, n_made, error = feeds.make(0, 3, {signal: None})
    assert (n_made, error) == (3, None)
    assert signal not in values and log == []
    feeds.consume(3)
    feeds.make(3, 1)
    assert log == [4]


def test_values_ahead_are_dropped_for_steps_in_which_they_are_replaced():
    log = []
    feeds, signal = make_inputs(counting_network(log))
    feeds.make(0, 5)
    feeds.make(0, 3, {signal: None})
    feeds.consume(3)
    values, _, _ = feeds.make(3, 3)
    np.testing.assert_array_equal(values[signal].ravel(), [2.0, 2.5, 3.0])
    assert log == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("chunks", [(7,), (1, 6), (2, 2, 3)])
def test_random_streams_do_not_depend_on_chunks(chunks):
    net = noisy_network()
    feeds, signal = make_inputs(net)
    rows, first = [], 0
    for n_steps in chunks:
        rows.append(feeds.make(first, n_steps)[0][signal][:, 0])
        feeds.consume(n_steps)
        first += n_steps
    np.testing.assert_array_equal(np.concatenate(rows), core_data(net, 7)[0])


def test_unseeded_streams_differ_between_items_and_the_first_is_core():
    net = noisy_network()
    feeds, signal = make_inputs(net, minibatch_size=3)
    values = feeds.make(0, 5)[0][signal]
    assert values.shape == (5, 3, 2)
    np.testing.assert_array_equal(values[:, 0], core_data(net, 5)[0])
    for i in range(3):
        assert (values[:, i] != values[:, i - 1]).all()


def test_seeded_streams_are_made_once_for_all_items():
    net = noisy_network(seed=4)
    feeds, signal = make_inputs(net, minibatch_size=3)
    values = feeds.make(0, 5)[0][signal]
    assert values.shape == (5, 1, 2)
    np.testing.assert_array_equal(values[:, 0], core_data(net, 5)[0])


def test_random_numbers_of_neurons_differ_between_items():
    with nengo.Network(seed=0) as net:
        neurons = nengo.StochasticSpiking(nengo.RectifiedLinear())
        nengo.Probe(nengo.Ensemble(10, 1, neuron_type=neurons).neurons)
    feeds, _ = make_inputs(net, minibatch_size=2)
    values = feeds.make(0, 4)[0]
    (draws,) = (v for s, v in values.items() if s.name.endswith("draws"))
    assert draws.shape == (4, 2, 10)
    assert (draws[:, 0] != draws[:, 1]).all()


def test_reset_forgets_values_ahead():
    log = []
    session = make_session(counting_network(log))
    session.sources.make(0, 4)
    session.reset(0)
    session.sources.make(0, 2)
    assert log == [1, 2, 3, 4, 1, 2]


def test_repeated_steps_advance_one_process_and_call_no_function():
    log = []
    with nengo.Network() as net:
        counting_network(log)
        noisy_network()
    session = make_session(net)
    feeds, signal = session.sources, session.plan.output_signals[-1]
    (noise,) = (source for source in feeds.sources if source.output is signal)
    feeds.repeat(noise, 1500, 1500)
    assert noise.n_made == 1500
    values, _, _ = feeds.make(1500, 2)
    assert log == [1501, 1502]
    expected = core_data(net, 1502)[-1][1500:]
    np.testing.assert_array_equal(values[signal][:, 0], expected)


def test_functions_without_output_are_called():
    log = []
    with nengo.Network() as net:
        nengo.Node(lambda t: log.append(t), size_out=0)
    session = make_session(net)
    session.sources.make(0, 3)
    np.testing.assert_allclose(log, [0.001, 0.002, 0.003])


def test_errors_arrive_in_the_same_step_whatever_the_chunks():
    log = []
    session = make_session(counting_network(log, fail_at=[6]), most_steps=3)
    with pytest.raises(SimulationError, match="step 6 is not"):
        run(session, 10)
    assert session.n_steps == 5
    assert log == [1, 2, 3, 4, 5, 6]
