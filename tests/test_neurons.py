"""Neuron types of this package, in this simulator and in Nengo's own."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.builders.neurons.lif_equations import soft_lif_rates

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


# -- leaky rectified linear units


@pytest.mark.parametrize(
    "neuron_type",
    [
        nengo_dl.LeakyReLU(0.1, amplitude=0.5),
        nengo_dl.SpikingLeakyReLU(0.1, amplitude=0.5),
        nengo_dl.SpikingLeakyReLU(0),
        nengo_dl.SpikingLeakyReLU(1 / 3),
    ],
)
def test_leaky_units_agree_with_nengo_core_spike_for_spike(neuron_type):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(lambda t: np.sin(20 * t) * np.array([1, -0.7]))
        ens = nengo.Ensemble(60, 2, neuron_type=neuron_type)
        nengo.Connection(node, ens)
        probe = nengo.Probe(ens.neurons)
    with nengo.Simulator(net, optimize=False, progress_bar=False) as reference:
        reference.run_steps(500)
    with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(500)
    found, expected = sim.data[probe], reference.data[probe]
    assert np.any(expected > 0)
    assert np.any(expected < 0) == (neuron_type.negative_slope > 0)
    if neuron_type.spiking:
        assert np.array_equal(found, expected)
    else:
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_leaky_units_spike_as_regular_spiking_neurons_with_their_rates():
    J = np.random.RandomState(0).uniform(-900, 900, (100, 20))
    spiking = nengo_dl.SpikingLeakyReLU(0.2, amplitude=2)
    regular = nengo.RegularSpiking(nengo_dl.LeakyReLU(0.2), amplitude=2)
    voltage = np.linspace(0, 0.99, 20)
    other, found, expected = voltage.copy(), np.zeros(20), np.zeros(20)
    for current in J:
        spiking.step(0.001, current, found, voltage)
        regular.step(
            0.001, np.where(current > 0, current, 0.2 * current), expected, other
        )
        assert np.array_equal(found, expected)
        assert np.all((voltage >= 0) & (voltage < 1))


def test_positive_currents_drive_leaky_units_as_rectified_linear_ones():
    J = np.linspace(0, 900, 10)
    outputs = []
    for neurons in (nengo_dl.SpikingLeakyReLU(0.3), nengo.SpikingRectifiedLinear()):
        voltage, output, total = np.zeros(10), np.zeros(10), np.zeros(10)
        for _ in range(100):
            neurons.step(0.001, J, output, voltage)
            total += output
        outputs.append(total)
    assert np.array_equal(*outputs)


@pytest.mark.parametrize("cls", [nengo_dl.LeakyReLU, nengo_dl.SpikingLeakyReLU])
def test_gains_and_biases_of_leaky_units_give_the_tuning_that_was_asked_for(cls):
    neurons = cls(0.25)
    max_rates, intercepts = np.array([100.0, 300.0]), np.array([-0.5, 0.25])
    gain, bias = neurons.gain_bias(max_rates, intercepts)
    for x, expected in ((1, max_rates), (intercepts, 0), (-1, None)):
        rates = neurons.rates(np.full((1, 2), x), gain, bias)[0]
        if expected is None:
            expected = -0.25 * max_rates * (1 + intercepts) / (1 - intercepts)
        assert np.allclose(rates, expected)
    found = neurons.max_rates_intercepts(gain, bias)
    assert np.allclose(found, [max_rates, intercepts])


@pytest.mark.parametrize("surrogate", [None, "straight_through"])
def test_leaky_units_that_are_silenced_by_their_bias_learn_nevertheless(surrogate):
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate=surrogate)
        ens = nengo.Ensemble(
            10,
            1,
            neuron_type=nengo_dl.SpikingLeakyReLU(0.1),
            gain=np.ones(10),
            bias=np.full(10, -200.0),
        )
        probe = nengo.Probe(ens.neurons)

    def distance(output, target):
        return tf.square(tf.reduce_mean(output, axis=1) - 50)

    with nengo_dl.Simulator(net, seed=0, progress_bar=False) as sim:
        adam = tf.keras.optimizers.Adam(5.0)
        sim.train(20, None, adam, n_epochs=60, objective={probe: distance})
        assert np.all(sim.data[ens].bias > 0)


def test_slope_of_leaky_units_must_not_be_negative():
    for cls in (nengo_dl.LeakyReLU, nengo_dl.SpikingLeakyReLU):
        with pytest.raises(ValidationError, match="negative_slope"):
            cls(negative_slope=-0.1)
