"""LIF neurons by hand in TensorFlow, for the sides that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

__all__ = ["lif_rates", "lif_spikes"]


def lif_rates(J: tf.Tensor, problem: Any) -> tf.Tensor:
    """Return the rates of LIF neurons, times their amplitude.

    Parameters
    ----------
    J : tf.Tensor
        Currents.
    problem : Problem
        With the constants of the neurons as attributes.

    Returns
    -------
    tf.Tensor
        Like the currents.
    """
    active = J > 1
    drive = tf.where(active, J - 1, tf.ones_like(J))
    period = problem.tau_ref + problem.tau_rc * tf.math.log1p(1 / drive)
    return tf.where(active, problem.amplitude / period, tf.zeros_like(J))


def lif_spikes(J: tf.Tensor, state: Sequence[tf.Tensor], problem: Any):
    """Return spikes of LIF neurons after one step, with a surrogate derivative.

    Parameters
    ----------
    J : tf.Tensor
        Currents.
    state : pair of tf.Tensor
        Voltage, and refractory time in seconds, before the step.
    problem : Problem
        With the constants of the neurons as attributes.

    Returns
    -------
    spikes : tf.Tensor
        Amplitude divided by the time step, or zero.
    state : pair of tf.Tensor
        After the step.
    """

    @tf.custom_gradient
    def heaviside(x):
        slope = problem.slope
        return tf.cast(x > 0, x.dtype), lambda d: d / (1 + slope * tf.abs(x)) ** 2

    voltage, refractory = state
    refractory -= problem.dt
    delta_t = tf.clip_by_value(problem.dt - refractory, 0, problem.dt)
    voltage -= (J - voltage) * tf.math.expm1(-delta_t / problem.tau_rc)
    spikes = heaviside(voltage - 1)
    spiked = voltage > 1
    x = tf.where(spiked, (voltage - 1) / tf.where(spiked, J - 1, 1.0), 0.0)
    t_spike = problem.dt + problem.tau_rc * tf.math.log1p(-x)
    voltage = tf.where(spiked, 0.0, tf.maximum(voltage, 0))
    refractory = tf.where(spiked, problem.tau_ref + t_spike, refractory)
    return spikes * (problem.amplitude / problem.dt), (voltage, refractory)
