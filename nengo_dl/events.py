"""Spikes as events instead of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

__all__ = ["spike_times"]


def spike_times(data: Any, dt: float = 0.001) -> list:
    """Return when neurons spiked.

    Parameters
    ----------
    data : array_like, shape (n_steps, n_neurons) or (minibatch, n_steps, n_neurons)
        What a probe of neurons recorded in each step, from the start of a simulation.
    dt : float
        Time from one row of the data to the next, in seconds.

    Returns
    -------
    list of ndarray, or list of list of ndarray
        For each neuron, the times of the steps in which it spiked, in seconds; with a
        minibatch, such a list for each item. Several spikes in a step are one time.

    Raises
    ------
    ValidationError
        If the data has another number of axes, or ``dt`` is not above zero.

    Examples
    --------
    >>> spikes = [[0, 1000], [1000, 0], [0, 1000]]
    >>> [times.round(3).tolist() for times in nengo_dl.spike_times(spikes)]
    [[0.002], [0.001, 0.003]]
    """
    data = np.asarray(data)
    if data.ndim not in (2, 3):
        raise ValidationError(
            "must have the axes (steps, neurons) or (items, steps, neurons); got the "
            f"shape {data.shape}",
            attr="data",
        )
    if not 0 < dt < np.inf:
        raise ValidationError(f"must be above 0; got {dt}", attr="dt")
    if data.ndim == 3:
        return [spike_times(item, dt) for item in data]
    neurons, steps = np.nonzero(data.T)
    ends = np.searchsorted(neurons, np.arange(1, data.shape[1]))
    return np.split((steps + 1) * dt, ends) if data.shape[1] else []
