"""Synapses: parity with nengo's steps, state included, and gradients."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal

from nengo_dl.builders import BuildConfig, find_builder, processes
from nengo_dl.support import tuning
from nengo_dl.synapses import Delay
from tests.builders.harness import check_parity, random_inputs

DT = 0.001


def make_op(process, shape, mode="update", dt=DT):
    """Return an operator as nengo's builder makes it."""
    shape = (shape,) if isinstance(shape, int) else shape
    sig_in, sig_out = Signal(shape=shape), Signal(shape=shape)
    state = process.make_state(shape, shape, dt, dtype=sig_out.dtype)
    return SimProcess(
        process,
        sig_in,
        sig_out,
        Signal(np.array(0.0)),
        mode=mode,
        state={name: Signal(value) for name, value in state.items()},
    )


HIGHPASS = nengo.LinearFilter([0.01, 0], [0.01, 1])
THIRD_ORDER = nengo.LinearFilter([1], np.poly([-100, -50, -20]) / 1e5)
DISCRETE = nengo.LinearFilter([0.2, 0.1], [1, -0.5, 0.1], analog=False)

GROUPS = {
    "lowpass_equal": [(nengo.Lowpass(0.005), 3), (nengo.Lowpass(0.005), 2)],
    "lowpass_mixed": [(nengo.Lowpass(0.005), 3), (nengo.Lowpass(0.1), (2, 4))],
    "lowpass_scalar": [(nengo.Lowpass(0.01), 1)],
    "passthrough": [(nengo.Lowpass(0), 3), (nengo.LinearFilter([2], [1]), 5)],
    "alpha": [(nengo.Alpha(0.005), 3), (nengo.Alpha(0.1), 3)],
    "alpha_ragged": [
        (nengo.Alpha(0.005), 3),
        (nengo.Alpha(0.1), (2, 3)),
        (nengo.Alpha(0.1), 6),
        (nengo.Alpha(0.02), 1),
    ],
    "feedthrough_first_order": [(HIGHPASS, 4), (nengo.Lowpass(0.01), 2)],
    "feedthrough_uniform": [(HIGHPASS, 4), (HIGHPASS, (1, 2))],
    "feedthrough_second_order": [
        (nengo.LinearFilter([1e-4, 0, 1], [1e-4, 0.02, 1]), 2),
        (nengo.Alpha(0.01), 3),
    ],
    "third_order": [(THIRD_ORDER, (2, 2, 2)), (THIRD_ORDER, 1)],
    "discrete": [(DISCRETE, 3), (DISCRETE, 2)],
    "bilinear": [
        (nengo.LinearFilter([1], [0.01, 1], method="bilinear"), 3),
        (nengo.LinearFilter([1], [0.02, 1], method="bilinear"), 3),
    ],
    "triangle": [(nengo.synapses.Triangle(0.005), 3), (nengo.Triangle(0.0052), 3)],
    "triangle_single_tap": [(nengo.synapses.Triangle(0), 2)],
    "delay": [(Delay(0.004), 3), (Delay(0.004), 3)],
    "delay_of_one_step": [(Delay(0.001), 3), (Delay(0.0004), 3)],
    "delay_of_each_element": [
        (Delay([0.002, 0.005, 0.001]), 3),
        (Delay([0.005, 0.003, 0.004]), 3),
    ],
    "triangle_2d": [(nengo.synapses.Triangle(0.003), (2, 3))],
}


@pytest.mark.parametrize("mode", ["update", "set", "inc"])
@pytest.mark.parametrize("name", GROUPS)
def test_synapses_match_nengo_in_all_modes(name, mode):
    if mode == "inc" and ("feedthrough" in name or name == "bilinear"):
        pytest.skip("nengo's step gives the increment a superfluous axis and fails")
    ops = [make_op(process, shape, mode) for process, shape in GROUPS[name]]
    check_parity(ops, random_inputs(), batch=3)


@pytest.mark.parametrize("name", GROUPS)
def test_synapses_match_nengo_without_xla_and_batch(name):
    ops = [make_op(process, shape) for process, shape in GROUPS[name]]
    check_parity(ops, random_inputs(), jit_compile=False)


@pytest.mark.parametrize("name", GROUPS)
def test_synapses_match_nengo_in_single_precision(name):
    ops = [make_op(process, shape) for process, shape in GROUPS[name]]
    check_parity(ops, random_inputs(), dtype=np.float32, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dt", [0.0001, 0.01])
def test_synapses_depend_on_the_time_step(dt):
    ops = [make_op(nengo.Alpha(0.02), size, dt=dt) for size in (2, 5)]
    check_parity(ops, random_inputs(), dt=dt)


def test_many_differently_sized_alpha_filters_use_gathers():
    ops = [
        make_op(nengo.Alpha(0.001 * (1 + i)), 1 + i % 5)
        for i in range(2 * tuning.MOST_SLICED_RUNS)
    ]
    builder = find_builder(ops[0])(ops, BuildConfig(DT, np.dtype(np.float64)))
    assert builder.gathers is not None
    check_parity(ops, random_inputs(), batch=3)


def test_lowpass_returns_one_tensor_for_output_and_state():
    ops = [make_op(nengo.Lowpass(tau), 3) for tau in (0.01, 0.02)]
    builder = find_builder(ops[0])(ops, BuildConfig(DT, np.dtype(np.float64)))
    zeros = tf.zeros((1, 6), tf.float64)
    output, state = builder.step([zeros], [zeros, zeros]).updates
    assert output is state


def test_order_and_mode_keep_filters_apart():
    key = processes.LinearFilterBuilder.merge_key
    lowpass = make_op(nengo.Lowpass(0.1), 2)
    assert key(lowpass) == key(make_op(nengo.Lowpass(0.2), 3))
    assert key(lowpass) != key(make_op(nengo.Alpha(0.1), 2))
    assert key(lowpass) != key(make_op(nengo.Lowpass(0.1), 2, mode="set"))


def test_synapse_with_another_step_is_not_covered():
    class Custom(nengo.Lowpass):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t, x: x

    assert find_builder(make_op(Custom(0.1), 2)) is None


@pytest.mark.parametrize(
    "process", [nengo.Lowpass(0.005), nengo.Alpha(0.005), nengo.Triangle(0.003)]
)
def test_gradient_matches_finite_differences(process):
    op = make_op(process, 2)
    builder = find_builder(op)([op], BuildConfig(DT, np.dtype(np.float64)))
    flat = builder.flat(op)
    shapes = [(1, sig.size) if flat else (1, 1, *sig.shape) for sig in op.updates]

    def loss(u):
        state = [tf.zeros(shape, tf.float64) for shape in shapes]
        total = tf.constant(0.0, tf.float64)
        for n in range(5):
            state = builder.step([u * (n + 1)], state).updates
            total += tf.reduce_sum(state[0] ** 2)
        return total

    u = tf.constant([[0.3, -0.7]], tf.float64)
    u = u if flat else u[:, None]
    theoretical, numerical = tf.test.compute_gradient(loss, [u])
    np.testing.assert_allclose(theoretical[0], numerical[0], rtol=1e-5)
