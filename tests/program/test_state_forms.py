"""State that is best computed late in a step."""

import nengo
import numpy as np
import pytest

import nengo_dl
from nengo_dl.support import tuning


def learning_network(rule, n_neurons=40):
    """Two ensembles between which something is learned."""
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(lambda t: np.sin(20 * t))
        pre = nengo.Ensemble(n_neurons, 1)
        post = nengo.Ensemble(n_neurons, 1)
        nengo.Connection(stimulus, pre)
        weights = np.random.RandomState(0).uniform(0, 1e-3, (n_neurons, n_neurons))
        connection = nengo.Connection(
            pre.neurons, post.neurons, transform=weights, learning_rule_type=rule
        )
        if isinstance(rule, nengo.PES):
            error = nengo.Node(size_in=1)
            nengo.Connection(post, error)
            nengo.Connection(error, connection.learning_rule)
        net.weights = nengo.Probe(connection, "weights", sample_every=0.01)
        net.delta = nengo.Probe(connection.learning_rule, "delta", sample_every=0.01)
    return net


def overwritten(simulator):
    """Shapes of what is computed late."""
    program = simulator._session.step
    return [program.state_shapes[i] for i in program._overwritten]


@pytest.mark.parametrize(
    "rule",
    [nengo.PES(), nengo.Oja(1e-6), nengo.BCM(1e-9)],
    ids=["PES", "Oja", "BCM"],
)
@pytest.mark.parametrize("minibatch_size", [None, 2])
def test_weight_changes_are_computed_late_and_stay_the_same(
    rule, minibatch_size, monkeypatch
):
    net, found = learning_network(rule), []
    for small in (1, 2**20):
        monkeypatch.setattr(tuning, "SMALL_OVERWRITTEN", small)
        with nengo_dl.Simulator(
            net,
            dtype="float64",
            jit_compile=True,
            minibatch_size=minibatch_size,
            progress_bar=False,
        ) as sim:
            assert overwritten(sim) == ([(1, 40, 40)] if small == 1 else [])
            sim.run_steps(30)
            sim.run_steps(20)
            found.append([sim.data[net.weights], sim.data[net.delta]])
    with nengo.Simulator(net, progress_bar=False, optimize=False) as reference:
        reference.run_steps(50)
    for late, early, probe in zip(*found, (net.weights, net.delta), strict=True):
        assert np.any(late)
        expected = reference.data[probe]
        item = late if minibatch_size is None else late[1]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(late, early, rtol=1e-12, atol=1e-14 * scale)
        np.testing.assert_allclose(item, expected, rtol=1e-9, atol=1e-10 * scale)


def test_small_matrices_are_left_alone():
    with nengo_dl.Simulator(learning_network(nengo.Oja()), progress_bar=False) as sim:
        assert overwritten(sim) == []


def test_training_and_files_do_without():
    net = learning_network(nengo.Oja(), 50)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert overwritten(sim) == [(1, 50, 50)]
        program = sim._get_training().trainer.functions.programs.step(True)
        assert program._overwritten == {}
