"""Firing rates, measured from what probes of neurons recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_number

from nengo_dl.compiler.names import name_objects
from nengo_dl.inspection.histories import ProbeHistory
from nengo_dl.inspection.recorded import (
    Recorded,
    first_step,
    probes_of_neurons,
    record_of,
)
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
    names = name_objects(model)

    def name(ens: Any) -> str:
        return getattr(ens, "label", None) or names.get(ens, repr(ens))

    probes = probes_of_neurons(histories)
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
            "the simulator is made, nengo.Probe(ensemble.neurons). There is none for "
            f"{without}",
            attr="ensembles",
        )
    first = first_step(start, model.dt, n_steps)
    found = []
    for ens in wanted:
        recorded = Recorded.joined(
            record_of(model, probe, histories[probe], n_steps, first)
            for probe in probes[ens]
        )
        found.append(_measure(ens, name(ens), recorded, model.dt, saturation))
    return SpikeRates(found, unprobed, (n_steps - first) * model.dt)


def _measure(
    ens: nengo.Ensemble, name: str, recorded: Recorded, dt: float, saturation: float
) -> EnsembleRates:
    amplitude = float(getattr(ens.neuron_type, "amplitude", 1.0))
    rates = recorded.mean / amplitude
    limit = _limit(ens.neuron_type, dt)
    saturated = np.zeros(len(rates), dtype=bool)
    if limit is not None:
        saturated = np.abs(rates) >= saturation * limit
    return EnsembleRates(ens, name, rates, limit, recorded.n_active == 0, saturated)


def _limit(neuron_type: Any, dt: float) -> float | None:
    """Return the largest rate that neurons of a type can have, in Hz, or None."""
    base = getattr(neuron_type, "base_type", neuron_type)
    tau_ref = getattr(base, "tau_ref", None)
    if tau_ref is None:
        return None
    if tau_ref > 0:
        return 1 / float(tau_ref)
    return 1 / dt if neuron_type.spiking else None
