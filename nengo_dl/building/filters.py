"""Filters on connections, built without discretizing each of them."""

from __future__ import annotations

import numpy as np
from nengo.builder import Model
from nengo.builder.processes import SimProcess, build_process
from nengo.builder.signal import Signal
from nengo.synapses import LinearFilter

from nengo_dl.compiler.filters import FilterSystems

__all__ = ["build_filter"]


def build_filter(
    systems: FilterSystems,
    model: Model,
    process: LinearFilter,
    sig_in: Signal | None = None,
    sig_out: Signal | None = None,
    mode: str = "set",
) -> Signal:
    """Build a filter into a model, as ``nengo.builder.processes.build_process`` does.

    Parameters
    ----------
    systems : FilterSystems
        Of the model's time step.
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
    if sig_out is None:
        sig_out = Signal(shape=sig_in.shape, name=f"{sig_in.name}.{process}")
    if sig_out.shape != sig_in.shape or sig_out.dtype.kind != "f":
        return build_process(model, process, sig_in, sig_out, mode)
    # the state of rest, as Nengo's filters begin with
    rest = np.zeros((systems.order(process), *sig_out.shape), dtype=sig_out.dtype)
    state = Signal(rest)
    model.sig[process]["_state_X"] = state
    model.add_op(
        SimProcess(
            process,
            sig_in,
            sig_out,
            model.time,
            mode=mode,
            state={"X": state},
            tag=str(process),
        )
    )
    return sig_out
