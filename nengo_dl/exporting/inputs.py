"""What an exported network has to be given in each step, and what to give it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.labels import ObjectNames
from nengo_dl.compiler.operators import RandomSample
from nengo_dl.compiler.plan import Plan
from nengo_dl.exporting.interface import Names
from nengo_dl.program.step import StepProgram

__all__ = ["InputSignal", "choose_inputs", "find_inputs", "used_inputs"]


@dataclass(frozen=True)
class InputSignal:
    """A signal whose values come from outside, step by step.

    Attributes
    ----------
    signal : Signal
        The base signal.
    name : str
        What it is called.
    meaning : str
        What to feed.
    default : ndarray or None
        Its value in each step, if that is constant.
    node : Node or None
        Whose output it is.
    """

    signal: Signal
    name: str
    meaning: str
    default: np.ndarray | None = None
    node: nengo.Node | None = None


def used_inputs(step: StepProgram) -> list[Block]:
    """Return the input blocks of which something is read, in their order."""
    layout = step.layout
    plans = [
        *(plan for b in layout.groups for plan in (*b.reads, *b.previous)),
        *layout.outputs,
    ]
    read = {piece.block for plan in plans for piece in plan.pieces}
    return [block for block in step.input_blocks if block.number in read]


def find_inputs(
    model: Model,
    plan: Plan,
    blocks: Collection[Block],
    nodes: Mapping[nengo.Node, Signal],
    fixed: Mapping[Signal, np.ndarray],
    names: Names,
) -> list[InputSignal]:
    """Name what the steps of a simulation are given, the time left out.

    Parameters
    ----------
    model : Model
        The built model.
    plan : Plan
        Says which operators make inputs ahead of the device.
    blocks : collection of Block
        Where inputs are, as `used_inputs` returns them.
    nodes : mapping of {Node: Signal}
        The Nodes that can be fed.
    fixed : mapping of {Signal: ndarray}
        Values of those whose output is constant.
    names : Names
        Gives out names.

    Returns
    -------
    list of InputSignal
        Those of Nodes first, in the order of their definition.
    """
    wanted = {signal for block in blocks for signal in block.signals}
    if plan.clock is not None:
        wanted -= {plan.clock.step, plan.clock.time}
    objects = ObjectNames(model, plan.parameters)
    found = []
    for node, signal in nodes.items():
        if signal in wanted:
            wanted.remove(signal)
            default = fixed.get(signal)
            owner = ".".join(objects.path_of(node))
            meaning = f"Node '{owner}'"
            if default is None:
                meaning += f", in the simulation {_kind(node.output)}"
            name = names.give(node.label, "node")
            found.append(InputSignal(signal, name, meaning, default, node))
    owners = {signal: objects.path_of(node) for node, signal in nodes.items()}
    for op in plan.split.host:
        signal = op.draws if isinstance(op, RandomSample) else _output(op)
        if signal in wanted:
            label, meaning = _describe(op, plan, objects, owners)
            found.append(InputSignal(signal, names.give(label, "input"), meaning))
    return found


def _output(op: Operator) -> Signal | None:
    return getattr(op, "output", None)


def _kind(output: Any) -> str:
    """Say what gives the values of a Node."""
    if isinstance(output, nengo.Process):
        return _values_of(output)
    return "values of its function of time"


def _values_of(process: nengo.Process) -> str:
    seed = "" if process.seed is None else f" with seed {process.seed}"
    return f"values of {process!r}{seed}"


def _describe(
    op: Operator,
    plan: Plan,
    objects: ObjectNames,
    nodes: Mapping[Signal, tuple[str, ...]],
) -> tuple[str, str]:
    """Return a label, and what to feed for what an operator makes on the host."""
    origin = plan.split.origin.get(op, op)
    owner = ".".join(objects.path(origin)) or "network"
    if isinstance(op, RandomSample):
        return (
            f"{owner}_draws",
            f"for neurons of '{owner}': random numbers, uniform from 0 to 1",
        )
    if isinstance(op, SimProcess):
        return f"{owner}_noise", f"for '{owner}': {_values_of(op.process)}"
    if op in plan.split.arguments:
        of = ".".join(nodes.get(plan.split.arguments[op].root, ("its input",)))
        return f"{owner}_function", f"function of '{owner}': its result for '{of}'"
    return f"{owner}_function", f"'{owner}': values of its function of time"


def choose_inputs(
    found: Iterable[InputSignal], wanted: Collection[nengo.Node] | None
) -> tuple[list[InputSignal], list[InputSignal]]:
    """Divide inputs into those that are fed, and those that keep their values.

    Parameters
    ----------
    found : iterable of InputSignal
        All inputs.
    wanted : collection of Node or None
        Which Nodes are fed; None: all.

    Returns
    -------
    fed, kept : list of InputSignal
        In their order.

    Raises
    ------
    ValidationError
        If a Node has no influence on the network or is none of it, or one that is
        left out is not constant.
    """
    found = list(found)
    if wanted is None:
        return found, []
    known = {entry.node for entry in found if entry.node is not None}
    for node in wanted:
        if node not in known:
            raise ValidationError(
                f"{node} is no input of this network; inputs are "
                f"{', '.join(map(str, known)) or 'none'}",
                attr="inputs",
            )
    fed = [e for e in found if e.node in wanted or e.node is None]
    kept = [e for e in found if e not in fed]
    for entry in kept:
        if entry.default is None:
            raise ValidationError(
                f"{entry.meaning} are not constant, so they have to be fed: list "
                f"{entry.node} in inputs",
                attr="inputs",
            )
    return fed, kept
