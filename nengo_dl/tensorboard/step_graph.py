"""The graph of one time step, made to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nengo.builder import Model

from nengo_dl.compiler.labels import ObjectNames, label_blocks
from nengo_dl.compiler.parameters import find_parameters
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf

__all__ = ["step_graph"]

#: Constants of more bytes are shown without their values.
_MOST_BYTES = 1024


def step_graph(program: StepProgram, model: Model) -> Any:
    """Trace a step by itself: its loop and its compilation would only hide it.

    Parameters
    ----------
    program : StepProgram
        The step.
    model : Model
        The built model, for the names of objects.

    Returns
    -------
    tf.compat.v1.GraphDef
        Parameters, inputs and state under ``parameters/``, ``inputs/`` and ``state/``;
        each group under its label; results under ``probes/`` and ``next_state/``.
    """
    parameters = find_parameters(model, lambda base: False)
    names = ObjectNames(model, parameters)
    minibatch = program.config.minibatch_size

    def specs(blocks: Sequence[Any], n_rows: int) -> list[tf.TensorSpec]:
        return [tf.TensorSpec((n_rows, b.size), program.dtype_of(b)) for b in blocks]

    @tf.function(autograph=False)
    def step(constants, state, frame):
        with tf.name_scope("parameters"):
            fixed = program.read_fixed(constants)
        state, outputs = program.step(constants, fixed, state, frame)
        for probe, value in zip(model.probes, outputs, strict=True):
            tf.identity(value, name="/".join(["probes", *names.path_of(probe)]))
        with tf.name_scope("next_state/"):  # the slash: that of the step itself
            for block, value in zip(program.state_blocks, state, strict=True):
                tf.identity(value, name=state_labels[block.number])
        return ()

    state_labels = {
        block.number: label
        for block, label in zip(
            program.state_blocks, label_blocks(model, program.state_blocks, parameters)
        )
    }
    traced = step.get_concrete_function(
        specs(program.constant_blocks, 1),
        specs(program.state_blocks, minibatch),
        specs(program.input_blocks, minibatch),
    )
    labels = {
        scope: label_blocks(model, blocks, parameters)
        for scope, blocks in (
            ("parameters", program.constant_blocks),
            ("state", program.state_blocks),
            ("inputs", program.input_blocks),
        )
    }
    renamed = _names_of_inputs(traced.inputs, labels)
    definition = traced.graph.as_graph_def()
    for node in definition.node:
        node.name = renamed.get(node.name, node.name)
        for position, name in enumerate(node.input):
            node.input[position] = _rename(name, renamed)
        if node.op == "Const" and node.attr["value"].ByteSize() > _MOST_BYTES:
            node.attr["value"].tensor.ClearField("tensor_content")
    return definition


def _names_of_inputs(
    inputs: Sequence[tf.Tensor], labels: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return names for the inputs of a graph: those in scopes, then tables."""
    renamed: dict[str, str] = {}
    given = iter(inputs)
    for scope, found in labels.items():
        for number, label in enumerate(found):
            name = f"{scope}/{label}"
            if name in renamed.values():
                name += f"_{number}"
            renamed[next(given).op.name] = name
    for number, tensor in enumerate(given):
        renamed[tensor.op.name] = f"parameters/tables/table_{number}"
    return renamed


def _rename(name: str, renamed: dict[str, str]) -> str:
    """Rename what an input refers to: ``"node"``, ``"node:1"`` or ``"^node"``."""
    control = "^" if name.startswith("^") else ""
    node, colon, output = name.removeprefix("^").partition(":")
    return f"{control}{renamed.get(node, node)}{colon}{output}"
