"""Units that are on or off, without memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.neurons import NeuronType

from nengo_dl.neurons.parameters import PerNeuronParam, check_sizes, fit
from nengo_dl.support.finite import FiniteParam

__all__ = ["Heaviside"]


class Heaviside(NeuronType):
    r"""Units that are on while their current is above a threshold.

    Parameters
    ----------
    threshold : float or (n_neurons,) array_like
        Current above which a unit is on.
    amplitude : float
        Output of a unit that is on.
    initial_state : dict of {str: Distribution or array_like}, optional
        Initial values of state variables; there are none.

    Notes
    -----
    The output is :math:`a \, [J > \theta]`. In training, its derivative is a surrogate
    (see `nengo_dl.Surrogate`).

    Examples
    --------
    >>> nengo_dl.Heaviside().rates([0.5, 1.5], gain=[1], bias=[0]).ravel().tolist()
    [0.0, 1.0]
    """

    negative = False

    threshold: Any = PerNeuronParam("threshold")
    amplitude: Any = FiniteParam("amplitude", low=0, low_open=True)

    def __init__(
        self,
        threshold: float | np.ndarray = 1.0,
        amplitude: float = 1,
        initial_state=None,
    ):
        super().__init__(initial_state)
        self.threshold = threshold
        self.amplitude = amplitude

    def make_state(self, n_neurons, rng=np.random, dtype=None):
        """Return no state, after a look at the number of thresholds."""
        check_sizes(self, n_neurons)
        return super().make_state(n_neurons, rng=rng, dtype=dtype)

    def gain_bias(self, max_rates, intercepts):
        """Return gains of 1, and biases that put the threshold at the intercepts.

        The output has one height; maximal rates are not asked for.
        """
        intercepts = np.atleast_1d(np.asarray(intercepts, dtype=float))
        return np.ones_like(intercepts), self.threshold - intercepts

    def max_rates_intercepts(self, gain, bias):
        """Return the height of the output and the intercepts."""
        gain, bias = np.asarray(gain, dtype=float), np.asarray(bias, dtype=float)
        return np.full_like(gain, self.amplitude), (self.threshold - bias) / gain

    def step(self, dt, J, output):
        """Write the outputs for the currents ``J`` to ``output``."""
        output[...] = self.amplitude * (J > fit(self.threshold, J.shape[-1]))
