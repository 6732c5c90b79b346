"""Firing rates, measured from what probes of neurons recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import nengo
import numpy as np
from nengo.base import ObjView
from nengo.builder import Model
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_number

from nengo_dl.compiler.names import name_objects
from nengo_dl.inspection.data import ProbeHistory
from nengo_dl.inspection.spike_rates import EnsembleRates, SpikeRates

__all__ = ["measure_rates"]


def measure_rates(
    model: Model,
    histories: Mapping[nengo.Probe, ProbeHistory],
    n_steps: int,
    ensembles: Iterable[nengo.Ensemble] | nengo.Ensemble | None,
    start: float,
    saturation: float,
) -> SpikeRates:
    """Measure firing rates from what probes of neurons recorded.

    Parameters
    ----------
    model : Model
        What Nengo built.
    histories : dict of {Probe: ProbeHistory}
        Recorded values.
    n_steps : int
        Number of steps that were simulated.
    ensembles : Ensemble or iterable of Ensemble or None
        Which ensembles; None for all whose neurons are probed.
    start : float
        Time to leave out at the beginning, in seconds.
    saturation : float
        Share of the largest possible rate from which on a neuron counts as saturated.

    Returns
    -------
    SpikeRates
        One entry for each ensemble.

    Raises
    ------
    ValidationError
        If an argument is unusable, or there is nothing to look at.
    """
    if not is_number(saturation) or not 0 < saturation <= 1:
        raise ValidationError(
            f"Must be a number above 0, and at most 1 (got {saturation!r})",
            attr="saturation",
        )
    if not is_number(start) or not 0 <= start < np.inf:
        raise ValidationError(
            f"Must be a number of seconds that is not negative (got {start!r})",
            attr="start",
        )
    names = name_objects(model)

    def name(ens: Any) -> str:
        return getattr(ens, "label", None) or names.get(ens, repr(ens))

    probes = _probes_of_neurons(histories)
    every = [] if model.toplevel is None else list(model.toplevel.all_ensembles)
    if ensembles is None:
        wanted = list(probes)
        unprobed = [name(ens) for ens in every if ens not in probes]
    else:
        single = isinstance(ensembles, nengo.Ensemble)
        wanted = [ensembles] if single else list(ensembles)
        unprobed = []
    missing = [ens for ens in wanted if ens not in probes]
    if missing or not wanted:
        without = ", ".join(map(name, missing or every)) or "the whole network"
        raise ValidationError(
            "Firing rates are measured from probes of neurons that show all spikes: "
            "without synapse or sample_every, and with their history. Add them before "
            "the simulator is made, nengo.Probe(ensemble.neurons). None is there for "
            f"{without}",
            attr="ensembles",
        )
    first = round(start / model.dt)
    if n_steps <= first:
        raise ValidationError(
            f"There are no steps to look at: {n_steps} were simulated, and the first "
            f"{first} are left out. Run the simulator first, or longer",
            attr="start",
        )
    found = []
    for ens in wanted:
        values = [
            _values(model, probe, histories[probe], n_steps, first)
            for probe in probes[ens]
        ]
        recorded = np.concatenate(values, axis=-1)
        found.append(_measure(ens, name(ens), recorded, model.dt, saturation))
    return SpikeRates(found, unprobed, (n_steps - first) * model.dt)


def _probes_of_neurons(
    histories: Mapping[nengo.Probe, ProbeHistory],
) -> dict[nengo.Ensemble, list[nengo.Probe]]:
    """Return the probes to use for each ensemble: one of all neurons, or of parts."""
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


def _values(
    model: Model, probe: nengo.Probe, history: ProbeHistory, n_steps: int, first: int
) -> np.ndarray:
    """Return the values of a probe after some step, shape (items, n_kept, size)."""
    period = 1.0 if probe.sample_every is None else probe.sample_every / model.dt
    steps = np.arange(1, n_steps + 1)
    steps = steps[steps % period < 1]
    values = history.array()
    if values.ndim == 1:
        values = np.zeros((1, 0, probe.size_in))
    elif not history.minibatched:
        values = values[None]
    # the data may have been cleared meanwhile
    count = values.shape[1]
    values = values[:, steps[len(steps) - count :] > first]
    if not values.shape[1]:
        raise ValidationError(
            f"{probe} has recorded nothing in the time that is looked at. Run the "
            "simulator first, or longer",
            attr="start",
        )
    return values


def _measure(
    ens: nengo.Ensemble, name: str, values: np.ndarray, dt: float, saturation: float
) -> EnsembleRates:
    amplitude = float(getattr(ens.neuron_type, "amplitude", 1.0))
    rates = values.mean(axis=(0, 1)) / amplitude
    limit = _limit(ens.neuron_type, dt)
    saturated = np.zeros(len(rates), dtype=bool)
    if limit is not None:
        saturated = np.abs(rates) >= saturation * limit
    return EnsembleRates(
        ens, name, rates, limit, np.logical_not(values.any(axis=(0, 1))), saturated
    )


def _limit(neuron_type: Any, dt: float) -> float | None:
    """Return the largest rate that neurons of a type can have, in Hz, or None."""
    base = getattr(neuron_type, "base_type", neuron_type)
    tau_ref = getattr(base, "tau_ref", None)
    if tau_ref is None:
        return None
    if tau_ref > 0:
        return 1 / float(tau_ref)
    return 1 / dt if neuron_type.spiking else None
