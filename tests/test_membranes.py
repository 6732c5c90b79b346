"""Neurons that are reset at the end of a step, and membranes that do not spike."""

import pickle

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.builders import BuildConfig, find_builder
from tests.builders.harness import check_parity
from tests.builders.test_neurons import sim_neurons, slow_input

N = 12
TAUS = np.linspace(0.003, 0.08, N)
SOME_WITHOUT_LEAK = np.where(np.arange(N) % 3, TAUS, np.inf)
ARRAYS = {
    "per neuron": nengo_dl.ResetLIF(TAUS, np.linspace(-1, 0.5, N), 1 + TAUS),
    "no leak": nengo_dl.ResetLIF(np.inf, threshold=0.02),
    "some without leak": nengo_dl.ResetLIF(SOME_WITHOUT_LEAK, threshold=0.05),
    "per neuron, cuba": nengo_dl.CubaLIF(TAUS / 2, TAUS, method="exact"),
    "integrators": nengo_dl.LeakyIntegrator(np.inf),
    "some integrators": nengo_dl.LeakyIntegrator(SOME_WITHOUT_LEAK, amplitude=0.1),
    "thresholds": nengo_dl.Heaviside(np.linspace(-1, 1, N)),
}


def population(neurons, seed=0, n_neurons=N, outputs=1):
    """A network with two equal populations, currents that change, and a probe."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        nengo_dl.configure_settings(trainable=None)
        node = nengo.Node(nengo.processes.WhiteSignal(1, 20, rms=4, seed=seed))
        net.outs = []
        for _ in range(outputs):
            ens = nengo.Ensemble(
                n_neurons,
                1,
                neuron_type=neurons,
                gain=rng.uniform(0.5, 2, n_neurons),
                bias=rng.uniform(-1, 2, n_neurons),
            )
            nengo.Connection(
                node, ens.neurons, transform=np.ones((n_neurons, 1)), synapse=None
            )
            net.outs.append(nengo.Probe(ens.neurons))
    return net


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("jit_compile", [True, False], ids=["jit", "graph"])
def test_parameters_of_each_neuron_equal_the_numpy_step(name, jit_compile):
    ops = [sim_neurons(ARRAYS[name], N, seed=seed) for seed in range(2)]
    check_parity(
        ops,
        slow_input(-4, 10),
        n_steps=200,
        batch=3,
        jit_compile=jit_compile,
        rtol=1e-11,
    )


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("optimize", [True, False])
def test_simulators_agree_also_where_populations_are_merged(name, optimize):
    net = population(ARRAYS[name], outputs=2)
    with nengo.Simulator(net, progress_bar=False, optimize=optimize) as reference:
        reference.run_steps(300)
    with nengo_dl.Simulator(
        net, dtype="float64", minibatch_size=2, progress_bar=False
    ) as sim:
        sim.run_steps(300)
    for probe in net.outs:
        expected = reference.data[probe]
        assert np.ptp(expected) > 0
        for item in sim.data[probe]:
            np.testing.assert_allclose(item, expected, rtol=1e-11, atol=1e-11)


def test_reset_lif_follows_its_equations():
    neurons = nengo_dl.ResetLIF(0.02, reset=-0.25, threshold=1.5, amplitude=0.001)
    net = population(neurons)
    with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(500)
        gain, bias = sim.data[net.ensembles[0]].gain, sim.data[net.ensembles[0]].bias
    with nengo.Network(seed=0) as inputs:
        node = nengo.Node(nengo.processes.WhiteSignal(1, 20, rms=4, seed=0))
        current = nengo.Probe(node)
    with nengo.Simulator(inputs, progress_bar=False, optimize=False) as reference:
        reference.run_steps(500)
    v, expected = np.zeros(N), np.zeros((500, N))
    for step, x in enumerate(reference.data[current]):
        v += 0.001 / 0.02 * (gain * x + bias - v)
        expected[step] = v > 1.5
        v[v > 1.5] = -0.25
    assert 50 < expected.sum()
    assert np.array_equal(sim.data[net.outs[0]], expected)


@pytest.mark.parametrize(
    "tau_rc", [0.02, np.inf, np.where(np.arange(20) % 2, 0.02, np.inf)]
)
@pytest.mark.parametrize("reset, threshold", [(0, 1), (-1, 0.5)])
def test_gain_bias_is_the_inverse_of_max_rates_intercepts(tau_rc, reset, threshold):
    neurons = nengo_dl.ResetLIF(tau_rc, reset, threshold)
    max_rates, intercepts = np.linspace(20, 400, 20), np.linspace(-0.9, 0.8, 20)
    gain, bias = neurons.gain_bias(max_rates, intercepts)
    found = neurons.max_rates_intercepts(gain, bias)
    np.testing.assert_allclose(found[0], max_rates)
    np.testing.assert_allclose(found[1], intercepts)
    x = np.stack([intercepts - 1e-6, intercepts + 0.1])
    silent, active = neurons.rates(x, gain, bias)
    assert not np.any(silent) and np.all(active > 0)


@pytest.mark.parametrize("tau_rc", [0.02, np.inf])
def test_rates_are_those_of_short_steps(tau_rc):
    neurons = nengo_dl.ResetLIF(tau_rc, -0.2, 0.8, amplitude=0.5, method="exact")
    J = np.linspace(0, 6, 13)
    voltage, output, total = np.zeros(13), np.zeros(13), np.zeros(13)
    dt = 1e-5
    for _ in range(100_000):
        neurons.step(dt, J, output, voltage)
        total += output * dt
    rates = neurons.rates(np.zeros(1), np.ones(13), J)[0]
    np.testing.assert_allclose(total, rates, atol=0.51, rtol=0.01)


def test_zero_reset_has_the_gains_and_rates_of_lif_without_refractory_period():
    lif, reset_lif = nengo.LIF(tau_ref=0), nengo_dl.ResetLIF()
    args = np.linspace(50, 300, 7), np.linspace(-0.9, 0.9, 7)
    np.testing.assert_allclose(lif.gain_bias(*args), reset_lif.gain_bias(*args))
    gain, bias = lif.gain_bias(*args)
    x = np.linspace(-1, 1, 30)
    np.testing.assert_allclose(
        lif.rates(x, gain, bias), reset_lif.rates(x, gain, bias), rtol=1e-9
    )


def test_leaky_integrators_settle_at_their_rates():
    neurons = nengo_dl.LeakyIntegrator(0.01, amplitude=0.5)
    gain, bias = neurons.gain_bias([10, 20], [-0.5, 0.2])
    np.testing.assert_allclose(neurons.max_rates_intercepts(gain, bias)[0], [10, 20])
    np.testing.assert_allclose(neurons.max_rates_intercepts(gain, bias)[1], [-0.5, 0.2])
    J = gain * 0.7 + bias
    voltage, output = np.zeros(2), np.zeros(2)
    for _ in range(1000):
        neurons.step(0.001, J, output, voltage)
    np.testing.assert_allclose(output, neurons.rates([0.7], gain, bias)[0])


def test_an_ensemble_of_reset_lif_neurons_represents_its_input():
    with nengo.Network(seed=1) as net:
        node = nengo.Node([0.5])
        ens = nengo.Ensemble(200, 1, neuron_type=nengo_dl.ResetLIF(method="exact"))
        nengo.Connection(node, ens)
        probe = nengo.Probe(ens, synapse=0.03)
    with nengo_dl.Simulator(net, progress_bar=False, dt=1e-4) as sim:
        sim.run(0.3)
    assert abs(sim.data[probe][-500:].mean() - 0.5) < 0.03


# -- gradients


def step_outputs(neurons, J, n_steps, how=None):
    """Return a function of currents to the outputs of some steps, summed."""
    op = sim_neurons(neurons, J.shape[1])
    training = None if how is None else (lambda op: how)
    config = BuildConfig(0.001, np.dtype(float), training=training)
    builder = find_builder(op).build([op], config)
    n_states = len(builder.state_sets(op))

    def outputs(J):
        state = [tf.zeros_like(J)] * n_states
        total = tf.zeros_like(J)
        for _ in range(n_steps):
            output, *new = builder.step([J], state).sets
            if n_states:
                state = [old if n is None else n for n, old in zip(new, state)]
            total += output
        return total

    return outputs


@pytest.mark.parametrize(
    "neurons, smoothing",
    [
        (nengo_dl.ResetLIF(0.03, -0.5, 1.5), None),
        (nengo_dl.ResetLIF(), 0.2),
        (nengo_dl.ResetLIF(np.inf), None),
        (nengo_dl.ResetLIF(np.where(np.arange(40) % 2, 0.02, np.inf)), None),
        (nengo_dl.CubaLIF(0.01), None),
        (nengo_dl.CubaLIF(0.01, np.inf), 0.1),
        (nengo_dl.LeakyIntegrator(0.01), None),
        (nengo_dl.LeakyIntegrator(np.inf), None),
    ],
)
def test_gradients_in_training_equal_finite_differences(neurons, smoothing):
    how = nengo_dl.builders.build_config.NeuronTraining(smoothing=smoothing)
    J = tf.constant(np.linspace(-3, 20, 40)[None])
    outputs = step_outputs(neurons, J, 5, how)
    with tf.GradientTape() as tape:
        tape.watch(J)
        total = outputs(J)
    difference = (outputs(J + 1e-6) - outputs(J - 1e-6)) / 2e-6
    np.testing.assert_allclose(
        tape.gradient(total, J), difference, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "neurons", [nengo_dl.ResetLIF(), nengo_dl.CubaLIF(), nengo_dl.Heaviside(1.0)]
)
def test_spikes_in_training_are_those_of_simulation_with_a_derivative(neurons):
    surrogate = nengo_dl.Surrogate("fast_sigmoid")
    how = nengo_dl.builders.build_config.NeuronTraining(surrogate=surrogate)
    J = tf.constant(np.linspace(-3, 30, 40)[None])
    outputs = step_outputs(neurons, J, 30, how)
    with tf.GradientTape() as tape:
        tape.watch(J)
        total = outputs(J)
    np.testing.assert_array_equal(total, step_outputs(neurons, J, 30)(J))
    gradient = tape.gradient(total, J).numpy()
    assert np.all(np.isfinite(gradient)) and np.any(gradient > 0)


def test_surrogate_derivative_of_one_step_is_that_of_the_distance():
    surrogate = nengo_dl.Surrogate("arctan", slope=2.0)
    how = nengo_dl.builders.build_config.NeuronTraining(surrogate=surrogate)
    neurons = nengo_dl.ResetLIF(0.02, reset=-1, threshold=3)
    J = tf.constant(np.linspace(-30, 90, 9)[None])
    outputs = step_outputs(neurons, J, 1, how)
    with tf.GradientTape() as tape:
        tape.watch(J)
        total = outputs(J)
    distance = (0.05 * J.numpy() - 3) / 4
    shape = 1 / (1 + (np.pi / 2 * 2 * distance) ** 2)
    expected = 1000 * shape / 4 * 0.05
    np.testing.assert_allclose(tape.gradient(total, J), expected)


@pytest.mark.parametrize("surrogate", [None, "fast_sigmoid"])
def test_networks_of_them_are_trained(surrogate):
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate=surrogate)
        node = nengo.Node(np.zeros(4))
        hidden = nengo.Ensemble(
            20,
            1,
            neuron_type=nengo_dl.ResetLIF(amplitude=0.001),
            gain=np.ones(20),
            bias=np.ones(20),
        ).neurons
        readout = nengo.Ensemble(
            2,
            1,
            neuron_type=nengo_dl.LeakyIntegrator(),
            gain=np.ones(2),
            bias=np.zeros(2),
        ).neurons
        nengo.Connection(node, hidden, transform=rng.normal(size=(20, 4)), synapse=None)
        nengo.Connection(
            hidden, readout, transform=rng.normal(size=(2, 20)), synapse=None
        )
        probe = nengo.Probe(readout)
    inputs = {node: rng.uniform(size=(8, 15, 4))}
    targets = {probe: np.ones((8, 15, 2)) * [0.3, -0.2]}
    with nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as sim:
        before = sim.loss(inputs, targets, "mse")
        sim.train(inputs, targets, tf.keras.optimizers.Adam(0.05), n_epochs=60)
        assert sim.loss(inputs, targets, "mse") < 0.3 * before


# -- values that cannot be


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nengo_dl.ResetLIF(0), "tau_rc: must be above 0; got 0.0"),
        (lambda: nengo_dl.ResetLIF([0.1, np.nan]), "tau_rc: must be above 0; got nan"),
        (
            lambda: nengo_dl.CubaLIF(np.inf),
            "tau_syn: must be above 0 and finite; got inf",
        ),
        (lambda: nengo_dl.ResetLIF(reset=np.inf), "reset: must be finite; got inf"),
        (lambda: nengo_dl.ResetLIF(reset=1), "reset: must be below the threshold"),
        (
            lambda: nengo_dl.ResetLIF(reset=[0, 0], threshold=[1, 1, 1]),
            "reset: has 2 numbers, and 'threshold' 3",
        ),
        (lambda: nengo_dl.ResetLIF("fast"), "tau_rc: must be a number or an array"),
        (
            lambda: nengo_dl.ResetLIF([[0.1]]),
            r"tau_rc: must be a number, or .* \(1, 1\)",
        ),
        (lambda: nengo_dl.ResetLIF(method="midpoint"), "method: .*midpoint"),
        (lambda: nengo_dl.LeakyIntegrator(amplitude=0), "amplitude: "),
    ],
)
def test_invalid_parameters_raise(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


@pytest.mark.parametrize(
    "neurons", [nengo_dl.ResetLIF([0.1, 0.2, 0.3]), nengo_dl.Heaviside([1, 2, 3])]
)
def test_number_of_values_must_be_that_of_neurons(neurons):
    with pytest.raises(
        ValidationError, match="has 3 numbers, for a population of 4 neurons"
    ):
        neurons.make_state(4)


def test_integrators_have_no_rates():
    neurons = nengo_dl.LeakyIntegrator(np.inf)
    for call in (
        lambda: neurons.rates([0], [1], [0]),
        lambda: neurons.gain_bias([1], [0]),
    ):
        with pytest.raises(ValidationError, match="integrators do not settle"):
            call()


def test_arrays_are_compared_hashed_and_pickled():
    a, b = nengo_dl.ResetLIF([0.1, 0.2]), nengo_dl.ResetLIF(np.array([0.1, 0.2]))
    assert a == b and hash(a) == hash(b)
    assert a != nengo_dl.ResetLIF([0.1, 0.3]) and a != nengo_dl.ResetLIF(0.1)
    assert pickle.loads(pickle.dumps(a)) == a
    with pytest.raises(ValueError, match="read-only"):
        a.tau_rc[0] = 1
