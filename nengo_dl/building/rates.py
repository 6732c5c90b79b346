"""Firing rates of neurons, the same numbers as Nengo's in less time."""

from __future__ import annotations

import nengo
import numpy as np
from nengo.neurons import LIFRate, NeuronType

from nengo_dl.building.izhikevich import BLOCK, count_spikes

__all__ = ["neuron_rates"]

# Currents that are worked on at once: 0.5 MB of them, which stay in the cache.
N_CURRENTS = 65_536
# Below this number of neurons, Nengo's simulation takes less time than compiling ours.
MIN_SIMULATED = 4 * BLOCK
# Smaller than any current above the threshold of 1, and its inverse is finite.
TINY = 2.3e-308


def neuron_rates(
    neuron_type: NeuronType,
    x: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray,
    compiled: bool = True,
) -> np.ndarray:
    """Return firing rates, bit by bit those of ``neuron_type.rates``.

    Parameters
    ----------
    neuron_type : nengo.neurons.NeuronType
        Any neuron type. Those of Nengo with the rates of LIF or Izhikevich neurons are
        computed here; all others by their own method, as are types that override any
        method that matters.
    x : numpy.ndarray
        Inputs projected on encoders, shape ``(n_points, n_neurons)``.
    gain, bias : numpy.ndarray
        Parameters of the neurons, shape ``(n_neurons,)``.
    compiled : bool
        Whether XLA may be used.

    Returns
    -------
    numpy.ndarray
        Rates in Hz, of the shape of ``x``.

    Examples
    --------
    >>> from nengo_dl.building.rates import neuron_rates
    >>> x = np.linspace(-1, 1, 5)[:, None]
    >>> neuron_rates(nengo.LIF(), x, np.array([2.0]), np.array([1.0])).round(1)
    array([[ 0. ],
           [ 0. ],
           [ 0. ],
           [63. ],
           [98.9]])
    """
    kind = type(neuron_type)
    if kind.current is NeuronType.current:
        if kind.rates is LIFRate.rates:
            return _lif_rates(neuron_type, x, gain, bias)
        if (
            compiled
            and kind.rates is nengo.Izhikevich.rates
            and kind.step is nengo.Izhikevich.step
            and x.size >= MIN_SIMULATED
        ):
            return count_spikes(neuron_type.current(x, gain, bias), neuron_type)
    return neuron_type.rates(x, gain, bias)


def _lif_rates(
    neuron_type: LIFRate, x: np.ndarray, gain: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Return the rates of LIF neurons, a few rows of ``x`` after the other.

    Picking the currents above the threshold, as Nengo does, takes more time than
    computing with all of them; the rates of the others are multiplied by zero.
    """
    gain = np.asarray(gain, dtype=float)
    bias = np.asarray(bias, dtype=float)
    rates = np.empty(x.shape)
    n_rows = max(1, N_CURRENTS // max(1, x.shape[1]))
    for start in range(0, len(x), n_rows):
        rows = rates[start : start + n_rows]
        np.multiply(gain, x[start : start + n_rows], out=rows)
        rows += bias
        rows -= 1
        active = rows > 0
        np.fmax(rows, TINY, out=rows)
        np.divide(1.0, rows, out=rows)
        np.log1p(rows, out=rows)
        rows *= neuron_type.tau_rc
        rows += neuron_type.tau_ref
        np.divide(neuron_type.amplitude, rows, out=rows)
        rows *= active
    return rates
