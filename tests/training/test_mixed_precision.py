"""Training with products in bfloat16."""

import pickle

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.builders.products import mixed
from nengo_dl.training import programs

N_IN, N_HIDDEN, N_STEPS, MINIBATCH = 40, 48, 6, 4


@pytest.fixture(params=[True, False], ids=["instructions", "no-instructions"])
def processor(request, monkeypatch):
    """A processor that has instructions for bfloat16, or none."""
    nengo_dl.programs.clear()  # what was compiled for another one
    for module in (mixed, programs):
        monkeypatch.setattr(module, "multiplies_bfloat16", lambda: request.param)
    return request.param


def classifier(recurrent=False):
    """A network of spiking neurons, trained with a surrogate derivative."""
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate="fast_sigmoid")
        net.node = nengo.Node(np.zeros(N_IN))
        neurons = nengo.Ensemble(
            *(N_HIDDEN, 1),
            neuron_type=nengo.LIF(amplitude=0.02),
            gain=np.ones(N_HIDDEN),
            bias=np.ones(N_HIDDEN),
        ).neurons
        weights = 0.5 * rng.randn(N_HIDDEN, N_IN)
        nengo.Connection(net.node, neurons, transform=weights, synapse=None)
        if recurrent:
            weights = 0.1 * rng.randn(N_HIDDEN, N_HIDDEN)
            nengo.Connection(neurons, neurons, transform=weights)
        output = nengo.Node(size_in=3)
        weights = 0.1 * rng.randn(3, N_HIDDEN)
        nengo.Connection(neurons, output, transform=weights)
        net.probe = nengo.Probe(output)
    return net


def data():
    rng = np.random.RandomState(1)
    return (
        rng.uniform(-1, 1, (8, N_STEPS, N_IN)),
        rng.uniform(-1, 1, (8, N_STEPS, 3)),
    )


def trained(dtype, net=None, jit_compile=None, n_epochs=3, **kwargs):
    """Return the history of training, and what the parameters are then."""
    net = classifier() if net is None else net
    with nengo_dl.Simulator(
        net,
        minibatch_size=MINIBATCH,
        dtype=dtype,
        jit_compile=jit_compile,
        seed=0,
        progress_bar=False,
    ) as sim:
        history = sim.train(
            *data(), keras.optimizers.Adam(1e-2), n_epochs=n_epochs, **kwargs
        )
        values = [v.numpy() for v in sim.trainable_variables]
    assert all(value.dtype == np.float32 for value in values)
    return history, values


slow = pytest.mark.filterwarnings("ignore:Products in bfloat16")


def bfloat16(values):
    """Rounded to bfloat16."""
    return tf.cast(tf.cast(values, tf.bfloat16), tf.float32).numpy()


def test_factors_and_products_are_rounded():
    rng = np.random.RandomState(0)
    weights = rng.randn(5, 64).astype(np.float32)
    x = rng.randn(1, 1, 64).astype(np.float32)
    with nengo.Network() as net:
        node = nengo.Node(np.zeros(64))
        output = nengo.Node(size_in=5)
        nengo.Connection(node, output, transform=weights, synapse=None)
        nengo.Probe(output)
    sums = bfloat16(weights).astype(float) @ bfloat16(x[0, 0]).astype(float)
    with nengo_dl.Simulator(net, dtype="mixed_bfloat16", progress_bar=False) as sim:
        losses = [sim.loss(x, np.zeros((1, 1, 5)), training=t) for t in (False, True)]
    exact = np.mean((weights.astype(float) @ x[0, 0]) ** 2)
    np.testing.assert_allclose(losses[0], exact, rtol=1e-6)
    # a sum of bfloat16 products, rounded once more
    np.testing.assert_allclose(losses[1], np.mean(sums**2), rtol=2**-7)
    assert abs(losses[1] / exact - 1) > 1e-5


