"""How fast neurons fired: who was silent, and who could not fire faster."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np

from nengo_dl.support.plots import new_figure
from nengo_dl.support.tables import Table

__all__ = ["EnsembleRates", "SpikeRates"]

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
        Its label, or its position in the network.
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
    """Firing rates of ensembles, shown as a table.

    Made by `nengo_dl.Simulator.spike_rates`.

    Attributes
    ----------
    ensembles : list of EnsembleRates
        One entry for each ensemble whose neurons are probed.
    unprobed : list of str
        Names of the others.
    seconds : float
        Length of the analyzed part of the simulation, in seconds.
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
        ndarray of matplotlib.axes.Axes
            One for each ensemble, side by side. Dead neurons have a separate bar at
            zero; a dashed line marks the largest possible rate.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        n_columns = min(len(self), _MOST_COLUMNS)
        n_rows = -(-len(self) // n_columns)
        size = (_PANEL[0] * n_columns, _PANEL[1] * n_rows)
        figure = new_figure(
            "the same numbers are in the table, print(rates)",
            figsize=size,
            layout="constrained",
        )
        panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for panel, entry in zip(panels, self.ensembles):
            _draw(panel, entry, n_bins)
        for panel in panels[len(self) :]:
            panel.set_visible(False)
        return panels[: len(self)]


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
