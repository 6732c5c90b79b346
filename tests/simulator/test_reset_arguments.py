"""What `reset` leaves as it is, where it is asked to."""

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, progress_bar=False, seed=3, **kwargs)


@pytest.fixture
def learning():
    with nengo.Network(seed=0) as net:
        pre, post = nengo.Ensemble(10, 1), nengo.Node(size_in=1)
        net.conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-2))
        nengo.Connection(nengo.Node([0.5]), net.conn.learning_rule)
        net.probe = nengo.Probe(pre)
    return net


@pytest.mark.parametrize("jit_compile", [True, None], ids=["compiled", "numpy"])
@pytest.mark.parametrize("include_processes", [True, False])
def test_online_learned_weights_stay(learning, jit_compile, include_processes):
    with simulator(learning, jit_compile=jit_compile) as sim:
        built = np.array(sim.data[learning.conn].weights)
        sim.run_steps(30)
        learned, data = (
            np.array(sim.data[k]) for k in (learning.probe, learning.probe)
        )
        learned = np.array(sim.data[learning.conn].weights)
        assert not np.allclose(built, learned)
        sim.reset(include_trainable=False, include_processes=include_processes)
        assert sim.n_steps == 0 and len(sim.data[learning.probe]) == 0
        assert np.array_equal(sim.data[learning.conn].weights, learned)
        sim.run_steps(30)  # the neurons begin anew
        assert np.allclose(sim.data[learning.probe], data, atol=1e-5)
        sim.reset()
        assert np.array_equal(sim.data[learning.conn].weights, built)


def test_trained_weights_and_optimizers_stay():
    with nengo.Network(seed=0) as net:
        node, out = nengo.Node([1]), nengo.Node(size_in=1)
        conn = nengo.Connection(node, out, transform=0, synapse=None)
        nengo.Probe(out)
    optimizer = keras.optimizers.Adam(0.1)
    x = np.ones((4, 1, 1))
    results = []
    for resets in (False, True):
        with simulator(net, minibatch_size=2) as sim:
            sim.train(x, x, optimizer, shuffle=False)
            trained = float(sim.data[conn].weights)
            if resets:
                sim.reset(include_trainable=False)
                assert sim.data[conn].weights == trained != 0
            sim.train(x, x, optimizer, shuffle=False)
            results.append(float(sim.data[conn].weights))
            sim.reset()
            assert sim.data[conn].weights == 0
        optimizer = keras.optimizers.Adam(0.1)
    assert results[0] == results[1]


def test_probe_data_stays():
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(lambda t: t))
    with simulator(net) as sim:
        sim.run_steps(3)
        sim.reset(include_probes=False)
        assert sim.n_steps == 0 and len(sim.data[probe]) == 3
        sim.run_steps(1)
        assert np.allclose(sim.data[probe][:, 0], [0.001, 0.002, 0.003, 0.001])


@pytest.mark.parametrize("include_trainable", [True, False])
def test_random_streams_go_on(include_trainable):
    with nengo.Network(seed=0) as net:
        noise = nengo.Node(nengo.processes.WhiteNoise(nengo.dists.Gaussian(0, 1)))
        probe = nengo.Probe(noise)
    with simulator(net) as sim:
        sim.run_steps(10)
        expected = np.array(sim.data[probe])
        sim.reset(include_trainable=include_trainable)
        sim.run_steps(5)
        sim.reset(
            include_trainable=include_trainable,
            include_probes=False,
            include_processes=False,
        )
        sim.run_steps(5)
        assert np.array_equal(sim.data[probe], expected)


def test_moving_averages_stay_with_what_is_trained():
    with nengo.Network() as net:
        node = nengo.Node([0.0, 0.0])
        layer = nengo_dl.Layer(keras.layers.BatchNormalization(momentum=0.5))
        nengo.Probe(layer(node))
    with simulator(net, minibatch_size=4) as sim:
        before = sim.predict(np.ones((4, 1, 2)))
        sim.train(np.full((4, 1, 2), 3.0), np.ones((4, 1, 2)), "sgd")
        trained = sim.predict(np.ones((4, 1, 2)))
        sim.reset(include_trainable=False)
        (kept,) = sim.predict(np.ones((4, 1, 2))).values()
        assert np.array_equal(kept, *trained.values())
        sim.reset()
        (reset,) = sim.predict(np.ones((4, 1, 2))).values()
        assert np.array_equal(reset, *before.values())
        assert not np.allclose(reset, kept)


def test_wrong_arguments_of_reset():
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([0]))
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="seed: Random streams that continue"):
            sim.reset(seed=1, include_processes=False)
        assert sim.seed == 3
        for name in ("trainable", "probes", "processes"):
            with pytest.raises(
                ValidationError, match=f"include_{name}: Must be True or"
            ):
                sim.reset(**{f"include_{name}": 1})