@slow
def test_training_is_close_to_that_in_single_precision(processor):
    expected, single = trained("float32")
    actual, mixed = trained("mixed_bfloat16")
    np.testing.assert_allclose(actual.loss, expected.loss, rtol=0.02)
    assert actual.loss != expected.loss
    for one, other in zip(mixed, single, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


@slow
def test_loops_that_are_compiled_apart_compute_the_same(processor):
    apart, values = trained("mixed_bfloat16", n_epochs=1)
    whole, others = trained("mixed_bfloat16", n_epochs=1, jit_compile=True)
    np.testing.assert_allclose(apart.loss, whole.loss, rtol=2e-3)
    for one, other in zip(values, others, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


@slow
def test_recurrent_products_and_segments():
    expected, _ = trained("float32", classifier(recurrent=True), n_epochs=1)
    actual, _ = trained(
        "mixed_bfloat16", classifier(recurrent=True), n_epochs=1, recompute=3
    )
    np.testing.assert_allclose(actual.loss, expected.loss, rtol=0.02)
    assert actual.loss != expected.loss


@slow
def test_convolutions():
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(64))
        convolution = nengo.Convolution(
            4, (8, 8, 1), kernel_size=(3, 3), init=rng.randn(3, 3, 1, 4)
        )
        output = nengo.Node(size_in=convolution.output_shape.size)
        nengo.Connection(node, output, transform=convolution, synapse=None)
        nengo.Probe(output)
    x = rng.uniform(-1, 1, (8, 1, 64))
    y = np.zeros((8, 1, convolution.output_shape.size))
    losses = {}
    for dtype in ("float32", "mixed_bfloat16"):
        with nengo_dl.Simulator(
            net, minibatch_size=4, dtype=dtype, progress_bar=False
        ) as sim:
            history = sim.train(x, y, "adam", n_epochs=2, shuffle=False)
        losses[dtype] = history.loss
    np.testing.assert_allclose(losses["mixed_bfloat16"], losses["float32"], rtol=0.01)
    assert losses["mixed_bfloat16"] != losses["float32"]


def test_simulations_stay_in_single_precision():
    found = []
    for dtype in ("float32", "mixed_bfloat16"):
        with nengo_dl.Simulator(
            classifier(), dtype=dtype, jit_compile=True, progress_bar=False
        ) as sim:
            sim.run_steps(20)
            assert sim.dtype == np.float32
            found.append(next(iter(sim.data[p] for p in sim.model.probes)))
    np.testing.assert_array_equal(*found)


@pytest.mark.filterwarnings("ignore:.*is being overwritten")  # of copied Nodes
@pytest.mark.parametrize("way", ["argument", "policy", "setting"])
def test_ways_to_ask_for_it(way):
    net, dtype = classifier(), None
    if way == "setting":
        with net:
            nengo_dl.configure_settings(dtype="mixed_bfloat16")
    else:
        dtype = "mixed_bfloat16"
        dtype = keras.DTypePolicy(dtype) if way == "policy" else dtype
    with nengo_dl.Simulator(net, dtype=dtype, progress_bar=False) as sim:
        assert sim._session.plan.settings.product_dtype == "bfloat16"
        with pickle.loads(pickle.dumps(sim)) as copied:
            assert copied._session.plan.settings.product_dtype == "bfloat16"
    with nengo_dl.Simulator(net, dtype="float32", progress_bar=False) as sim:
        assert sim._session.plan.settings.product_dtype is None
        with pickle.loads(pickle.dumps(sim)) as copied:
            assert copied._session.plan.settings.product_dtype is None


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16", "mixed"])
def test_other_precisions_are_refused(dtype):
    message = f"'mixed_bfloat16'.*got '{dtype}'"
    with pytest.raises(ValidationError, match=message):
        nengo_dl.Simulator(classifier(), dtype=dtype)
    with pytest.raises(ValidationError, match=message), classifier():
        nengo_dl.configure_settings(dtype=dtype)


@pytest.mark.parametrize("recurrent", [False, True])
def test_it_is_said_once_where_it_is_no_faster(processor, recurrent, recwarn):
    net = classifier(recurrent)
    if recurrent:  # without the product before the loop
        net.connections.remove(net.connections[0])
    trained("mixed_bfloat16", net, n_epochs=1)
    found = [str(w.message) for w in recwarn if "bfloat16" in str(w.message)]
    if processor and not recurrent:
        assert not found
        return
    (message,) = found
    reason = "on a feedback path" if processor else "no instructions"
    assert reason in message
