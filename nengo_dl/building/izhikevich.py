"""Firing rates of Izhikevich neurons, simulated by a compiled function."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import nengo
import numpy as np

from nengo_dl.support.lazy_imports import tf

__all__ = ["BLOCK", "count_spikes"]

# Neurons that are simulated at once. Their state stays in the cache of one core: 1.2 ns
# for each neuron and step, against 1.5 to 2.3 ns for half and for four times as many.
BLOCK = 4096
# Nengo lets the neurons settle for one step, and then counts for one second.
N_STEPS = 1000


def count_spikes(J: np.ndarray, neurons: nengo.Izhikevich) -> np.ndarray:
    """Return how often neurons spike in one second, for constant currents.

    Parameters
    ----------
    J : numpy.ndarray
        Currents, float64, contiguous, of any shape. Overwritten.
    neurons : nengo.Izhikevich
        Parameters of the neurons.

    Returns
    -------
    numpy.ndarray
        The array ``J``, which now holds the numbers of spikes.

    Notes
    -----
    All operations and roundings are those of ``nengo.Izhikevich.step``, so the result
    is that of ``nengo.Izhikevich.rates`` to the last bit. Blocks of neurons are shared
    out among the processor's cores.
    """
    flat = J.reshape(-1)
    parameters = (
        0.0,
        0.001,
        1000.0,
        neurons.tau_recovery,
        neurons.coupling,
        neurons.reset_voltage,
        neurons.reset_recovery,
        0.04,
        5.0,
        140.0,
    )

    simulate = _compiled()

    def simulate_block(start: int) -> None:
        block = flat[start : start + BLOCK]
        currents = np.zeros(BLOCK)
        currents[: len(block)] = block
        with tf.device("/cpu:0"):  # of this thread
            counts = simulate(currents, *parameters)
        block[:] = counts.numpy()[: len(block)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(simulate_block, range(0, len(flat), BLOCK)))
    return J


@functools.cache
def _compiled() -> Callable[..., tf.Tensor]:
    scalar = tf.TensorSpec([], tf.float64)
    specs = [tf.TensorSpec([BLOCK], tf.float64), *[scalar] * 10]
    return tf.function(_simulate, jit_compile=True, input_signature=specs)


def _simulate(J, zero, dt, ms, a, b, c, d, quadratic, linear, constant):
    """Return the numbers of spikes (float64) of a block of neurons.

    The constants are arguments, and products have zero added, so that the compiler can
    neither multiply constants first nor leave out the rounding of a product that is
    followed by a sum. The state in the loop is the voltage before the reset, and the
    recovery variable one step behind: then neither of the two kernels repeats much of
    what the other one computes.
    """
    J = tf.maximum(J, -30.0)

    def advance_voltage(voltage, recovery):
        curve = (voltage * voltage * quadratic + zero) + (voltage * linear + zero)
        return voltage + ((curve + constant - recovery + J) * ms * dt + zero)

    def advance_recovery(raw_voltage, recovery):
        spiked = raw_voltage >= 30.0
        voltage = tf.where(spiked, c, raw_voltage)
        change = (voltage * b + zero - recovery) * a * ms
        recovery = recovery + (change * dt + zero)
        return spiked, voltage, tf.where(spiked, recovery + d, recovery)

    def step(i, raw_voltage, recovery, counts):
        spiked, voltage, recovery = advance_recovery(raw_voltage, recovery)
        counts = counts + tf.cast(spiked, tf.float64)
        return i + 1, advance_voltage(voltage, recovery), recovery, counts

    at_rest = tf.zeros_like(J)
    settling = advance_voltage(at_rest, at_rest)
    _, voltage, recovery = advance_recovery(settling, at_rest)
    return tf.while_loop(
        lambda i, *_: i < N_STEPS,
        step,
        (0, advance_voltage(voltage, recovery), recovery, at_rest),
    )[-1]
