"""Neuron builders against the steps of Nengo's neuron types."""

from typing import ClassVar

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.neurons import SimNeurons
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError

from nengo_dl.builders import BuildConfig, find_builder
from nengo_dl.builders.neurons import lif_equations
from nengo_dl.builders.neurons.lif import LIFBuilder
from nengo_dl.builders.neurons.spiking import StochasticRoundingBuilder
from nengo_dl.compiler.operators import StochasticRounding
from nengo_dl.neurons import (
    CubaLIF,
    Heaviside,
    LeakyIntegrator,
    LeakyReLU,
    ResetLIF,
    SpikingLeakyReLU,
)
from nengo_dl.support import tuning
from tests.builders.harness import check_parity

#: Two parameter sets of each type, and the range of its input.
TYPES = {
    nengo.RectifiedLinear: ([{}, {"amplitude": 0.3}], (-2, 2)),
    nengo.SpikingRectifiedLinear: ([{}, {"amplitude": 0.3}], (-500, 2500)),
    LeakyReLU: (
        [{}, {"amplitude": 0.3, "negative_slope": 0.1}, {"negative_slope": 0}],
        (-2, 2),
    ),
    SpikingLeakyReLU: (
        [{}, {"amplitude": 0.3, "negative_slope": 0.1}, {"negative_slope": 0}],
        (-2500, 2500),
    ),
    nengo.Sigmoid: ([{}, {"tau_ref": 0.01}], (-20, 20)),
    nengo.Tanh: ([{}, {"tau_ref": 0.01}], (-5, 5)),
    nengo.LIFRate: (
        [{}, {"tau_rc": 0.05, "tau_ref": 0, "amplitude": 0.1}],
        (-2, 10),
    ),
    nengo.LIF: (
        [
            {},
            {"tau_rc": 0.05, "tau_ref": 0, "amplitude": 0.1, "min_voltage": -0.5},
            {"tau_ref": 0.0037, "min_voltage": -np.inf},
        ],
        (-4, 10),
    ),
    nengo.AdaptiveLIFRate: ([{}, {"tau_n": 0.1, "inc_n": 0.05}], (-2, 10)),
    nengo.AdaptiveLIF: (
        [{}, {"tau_n": 0.1, "inc_n": 0.05, "tau_rc": 0.03, "min_voltage": -1}],
        (-2, 10),
    ),
    nengo.Izhikevich: (
        [
            {},
            {"reset_voltage": -50, "reset_recovery": 2},
            {"tau_recovery": 0.1, "coupling": 0.26},
        ],
        (-40, 30),
    ),
    ResetLIF: (
        [
            {},
            {"tau_rc": 0.05, "reset": -0.5, "threshold": 2, "amplitude": 0.1},
            {"tau_rc": 0.0005, "method": "exact"},
        ],
        (-4, 10),
    ),
    CubaLIF: (
        [
            {},
            {"tau_syn": 0.02, "reset": 0.2, "amplitude": 0.1, "method": "exact"},
            {"tau_rc": 0.003, "threshold": 0.5},
        ],
        (-4, 10),
    ),
    LeakyIntegrator: (
        [{}, {"tau_rc": 0.05, "amplitude": 0.1}, {"tau_rc": 0.1, "method": "exact"}],
        (-4, 10),
    ),
    Heaviside: ([{}, {"threshold": -0.5, "amplitude": 0.1}], (-2, 2)),
}
RATE_TYPES = [
    neuron_type
    for neuron_type in TYPES
    if not neuron_type.spiking
    and neuron_type not in (nengo.AdaptiveLIFRate, LeakyIntegrator, Heaviside)
]


def sim_neurons(neurons, n_neurons, seed=0):
    """Make the operator that Nengo would build for a population."""
    state = neurons.make_state(n_neurons, rng=np.random.RandomState(seed))
    return SimNeurons(
        neurons,
        Signal(np.zeros(n_neurons), name="J"),
        Signal(np.zeros(n_neurons), name="output"),
        state={name: Signal(value, name=name) for name, value in state.items()},
    )


