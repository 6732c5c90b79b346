"""Folders that TensorFlow reads without Nengo: SavedModels."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nengo_dl.exporting.network import ExportedNetwork, trace
from nengo_dl.exporting.step_function import Functions
from nengo_dl.support.lazy_imports import tf

__all__ = ["make_module", "quiet_tensorflow", "save_module", "write_saved_model"]

#: Folder in a SavedModel for what others add, and our file in it.
_EXTRA, _ABOUT = "assets.extra", "nengo_dl.json"


def write_saved_model(
    network: ExportedNetwork,
    functions: Sequence[str],
    folder: Path,
    about: str,
    jit_compile: bool,
) -> None:
    """Write a SavedModel.

    Parameters
    ----------
    network : ExportedNetwork
        What to write.
    functions : sequence of str
        ``"step"``, ``"run"``.
    folder : Path
        Where; it is made.
    about : str
        Description of it all.
    jit_compile : bool
        Whether readers compile the functions with XLA.
    """
    module = make_module(
        network.functions,
        lambda: network.one_step(network.constants),
        functions,
        jit_compile,
    )
    with quiet_tensorflow():
        save_module(module, functions, folder)
    extra = folder / _EXTRA
    extra.mkdir()
    (extra / _ABOUT).write_text(about, encoding="utf-8")


def save_module(module: Any, functions: Sequence[str], folder: Path) -> None:
    """Write a module with one signature for each function, and the initial state."""
    signatures = {
        name: getattr(module, f"_{name}") for name in (*functions, "initial_state")
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


def make_module(
    functions: Functions,
    make_step: Any,
    names: Sequence[str],
    jit_compile: bool = False,
) -> tf.Module:
    """Return a module with traced functions, and the variables that they use.

    Parameters
    ----------
    functions : Functions
        Names and shapes.
    make_step : callable
        Returns the step, a `OneStep`; called within the functions.
    names : sequence of str
        Which functions.
    jit_compile : bool
        Whether XLA compiles them.
    """
    module = tf.Module()
    initial = {
        entry.name: tf.Variable(entry.default, trainable=False)
        for entry in functions.state
    }
    module.initial = initial

    @tf.function(autograph=False)
    def initial_state() -> dict[str, tf.Tensor]:
        return {name: tf.identity(v) for name, v in initial.items()}

    module._initial_state = initial_state.get_concrete_function()
    module.captured = []
    bodies = {
        "step": (functions.step, functions.step_specs()),
        "run": (functions.run, functions.run_specs()),
    }
    for name in names:
        body, specs = bodies[name]
        traced = trace(functools.partial(_call, body, make_step), specs, jit_compile)
        # variables are saved only with the objects that hold them
        module.captured.extend(traced.graph.variables)
        setattr(module, f"_{name}", traced)
    if "run" in names:
        module.simulate = _simulation(functions, module._run, initial)
    return module


def _call(body: Any, make_step: Any, values: Mapping[str, tf.Tensor]) -> Any:
    return body(make_step(), values)


def _simulation(functions: Functions, run: Any, initial: Mapping[str, Any]) -> Any:
    """Return a function from the inputs of a run to its outputs, for Keras's layers."""
    names = {entry.name for entry in functions.state}
    specs = {k: v for k, v in functions.run_specs().items() if k not in names}

    @tf.function(autograph=False, input_signature=[specs])
    def simulate(values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        results = run(**values, **{k: tf.identity(v) for k, v in initial.items()})
        return {entry.name: results[entry.name] for entry in functions.outputs}

    return simulate


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Return a context without TensorFlow's remarks on what it writes."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl", "tf2onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
