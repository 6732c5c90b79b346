"""Filters on connections, built without discretizing each of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from nengo.builder import Model
from nengo.builder.processes import SimProcess, build_process
from nengo.builder.signal import Signal
from nengo.synapses import LinearFilter

from nengo_dl.building.zeros import Zeros
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
    zeros : Zeros
        With which outputs and states start.
    dtype : numpy.dtype
        Nengo's type of floating point numbers.

    Attributes
    ----------
    names : dict of {str: str}
        Names of outputs, so that equal ones are stored once.
    """

    def __init__(self, model: Model, zeros: Zeros, dtype: np.dtype):
        self.model = model
        self.zeros = zeros
        self.dtype = dtype
        self.names: dict[str, str] = {}
        self._systems = FilterSystems(model.dt)
        self._kinds: dict[Hashable, _Kind] = {}
        # those of one and the same object, which cannot change, without comparing it
        self._known: dict[int, tuple[LinearFilter, _Kind]] = {}

    def find(self, process: LinearFilter) -> _Kind:
        """Return what a filter shares with its equals.

        Parameters
        ----------
        process : LinearFilter
            A filter of Nengo, not of a subclass.
        """
        known = self._known.get(id(process))
        if known is not None:
            return known[1]
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
        self._known[id(process)] = process, kind
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
        name = f"{sig_in.name}.{kind.name}"
        zeros = filters.zeros.of(sig_in.shape, filters.dtype)
        sig_out = Signal(zeros, name=filters.names.setdefault(name, name))
    if sig_out.shape != sig_in.shape or sig_out.dtype.kind != "f":
        return build_process(model, process, sig_in, sig_out, mode)
    # the state of rest, as Nengo's filters begin with
    state = Signal(filters.zeros.of((kind.order, *sig_out.shape), sig_out.dtype))
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
