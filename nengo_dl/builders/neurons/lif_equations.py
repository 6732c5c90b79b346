"""The equations of leaky integrate-and-fire neurons as functions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nengo_dl.builders.kernels import kept_apart
from nengo_dl.builders.neurons.equations import Parameter, constant, rounded_product
from nengo_dl.compiler.polynomials import evaluate
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "LIFParameters",
    "adaptation_step",
    "lif_rates",
    "lif_step",
    "soft_lif_rates",
]


def lif_rates(
    J: tf.Tensor, tau_rc: Parameter, tau_ref: Parameter, amplitude: Parameter
) -> tf.Tensor:
    r"""Return the steady firing rates of leaky integrate-and-fire neurons.

    Parameters
    ----------
    J : tf.Tensor
        Input currents, shape ``(batch, n_neurons)``.
    tau_rc : float or tf.Tensor
        Membrane time constants, in seconds.
    tau_ref : float or tf.Tensor
        Refractory periods, in seconds.
    amplitude : float or tf.Tensor
        Scale of the output.

    Returns
    -------
    tf.Tensor
        Rates in Hz times the amplitude, of the shape of ``J``.

    Notes
    -----
    .. math::

        r(J) = \begin{cases}
            \dfrac{a}{\tau_{ref} + \tau_{rc} \log(1 + \frac{1}{J - 1})} & J > 1 \\
            0 & \text{otherwise} \end{cases}
        \qquad
        r'(J) = \frac{\tau_{rc}}{a} \, \frac{r}{J - 1} \, \frac{r}{J}

    The derivative is written out because the one that automatic differentiation finds
    has intermediate results that overflow for large currents in single precision.
    """

    @tf.custom_gradient
    def rates(currents):
        active, drive = _above_threshold(currents)
        rate = amplitude / (tau_ref + tau_rc * tf.math.log1p(1 / drive))

        def gradient(upstream):
            # computed anew from `J`, so that it can be differentiated again; the
            # compiler shares the common part
            _, drive = _above_threshold(J)
            rate = lif_rates(J, tau_rc, tau_ref, amplitude)
            slope = (rate / drive) * (rate / (drive + 1)) * (tau_rc / amplitude)
            return upstream * slope

        return tf.where(active, rate, constant(0, J)), gradient

    return rates(J)


def soft_lif_rates(
    J: tf.Tensor,
    tau_rc: Parameter,
    tau_ref: Parameter,
    amplitude: Parameter,
    sigma: Parameter,
) -> tf.Tensor:
    r"""Return LIF firing rates with a smoothed threshold.

    Parameters
    ----------
    J : tf.Tensor
        Input currents, shape ``(batch, n_neurons)``.
    tau_rc, tau_ref, amplitude : float or tf.Tensor
        As in `lif_rates`.
    sigma : float or tf.Tensor
        Width of the smoothed threshold.

    Returns
    -------
    tf.Tensor
        Rates in Hz times the amplitude, of the shape of ``J``.

    Notes
    -----
    The current above the threshold in `lif_rates` is replaced by a softplus [1]_,

    .. math::

        j(J) = \sigma \log\left(1 + e^{(J - 1) / \sigma}\right), \qquad
        r = \frac{a}{\tau_{ref} + \tau_{rc} \log(1 + 1 / j)}

    Far below the threshold :math:`1 / j` overflows; there
    :math:`\log(1 + 1 / j) = -\log j` is used, which is exact to rounding.

    References
    ----------
    .. [1] E. Hunsberger, C. Eliasmith. Spiking deep networks with LIF neurons.
       arXiv:1510.08829, 2015.
    """
    sigma = constant(sigma, J)

    def parts(currents):
        z = (currents - 1) / sigma
        far = z < _FAR_BELOW
        j = sigma * tf.nn.softplus(tf.where(far, constant(_FAR_BELOW, J), z))
        log = tf.where(far, -z - tf.math.log(sigma), tf.math.log1p(1 / j))
        return z, far, j, amplitude / (tau_ref + tau_rc * log)

    @tf.custom_gradient
    def rates(currents):
        def gradient(upstream):
            # computed anew from `J`, so that it can be differentiated again
            z, far, j, rate = parts(J)
            inner = tf.where(far, 1 / sigma, tf.sigmoid(z) / j)
            return upstream * rate * rate * (tau_rc / amplitude) * inner / (1 + j)

        return parts(currents)[-1], gradient

    return rates(J)


#: Where ``exp(z)`` is below the rounding of 1 + exp(z) even in double precision.
_FAR_BELOW = -40.0


def _above_threshold(J: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which currents are above 1, and by how much (1 for the others)."""
    active = J > 1
    return active, tf.where(active, J - 1, constant(1, J))


