"""Membranes as other frameworks simulate them: one update, one comparison a step.

Nengo's own LIF neurons find when within a step a spike happens. Most other simulators,
and the equations of NIR, compare the voltage with the threshold at the end of the step
and reset it. These types do that, so that networks can be exchanged spike for spike.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from nengo.dists import Choice
from nengo.exceptions import ValidationError
from nengo.neurons import NeuronType
from nengo.params import EnumParam

from nengo_dl.neurons.parameters import (
    Numbers,
    PerNeuronParam,
    advance,
    check_sizes,
    fit,
    membrane_factor,
    retained,
)
from nengo_dl.support.finite import FiniteParam

__all__ = ["CubaLIF", "LeakyIntegrator", "ResetLIF"]


class _Membrane(NeuronType):
    """What types with a membrane share: its time constant, and how it is advanced."""

    tau_rc: Any = PerNeuronParam("tau_rc", positive=True, infinite=True)
    amplitude: Any = FiniteParam("amplitude", low=0, low_open=True)
    method = EnumParam("method", values=("euler", "exact"))

    def __init__(self, tau_rc: Any, amplitude: float, method: str, initial_state: Any):
        super().__init__(initial_state)
        self.tau_rc = tau_rc
        self.amplitude = amplitude
        self.method = method

    def make_state(self, n_neurons, rng=np.random, dtype=None):
        """Return initial values of the state; see `nengo.neurons.NeuronType`."""
        check_sizes(self, n_neurons)
        return super().make_state(n_neurons, rng=rng, dtype=dtype)

    def _factor(self, dt: float) -> Numbers:
        return membrane_factor(self.tau_rc, dt, self.method)


class ResetLIF(_Membrane):
    r"""Leaky integrate-and-fire neurons that are reset at the end of a step.

    They are cheaper than `nengo.LIF`, which finds when within the step a neuron
    spikes, and are what NIR and most frameworks for spiking networks simulate.

    Parameters
    ----------
    tau_rc : float or (n_neurons,) array_like
        Membrane time constants, in seconds. Infinite ones make integrate-and-fire
        neurons without leak.
    reset : float or (n_neurons,) array_like
        Voltage after a spike, below the threshold.
    threshold : float or (n_neurons,) array_like
        Voltage above which a neuron spikes.
    amplitude : float
        Scale of the output: a spike in a step of length ``dt`` is ``amplitude / dt``.
    method : "euler" or "exact"
        How the equation of the membrane is solved: as most frameworks do, or exactly
        for currents that are constant within a step.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables, ``"voltage"``; by default 0.

    Notes
    -----
    With :math:`f = dt / \tau_{rc}` or :math:`f = 1 - e^{-dt / \tau_{rc}}`,

    .. math::

        v \leftarrow v + f (J - v), \qquad
        s = [v > v_{threshold}], \qquad
        v \leftarrow v_{reset} \text{ where } s

    and the output is :math:`a s / dt`. Without leak, :math:`v \leftarrow v + J \, dt`.
    Rates, for which gains, biases and decoders are found, and which stand for spikes in
    training, are those of short steps,

    .. math::

        r = \frac{a}{\tau_{rc} \log \frac{J - v_{reset}}{J - v_{threshold}}}
        \text{ where } J > v_{threshold}

    References
    ----------
    .. [1] J. E. Pedersen et al. Neuromorphic intermediate representation: A unified
       instruction set for interoperable brain-inspired computing. Nature Communications
       15, 2024, 8122.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     neurons = nengo.Ensemble(
    ...         1, 1, neuron_type=nengo_dl.ResetLIF(), gain=[1], bias=[2]
    ...     ).neurons
    ...     probe = nengo.Probe(neurons)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run(0.1)
    >>> np.flatnonzero(sim.data[probe]).tolist()  # every 14 steps
    [13, 27, 41, 55, 69, 83, 97]
    """

    state: ClassVar[dict] = {"voltage": Choice([0.0])}
    negative = False
    spiking = True

    reset: Any = PerNeuronParam("reset")
    threshold: Any = PerNeuronParam("threshold")

    def __init__(
        self,
        tau_rc: float | np.ndarray = 0.02,
        reset: float | np.ndarray = 0.0,
        threshold: float | np.ndarray = 1.0,
        amplitude: float = 1,
        method: str = "euler",
        initial_state=None,
    ):
        super().__init__(tau_rc, amplitude, method, initial_state)
        self.reset = reset
        self.threshold = threshold
        try:
            span = np.subtract(self.threshold, self.reset)
        except ValueError as error:
            raise ValidationError(
                f"has {np.size(self.reset)} numbers, and 'threshold' "
                f"{np.size(self.threshold)}",
                attr="reset",
                obj=self,
            ) from error
        if not np.all(span > 0):
            raise ValidationError(
                "must be below the threshold, or neurons would never stop spiking",
                attr="reset",
                obj=self,
            )

    def gain_bias(self, max_rates, intercepts):
        """Return gains and biases for maximal rates (Hz) and intercepts."""
        max_rates = np.atleast_1d(np.asarray(max_rates, dtype=float))
        intercepts = np.atleast_1d(np.asarray(intercepts, dtype=float))
        span = np.subtract(self.threshold, self.reset)
        finite = np.isfinite(self.tau_rc)
        tau_rc = np.where(finite, self.tau_rc, 1.0)
        with np.errstate(over="ignore"):  # of neurons that spike nearly never
            above = span / np.expm1(1 / (max_rates * tau_rc))
        low = np.where(finite, self.threshold, 0.0)
        top = np.where(finite, low + above, max_rates * span)
        gain = (top - low) / (1 - intercepts)
        return gain, low - gain * intercepts

    def max_rates_intercepts(self, gain, bias):
        """Return maximal rates and intercepts; the inverse of `gain_bias`."""
        gain, bias = np.asarray(gain, dtype=float), np.asarray(bias, dtype=float)
        low = np.where(np.isfinite(self.tau_rc), self.threshold, 0.0)
        return self._rates_of(gain + bias), (low - bias) / gain

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
            Rates in Hz times the amplitude.
        """
        return self.amplitude * self._rates_of(self.current(x, gain, bias))

    def _rates_of(self, J: np.ndarray) -> np.ndarray:
        span = np.subtract(self.threshold, self.reset)
        finite = np.isfinite(self.tau_rc)
        j = (J - self.threshold) / span
        active = j > 0
        with np.errstate(over="ignore"):  # just above the threshold, the rate is zero
            period = np.log1p(1 / np.where(active, j, 1.0))
        leaky = active / (np.where(finite, self.tau_rc, 1.0) * period)
        return np.where(finite, leaky, np.maximum(J, 0) / span)

    def step(self, dt, J, output, voltage):
        """Write the spikes for the currents ``J`` to ``output``; advance the state."""
        advance(voltage, J, self._factor(dt), retained(self.tau_rc))
        spiked = voltage > fit(self.threshold, J.shape[-1])
        output[...] = spiked * (self.amplitude / dt)
        np.copyto(voltage, fit(self.reset, J.shape[-1]), where=spiked)


