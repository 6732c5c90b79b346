"""What a simulation computes once while its inputs stay as they are."""

import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from nengo_dl.program.hoisting import Hoisted, find_hoisted, segment_ends
from nengo_dl.support import tuning
from tests.execution.sessions import core_data, make_session, run

N_IN = 12


@pytest.fixture
def hoist_all(monkeypatch):
    """Let products of any size be worth it."""
    monkeypatch.setattr(tuning, "WORTH_HOISTING", 1)


def images(n_images=3, seconds=0.007, seed=0):
    values = np.random.RandomState(seed).uniform(0, 1, (n_images, N_IN))
    return nengo.processes.PresentInput(values, seconds)


def layers(source=None, n_hidden=8):
    """Return a network of two layers of spiking neurons that is shown images."""
    rng = np.random.RandomState(1)
    with nengo.Network(seed=0) as net:
        node = nengo.Node(images() if source is None else source)
        hidden = [
            nengo.Ensemble(
                n_hidden, 1, gain=np.full(n_hidden, 3.0), bias=np.full(n_hidden, 1.5)
            ).neurons
            for _ in range(2)
        ]
        out = nengo.Node(size_in=2)
        for pre, post in ((node, hidden[0]), (hidden[0], hidden[1]), (hidden[1], out)):
            weights = rng.uniform(-0.5, 1, (post.size_in, pre.size_out)) / pre.size_out
            nengo.Connection(pre, post, transform=weights, synapse=0.005)
        nengo.Probe(out)
        nengo.Probe(hidden[1])
        nengo.Probe(hidden[0], "input")
    return net


def names(session):
    kernels = session.step.kernels
    return [type(kernels[n]).__name__ for n in session.compiled.hoisted.groups]


# -- which groups


def test_product_of_an_input_is_hoisted_and_those_behind_state_are_not(hoist_all):
    session = make_session(layers())
    assert names(session) == ["DotIncBuilder"]
    (group,) = session.compiled.hoisted.groups
    assert [op.A.shape for op in session.step.kernels[group].ops] == [(8, N_IN)]


def test_what_a_hoisted_product_depends_on_is_hoisted_too(hoist_all):
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        node = nengo.Node(images())
        rates = nengo.Ensemble(6, 3, neuron_type=nengo.LIFRate())
        out = nengo.Node(size_in=2)
        weights = rng.uniform(-1, 1, (3, N_IN))
        nengo.Connection(node, rates, transform=weights, synapse=None)
        nengo.Connection(
            rates.neurons, out, transform=rng.uniform(-1, 1, (2, 6)), synapse=None
        )
        nengo.Probe(out)
    session = make_session(net)
    assert names(session).count("DotIncBuilder") >= 2
    assert "LIFRateBuilder" in names(session)
    np.testing.assert_allclose(run(session, 20)[0][:, 0], core_data(net, 20)[0])


def test_products_of_random_numbers_are_not_hoisted(hoist_all):
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        node = nengo.Node(images())
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=N_IN)
        drawn = nengo.Ensemble(
            6, 1, neuron_type=nengo.StochasticSpiking(nengo.LIFRate())
        ).neurons
        out = nengo.Node(size_in=2)
        for pre, post in ((node, drawn), (drawn, out), (noise, out)):
            weights = rng.uniform(-1, 1, (post.size_in, pre.size_out))
            nengo.Connection(pre, post, transform=weights, synapse=None)
        nengo.Probe(out)
    session = make_session(net)
    (group,) = session.compiled.hoisted.groups
    (product,) = session.step.kernels[group].ops
    assert product.A.shape == (6, N_IN)
    np.testing.assert_allclose(run(session, 30)[0][:, 0], core_data(net, 30)[0])


def test_small_products_are_not_worth_it():
    assert make_session(layers()).compiled.hoisted == Hoisted()


def test_minibatches_make_products_worth_it(monkeypatch):
    monkeypatch.setattr(tuning, "WORTH_HOISTING", 4 * 8 * N_IN)
    assert not make_session(layers(), minibatch_size=3).compiled.hoisted.groups
    assert make_session(layers(), minibatch_size=4).compiled.hoisted.groups


def test_networks_that_call_python_in_each_step_hoist_nothing(hoist_all):
    net = layers()
    with net:
        node = nengo.Node(lambda t, x: x, size_in=2)
        nengo.Connection(net.nodes[1], node)
    session = make_session(net, jit_compile=None)
    assert session.step.has_callbacks
    assert not session.compiled.hoisted.groups


def test_networks_without_inputs_hoist_nothing(hoist_all):
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(5, 1)
        nengo.Connection(ens, ens)
        nengo.Probe(ens)
    session = make_session(net)
    assert not find_hoisted(session.step).columns


