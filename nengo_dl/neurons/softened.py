"""Rectified and leaky integrate-and-fire units whose threshold is softened."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from nengo.dists import Uniform
from nengo.neurons import LIFRate, RectifiedLinear

from nengo_dl.support.finite import FiniteParam

__all__ = ["LeakyReLU", "SoftLIFRate", "SpikingLeakyReLU", "soft_lif_rates"]

#: Where ``exp(z)`` is below the rounding of 1 + exp(z) even in double precision.
_FAR_BELOW = -40.0


def soft_lif_rates(
    J: np.ndarray, tau_rc: float, tau_ref: float, amplitude: float, sigma: float
) -> np.ndarray:
    """Return LIF firing rates with a smoothed threshold; see `SoftLIFRate`.

    Parameters
    ----------
    J : ndarray
        Input currents.
    tau_rc, tau_ref, amplitude, sigma : float
        Parameters of the neurons.

    Returns
    -------
    ndarray
        Rates in Hz times the amplitude, of the shape of ``J``.
    """
    z = (J - 1) / sigma
    far = z < _FAR_BELOW
    j = sigma * np.logaddexp(0, np.where(far, _FAR_BELOW, z))
    # where 1 / j would overflow, log(1 + 1 / j) is -log(j) to rounding
    log = np.where(far, -z - np.log(sigma), np.log1p(1 / j))
    return amplitude / (tau_ref + tau_rc * log)


class SoftLIFRate(LIFRate):
    r"""Rates of leaky integrate-and-fire neurons with a smoothed threshold.

    The derivative of LIF rates is infinite at the firing threshold and zero below,
    which hinders training; here it is finite and positive everywhere.

    Parameters
    ----------
    sigma : float
        Width of the smoothed threshold; the rates approach those of `nengo.LIFRate` as
        it goes to zero.
    tau_rc : float
        Membrane time constant, in seconds.
    tau_ref : float
        Refractory period, in seconds.
    amplitude : float
        Scale of the output.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables; there are none.

    Notes
    -----
    With the softplus function of the current above the threshold [1]_,

    .. math::

        j(J) = \sigma \log\left(1 + e^{(J - 1) / \sigma}\right), \qquad
        r = \frac{a}{\tau_{ref} + \tau_{rc} \log(1 + 1 / j)}

    References
    ----------
    .. [1] E. Hunsberger, C. Eliasmith. Spiking deep networks with LIF neurons.
       arXiv:1510.08829, 2015.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     ens = nengo.Ensemble(10, 1, neuron_type=nengo_dl.SoftLIFRate(sigma=0.1))
    """

    sigma: Any = FiniteParam("sigma", low=0, low_open=True)

    def __init__(
        self,
        sigma: float = 1.0,
        tau_rc: float = 0.02,
        tau_ref: float = 0.002,
        amplitude: float = 1,
        initial_state=None,
    ):
        super().__init__(
            tau_rc=tau_rc,
            tau_ref=tau_ref,
            amplitude=amplitude,
            initial_state=initial_state,
        )
        self.sigma = sigma

    def rates(self, x, gain, bias):
        """Return the firing rates for some inputs.

        Parameters
        ----------
        x : (n_samples,) or (n_samples, n_neurons) array_like
            Inputs, projected onto the encoders.
        gain, bias : (n_neurons,) array_like
            Gains and biases of the neurons.

        Returns
        -------
        (n_samples, n_neurons) ndarray
            Rates.
        """
        J = self.current(x, gain, bias)
        output = np.zeros_like(J)
        SoftLIFRate.step(self, dt=1, J=J, output=output)
        return output

    def step(self, dt, J, output):
        """Write the rates for the currents ``J`` to ``output``."""
        output[...] = soft_lif_rates(
            J, self.tau_rc, self.tau_ref, self.amplitude, self.sigma
        )


class LeakyReLU(RectifiedLinear):
    r"""Rectified linear units with a small slope below the threshold.

    Their gradient vanishes nowhere, so that training can wake units up that are silent
    for all inputs.

    Parameters
    ----------
    negative_slope : float
        Slope for negative currents, relative to that for positive ones; not negative.
    amplitude : float
        Scale of the output.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables.

    Notes
    -----
    With the slope :math:`\alpha` [1]_,

    .. math:: r = a \begin{cases} J & J > 0 \\ \alpha J & \text{otherwise} \end{cases}

    Gains and biases follow from maximal rates and intercepts as for
    `nengo.RectifiedLinear`: the intercept is where the rate becomes negative.

    References
    ----------
    .. [1] A. L. Maas, A. Y. Hannun, A. Y. Ng. Rectifier nonlinearities improve neural
       network acoustic models. ICML 2013.

    Examples
    --------
    >>> neurons = nengo_dl.LeakyReLU(negative_slope=0.1)
    >>> neurons.rates([-1, 0, 1], gain=[100], bias=[0]).ravel().tolist()
    [-10.0, 0.0, 100.0]
    """

    negative = True

    negative_slope: Any = FiniteParam("negative_slope", low=0)

    def __init__(
        self, negative_slope: float = 0.3, amplitude: float = 1, initial_state=None
    ):
        super().__init__(amplitude=amplitude, initial_state=initial_state)
        self.negative_slope = negative_slope

    def step(self, dt, J, output):
        """Write the rates for the currents ``J`` to ``output``."""
        output[...] = self.amplitude * self._drive(J)

    def _drive(self, J: np.ndarray) -> np.ndarray:
        return np.where(J > 0, J, self.negative_slope * J)


class SpikingLeakyReLU(LeakyReLU):
    r"""Integrate-and-fire neurons without leak that spike both ways.

    They spike as `nengo.SpikingRectifiedLinear` neurons do where their current is
    positive, and with spikes of negative sign, at a rate that is smaller by a factor,
    where it is negative.

    Parameters
    ----------
    negative_slope : float
        Rate for negative currents, relative to that for positive ones; not negative.
    amplitude : float
        Scale of the output: a spike in a step of length ``dt`` is ``amplitude / dt``.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables, ``"voltage"``.

    Notes
    -----
    With the rates :math:`r` of `LeakyReLU` for amplitude 1,

    .. math::

        v \leftarrow v + r \, dt, \qquad
        n = \lfloor v \rfloor, \qquad
        v \leftarrow v - n

    and the output is :math:`a n / dt`. The voltage stays between 0 and 1, so the number
    of spikes of any period is within one of the integral of the rate.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     neurons = nengo.Ensemble(
    ...         1, 1, neuron_type=nengo_dl.SpikingLeakyReLU(0.1), gain=[1], bias=[0]
    ...     ).neurons
    ...     _ = nengo.Connection(nengo.Node([-100]), neurons, synapse=None)
    ...     probe = nengo.Probe(neurons)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run(1)
    >>> sim.data[probe].mean()  # Hz: 0.1 times the current
    np.float64(-10.0)
    """

    state: ClassVar[dict] = {"voltage": Uniform(low=0, high=1)}
    spiking = True

    def rates(self, x, gain, bias):
        """Return the firing rates for some inputs.

        Parameters
        ----------
        x : (n_samples,) or (n_samples, n_neurons) array_like
            Inputs, projected onto the encoders.
        gain, bias : (n_neurons,) array_like
            Gains and biases of the neurons.

        Returns
        -------
        (n_samples, n_neurons) ndarray
            Rates, negative for negative spikes.
        """
        return self.amplitude * self._drive(self.current(x, gain, bias))

    def step(self, dt, J, output, voltage):
        """Write the spikes for the currents ``J`` to ``output``; advance the state."""
        voltage += self._drive(J) * dt
        n_spikes = np.floor(voltage)
        output[...] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
