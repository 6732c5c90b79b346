"""ONNX files: a step, or a loop over steps."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.exporting.frozen import FrozenGraph, freeze_graph
from nengo_dl.exporting.network import ExportedNetwork
from nengo_dl.exporting.saved_model import quiet_tensorflow
from nengo_dl.exporting.step_function import N_STEPS, NEXT, Functions
from nengo_dl.version import __version__

__all__ = ["import_onnx", "write_onnx"]

#: Version of the operators; runtimes since 2023 have it.
_OPSET = 18

#: Files of the format hold less than this.
_MOST_BYTES = 2**31 - 2**20

#: What the names within a loop's body begin with, so that they differ from its own.
_INNER = "step/"


def _as_it_is(*args: Any) -> None:
    """Change nothing of an operator but its name."""


#: Operators for which the converter takes others by itself: sums of products for
#: selections, which infinite numbers spoil, and logarithms in single precision.
_HANDLERS = {"SelectV2": (_as_it_is, ["Where"]), "Log": (_as_it_is, ["Log"])}


def import_onnx() -> tuple[Any, Any]:
    """Return the packages ``onnx`` and ``tf2onnx``, or say how to get them."""
    try:
        return importlib.import_module("onnx"), importlib.import_module("tf2onnx")
    except ImportError as error:
        raise ImportError(
            "ONNX files need the packages onnx and tf2onnx; install them with: "
            "pip install onnx tf2onnx"
        ) from error


def write_onnx(network: ExportedNetwork, function: str, file: Path, about: str) -> None:
    """Write a file with one function.

    The state, and inputs whose Nodes are constant, have their values as defaults.

    Parameters
    ----------
    network : ExportedNetwork
        What to write.
    function : "step" or "run"
        Which function.
    file : Path
        Where.
    about : str
        Description of it all.

    Raises
    ------
    ImportError
        If a package is missing.
    ValidationError
        If something has no form in ONNX.
    """
    onnx, tf2onnx = import_onnx()
    n_bytes = network.n_bytes
    if n_bytes > _MOST_BYTES:
        raise ValidationError(
            f"Its parameters and state take {n_bytes:,} bytes, and an ONNX file holds "
            "2 GB; use the format 'tf_saved_model'",
            attr="format",
        )
    graph = freeze_graph(network.trace_step())
    step = _convert(onnx, tf2onnx, graph, _INNER if function == "run" else "")
    functions = network.functions
    made: Any
    if function == "run":
        made = _loop(onnx, functions, step)
    else:
        made = _ordered(onnx, functions, step)
    _add_defaults(onnx, functions, made)
    model = onnx.helper.make_model(
        made,
        opset_imports=step.opset_import,
        ir_version=step.ir_version,
        producer_name="nengo_dl",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, {"nengo_dl": about})
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())


def _convert(onnx: Any, tf2onnx: Any, graph: FrozenGraph, prefix: str) -> Any:
    """Return a model of a graph, whose arguments and results have a prefix."""
    names = {**graph.inputs, **graph.outputs}
    with quiet_tensorflow():
        model, _ = tf2onnx.convert.from_graph_def(
            graph.definition,
            name="network",
            input_names=list(graph.inputs.values()),
            output_names=list(graph.outputs.values()),
            opset=_OPSET,
            custom_op_handlers=_HANDLERS,
            tensors_to_rename={t: prefix + name for name, t in names.items()},
        )
    unknown = sorted(set(_unknown_operators(onnx, model.graph)))
    if unknown:
        raise ValidationError(
            f"ONNX has no {', '.join(unknown)}, which code of TensorNodes or neuron "
            "types uses; write it with other operations, or use the format "
            "'tf_saved_model'",
            attr="format",
        )
    return model


def _unknown_operators(onnx: Any, graph: Any) -> Any:
    """Yield the operators of a graph, and of those within it, that ONNX lacks."""
    for node in graph.node:
        if not onnx.defs.has(node.op_type, node.domain):
            yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _unknown_operators(onnx, attribute.g)


def _tensor(onnx: Any, name: str, dtype: str, shape: Any) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def _interface(
    onnx: Any, functions: Functions, prefix: str = "", steps: tuple[Any, ...] = ()
) -> tuple[list[Any], list[Any]]:
    """Return descriptions of what a graph takes and returns.

    Parameters
    ----------
    onnx : module
        The package.
    functions : Functions
        Names and shapes.
    prefix : str
        What all names begin with.
    steps : tuple
        Length of the axis of steps, if there is one.
    """

    def of(entries: Any, start: str, steps: tuple[Any, ...]) -> list[Any]:
        return [
            _tensor(
                onnx,
                prefix + start + e.name,
                e.dtype,
                (*e.shape[:1], *steps, *e.shape[1:]),
            )
            for e in entries
        ]

    inputs = of(functions.state, "", ()) + of(functions.inputs, "", steps)
    outputs = of(functions.state, NEXT, ()) + of(functions.outputs, "", steps)
    return inputs, outputs


def _ordered(onnx: Any, functions: Functions, step: Any, prefix: str = "") -> Any:
    """Return the graph of a step, with arguments and results in the order of names."""
    inputs, outputs = _interface(onnx, functions, prefix)
    return onnx.helper.make_graph(
        step.graph.node, "network", inputs, outputs, step.graph.initializer
    )


def _loop(onnx: Any, functions: Functions, step: Any) -> Any:
    """Return a graph that scans inputs with a step."""
    make = onnx.helper
    body = _ordered(onnx, functions, step, _INNER)
    length = "n" if functions.n_steps is None else functions.n_steps
    inputs, outputs = _interface(onnx, functions, steps=(length,))
    nodes, constants = [], []
    scanned = [entry.name for entry in functions.inputs]
    axes = [1] * len(scanned)
    if not scanned:
        # a loop needs something to go through
        scanned, axes = [_INNER + "numbers"], [0]
        body.input.append(_tensor(onnx, _INNER + "number", "int32", ()))
        ends = {_INNER + "zero": 0, _INNER + "one": 1}
        if functions.n_steps is None:
            inputs.append(_tensor(onnx, N_STEPS, "int32", ()))
        else:
            ends[N_STEPS] = functions.n_steps
        constants = [
            onnx.numpy_helper.from_array(np.asarray(value, np.int32), name)
            for name, value in ends.items()
        ]
        between = [_INNER + "zero", N_STEPS, _INNER + "one"]
        nodes.append(make.make_node("Range", between, scanned))
    nodes.append(
        make.make_node(
            "Scan",
            [*(entry.name for entry in functions.state), *scanned],
            [value.name for value in outputs],
            body=body,
            num_scan_inputs=len(scanned),
            scan_input_axes=axes,
            scan_output_axes=[1] * len(functions.outputs),
        )
    )
    return make.make_graph(nodes, "network", inputs, outputs, constants)


def _add_defaults(onnx: Any, functions: Functions, graph: Any) -> None:
    """Give inputs of a graph the values that they have if they are not fed."""
    has_steps = any(node.op_type == "Scan" for node in graph.node)
    for entry in (*functions.state, *functions.inputs):
        value = entry.default
        if value is None:
            continue
        if entry in functions.inputs and has_steps:
            if functions.n_steps is None:
                continue  # of unknown length
            value = np.repeat(value[:, None], functions.n_steps, axis=1)
        array = onnx.numpy_helper.from_array(np.array(value, order="C"), entry.name)
        graph.initializer.append(array)