def test_only_columns_that_are_read_count(hoist_all):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(images())
        out = nengo.Node(size_in=2)
        nengo.Connection(node[2:5], out, transform=np.ones((2, 3)), synapse=None)
        nengo.Probe(out)
        nengo.Probe(node)
    session = make_session(net)
    step = session.step
    number = [
        i
        for i, block in enumerate(step.input_blocks)
        if any(s.size == N_IN for s in block.signals)
    ]
    assert [
        (i, list(columns - step.input_blocks[i].starts[signal]))
        for i, columns in session.compiled.hoisted.columns.items()
        for signal in step.input_blocks[i].signals
        if signal.size == N_IN
    ] == [(number[0], [2, 3, 4])]


# -- for how long


def test_segments_end_where_an_input_changes():
    frame = np.zeros((9, 2, 30))
    frame[2:, 1, 3] = 1
    frame[3:, 0, 29] = 2  # behind the elements that are compared first
    ends = segment_ends(Hoisted([0], {0: np.arange(30)}), [frame], 6)
    assert list(ends) == [2, 2, 3, 6, 6, 6]


def test_segments_end_where_any_of_the_inputs_changes():
    first, second = np.zeros((5, 1, 2)), np.zeros((5, 1, 2))
    first[1:] = 1
    second[4:, 0, 1] = 1
    columns = {0: np.arange(2), 1: np.array([1])}
    ends = segment_ends(Hoisted([0], columns), [first, second], 5)
    assert list(ends) == [1, 4, 4, 4, 5]


def test_columns_that_are_not_read_do_not_end_a_segment():
    frame = np.random.RandomState(0).rand(4, 2, 3)
    frame[:, :, 1] = 7
    ends = segment_ends(Hoisted([0], {0: np.array([1])}), [frame], 4)
    assert list(ends) == [4, 4, 4, 4]


def test_inputs_that_are_not_numbers_never_stay_the_same():
    frame = np.full((3, 1, 2), np.nan)
    assert list(segment_ends(Hoisted([0], {0: np.arange(2)}), [frame], 3)) == [1, 2, 3]


@pytest.mark.parametrize("n_steps", [0, 1])
def test_short_chunks_have_segments(n_steps):
    frame = np.zeros((4, 1, 2))
    ends = segment_ends(Hoisted([0], {0: np.arange(2)}), [frame], n_steps)
    assert list(ends) == [1] * n_steps


# -- the same results


@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_images_give_what_core_gives(hoist_all, unroll, jit_compile):
    net = layers()
    session = make_session(net, unroll=unroll, jit_compile=jit_compile)
    assert session.compiled.hoisted.groups
    for actual, expected in zip(run(session, 50), core_data(net, 50), strict=True):
        assert np.any(expected)
        np.testing.assert_allclose(actual[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_inputs_that_change_in_every_step_give_what_core_gives(hoist_all):
    net = layers(lambda t: np.sin(50 * t + np.arange(N_IN)))
    session = make_session(net)
    assert session.compiled.hoisted.groups
    for actual, expected in zip(run(session, 40), core_data(net, 40), strict=True):
        np.testing.assert_allclose(actual[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_chunks_that_end_within_an_image_change_nothing(hoist_all):
    net = layers()
    whole = run(make_session(net), 45)
    limited = make_session(net, most_steps=4)
    for actual, expected in zip(run(limited, 45), whole, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_items_of_a_minibatch_with_different_images(hoist_all):
    net = layers()
    node = net.nodes[0]
    data = np.random.RandomState(2).uniform(0, 1, (2, 30, N_IN))
    data[:, 5:15] = data[:, 5:6]
    data[1, 15:] = data[1, 15]
    with nengo_dl.Simulator(
        net, minibatch_size=2, dtype=tf.float64, jit_compile=True, progress_bar=False
    ) as sim:
        sim.run_steps(30, input_feeds={node: data})
        both = [sim.data[probe] for probe in net.probes]
    for item, rows in enumerate(data):
        expected = core_data(layers(lambda t, rows=rows: rows[round(1000 * t) - 1]), 30)
        for found, alone in zip(both, expected, strict=True):
            np.testing.assert_allclose(found[item], alone, rtol=1e-9, atol=1e-12)


def test_new_weights_count_at_once(hoist_all):
    session = make_session(layers())
    run(session, 3)
    (group,) = session.compiled.hoisted.groups
    weights = session.step.kernels[group].ops[0].A
    session.store.set_values({weights.base: np.zeros(weights.shape)})
    current = run(session, 300)[2]
    np.testing.assert_allclose(current[-1], 1.5, atol=1e-12)