def merged(variants, sizes=(7, 40, 1, 12)):
    """Make operators of different sizes that go through the parameter sets."""
    return [
        sim_neurons(variants[i % len(variants)], size, seed=i)
        for i, size in enumerate(sizes)
    ]


def slow_input(low, high):
    """Return inputs that are mostly constant for a while, and differ between items."""

    def inputs(signal, step, item):
        rng = np.random.RandomState([step // 7, item, signal.size])
        currents = rng.uniform(low, high, size=signal.shape)
        currents[:: 3 + step % 5] = high
        return currents

    return inputs


def output_of(neurons, J, dtype, **kwargs):
    """Return the output of a builder without state, and its gradient."""
    op = sim_neurons(neurons, np.size(J))
    builder = find_builder(op)([op], BuildConfig(dt=0.001, dtype=np.dtype(dtype)))
    J = tf.constant(np.reshape(J, (1, -1)), dtype=dtype)
    with tf.GradientTape() as tape:
        tape.watch(J)
        (output,) = builder.step([J], []).sets
    return output.numpy()[0], tape.gradient(output, J).numpy()[0]


@pytest.mark.parametrize("jit_compile", [True, False], ids=["jit", "graph"])
@pytest.mark.parametrize("neuron_type", TYPES, ids=lambda t: t.__name__)
def test_merged_populations_equal_nengo(neuron_type, jit_compile):
    variants, (low, high) = TYPES[neuron_type]
    ops = merged([neuron_type(**kwargs) for kwargs in variants])
    check_parity(
        ops,
        slow_input(low, high),
        n_steps=300,
        batch=3,
        rtol=1e-11,
        atol=1e-12,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize("neuron_type", [nengo.LIF, nengo.AdaptiveLIF])
def test_steps_of_many_neurons_are_those_of_few_to_the_last_bit(
    neuron_type, monkeypatch
):
    variants, (low, high) = TYPES[neuron_type]
    ops = merged([neuron_type(**kwargs) for kwargs in variants])
    inputs = slow_input(low, high)

    def spikes_and_state():
        builder = find_builder(ops[0])(ops, BuildConfig(dt=0.001, dtype=np.float64))

        @tf.function(jit_compile=True)
        def step(J, *state):
            return builder.step([J], state).sets

        names = builder.state_names
        state = [
            np.concatenate([op.state[name].initial_value for op in ops])[None]
            for name in names
        ]
        rows = []
        for number in range(200):
            J = np.concatenate([inputs(op.J, number, 0) for op in ops])[None]
            sets = step(J, *state)
            state = [sets[index] for index in builder.state_sets(ops[0])]
            rows.append(np.stack([sets[0], *state]))
        return builder.lif.voltage_apart, np.array(rows)

    is_apart, few = spikes_and_state()
    monkeypatch.setattr(tuning, "MANY_NEURONS", sum(op.J.size for op in ops))
    is_apart_now, many = spikes_and_state()
    assert (is_apart, is_apart_now) == (False, True)
    np.testing.assert_array_equal(many, few)
    assert 0 < np.count_nonzero(few[:, 0]) < few[:, 0].size


@pytest.mark.parametrize("neuron_type", TYPES, ids=lambda t: t.__name__)
def test_equal_parameters_equal_nengo(neuron_type):
    variants, (low, high) = TYPES[neuron_type]
    for kwargs in variants:
        ops = merged([neuron_type(**kwargs)], sizes=(5, 20))
        check_parity(ops, slow_input(low, high), n_steps=60, rtol=1e-11)


@pytest.mark.parametrize("neuron_type", TYPES, ids=lambda t: t.__name__)
def test_edge_inputs_equal_nengo(neuron_type):
    edges = np.array(
        [0, -0.0, 1, -1, 1 - 1e-15, 1 + 1e-15, 1.01, -30, 50, 100, 250, 1000, 1e6, -1e6]
    )
    if neuron_type is nengo.Sigmoid:
        edges = np.maximum(edges, -700)  # NumPy warns of the overflow
    variants, _ = TYPES[neuron_type]
    for kwargs in variants:
        op = sim_neurons(neuron_type(**kwargs), edges.size)
        check_parity([op], lambda *_: edges, n_steps=150, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rate", [100, 125, 200, 300, 1000, 1500])
@pytest.mark.parametrize("jit_compile", [True, False], ids=["jit", "graph"])
def test_voltages_that_reach_a_whole_number_spike_when_they_do_in_nengo(
    rate, jit_compile
):
    # ten times 0.1 is less than 1 if each sum is rounded, and not if products are exact
    start = {"voltage": np.zeros(16)}
    for neurons in (
        nengo.SpikingRectifiedLinear(initial_state=start),
        nengo.RegularSpiking(nengo.RectifiedLinear(), initial_state=start),
        SpikingLeakyReLU(negative_slope=1, initial_state=start),
    ):
        check_parity(
            [sim_neurons(neurons, 16)],
            lambda *_: np.full(16, rate),
            n_steps=60,
            rtol=0,
            atol=0,
            jit_compile=jit_compile,
        )


@pytest.mark.parametrize("jit_compile", [True, False], ids=["jit", "graph"])
@pytest.mark.parametrize("base", [nengo.RectifiedLinear(), nengo.Tanh()])
def test_regular_spiking_equals_nengo(base, jit_compile):
    ops = merged([nengo.RegularSpiking(base), nengo.RegularSpiking(base, 0.2)])
    check_parity(
        ops,
        slow_input(-700 * base.negative, 2500),
        n_steps=300,
        batch=3,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize("jit_compile", [True, False], ids=["jit", "graph"])
@pytest.mark.parametrize("base", [nengo.RectifiedLinear(), nengo.Tanh()])
def test_stochastic_rounding_equals_nengo(base, jit_compile):
    ops = [
        StochasticRounding(
            nengo.StochasticSpiking(base, amplitude=amplitude),
            Signal(np.zeros(size), name="J"),
            Signal(np.zeros(size), name="draws"),
            Signal(np.zeros(size), name="output"),
        )
        for amplitude, size in ((1, 4), (0.2, 30))
    ]
    rng = np.random.RandomState(1)

    def inputs(signal, step, item):
        if signal.name == "draws":
            return rng.random_sample(signal.shape)
        # negative rates of a type that promises none, too
        rates = rng.uniform(-1500, 1500, size=signal.shape)
        rates[::4] = 1000
        return rates

    check_parity(
        ops, inputs, n_steps=100, batch=3, rtol=0, atol=1e-12, jit_compile=jit_compile
    )


def test_stochastic_rounding_of_both_signs_does_not_merge():
    signals = [Signal(np.zeros(3), name=name) for name in "abc"]
    keys = {
        StochasticRoundingBuilder.merge_key(
            StochasticRounding(nengo.StochasticSpiking(base), *signals)
        )
        for base in (nengo.RectifiedLinear(), nengo.Tanh())
    }
    assert len(keys) == 2


@pytest.mark.parametrize("dt_over_tau_rc", [10, 3, 1, 0.5, 0.05, 0.001])
@pytest.mark.parametrize("dt", [0.001, 0.01])
def test_lif_of_any_time_constant_equals_nengo(dt_over_tau_rc, dt):
    # slow membranes use short series, fast ones the library functions
    ops = merged([nengo.LIF(tau_rc=dt / dt_over_tau_rc, min_voltage=-1)])
    series = LIFBuilder(ops, BuildConfig(dt, np.dtype(float))).lif.series
    assert (series is None) == (dt_over_tau_rc >= 1)
    check_parity(ops, slow_input(-4, 10), n_steps=100, dt=dt, rtol=1e-9)


def test_lif_that_reaches_its_target_within_a_step_keeps_spiking():
    # Nengo has log1p(-1 or less by rounding) here; NaN silences some of its neurons
    op = sim_neurons(nengo.LIF(tau_rc=1e-5, tau_ref=0), 200)
    builder = find_builder(op)([op], BuildConfig(0.001, np.dtype(float)))
    step = tf.function(lambda *args: builder.step(*args).sets, jit_compile=True)
    J = tf.constant(np.random.RandomState(0).uniform(1.1, 50, size=(1, 200)))
    state = [tf.zeros((1, 200), tf.float64)] * 2
    for _ in range(20):
        spikes, *state = step([J], state)
        assert np.all(spikes.numpy() == 1000)
        assert not np.any(np.isnan(state))


def test_lif_that_starts_above_threshold_equals_nengo():
    voltage = np.linspace(0, 3, 50)
    op = sim_neurons(nengo.LIF(initial_state={"voltage": voltage}), 50)
    usual = sim_neurons(nengo.LIF(), 50)
    config = BuildConfig(0.001, np.dtype(float))
    assert LIFBuilder([op], config).lif.series is None
    assert LIFBuilder([usual], config).lif.series is not None
    assert LIFBuilder.merge_key(op) != LIFBuilder.merge_key(usual)
    currents = np.random.RandomState(0).uniform(-2, 0.9, size=50)
    currents[::2] += 40
    check_parity([op], lambda *_: currents, n_steps=50, rtol=1e-11)


def test_lif_that_starts_above_threshold_recovers_where_nengo_has_nan():
    start = {"voltage": np.full(4, 1.5)}
    op = sim_neurons(nengo.LIF(initial_state=start), 4)
    builder = find_builder(op)([op], BuildConfig(0.001, np.dtype(float)))
    state = [
        tf.fill((1, 4), tf.constant(1.5, tf.float64)),
        tf.zeros((1, 4), tf.float64),
    ]
    spikes, voltage, refractory_time = builder.step(
        [tf.constant([[1.0, 1.1, 1.3, 2.0]], tf.float64)], state
    ).sets
    assert np.all(spikes.numpy() == 1000)
    assert np.all(voltage.numpy() == 0)
    assert np.all(np.isneginf(refractory_time.numpy()[0, :3]))
    assert np.isfinite(refractory_time.numpy()[0, 3])


def test_izhikevich_equals_nengo_to_the_last_bit():
    variants, (low, high) = TYPES[nengo.Izhikevich]
    ops = merged([nengo.Izhikevich(**kwargs) for kwargs in variants])
    check_parity(ops, slow_input(low, high), n_steps=200, rtol=0, atol=0)


@pytest.mark.parametrize("neuron_type", TYPES, ids=lambda t: t.__name__)
def test_single_precision_stays_close_and_finite(neuron_type):
    variants, (low, high) = TYPES[neuron_type]
    n_neurons, n_steps, dt = 60, 400, 0.001
    neurons = neuron_type(**variants[-1])
    op = sim_neurons(neurons, n_neurons)
    builder_type = find_builder(op)
    builder = builder_type([op], BuildConfig(dt=dt, dtype=np.dtype(np.float32)))
    step = tf.function(lambda *args: builder.step(*args).sets, jit_compile=True)
    J = np.random.RandomState(3).uniform(low, high, size=n_neurons)
    state_idxs = builder_type.state_sets(op)
    initial = {i: op.sets[i].initial_value.copy() for i in state_idxs}
    state = [tf.constant(initial[i][None], tf.float32) for i in state_idxs]
    names = {index: name for name, index in op.state_idxs.items()}
    total, expected_total, expected = 0, 0, np.zeros(n_neurons)
    for _ in range(n_steps):
        sets = step([tf.constant(J[None], tf.float32)], state)
        state = [sets[i] for i in state_idxs]
        total += sets[0].numpy()[0]
        neurons.step(dt, J, expected, **{names[i]: initial[i] for i in state_idxs})
        expected_total += expected
        for tensor in sets:
            assert tensor.dtype == tf.float32
            assert np.all(np.isfinite(tensor))
    if neurons.spiking:  # one spike more or less
        atol = 1.01 * getattr(neurons, "amplitude", 1) / dt
        np.testing.assert_allclose(total, expected_total, rtol=0.01, atol=atol)
    else:
        np.testing.assert_allclose(total, expected_total, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("neuron_type", RATE_TYPES, ids=lambda t: t.__name__)
def test_gradients_of_rates_equal_finite_differences(neuron_type):
    J = np.concatenate([np.linspace(-3, 6, 50), [1.01, 1.1, 30, 200]])
    for kwargs in TYPES[neuron_type][0]:
        neurons = neuron_type(**kwargs)
        _, gradient = output_of(neurons, J, np.float64)
        h = 1e-6
        rates = np.zeros((2, J.size))
        neurons.step(0.001, J + h, rates[0])
        neurons.step(0.001, J - h, rates[1])
        difference = (rates[0] - rates[1]) / (2 * h)
        np.testing.assert_allclose(gradient, difference, rtol=1e-4, atol=1e-5)


def test_second_derivative_of_lif_rates_equals_finite_differences():
    def slope(J):
        with tf.GradientTape() as tape:
            tape.watch(J)
            rates = lif_equations.lif_rates(J, 0.02, 0.002, 1.5)
        return tape.gradient(rates, J)

    J = tf.constant(np.array([[-1.0, 0.5, 1.2, 2.0, 5.0, 30.0]]))
    for function in (slope, tf.function(slope)):
        with tf.GradientTape() as tape:
            tape.watch(J)
            first = function(J)
        second = tape.gradient(first, J).numpy()
        h = 1e-6
        difference = (slope(J + h) - slope(J - h)).numpy() / (2 * h)
        np.testing.assert_allclose(second, difference, rtol=1e-5, atol=1e-6)


def test_gradient_flows_through_adaptation():
    op = sim_neurons(nengo.AdaptiveLIFRate(tau_n=0.1, inc_n=0.05), 3)
    builder = find_builder(op)([op], BuildConfig(0.001, np.dtype(float)))

    def adaptation_after(J):
        state = tf.zeros((1, 3), tf.float64)
        for _ in range(3):
            _, state = builder.step([J], [state]).sets
        return state

    J = tf.constant([[0.5, 1.5, 4.0]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(J)
        total = adaptation_after(J)
    h = 1e-6
    difference = (adaptation_after(J + h) - adaptation_after(J - h)) / (2 * h)
    np.testing.assert_allclose(tape.gradient(total, J), difference, rtol=1e-5)


EXTREMES = np.array(
    [
        [-1e30, -1e9, -100, -1, -1e-30, 0, 1e-30, 0.5, 1 - 2**-24],
        [1, 1 + 2**-23, 1 + 2**-22, 1.0001, 2, 100, 1e4, 1e9, 1e30],
    ],
    dtype=np.float32,
).ravel()


@pytest.mark.parametrize("neuron_type", RATE_TYPES, ids=lambda t: t.__name__)
def test_rates_and_gradients_are_finite_in_single_precision(neuron_type):
    for kwargs in TYPES[neuron_type][0]:
        rates, gradient = output_of(neuron_type(**kwargs), EXTREMES, np.float32)
        assert np.all(np.isfinite(rates))
        assert np.all(np.isfinite(gradient))
        assert np.all(gradient >= 0)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["jit", "graph"])
@pytest.mark.parametrize("tau_rc", [0.02, 1e-3, 1e-5])
@pytest.mark.parametrize("tau_ref", [0.002, 0.0])
def test_gradients_of_lif_steps_are_finite_in_single_precision(
    tau_rc, tau_ref, jit_compile
):
    currents, voltages = np.meshgrid(EXTREMES, [-1e9, -1, 0, 0.5, 1 - 2**-24, 1])
    n_neurons = currents.size
    neurons = nengo.LIF(tau_rc=tau_rc, tau_ref=tau_ref, min_voltage=-np.inf)
    op = sim_neurons(neurons, n_neurons)
    builder = find_builder(op)([op], BuildConfig(0.001, np.dtype(np.float32)))

    @tf.function(jit_compile=jit_compile)
    def gradients(J, voltage, refractory_time):
        sources = [J, voltage, refractory_time]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            sets = builder.step([J], [voltage, refractory_time]).sets
            total = tf.add_n([tf.reduce_sum(x) for x in sets])
        return sets, tape.gradient(total, sources)

    for refractory_time in (0, 0.0007, 0.001, 0.005):
        values = (currents, voltages, np.full(n_neurons, refractory_time))
        sets, slopes = gradients(
            *[tf.constant(np.reshape(v, (1, -1)), tf.float32) for v in values]
        )
        finite = np.isfinite(sets[2].numpy())
        if tau_rc == 0.02:
            assert np.all(finite)
        # Nengo's own infinity, where the voltage reaches its target within the step
        assert np.all(np.isneginf(sets[2].numpy()[~finite]))
        for tensor in (*sets[:2], *slopes):
            assert np.all(np.isfinite(tensor))


def test_sizes_may_be_shared_by_the_batch():
    # constant currents come with a batch axis of 1
    op = sim_neurons(nengo.LIF(), 4)
    builder = find_builder(op)([op], BuildConfig(0.001, np.dtype(float), 3))
    state = [tf.zeros((3, 4), tf.float64)] * 2
    sets = builder.step([tf.ones((1, 4), tf.float64)], state).sets
    assert {tuple(s.shape) for s in sets} == {(3, 4)}


class SameLIF(nengo.LIF):
    """Computes what its base class does."""

    def gain_bias(self, max_rates, intercepts):
        return super().gain_bias(max_rates, intercepts)


class OtherLIF(nengo.LIF):
    """Computes something else."""

    def step(self, dt, J, output, voltage, refractory_time):
        super().step(dt, 2 * J, output, voltage, refractory_time)


class ForgetfulLIF(nengo.LIF):
    """Declares state that its step does not take."""

    state: ClassVar = {**nengo.LIF.state, "extra": nengo.dists.Choice([0])}


def test_subclasses_find_a_builder_unless_they_override_the_step():
    assert find_builder(sim_neurons(SameLIF(), 3)) is LIFBuilder
    assert find_builder(sim_neurons(OtherLIF(), 3)) is None
    check_parity([sim_neurons(SameLIF(), 9)], slow_input(-2, 8), n_steps=50)


def test_poisson_spiking_runs_on_the_host():
    neurons = nengo.PoissonSpiking(nengo.RectifiedLinear())
    state = neurons.make_state(3, rng=np.random.RandomState(0))
    signals = [Signal(np.zeros(3), name=name) for name in ("J", "output")]
    assert find_builder(SimNeurons(neurons, *signals, state=state)).is_callback


def test_state_that_the_step_does_not_take_raises():
    op = sim_neurons(ForgetfulLIF(), 3)
    with pytest.raises(BuildError, match=r"'extra'.*ForgetfulLIF\.step takes"):
        find_builder(op).merge_key(op)


def test_state_of_the_wrong_shape_raises():
    op = sim_neurons(nengo.LIF(initial_state={"voltage": np.zeros(5)}), 3)
    with pytest.raises(BuildError, match=r"'voltage' has shape \(5,\).*\(3,\)"):
        find_builder(op).merge_key(op)


def test_state_may_be_listed_in_any_order():
    op = sim_neurons(nengo.AdaptiveLIF(), 6)
    indices = dict(op.state_idxs)
    op.sets[1], op.sets[3] = op.sets[3], op.sets[1]
    op.state_idxs["voltage"], op.state_idxs["adaptation"] = (
        indices["adaptation"],
        indices["voltage"],
    )
    usual = sim_neurons(nengo.AdaptiveLIF(), 6)
    builder_type = find_builder(op)
    assert builder_type.merge_key(op) != builder_type.merge_key(usual)
    check_parity([op], slow_input(-2, 8), n_steps=100, rtol=1e-11)
