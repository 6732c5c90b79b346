"""How fast neurons fired: who was silent, and who could not fire faster."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from nengo_dl.support.tables import Table

__all__ = ["EnsembleRates", "SpikeRates", "measure_rates"]

#: Most panels next to each other in a figure.
_MOST_COLUMNS = 3

#: Size of a panel, in inches.
_PANEL = (4.0, 2.6)


@dataclass(frozen=True, eq=False)
class EnsembleRates:
    """Firing rates of the neurons of one ensemble.

    Attributes
    ----------
    ensemble : Ensemble
        The ensemble.
    name : str
        Its label, or its place in the network.
    rates : (n_neurons,) ndarray
        Mean rate of each probed neuron, over time and the items of a minibatch, in Hz.
    limit : float or None
        Rate that no neuron of this type can exceed, in Hz; None if there is none.
    is_dead : (n_neurons,) ndarray of bool
        Which neurons were silent in all steps and all items.
    is_saturated : (n_neurons,) ndarray of bool
        Which neurons fired nearly as fast as they can.
    """

    ensemble: nengo.Ensemble
    name: str
    rates: np.ndarray
    limit: float | None
    is_dead: np.ndarray
    is_saturated: np.ndarray

    @property
    def mean(self) -> float:
        """Mean rate of all neurons, in Hz."""
        return float(np.mean(self.rates))

    @property
    def n_dead(self) -> int:
        """Number of neurons that were silent."""
        return int(self.is_dead.sum())

    @property
    def n_saturated(self) -> int:
        """Number of neurons that fired nearly as fast as they can."""
        return int(self.is_saturated.sum())


@dataclass(frozen=True, eq=False)
class SpikeRates(Sequence):
    """Firing rates of ensembles; printed, or shown in a notebook, a table.

    Made by `nengo_dl.Simulator.spike_rates`.

    Attributes
    ----------
    ensembles : list of EnsembleRates
        One entry for each ensemble whose neurons are probed.
    unprobed : list of str
        Names of the others.
    seconds : float
        Length of the time that was looked at.
    """

    ensembles: list[EnsembleRates]
    unprobed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __getitem__(self, key: Any) -> Any:
        """Return the entry of an ensemble, or the one at a position."""
        if isinstance(key, nengo.Ensemble):
            for entry in self.ensembles:
                if entry.ensemble is key:
                    return entry
            raise KeyError(key)
        return self.ensembles[key]

    def __len__(self) -> int:
        return len(self.ensembles)

    def __iter__(self) -> Iterator[EnsembleRates]:
        return iter(self.ensembles)

    def table(self) -> Table:
        """Return the table that is shown."""
        rows = []
        for entry in self.ensembles:
            n_neurons = len(entry.rates)
            saturated = "-"
            if entry.limit is not None:
                saturated = _share(entry.n_saturated, n_neurons)
            rows.append(
                (
                    entry.name,
                    f"{n_neurons:,}",
                    f"{entry.mean:.1f}",
                    f"{np.median(entry.rates):.1f}",
                    f"{np.max(entry.rates):.1f}",
                    _share(entry.n_dead, n_neurons),
                    saturated,
                )
            )
        columns = (
            "ensemble",
            "neurons>",
            "mean>",
            "median>",
            "largest>",
            "dead>",
            "saturated>",
        )
        return Table(f"Firing rates in Hz, over {self.seconds:g} s", columns, rows)

    def _remark(self) -> str:
        if not self.unprobed:
            return ""
        names = ", ".join(self.unprobed[:10])
        rest = len(self.unprobed) - 10
        names += f" and {rest} more" if rest > 0 else ""
        return f"Not probed (add nengo.Probe(ensemble.neurons)): {names}"

    def __str__(self) -> str:
        return f"{self.table().text()}\n{self._remark()}".rstrip()

    def _repr_html_(self) -> str:
        return f"{self.table().html()}<p>{html.escape(self._remark())}</p>"

    def __repr__(self) -> str:
        return f"<SpikeRates of {len(self)} ensembles>"

    def plot(self, n_bins: int = 30) -> Any:
        """Draw a histogram of the rates of each ensemble.

        Parameters
        ----------
        n_bins : int
            Number of bins.

        Returns
        -------
        matplotlib.figure.Figure
            With one panel for each ensemble. Dead neurons are a bar of their own at
            zero; a dashed line marks the largest rate that is possible.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "Plots need Matplotlib (pip install matplotlib); the same numbers are "
                "in the table, print(rates)"
            ) from error
        n_columns = min(len(self), _MOST_COLUMNS)
        n_rows = -(-len(self) // n_columns)
        size = (_PANEL[0] * n_columns, _PANEL[1] * n_rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for panel, entry in zip(panels, self.ensembles):
            _draw(panel, entry, n_bins)
        for panel in panels[len(self) :]:
            panel.set_visible(False)
        return figure


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.0%})"


def _draw(panel: Any, entry: EnsembleRates, n_bins: int) -> None:
    """Draw the rates of one ensemble."""
    kinds = {
        "dead": (entry.is_dead, "#b2182b"),
        "saturated": (entry.is_saturated, "#ef8a62"),
        "firing": (~entry.is_dead & ~entry.is_saturated, "#2166ac"),
    }
    low, high = float(np.min(entry.rates)), float(np.max(entry.rates))
    if entry.limit is not None:
        high = max(high, entry.limit)
    if high <= min(low, 0):
        high = low + 1.0
    edges = np.linspace(min(low, 0), high, n_bins + 1)
    bottom = np.zeros(n_bins)
    for name, (chosen, color) in kinds.items():
        if not chosen.any():
            continue
        counts, _ = np.histogram(entry.rates[chosen], edges)
        label = f"{int(chosen.sum())} {name}"
        panel.bar(
            edges[:-1],
            counts,
            np.diff(edges),
            bottom,
            align="edge",
            color=color,
            label=label,
        )
        bottom += counts
    if entry.limit is not None:
        panel.axvline(entry.limit, color="black", linestyle="--", linewidth=1)
    panel.set_ylim(0, 1.1 * float(bottom.max()))
    panel.set_title(f"{entry.name}: mean {entry.mean:.1f} Hz", fontsize="medium")
    panel.set_xlabel("rate (Hz)")
    panel.set_ylabel("neurons")
    panel.yaxis.get_major_locator().set_params(integer=True)
    panel.legend(fontsize="small")


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
    return EnsembleRates(ens, name, rates, limit, ~values.any(axis=(0, 1)), saturated)


def _limit(neuron_type: Any, dt: float) -> float | None:
    """Return the largest rate that neurons of a type can have, in Hz, or None."""
    base = getattr(neuron_type, "base_type", neuron_type)
    tau_ref = getattr(base, "tau_ref", None)
    if tau_ref is None:
        return None
    if tau_ref > 0:
        return 1 / float(tau_ref)
    return 1 / dt if neuron_type.spiking else None