class CubaLIF(ResetLIF):
    r"""Leaky integrate-and-fire neurons with a synapse of their own, without delay.

    The input current is filtered before it reaches the membrane: the current-based
    neurons of NIR. Unlike a `nengo.Lowpass` synapse, the filter shows a change of its
    input in the same step.

    Parameters
    ----------
    tau_syn : float or (n_neurons,) array_like
        Time constants of the synaptic current, in seconds.
    tau_rc, reset, threshold, amplitude, method
        As for `ResetLIF`; ``method`` holds for the current, too.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables, ``"voltage"`` and ``"current"``; by
        default 0.

    Notes
    -----
    With :math:`g = dt / \tau_{syn}` or :math:`g = 1 - e^{-dt / \tau_{syn}}`,

    .. math:: i \leftarrow i + g (J - i)

    and :math:`i` takes the place of :math:`J` in the equations of `ResetLIF`. The
    bias of an ensemble is part of :math:`J`.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     ens = nengo.Ensemble(10, 1, neuron_type=nengo_dl.CubaLIF(tau_syn=0.01))
    """

    state: ClassVar[dict] = {"voltage": Choice([0.0]), "current": Choice([0.0])}

    tau_syn: Any = PerNeuronParam("tau_syn", positive=True)

    def __init__(
        self,
        tau_syn: float | np.ndarray = 0.005,
        tau_rc: float | np.ndarray = 0.02,
        reset: float | np.ndarray = 0.0,
        threshold: float | np.ndarray = 1.0,
        amplitude: float = 1,
        method: str = "euler",
        initial_state=None,
    ):
        super().__init__(tau_rc, reset, threshold, amplitude, method, initial_state)
        self.tau_syn = tau_syn

    def step(self, dt, J, output, voltage, current):
        """Write the spikes for the currents ``J`` to ``output``; advance the state."""
        advance(current, J, membrane_factor(self.tau_syn, dt, self.method), 1.0)
        super().step(dt, current, output, voltage)


