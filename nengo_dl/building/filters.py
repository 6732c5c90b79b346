"""Filters on connections, built without discretizing each of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from nengo.builder import Model
from nengo.builder.processes import SimProcess, build_process
from nengo.builder.signal import Signal
from nengo.synapses import LinearFilter

from nengo_dl.compiler.filters import FilterSystems

__all__ = ["Filters", "build_filter"]


@dataclass(frozen=True)
class _Kind:
    """What equal filters share."""

    name: str
    signals: dict[str, Signal]
    order: int


class Filters:
    """Filters that were built into a model.

    Nengo compares all parameters of a filter with those of the equal one before, and
    makes its name twice, which takes as long as all else that it does for a connection.

    Parameters
    ----------
    model : nengo.builder.Model
        The model.
    """

    def __init__(self, model: Model):
        self.model = model
        self._systems = FilterSystems(model.dt)
        self._kinds: dict[Hashable, _Kind] = {}

    def find(self, process: LinearFilter) -> _Kind:
        """Return what a filter shares with its equals.

        Parameters
        ----------
        process : LinearFilter
            A filter of Nengo, not of a subclass.
        """
        key = (
            FilterSystems.kind(process),
            repr(getattr(process, "tau", None)),
            process.default_size_in,
            process.default_size_out,
            process.default_dt,
            process.seed,
        )
        kind = self._kinds.get(key)
        if kind is None:
            order = self._systems.order(process)
            kind = _Kind(str(process), self.model.sig[process], order)
            self._kinds[key] = kind
        return kind


def build_filter(
    filters: Filters,
    model: Model,
    process: LinearFilter,
    sig_in: Signal | None = None,
    sig_out: Signal | None = None,
    mode: str = "set",
) -> Signal:
    """Build a filter into a model, as ``nengo.builder.processes.build_process`` does.

    Parameters
    ----------
    filters : Filters
        Of this model.
    model : nengo.builder.Model
        The model.
    process : LinearFilter
        A filter of Nengo.
    sig_in, sig_out : Signal, optional
        Input and output. Default: a new output of the shape of the input.
    mode : str
        Whether to set, increment or update the output.

    Returns
    -------
    Signal
        The output.

    Raises
    ------
    Exception
        Nengo's errors, if the filter does not fit its signals or has no state space.
    """
    if sig_in is None or sig_in.dtype.kind != "f":
        return build_process(model, process, sig_in, sig_out, mode)
    kind = filters.find(process)
    if sig_out is None:
        sig_out = Signal(shape=sig_in.shape, name=f"{sig_in.name}.{kind.name}")
    if sig_out.shape != sig_in.shape or sig_out.dtype.kind != "f":
        return build_process(model, process, sig_in, sig_out, mode)
    # the state of rest, as Nengo's filters begin with
    state = Signal(np.zeros((kind.order, *sig_out.shape), dtype=sig_out.dtype))
    kind.signals["_state_X"] = state
    model.add_op(
        SimProcess(
            process,
            sig_in,
            sig_out,
            model.time,
            mode=mode,
            state={"X": state},
            tag=kind.name,
        )
    )
    return sig_out
