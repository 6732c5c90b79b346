"""Neuron types of this package, in this simulator and in Nengo's own."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.builders.neuron_equations import soft_lif_rates

# nengo's, for neurons without bias
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def current_network(neuron_type, n_neurons=50):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.linspace(-30, 30, n_neurons))
        ens = nengo.Ensemble(
            n_neurons,
            1,
            neuron_type=neuron_type,
            gain=np.ones(n_neurons),
            bias=np.zeros(n_neurons),
        )
        nengo.Connection(node, ens.neurons, synapse=None)
        net.probe = nengo.Probe(ens.neurons)
    return net


@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("n_steps", [1, 200])
def test_soft_lif_rates_agree_with_nengo_core(sigma, n_steps):
    net = current_network(nengo_dl.SoftLIFRate(sigma, amplitude=0.5))
    with nengo.Simulator(net, progress_bar=False) as reference:
        reference.run_steps(n_steps)
    with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(n_steps)
    assert np.allclose(
        sim.data[net.probe], reference.data[net.probe], rtol=1e-12, atol=1e-12
    )


def test_soft_lif_rates_approach_lif_rates():
    J = np.linspace(-5, 10, 100)[None]
    hard, soft = np.zeros_like(J), np.zeros_like(J)
    nengo.LIFRate().step(0.001, J, hard)
    neurons = nengo_dl.SoftLIFRate(1e-4)
    neurons.step(0.001, J, soft)
    assert np.allclose(hard, soft, atol=1.5)
    assert np.array_equal(neurons.rates(J[0], [1.0], [0.0])[:, 0], soft[0])


def test_soft_lif_rates_have_gradients_everywhere_in_single_precision():
    values = [0, 1, 1 - 1e-7, 1 + 1e-7, -1, -30, -1e4, -1e30, 1.5, 100, 1e4, 1e30]
    J = tf.constant([values], tf.float32)
    for sigma in (0.01, 0.1, 1.0):
        with tf.GradientTape() as tape:
            tape.watch(J)
            rates = soft_lif_rates(J, 0.02, 0.002, 1.0, sigma)
        gradient = tape.gradient(rates, J)
        assert np.all(np.isfinite(rates)) and np.all(np.isfinite(gradient))
        assert np.all(rates >= 0) and np.all(gradient >= 0)


def test_soft_lif_gradient_is_the_derivative():
    J = tf.constant(np.linspace(-60, 10, 500)[None], tf.float64)
    h = 1e-5
    with tf.GradientTape() as tape:
        tape.watch(J)
        rates = soft_lif_rates(J, 0.02, 0.002, 2.0, 0.5)
    upper, lower = (
        soft_lif_rates(J + d, 0.02, 0.002, 2.0, 0.5).numpy() for d in (h, -h)
    )
    expected = (upper - lower) / (2 * h)
    assert np.allclose(tape.gradient(rates, J), expected, rtol=1e-6, atol=1e-7)


def test_smoothing_is_that_of_soft_lif_neurons():
    x = np.linspace(-2, 8, 50)[None, None]
    losses = []
    for neuron_type, settings in (
        (nengo.LIF(), {"lif_smoothing": 0.2}),
        (nengo.LIFRate(), {"lif_smoothing": 0.2}),
        (nengo_dl.SoftLIFRate(0.2), {}),
        (nengo.LIF(), {}),
    ):
        net = current_network(neuron_type)
        with net:
            nengo_dl.configure_settings(**settings)
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            losses.append(sim.loss(x, 0 * x, training=True))
    assert losses[0] == losses[1] == losses[2] != losses[3]


def test_sigma_must_be_positive():
    with pytest.raises(ValidationError, match="sigma"):
        nengo_dl.SoftLIFRate(0)
