"""From synapses of Nengo to vertices."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.nir.draft import Vertex
from nengo_dl.interchange.nir.populations import Writing, time_constants
from nengo_dl.interchange.nir.report import ExchangeReport
from nengo_dl.synapses import Delay

__all__ = ["synapse_vertices"]


def synapse_vertices(
    synapse: nengo.synapses.Synapse | None,
    size: int,
    owner: Any,
    writing: Writing,
    report: ExchangeReport,
) -> list[tuple[str, Vertex]]:
    """Return what stands for a synapse; all of them delay by a step.

    Parameters
    ----------
    synapse : nengo.synapses.Synapse or None
        The synapse.
    size : int
        Numbers that it filters.
    owner : Connection or Probe
        Whose it is.
    writing : Writing
        How numbers are written.
    report : ExchangeReport
        Where approximations are noted.

    Returns
    -------
    list of (str, Vertex)
        Ends of names, and vertices one behind the other.

    Raises
    ------
    ValidationError
        If NIR has nothing like it.
    """

    def vertex(kind: str, **values: Any) -> Vertex:
        arrays = {name: np.broadcast_to(v, (size,)) for name, v in values.items()}
        return Vertex(kind, size, size, arrays)

    if synapse is None:
        return []
    if isinstance(synapse, Delay):
        steps = synapse.n_steps(writing.dt, size)
        return [("", vertex("Delay", delay=steps * writing.dt))]
    if not isinstance(synapse, nengo.Lowpass | nengo.Alpha):
        raise ValidationError(
            f"{owner} has the synapse {synapse}; NIR has nodes for Lowpass, for "
            "nengo_dl.Delay, and for Alpha approximately",
            attr="synapse",
            obj=owner,
        )
    found = []
    if synapse.tau > 0.03 * writing.dt:  # below, Nengo does not filter
        tau = time_constants(synapse.tau, "exact", writing)
        found.append(("_synapse", vertex("LI", tau=tau, r=1.0, v_leak=0.0)))
        if isinstance(synapse, nengo.Alpha):
            found.append(("_synapse", vertex("LI", tau=tau, r=1.0, v_leak=0.0)))
            report.approximated(
                owner, f"{synapse} is two leaky integrators, one behind the other"
            )
    # the delay is last, where readers may put it themselves: see drop_implied_delays
    return [*found, ("_delay", vertex("Delay", delay=writing.dt))]
