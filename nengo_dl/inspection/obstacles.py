"""What calls Python in each time step, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import nengo
from nengo.builder import Model
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal

from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.labels import ObjectNames
from nengo_dl.compiler.parameters import Parameter
from nengo_dl.compiler.tensor_nodes import SimTensorNode

__all__ = ["python_in_steps"]


def python_in_steps(
    model: Model, parameters: Sequence[Parameter], groups: Iterable[Group]
) -> list[str]:
    """Return what runs in Python in each time step.

    Parameters
    ----------
    model : Model
        What Nengo built.
    parameters : sequence of Parameter
        Its parameters.
    groups : iterable of Group
        What runs in a step.

    Returns
    -------
    list of str
        A line for each object, without repetitions.
    """
    names = ObjectNames(model, parameters)
    nodes = {}
    for node in [] if model.toplevel is None else model.toplevel.all_nodes:
        for signal in (model.sig[node].get("in"), model.sig[node].get("out")):
            if signal is not None:
                nodes[signal] = node
    found = [
        _reason(op, nodes, names)
        for group in groups
        if group.is_callback
        for op in group.ops
    ]
    return list(dict.fromkeys(found))


def _reason(
    op: Operator, nodes: Mapping[Signal, nengo.Node], names: ObjectNames
) -> str:
    """Say which object an operator belongs to, and what it does in Python."""
    for signal in op.all_signals:
        if isinstance(op, SimPyFunc) and signal in nodes:
            owner = ".".join(names.path_of(nodes[signal]))
            return f"Node '{owner}' calls Python in each step"
    owner = ".".join(names.path(op)) or str(op)
    if isinstance(op, SimPyFunc):
        return f"the function of '{owner}' is called in each step"
    if isinstance(op, SimTensorNode):
        return f"XLA cannot compile the code of TensorNode '{owner}'"
    subject = getattr(op, "neurons", None)
    if subject is None and isinstance(op, SimProcess):
        subject = op.process
    name = type(op if subject is None else subject).__name__
    return f"{name} of '{owner}' runs in Python in each step"
