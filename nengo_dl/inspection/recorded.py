"""What was recorded of neurons and Nodes, summed up over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.base import ObjView
from nengo.builder import Model
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_number

from nengo_dl.events import EventArray
from nengo_dl.inspection.histories import ProbeHistory

__all__ = ["Recorded", "first_step", "probes_of_neurons", "record_of"]


@dataclass(frozen=True, eq=False)
class Recorded:
    """Values of a probe, or of several, over all steps and items.

    Attributes
    ----------
    mean : (size,) ndarray
        Mean of each value.
    n_active : (size,) ndarray of int
        How often each was not zero.
    count : int
        Number of steps times number of items.
    n_items : int
        Number of items.
    level : float or None
        Magnitude of all values that are not zero, 0.0 if there are none; None if they
        differ.
    """

    mean: np.ndarray
    n_active: np.ndarray
    count: int
    n_items: int
    level: float | None

    @classmethod
    def joined(cls, parts: Iterable[Recorded]) -> Recorded:
        """Return what several probes recorded, of the same steps, side by side."""
        parts = list(parts)
        levels = {part.level for part in parts} - {0.0}
        return cls(
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.n_active for part in parts]),
            parts[0].count,
            parts[0].n_items,
            next(iter(levels), 0.0) if len(levels) < 2 else None,
        )


def first_step(start: Any, dt: float, n_steps: int) -> int:
    """Return how many steps to leave out at the beginning.

    Parameters
    ----------
    start : float
        What to leave out, in seconds.
    dt : float
        Length of a step.
    n_steps : int
        Number of steps that were simulated.

    Raises
    ------
    ValidationError
        If it is no number of seconds, or nothing would be left.
    """
    if not is_number(start) or not 0 <= start < np.inf:
        raise ValidationError(
            f"Must be a number of seconds that is not negative (got {start!r})",
            attr="start",
        )
    first = round(start / dt)
    if n_steps <= first:
        raise ValidationError(
            f"There are no steps to look at: {n_steps} were simulated, and the first "
            f"{first} are left out. Run the simulator first, or longer",
            attr="start",
        )
    return first


def probes_of_neurons(
    histories: Mapping[nengo.Probe, ProbeHistory],
) -> dict[nengo.Ensemble, list[nengo.Probe]]:
    """Return the probes to use for each ensemble: one of all neurons, or of parts.

    Parameters
    ----------
    histories : mapping of {Probe: ProbeHistory}
        Recorded values.
    """
    found: dict[nengo.Ensemble, list[nengo.Probe]] = {}
    for probe, history in histories.items():
        if not (
            isinstance(probe.obj, Neurons)
            and probe.attr in ("output", "spikes", "rates")
            and probe.synapse is None
            and not history.only_last
        ):
            continue
        if probe.sample_every is not None and probe.obj.ensemble.neuron_type.spiking:
            # neurons that fire regularly can do so between all samples
            continue
        probes = found.setdefault(probe.obj.ensemble, [])
        if not isinstance(probe.target, ObjView):
            probes[:] = [probe]
        elif not any(_overlap(probe, other) for other in probes):
            probes.append(probe)
    return found


def _overlap(probe: nengo.Probe, other: nengo.Probe) -> bool:
    numbers = np.arange(probe.obj.size_out)
    return bool(np.intersect1d(numbers[probe.slice], numbers[other.slice]).size)


def record_of(
    model: Model, probe: nengo.Probe, history: ProbeHistory, n_steps: int, first: int
) -> Recorded:
    """Sum up what a probe recorded after some step.

    Parameters
    ----------
    model : Model
        What Nengo built.
    probe : Probe
        A probe of one axis.
    history : ProbeHistory
        Its values.
    n_steps : int
        Number of steps that were simulated.
    first : int
        Number of steps to leave out.

    Raises
    ------
    ValidationError
        If nothing was recorded after that step.
    """
    period = 1.0 if probe.sample_every is None else probe.sample_every / model.dt
    steps = np.arange(1, n_steps + 1)
    steps = steps[steps % period < 1]
    n_kept = len(history)
    # the data may have been cleared meanwhile
    begin = int(np.searchsorted(steps[len(steps) - n_kept :], first, side="right"))
    if begin >= n_kept:
        raise ValidationError(
            f"{probe} has recorded nothing in the time that is looked at. Run the "
            "simulator first, or longer",
            attr="start",
        )
    values = history.array()
    if isinstance(values, EventArray):
        values = values.window(begin)
        *_, places = values.indices()
        active = np.bincount(places, minlength=values.shape[-1])
        others = values.values
    else:
        values = values[..., begin:, :]
        active = np.count_nonzero(values, axis=tuple(range(values.ndim - 1)))
        others = values[values != 0]
    magnitudes = np.abs(others)
    level: float | None = float(magnitudes[0]) if len(magnitudes) else 0.0
    if (magnitudes != level).any():
        level = None
    n_items = values.shape[0] if history.minibatched else 1
    return Recorded(
        values.mean(axis=tuple(range(values.ndim - 1))),
        active,
        n_items * values.shape[-2],
        n_items,
        level,
    )
