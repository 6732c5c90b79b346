"""The equations of Nengo's neuron types (`nengo.neurons`) as functions of tensors.

Parameters are Python floats where all neurons agree, else tensors of shape
``(1, n_neurons)``. Two properties of compiled code shape the formulas:

- XLA contracts ``a * b + c`` into one rounding. Where spikes depend on the sum reaching
  a threshold exactly (ten times 0.1), or errors grow, that moves spikes; see
  `rounded_product`.
- On a CPU, XLA writes one result per kernel and recomputes what results share, except
  for expensive instructions, such as a division; see `kept_apart`, and `lif_step` in
  ``lif_equations.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from nengo_dl.builders.kernels import kept_apart
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "Parameter",
    "constant",
    "integrate_and_fire_step",
    "izhikevich_step",
    "leaky_drive",
    "rounded_product",
    "stochastic_rounding",
]

#: A number for all neurons, or one for each, shape ``(1, n_neurons)``.
Parameter: TypeAlias = Any  # float | tf.Tensor, which has no types


def rounded_product(a: tf.Tensor, b: Parameter) -> tf.Tensor:
    """Return a product that is rounded before anything else is done with it.

    Parameters
    ----------
    a : tf.Tensor
        First factor.
    b : float or tf.Tensor
        Second factor.

    Returns
    -------
    tf.Tensor
        ``a * b``.

    Notes
    -----
    The selection changes no value. It keeps the compiler from contracting the product
    with a following addition, and from multiplying the constants of successive products
    first; both skip a rounding that NumPy does.
    """
    return tf.where(a == a, a * b, a)


def constant(value: Parameter, like: tf.Tensor) -> tf.Tensor:
    """Return a parameter as a tensor (`tf.where` does not convert Python floats).

    Parameters
    ----------
    value : float or tf.Tensor
        The parameter.
    like : tf.Tensor
        Tensor with the type to convert to.

    Returns
    -------
    tf.Tensor
        The parameter, with its own shape.
    """
    return tf.convert_to_tensor(value, dtype=like.dtype)


def leaky_drive(J: tf.Tensor, slope: Parameter) -> tf.Tensor:
    """Return currents, those that are not positive multiplied by a slope.

    Parameters
    ----------
    J : tf.Tensor
        Input currents, shape ``(batch, n_neurons)``.
    slope : float or tf.Tensor
        Factor for negative currents.

    Returns
    -------
    tf.Tensor
        ``J`` where it is above 0, else ``slope * J``.
    """
    return tf.where(J > 0, J, J * slope)


def integrate_and_fire_step(
    increment: tf.Tensor,
    voltage: tf.Tensor,
    floor: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Advance non-leaky integrate-and-fire neurons by one time step.

    Parameters
    ----------
    increment : tf.Tensor
        What the voltage gains in this step, shape ``(batch, n_neurons)``.
    voltage : tf.Tensor
        State before the step.
    floor : callable
        Rounds down; in training, with a derivative of its own.

    Returns
    -------
    n_spikes, voltage : tf.Tensor
        The number of spikes, whole but of the type of ``voltage``, and the state after
        the step.
    """
    voltage = voltage + increment
    n_spikes = floor(voltage)
    return n_spikes, voltage - n_spikes


def izhikevich_step(
    J: tf.Tensor,
    voltage: tf.Tensor,
    recovery: tf.Tensor,
    dt: float,
    tau_recovery: Parameter,
    coupling: Parameter,
    reset_voltage: Parameter,
    reset_recovery: Parameter,
    spike_function: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    r"""Advance Izhikevich neurons by one time step.

    Parameters
    ----------
    J, voltage, recovery : tf.Tensor
        Input currents and the state before the step, shape ``(batch, n_neurons)``.
    dt : float
        Length of the step, in seconds.
    tau_recovery, coupling, reset_voltage, reset_recovery : float or tf.Tensor
        Parameters of the neurons, *a* to *d* in [1]_.
    spike_function : callable, optional
        Differentiable step function of the voltage above the threshold, in multiples
        of 95 mV, the usual distance from reset to threshold. Default: spikes are
        booleans.

    Returns
    -------
    spiked : tf.Tensor
        Booleans, which neurons spike in this step, or the result of the function.
    voltage, recovery : tf.Tensor
        The state after the step.

    Notes
    -----
    In milliseconds, with currents below -30 clipped,

    .. math::

        \dot{v} = 0.04 v^2 + 5 v + 140 - u + J, \qquad \dot{u} = a (b v - u)

    and :math:`v \leftarrow c`, :math:`u \leftarrow u + d` when :math:`v \ge 30`. As in
    Nengo, :math:`u` follows the voltage that was already reset. Before a spike, errors
    grow up to ninefold in each step; products are therefore rounded as NumPy does.
    The change of the voltage is computed once, and not for each of the three results,
    whose kernels then are also too small for XLA to divide among threads (which takes
    4 µs, for 1,000 neurons ten times as long as the computation).

    References
    ----------
    .. [1] E. M. Izhikevich. Simple model of spiking neurons. IEEE Transactions on
       Neural Networks 14(6), 2003, 1569-1572.
    """
    J = tf.maximum(J, constant(-30, J))
    dv = rounded_product(voltage * voltage, 0.04) + rounded_product(voltage, 5)
    dv = rounded_product(dv + 140 - recovery + J, 1000)
    voltage = voltage + kept_apart(dv * dt)
    spikes = spiked = voltage >= 30
    if spike_function is not None:
        spikes = tf.where(spiked, constant(1, J), spike_function((voltage - 30) / 95))
    voltage = tf.where(spiked, constant(reset_voltage, J), voltage)
    du = rounded_product(voltage, coupling) - recovery
    du = rounded_product(rounded_product(du, tau_recovery), 1000)
    recovery = recovery + kept_apart(du * dt)
    return spikes, voltage, tf.where(spiked, recovery + reset_recovery, recovery)


def stochastic_rounding(
    rates: tf.Tensor, draws: tf.Tensor, dt: float, negative: bool
) -> tf.Tensor:
    """Return spike counts whose mean, over uniform draws, is the expected number.

    Parameters
    ----------
    rates : tf.Tensor
        Firing rates in Hz, shape ``(batch, n_neurons)``.
    draws : tf.Tensor
        Uniform random numbers in ``[0, 1)``, of the same shape.
    dt : float
        Length of the step, in seconds.
    negative : bool
        Whether rates below zero give negative spikes (else none).

    Returns
    -------
    tf.Tensor
        Whole numbers of spikes, of the type of ``rates``.
    """
    expected = rounded_product(tf.abs(rates) if negative else rates, dt)
    whole = tf.floor(expected)
    if not negative:
        # towards zero, should a base type break its promise
        whole = tf.where(expected < 0, tf.math.ceil(expected), whole)
    more = draws < tf.cast(expected - whole, draws.dtype)
    n_spikes = whole + tf.cast(more, rates.dtype)
    return n_spikes * tf.sign(rates) if negative else n_spikes