class LeakyIntegrator(_Membrane):
    r"""Membranes that do not spike; the voltage is the output.

    As the last layer of a spiking network they make smooth outputs of spikes. Unlike
    a `nengo.Lowpass` synapse, they show a change of their input in the same step.

    Parameters
    ----------
    tau_rc : float or (n_neurons,) array_like
        Time constants, in seconds. Infinite ones make integrators.
    amplitude : float
        Scale of the output.
    method : "euler" or "exact"
        How the equation of the membrane is solved.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables, ``"voltage"``; by default 0.

    Notes
    -----
    With :math:`f = dt / \tau_{rc}` or :math:`f = 1 - e^{-dt / \tau_{rc}}`,
    :math:`v \leftarrow v + f (J - v)`, and the output is :math:`a v`. Without leak,
    :math:`v \leftarrow v + J \, dt`. Rates are where the output settles; integrators
    have none.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     readout = nengo.Ensemble(
    ...         3, 1, neuron_type=nengo_dl.LeakyIntegrator(0.05), gain=np.ones(3),
    ...         bias=np.zeros(3)
    ...     ).neurons
    """

    state: ClassVar[dict] = {"voltage": Choice([0.0])}
    negative = True

    def __init__(
        self,
        tau_rc: float | np.ndarray = 0.02,
        amplitude: float = 1,
        method: str = "euler",
        initial_state=None,
    ):
        super().__init__(tau_rc, amplitude, method, initial_state)

    def gain_bias(self, max_rates, intercepts):
        """Return gains and biases for outputs at 1 and intercepts."""
        self._check_leak()
        max_rates = np.atleast_1d(np.asarray(max_rates, dtype=float))
        intercepts = np.atleast_1d(np.asarray(intercepts, dtype=float))
        gain = max_rates / (1 - intercepts)
        return gain, -gain * intercepts

    def max_rates_intercepts(self, gain, bias):
        """Return outputs at 1 and intercepts; the inverse of `gain_bias`."""
        gain, bias = np.asarray(gain, dtype=float), np.asarray(bias, dtype=float)
        return gain + bias, -bias / gain

    def rates(self, x, gain, bias):
        """Return where the output settles for some inputs.

        Parameters
        ----------
        x : (n_samples,) or (n_samples, n_neurons) array_like
            Inputs, projected onto the encoders.
        gain, bias : (n_neurons,) array_like
            Gains and biases of the neurons.

        Returns
        -------
        (n_samples, n_neurons) ndarray
            Outputs.
        """
        self._check_leak()
        return self.amplitude * self.current(x, gain, bias)

    def _check_leak(self) -> None:
        if np.any(np.isinf(self.tau_rc)):
            raise ValidationError(
                "integrators do not settle, so they have no rates from which gains, "
                "biases or decoders could be found; give the ensemble gain and bias, "
                "and connect from its neurons",
                attr="tau_rc",
                obj=self,
            )

    def step(self, dt, J, output, voltage):
        """Write the voltages to ``output`` after advancing them by a step."""
        advance(voltage, J, self._factor(dt), retained(self.tau_rc))
        output[...] = self.amplitude * voltage
