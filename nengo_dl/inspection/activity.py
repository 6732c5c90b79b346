"""What a network did: synaptic operations, spikes, sparsity, estimates of energy."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from nengo_dl.inspection.energy import ENERGY_COSTS, EnergyCosts, EnergyEstimate
from nengo_dl.support.plots import new_figure
from nengo_dl.support.tables import Table, format_bytes

__all__ = ["Activity", "Operations"]

#: Units of small energies, from the largest.
_UNITS = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ"), (1e-12, "pJ"))

#: Height of a bar of a figure, and of the rest of it, in inches.
_BAR, _REST, _WIDTH = 0.3, 1.2, 6.4

#: Most names in a remark.
_MOST_NAMES = 10


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of one connection, encoder or layer, for one inference.

    Attributes
    ----------
    name : str
        The objects that it connects.
    effective_macs : float
        Products of nonzero weights and nonzero inputs that are numbers
        (multiply-accumulates).
    effective_acs : float
        The same for inputs that are spikes (accumulates).
    dense : float
        Products of all inputs and weights.
    is_recorded : bool
        Whether it is known which inputs were zero. If not, none is assumed to be.
    """

    name: str
    effective_macs: float
    effective_acs: float
    dense: float
    is_recorded: bool


@dataclass(frozen=True, eq=False)
class Activity:
    """Operations and sparsity of a network for one inference, shown as tables.

    Made by `nengo_dl.Simulator.activity`.

    Attributes
    ----------
    operations : list of Operations
        One entry for each connection, for the encoders of each ensemble, and for each
        Keras layer with weights.
    steps : int
        Number of time steps of an inference.
    seconds : float
        Simulated time of an inference.
    n_inferences : float
        Number of inferences over which the numbers are averaged.
    n_neurons : int
        Number of neurons.
    spikes : float or None
        Number of spikes; None if no spiking neurons are probed.
    activation_sparsity : float or None
        Fraction of zeros among the outputs of neurons, over all steps; None if no
        neurons are probed.
    connection_sparsity : float or None
        Fraction of zeros among weights; None without weights.
    footprint : int
        Memory of parameters and of the state of one item, in bytes.
    uncounted : list of str
        Objects that are not included: connections from neurons that are not probed, and
        TensorNodes with code other than layers with a kernel.
    """

    operations: list[Operations]
    steps: int
    seconds: float
    n_inferences: float
    n_neurons: int
    spikes: float | None
    activation_sparsity: float | None
    connection_sparsity: float | None
    footprint: int
    uncounted: list[str] = field(default_factory=list)

    @property
    def effective_macs(self) -> float:
        """Multiply-accumulates with inputs and weights that are not zero."""
        return sum(entry.effective_macs for entry in self.operations)

    @property
    def effective_acs(self) -> float:
        """Accumulates: of spikes and weights that are not zero."""
        return sum(entry.effective_acs for entry in self.operations)

    @property
    def dense(self) -> float:
        """Operations of hardware that does not skip zeros."""
        return sum(entry.dense for entry in self.operations)

    @property
    def neuron_updates(self) -> int:
        """Number of neurons times number of steps."""
        return self.n_neurons * self.steps

    def energies(
        self, costs: EnergyCosts | Iterable[EnergyCosts] = ENERGY_COSTS
    ) -> list[EnergyEstimate]:
        """Estimate the energy of an inference, from that of single operations.

        Parameters
        ----------
        costs : EnergyCosts or iterable of EnergyCosts
            Energies of single operations. Default: published ones, of
            `nengo_dl.inspection.energy.ENERGY_COSTS`.

        Returns
        -------
        list of EnergyEstimate
            The sum over effective operations and neuron updates. This is not a
            measurement: memory, communication and idle power are not included, unless
            the published numbers include them.
        """
        costs = [costs] if isinstance(costs, EnergyCosts) else costs
        counts = {
            "mac": ("MACs", self.effective_macs),
            "ac": ("ACs", self.effective_acs),
            "neuron_update": ("neuron updates", self.neuron_updates),
        }
        found = []
        for device in costs:
            picojoules, left_out = 0.0, []
            for attribute, (name, count) in counts.items():
                cost = getattr(device, attribute)
                if cost is not None:
                    picojoules += cost * count
                elif count:
                    left_out.append(name)
            found.append(EnergyEstimate(device, picojoules * 1e-12, tuple(left_out)))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, in types that JSON supports.

        Returns
        -------
        dict
            The attributes, the totals, and ``"energies"``: for each device, estimates
            in joules, with the published numbers and their sources.
        """
        found = asdict(self)
        for name in ("effective_macs", "effective_acs", "dense", "neuron_updates"):
            found[name] = getattr(self, name)
        found["energies"] = [
            {"is_estimate": True, **asdict(estimate)} for estimate in self.energies()
        ]
        return found

    def tables(self) -> list[Table]:
        """Return the tables that are shown."""
        totals = (self.effective_macs, self.effective_acs, self.dense)
        rows = [("all", *(f"{total:,.0f}" for total in totals))]
        rows += [
            (
                entry.name + ("" if entry.is_recorded else " *"),
                f"{entry.effective_macs:,.0f}",
                f"{entry.effective_acs:,.0f}",
                f"{entry.dense:,.0f}",
            )
            for entry in self.operations
        ]
        columns = ("operations of", "MACs>", "ACs>", "dense>")
        title = (
            f"Synaptic operations per inference ({self.steps:,} steps, "
            f"{self.seconds:g} s)"
        )
        network = [
            ("spikes per inference", _number(self.spikes, ",.1f")),
            ("neuron updates per inference", f"{self.neuron_updates:,}"),
            ("activation sparsity", _number(self.activation_sparsity, ".1%")),
            ("connection sparsity", _number(self.connection_sparsity, ".1%")),
            ("footprint", format_bytes(self.footprint)),
        ]
        energies = [
            (
                estimate.costs.name,
                _energy(estimate),
                ", ".join(estimate.left_out) or "-",
            )
            for estimate in self.energies()
        ]
        return [
            Table(title, columns, rows),
            Table("Network", ("number", "value>"), network),
            Table(
                "Energy per inference, estimated (not measured) from published "
                "energies of operations",
                ("device", "energy>", "without"),
                energies,
            ),
        ]

    def _remarks(self) -> list[str]:
        found = []
        if not all(entry.is_recorded for entry in self.operations):
            found.append("* not probed: inputs are counted as never zero")
        if self.uncounted:
            names = ", ".join(self.uncounted[:_MOST_NAMES])
            rest = len(self.uncounted) - _MOST_NAMES
            names += f" and {rest} more" if rest > 0 else ""
            found.append(f"Not counted: {names}")
        return found

    def __str__(self) -> str:
        parts = [table.text() for table in self.tables()]
        return "\n\n".join([*parts, "\n".join(self._remarks())]).rstrip()

    def _repr_html_(self) -> str:
        tables = "".join(table.html() for table in self.tables())
        remarks = "<br>".join(html.escape(line) for line in self._remarks())
        return f"{tables}<p>{remarks}</p>"

    def __repr__(self) -> str:
        return (
            f"<Activity of {self.effective_macs:,.0f} MACs and "
            f"{self.effective_acs:,.0f} ACs per inference>"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the operations of each product as bars.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            A bar for each entry, the first one at the top: effective MACs and ACs, and
            an outline for hardware that does not skip zeros.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        if ax is None:
            figure = new_figure(
                "the same numbers are in the table, print(activity)",
                figsize=(_WIDTH, _REST + _BAR * len(self.operations)),
                layout="constrained",
            )
            ax = figure.add_subplot()
        names = [entry.name for entry in self.operations]
        places = range(len(names))
        macs = [entry.effective_macs for entry in self.operations]
        acs = [entry.effective_acs for entry in self.operations]
        dense = [entry.dense for entry in self.operations]
        ax.barh(places, dense, color="none", edgecolor="#999999", label="dense")
        ax.barh(places, macs, color="#ef8a62", label="effective MACs")
        ax.barh(places, acs, left=macs, color="#2166ac", label="effective ACs")
        ax.set_yticks(places, names)
        ax.invert_yaxis()
        ax.set_xlabel("synaptic operations per inference")
        ax.legend(fontsize="small")
        return ax


def _number(value: float | None, form: str) -> str:
    return "not probed" if value is None else format(value, form)


def _energy(estimate: EnergyEstimate) -> str:
    """Return an energy in a unit that suits it; none if nothing has a price."""
    joules = estimate.joules
    if not joules and estimate.left_out:
        return "-"
    for factor, unit in _UNITS:
        if joules >= factor:
            return f"{joules / factor:.3g} {unit}"
    return f"{joules / _UNITS[-1][0]:.3g} pJ"
