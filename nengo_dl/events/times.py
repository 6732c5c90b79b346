"""When neurons spiked."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.events.event_array import EventArray

__all__ = ["spike_times"]


def spike_times(data: Any, dt: float = 0.001) -> list:
    """Return when neurons spiked.

    Parameters
    ----------
    data : array_like, shape (n_steps, n_neurons) or (minibatch, n_steps, n_neurons)
        Data of a probe of neurons, from the start of a simulation. An `EventArray` is
        not converted to an array of all steps.
    dt : float
        Time from one row of the data to the next, in seconds.

    Returns
    -------
    list of ndarray, or list of list of ndarray
        For each neuron, the times of the steps in which it spiked, in seconds; with a
        minibatch, such a list for each item. Several spikes in a step give one time.

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
    if not isinstance(data, EventArray):
        data = np.asarray(data)
    if data.ndim not in (2, 3):
        raise ValidationError(
            "must have the axes (steps, neurons) or (items, steps, neurons); got the "
            f"shape {data.shape}",
            attr="data",
        )
    if not 0 < dt < np.inf:
        raise ValidationError(f"must be above 0; got {dt}", attr="dt")
    if isinstance(data, EventArray):
        indices = data.indices()
    else:
        indices = np.nonzero(data)
    n_neurons = data.shape[-1]
    if data.ndim == 2:
        return _by_neuron(indices[0], indices[1], n_neurons, dt)
    items, steps, neurons = indices
    return [
        _by_neuron(steps[items == item], neurons[items == item], n_neurons, dt)
        for item in range(data.shape[0])
    ]


def _by_neuron(
    steps: np.ndarray, neurons: np.ndarray, n_neurons: int, dt: float
) -> list[np.ndarray]:
    """Return the times of each neuron, from events in the order of time."""
    order = np.argsort(neurons, kind="stable")
    ends = np.searchsorted(neurons[order], np.arange(1, n_neurons))
    return np.split((steps[order] + 1) * dt, ends) if n_neurons else []
