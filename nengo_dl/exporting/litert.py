"""Files of LiteRT, which was called TensorFlow Lite."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.exporting.frozen import FrozenGraph, freeze_graph
from nengo_dl.exporting.network import ExportedNetwork
from nengo_dl.exporting.saved_model import (
    make_module,
    quiet_tensorflow,
    save_module,
)
from nengo_dl.exporting.step_function import NEXT, Functions, OneStep
from nengo_dl.support.lazy_imports import tf

__all__ = ["write_litert"]


def write_litert(
    network: ExportedNetwork, functions: Sequence[str], file: Path
) -> None:
    """Write a file with one signature for each function, and the initial state.

    Parameters
    ----------
    network : ExportedNetwork
        What to write.
    functions : sequence of str
        ``"step"``, ``"run"``.
    file : Path
        Where.

    Raises
    ------
    ValidationError
        If something has no form in LiteRT.
    """
    converter = getattr(getattr(tf, "lite", None), "TFLiteConverter", None)
    if converter is None:
        raise ValidationError(
            f"TensorFlow {tf.__version__} has no tf.lite.TFLiteConverter; export as "
            "'tf_saved_model', and convert that with the tools of LiteRT",
            attr="format",
        )
    _check_precision(network)
    network.compute_time_in(tf.float32)
    graph = freeze_graph(network.trace_step())
    module = make_module(
        network.functions, lambda: _step_of(network.functions, graph), functions
    )
    names = [*functions, "initial_state"]
    with tempfile.TemporaryDirectory() as folder, quiet_tensorflow():
        save_module(module, functions, Path(folder))
        maker = converter.from_saved_model(folder, signature_keys=names)
        try:
            content = maker.convert()
            _try(content, network.functions, functions)
        except Exception as error:  # of several classes that are not public
            raise ValidationError(
                f"LiteRT cannot express this network: {_reason(error)}", attr="format"
            ) from error
    file.write_bytes(content)


def _step_of(functions: Functions, graph: FrozenGraph) -> OneStep:
    """Return a step that is computed by a graph."""

    def one_step(state: Any, inputs: Any) -> Any:
        entries = (*functions.state, *functions.inputs)
        results = graph(
            {e.name: v for e, v in zip(entries, (*state, *inputs), strict=True)}
        )
        return (
            [results[NEXT + entry.name] for entry in functions.state],
            [results[entry.name] for entry in functions.outputs],
        )

    return one_step


def _check_precision(network: ExportedNetwork) -> None:
    functions = network.functions
    entries = (*functions.inputs, *functions.outputs, *functions.state)
    if any(entry.dtype == "float64" for entry in entries):
        raise ValidationError(
            "LiteRT computes in single precision; export a Simulator that was made "
            "with dtype=tf.float32",
            attr="format",
        )


def _reason(error: Exception) -> str:
    """Return what a converter says, without the places in its own code."""
    text = str(error)
    missing = sorted(set(re.findall(r"'(?:tf\.)?(\w+)' op is neither", text)))
    if missing:
        return f"it has no {', '.join(missing)}"
    lines = [line for line in text.splitlines() if line.strip()]
    return " ".join(lines[:2])[:400]


def _try(content: bytes, functions: Functions, names: Sequence[str]) -> None:
    """Run a file that was made; some limits show only then."""
    if not hasattr(tf.lite, "Interpreter"):  # it is to leave TensorFlow
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the class will move
        interpreter = tf.lite.Interpreter(model_content=content)
    for name in names:
        specs = functions.step_specs() if name == "step" else functions.run_specs()
        values = {
            key: np.ones([n or 1 for n in spec.shape], spec.dtype.as_numpy_dtype)
            for key, spec in specs.items()
        }
        interpreter.get_signature_runner(name)(**values)