@dataclass(frozen=True)
class LIFParameters:
    """What `lif_step` needs to know about the neurons.

    Attributes
    ----------
    dt : float
        Length of a time step, in seconds.
    tau_rc, inverse_tau_rc : float or tf.Tensor
        Membrane time constants, in seconds, and their inverses.
    tau_ref : float or tf.Tensor
        Refractory periods, in seconds.
    min_voltage : float or tf.Tensor
        Lowest membrane voltages, ``-inf`` for none.
    spike_function : callable, optional
        Differentiable step function of the voltage above the threshold. Default: spikes
        are booleans.
    series : tuple of tuple of float, optional
        Results of `decay_series` for the largest ``dt / tau_rc``, and of `atanh_series`
        for the hyperbolic tangent of half of it. They may only be given if no voltage
        is above 1 before a step. Default: use library functions.
    voltage_apart : bool
        Whether a kernel of its own computes the voltages that are compared with the
        threshold. It pays for many neurons, whose state does not stay in the cache.
    """

    dt: float
    tau_rc: Parameter
    inverse_tau_rc: Parameter
    tau_ref: Parameter
    min_voltage: Parameter
    series: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    spike_function: Callable[[tf.Tensor], tf.Tensor] | None = None
    voltage_apart: bool = False


def lif_step(
    J: tf.Tensor,
    voltage: tf.Tensor,
    refractory_time: tf.Tensor,
    neurons: LIFParameters,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    r"""Advance leaky integrate-and-fire neurons by one time step.

    Parameters
    ----------
    J, voltage, refractory_time : tf.Tensor
        Input currents and the state before the step, shape ``(batch, n_neurons)``.
    neurons : LIFParameters
        Parameters of the neurons.

    Returns
    -------
    spiked : tf.Tensor
        Booleans, which neurons spike in this step; or the result of the neurons'
        ``spike_function``.
    voltage, refractory_time : tf.Tensor
        The state after the step.

    Notes
    -----
    With :math:`h = \delta_t / \tau_{rc}`, where :math:`\delta_t \le dt` is the part of
    the step outside of the refractory period,

    .. math::

        v \leftarrow v + (J - v)(1 - e^{-h}), \qquad
        t_{spike} = dt + \tau_{rc} \log\left(1 - \frac{v - 1}{J - 1}\right)

    A voltage of at most 1 can only pass 1 if :math:`J > 1`, and then
    :math:`0 < (v - 1) / (J - 1) \le 1 - e^{-dt / \tau_{rc}}`: the ranges of both
    functions are known when the model is built, and short series do. For
    :math:`x = -(v - 1) / (J - 1)`, the argument :math:`x / (2 + x)` of the
    second series takes the same single division as :math:`x`, and lies within
    :math:`\pm \tanh(dt / 2 \tau_{rc})`.

    On the XLA CPU backend (one core, 100,000 neurons) a step takes 0.8 ns per neuron
    with the series and 3.3 with the library functions in single precision, 1.9 and 10
    in double precision. About half of the gain is due to the voltage change ending in
    a division, so that it is computed once and not again for each result.

    XLA divides a kernel among threads if it has more operations than bytes to read and
    write, from some 800 neurons on, although handing out the parts then takes longer
    than the computation. The refractory time stays just below that.

    What the results share, up to that division, has a kernel of its own. Each result
    then reads the old voltage, too, of which XLA makes a copy. With ``voltage_apart``,
    the shared kernel writes the new voltage before it is reset, and nothing else is
    needed of the old one: 10 passes over the population instead of 14, and what spikes
    are multiplied with reads one array instead of two.
    """
    dt, zero, one = constant(neurons.dt, J), constant(0, J), constant(1, J)
    refractory_time = refractory_time - dt
    delta_t = tf.clip_by_value(dt - refractory_time, zero, dt)
    h = delta_t * neurons.inverse_tau_rc
    if neurons.series is None:
        voltage += rounded_product(J - voltage, -tf.math.expm1(-h))
    else:
        series = 0.5 * h + evaluate(neurons.series[0], h * h)
        voltage += ((J - voltage) * h) / series
    if neurons.voltage_apart:
        voltage = kept_apart(voltage)

    spiked = voltage > one
    # both branches of every selection stay finite, or gradients would not be
    overshoot = tf.where(spiked, voltage - one, zero)
    if neurons.series is None:
        earlier = neurons.tau_rc * _log1p_of_spikes(spiked, overshoot, J - one)
    else:
        denominator = tf.where(spiked, 2 * (J - one) - overshoot, one)
        # a product with the reciprocal: XLA would store a quotient that is used twice
        s = overshoot * (one / denominator)
        earlier = s * _scaled(-2 * neurons.tau_rc, neurons.series[1], s * s)
    refractory_end = (neurons.tau_ref + neurons.dt) + earlier
    spikes = spiked
    if neurons.spike_function is not None:
        spikes = neurons.spike_function(voltage - one)

    if not (
        isinstance(neurons.min_voltage, float) and np.isneginf(neurons.min_voltage)
    ):
        min_voltage = constant(neurons.min_voltage, J)
        voltage = tf.where(voltage < min_voltage, min_voltage, voltage)
    return (
        spikes,
        tf.where(spiked, zero, voltage),
        tf.where(spiked, refractory_end, refractory_time),
    )


def _scaled(factor: Parameter, series: Sequence[float], x: tf.Tensor) -> Parameter:
    """Return a multiple of a series, without multiplying if the factor is known."""
    if isinstance(factor, float):
        return evaluate([factor * coefficient for coefficient in series], x)
    return factor * evaluate(series, x)


def _log1p_of_spikes(
    spiked: tf.Tensor, overshoot: tf.Tensor, drive: tf.Tensor
) -> tf.Tensor:
    """Return ``log1p(-overshoot / drive)`` where neurons spiked, whatever the range.

    The argument is -1 if the membrane is so fast that it reaches its target within the
    step, or less by rounding, or anything at all if the voltage was above 1 from the
    start. Nengo's result is then minus infinity (no refractory time is left) or NaN,
    which would silence the neuron for good; here always the former.
    """
    one, zero = constant(1, drive), constant(0, drive)
    divisible = spiked & (drive != 0)
    x = -overshoot / tf.where(divisible, drive, one)
    inside = (x > -one) & (divisible | ~spiked)
    # selected before, too, so that gradients stay finite
    return tf.where(
        inside, tf.math.log1p(tf.where(inside, x, zero)), constant(-np.inf, drive)
    )


def adaptation_step(
    adaptation: tf.Tensor, output: tf.Tensor, dt_over_tau_n: Parameter, inc_n: Parameter
) -> tf.Tensor:
    r"""Return the adaptation state after a step with the given output.

    Parameters
    ----------
    adaptation : tf.Tensor
        State before the step, shape ``(batch, n_neurons)``.
    output : tf.Tensor
        Rates or spikes of this step.
    dt_over_tau_n : float or tf.Tensor
        Length of the step divided by the time constants of adaptation.
    inc_n : float or tf.Tensor
        Increments of adaptation per spike.

    Returns
    -------
    tf.Tensor
        State after the step.

    Notes
    -----
    .. math:: n \leftarrow n + \frac{dt}{\tau_n} (inc_n \, r - n)

    References
    ----------
    .. [1] G. La Camera et al. Minimal models of adapted neuronal response to in
       vivo-like input currents. Neural Computation 16(10), 2004, 2101-2124.
    """
    return adaptation + dt_over_tau_n * (inc_n * output - adaptation)
