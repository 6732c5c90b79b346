"""Checks what is to be exported, and writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import nengo
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.execution.session import Session
from nengo_dl.exporting.interface import Export
from nengo_dl.exporting.litert import write_litert
from nengo_dl.exporting.network import ExportedNetwork
from nengo_dl.exporting.onnx_file import import_onnx, write_onnx
from nengo_dl.exporting.paths import check_new, written_beside
from nengo_dl.exporting.saved_model import write_saved_model
from nengo_dl.support.arguments import check_flag

__all__ = ["export_network"]

_FUNCTIONS = ("step", "run")

#: Formats, and the functions that a file contains by default.
_FORMATS = {
    "tf_saved_model": _FUNCTIONS,
    "onnx": ("step",),
    "litert": _FUNCTIONS,
}


def export_network(
    session: Session,
    model: Model,
    nodes: Mapping[nengo.Node, Signal],
    path: str | os.PathLike,
    format: str,
    function: str | None,
    n_steps: int | None,
    inputs: Iterable[nengo.Node] | None,
    state: str,
    jit_compile: bool,
) -> Export:
    """Write a network; see `Simulator.export`.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    nodes : mapping of {Node: Signal}
        The Nodes that can be fed.
    path, format, function, n_steps, inputs, state, jit_compile
        As for `Simulator.export`.
    """
    functions = _check_functions(format, function)
    if check_flag(jit_compile, "jit_compile") and format != "tf_saved_model":
        raise ValidationError(
            f"The format {format!r} does not use XLA; leave out jit_compile",
            attr="jit_compile",
        )
    n_steps = _check_steps(n_steps, functions)
    if state not in ("initial", "current"):
        raise ValidationError(
            f"Must be 'initial' or 'current'; got {state!r}", attr="state"
        )
    target = check_new(path)
    if format == "onnx":
        import_onnx()
    network = ExportedNetwork(
        session, model, nodes, _check_nodes(inputs), state, n_steps
    )
    found = network.functions
    export = Export(
        str(target),
        format,
        functions,
        model.dt,
        n_steps,
        *(
            {entry.name: entry for entry in entries}
            for entries in (found.inputs, found.outputs, found.state)
        ),
    )
    with written_beside(target) as place:
        if format == "tf_saved_model":
            about = export.as_json()
            write_saved_model(network, functions, place, about, jit_compile)
        elif format == "onnx":
            write_onnx(network, functions[0], place, export.as_json())
        else:
            write_litert(network, functions, place)
    return export


def _check_functions(format: Any, function: Any) -> tuple[str, ...]:
    """Return which functions a file is to contain."""
    if format == "keras":
        raise ValidationError(
            "A .keras file lists layers of Keras, and a network is none of them. "
            "Export it as 'tf_saved_model', whose function 'simulate' is a layer: "
            "keras.layers.TFSMLayer(path, call_endpoint='simulate'). To train on, use "
            "sim.keras_model and its save_weights",
            attr="format",
        )
    if not isinstance(format, str) or format not in _FORMATS:
        raise ValidationError(
            f"Must be one of {', '.join(map(repr, _FORMATS))}; got {format!r}",
            attr="format",
        )
    if function is None:
        return _FORMATS[format]
    if not isinstance(function, str) or function not in _FUNCTIONS:
        raise ValidationError(
            f"Must be 'step', 'run' or None; got {function!r}", attr="function"
        )
    return (function,)


def _check_steps(n_steps: Any, functions: tuple[str, ...]) -> int | None:
    if n_steps is None:
        return None
    if not is_integer(n_steps) or n_steps < 1:
        raise ValidationError(
            f"Must be a whole number of steps, at least 1, or None; got {n_steps!r}",
            attr="n_steps",
        )
    if "run" not in functions:
        raise ValidationError(
            "A step has no number of steps; leave it out, or write function='run'",
            attr="n_steps",
        )
    return int(n_steps)


def _check_nodes(inputs: Any) -> list[nengo.Node] | None:
    if inputs is None:
        return None
    if isinstance(inputs, nengo.Node):
        return [inputs]
    inputs = list(inputs) if isinstance(inputs, Iterable) else [inputs]
    for node in inputs:
        if not isinstance(node, nengo.Node):
            raise ValidationError(
                f"Must be a list of Nodes; got {node!r}", attr="inputs"
            )
    return inputs
