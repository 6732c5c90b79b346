"""What operations cost, as published."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENERGY_COSTS", "EnergyCosts", "EnergyEstimate"]

_HOROWITZ = (
    "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC "
    "2014, 10-14, figure 1.1.9"
)


@dataclass(frozen=True)
class EnergyCosts:
    """Energy of single operations, in picojoules; None where nothing was published.

    Attributes
    ----------
    name : str
        Name of the device.
    mac : float or None
        A multiplication and an addition.
    ac : float or None
        An addition, as for a spike at a synapse.
    neuron_update : float or None
        One time step of one neuron.
    source : str
        Where the numbers were published.
    remark : str
        What the numbers include, and the conditions for them.
    """

    name: str
    mac: float | None = None
    ac: float | None = None
    neuron_update: float | None = None
    source: str = ""
    remark: str = ""


@dataclass(frozen=True)
class EnergyEstimate:
    """An estimate of the energy of an inference, not a measurement.

    Attributes
    ----------
    costs : EnergyCosts
        Energy of single operations.
    joules : float
        Energy of all operations of an inference, in joules.
    left_out : tuple of str
        Kinds of operations that are not included, since their energy is not known.
    """

    costs: EnergyCosts
    joules: float
    left_out: tuple[str, ...]


#: Published energies, of what `Activity.energies` makes estimates.
ENERGY_COSTS = (
    EnergyCosts(
        "45 nm, 32 bit float",
        mac=4.6,
        ac=0.9,
        source=_HOROWITZ,
        remark="arithmetic only, at 0.9 V: reading weights costs more",
    ),
    EnergyCosts(
        "45 nm, 16 bit float",
        mac=1.5,
        ac=0.4,
        source=_HOROWITZ,
        remark="arithmetic only, at 0.9 V: reading weights costs more",
    ),
    EnergyCosts(
        "45 nm, 8 bit integer",
        mac=0.23,
        ac=0.03,
        source=_HOROWITZ,
        remark="arithmetic only, at 0.9 V: reading weights costs more",
    ),
    EnergyCosts(
        "Loihi",
        ac=23.6,
        neuron_update=81.0,
        source=(
            "M. Davies et al., Loihi: a neuromorphic manycore processor with on-chip "
            "learning, IEEE Micro 38(1), 2018, 82-99, table 2"
        ),
        remark=(
            "simulated before fabrication, 14 nm, 0.75 V; the least energy of a "
            "synaptic operation, and that of an active neuron in all steps; no mesh"
        ),
    ),
    EnergyCosts(
        "TrueNorth",
        ac=26.0,
        neuron_update=0.0,  # is part of that
        source=(
            "P. A. Merolla et al., A million spiking-neuron integrated circuit with a "
            "scalable communication network and interface, Science 345, 2014, 668-673"
        ),
        remark=(
            "measured, 28 nm, 0.775 V; all power of the chip, divided by synaptic "
            "events at 20 Hz and 128 synapses of a neuron"
        ),
    ),
)
