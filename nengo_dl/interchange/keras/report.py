"""What each layer became: a table and a picture."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nengo_dl.support.plots import new_figure
from nengo_dl.support.tables import Table

__all__ = ["ConversionReport", "LayerReport"]


@dataclass
class LayerReport:
    """The result of converting one call of a layer.

    Attributes
    ----------
    name : str
        Name of the layer; with the number of the call if there are several.
    kind : str
        Type of the layer.
    objects : list of str
        The Nengo objects that were made for it.
    n_neurons : int
        Number of neurons.
    neurons : str
        Their type.
    folded_into : str or None
        The layer into which it is folded.
    fallback : str or None
        Why it is a TensorNode.
    n_delays : int
        Number of synapses that were added so that inputs have the same delay.
    rate_error : float or None
        Largest difference between the neurons' rates and the activation, for inputs
        between -1 and 1; None if there are no neurons.
    spike : float or None
        How much one more spike in a step changes the output of a neuron in that step;
        the error after ``n`` steps is about ``spike / n``. None if there are no spikes.
    """

    name: str
    kind: str
    objects: list[str] = field(default_factory=list)
    n_neurons: int = 0
    neurons: str = ""
    folded_into: str | None = None
    fallback: str | None = None
    n_delays: int = 0
    rate_error: float | None = None
    spike: float | None = None

    @property
    def outcome(self) -> str:
        """What the layer became, in words."""
        if self.fallback is not None:
            return f"TensorNode: {self.fallback}"
        if self.folded_into is not None:
            return f"in {self.folded_into}"
        return ", ".join(self.objects) or "nothing to compute"

    @property
    def error(self) -> str:
        """The expected error, in words."""
        if self.rate_error is None:
            return "-" if self.fallback is None else "none"
        rates = "none" if self.rate_error < 1e-6 else f"{self.rate_error:.2g}"
        if self.spike is None:
            return rates
        spikes = f"{self.spike:.3g} / n"
        return spikes if rates == "none" else f"{rates} + {spikes}"


@dataclass
class ConversionReport(Sequence):
    """The result of converting a model, shown as a table.

    Attributes
    ----------
    model : str
        Name of the model.
    layers : list of LayerReport
        One entry for each call of a layer.
    n_parameters : int
        Number of weights of the Keras model.
    """

    model: str
    layers: list[LayerReport] = field(default_factory=list)
    n_parameters: int = 0

    def __getitem__(self, key: Any) -> Any:
        """Return the entry at a position, or the one with a name."""
        if isinstance(key, str):
            for entry in self.layers:
                if entry.name == key:
                    return entry
            raise KeyError(key)
        return self.layers[key]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def n_neurons(self) -> int:
        """Number of neurons of all layers."""
        return sum(entry.n_neurons for entry in self.layers)

    @property
    def fallbacks(self) -> dict[str, str]:
        """Why layers are TensorNodes, by name."""
        return {e.name: e.fallback for e in self.layers if e.fallback is not None}

    def table(self) -> Table:
        """Return the table that is shown."""
        rows = [
            (
                entry.name,
                entry.kind,
                f"{entry.n_neurons:,}" if entry.n_neurons else "-",
                entry.neurons or "-",
                entry.error,
                entry.outcome,
            )
            for entry in self.layers
        ]
        columns = ("layer", "type", "neurons>", "of type", "error", "became")
        return Table(f"Conversion of {self.model!r}", columns, rows)

    def _remarks(self) -> list[str]:
        remarks = [
            f"{self.n_neurons:,} neurons; {self.n_parameters:,} weights in Keras; "
            f"{len(self.fallbacks)} of {len(self)} calls are TensorNodes"
        ]
        n_delays = sum(entry.n_delays for entry in self.layers)
        if n_delays:
            remarks.append(f"{n_delays} synapses more keep branches in step")
        if any(entry.spike for entry in self.layers):
            remarks.append(
                "error: of a neuron's mean output after n steps, relative to an "
                "activation of 1"
            )
        return remarks

    def __str__(self) -> str:
        return "\n".join([self.table().text(), *self._remarks()])

    def _repr_html_(self) -> str:
        remarks = "<br>".join(html.escape(line) for line in self._remarks())
        return f"{self.table().html()}<p>{remarks}</p>"

    def __repr__(self) -> str:
        return f"<ConversionReport of {len(self)} layers, {self.n_neurons:,} neurons>"

    def plot(self) -> Any:
        """Draw the layers, the neurons of each, and what they became.

        Returns
        -------
        matplotlib.axes.Axes
            A bar for each layer with its number of neurons. Colours show whether it
            became Nengo objects, was folded into another layer, or is a TensorNode.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        n = len(self)
        axes = new_figure(
            "the same is in the table, print(report)",
            figsize=(8, 1.2 + 0.22 * n),
            layout="constrained",
        ).add_subplot()
        from matplotlib.patches import Patch

        largest = max([1, *(entry.n_neurons for entry in self.layers)])
        for place, entry in enumerate(self.layers):
            colour = _COLOURS[_outcome(entry)]
            axes.barh(place, entry.n_neurons, color=colour)
            text = f"{entry.kind}: {entry.outcome}"
            text = text if len(text) < 60 else f"{text[:57]}..."
            axes.text(
                max(entry.n_neurons, 0) + 0.01 * largest,
                place,
                text,
                va="center",
                fontsize="small",
                color=colour,
            )
        axes.set_yticks(range(n), [entry.name for entry in self.layers])
        axes.invert_yaxis()
        axes.set(xlabel="neurons", title=f"Conversion of {self.model!r}")
        axes.set_xlim(0, 1.9 * largest)
        axes.legend(
            handles=[Patch(color=c, label=name) for name, c in _COLOURS.items()],
            loc="lower right",
        )
        return axes


_COLOURS = {"Nengo objects": "C0", "along with another": "0.5", "TensorNode": "C1"}


def _outcome(entry: LayerReport) -> str:
    if entry.fallback is not None:
        return "TensorNode"
    return "Nengo objects" if entry.folded_into is None else "along with another"
