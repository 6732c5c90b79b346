"""Names of groups, made of the names of the user's objects.

They are the scopes in which the operations of a group are made, so they show up
wherever TensorFlow names something: in TensorBoard's graph, in profiles, in errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import nengo
from nengo.base import NengoObject
from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.connection import LearningRule
from nengo.ensemble import Neurons

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.parameters import Parameter
from nengo_dl.compiler.tensor_nodes import SimTensorNode

__all__ = ["ObjectNames", "label_blocks", "label_groups", "readable"]

#: A label lists the first objects, and how many more there are.
_MOST_NAMES = 2

#: Of the label of an object.
_MOST_CHARACTERS = 60

#: Entries of ``model.sig[connection]`` that belong to the objects at its ends.
_FOREIGN = ("in", "out")


def label_groups(
    model: Model, groups: Sequence[Group], parameters: Sequence[Parameter]
) -> list[str]:
    """Name groups after what they compute, and for which objects.

    Parameters
    ----------
    model : Model
        The built model.
    groups : sequence of Group
        The plan.
    parameters : sequence of Parameter
        The parameters of the model.

    Returns
    -------
    list of str
        For each group a path of the networks that hold all its objects, then what it
        is, and its objects (or the networks that they belong to):
        ``"vision/LIF.v1.v2.and_3_more"``. All characters may be part of TensorFlow's
        scopes. Labels are not always unique.
    """
    owners = ObjectNames(model, parameters)
    attributes = {p.signal: p.attribute for p in parameters}
    return [
        _label(_kind(group.ops[0], attributes), [owners.path(op) for op in group.ops])
        for group in groups
    ]


def label_blocks(
    model: Model, blocks: Sequence[Block], parameters: Sequence[Parameter]
) -> list[str]:
    """Name blocks after what they hold, and of which objects, as `label_groups` does.

    Parameters
    ----------
    model : Model
        The built model.
    blocks : sequence of Block
        Storage of signals.
    parameters : sequence of Parameter
        The parameters of the model.

    Returns
    -------
    list of str
        For each block, such as ``"vision/voltage.v1.v2.and_3_more"``.
    """
    owners = ObjectNames(model, parameters)
    attributes = {p.signal: p.attribute for p in parameters}
    labels = []
    for block in blocks:
        first = block.signals[0]
        # the names of Nengo's signals end in what they are: "<Ensemble 'a'>.bias"
        # and those of unnamed ones are addresses
        name = re.sub(r"<.*>|\(.*?\)|0x[0-9a-f]+", "", first.name or "").split(".")[-1]
        kind = attributes.get(first, readable(name, "values"))
        labels.append(_label(kind, [owners.path_of_signal(s) for s in block.signals]))
    return labels


def _label(kind: str, paths: Iterable[tuple[str, ...]]) -> str:
    distinct = dict.fromkeys(path for path in paths if path)
    outer = _common([path[:-1] for path in distinct])
    names = list(dict.fromkeys(path[len(outer)] for path in distinct))
    more = len(names) - _MOST_NAMES
    parts = [readable(kind, "group"), *names[:_MOST_NAMES]]
    parts += [f"and_{more}_more"] if more > 0 else []
    return "/".join([*outer, ".".join(parts)])


def readable(label: str | None, default: str) -> str:
    """Return a label without the characters that TensorFlow does not allow in names.

    The one place where names of users and of Keras are made legal.
    """
    found = re.sub(r"[^A-Za-z0-9_.>-]+", "_", label or "").strip("_.->")
    return found[:_MOST_CHARACTERS] or default


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest common beginning."""
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


def _kind(op: Operator, attributes: dict[Signal, str]) -> str:
    """Return in one word what an operator does."""
    if isinstance(op, SimTensorNode):
        return "TensorNode"
    for name in ("neurons", "process"):
        subject = getattr(op, name, None)
        if subject is not None:
            return type(subject).__name__
    for signal in op.reads:
        if signal.base in attributes:
            return attributes[signal.base]
    return type(op).__name__.lstrip("_")


class ObjectNames:
    """Names objects, and finds those that operators and signals belong to.

    Nengo does not record that. It stores the signals of objects, and starts the names
    of most signals and the tags of operators with the objects' own.

    Parameters
    ----------
    model : Model
        The built model.
    parameters : sequence of Parameter
        The parameters of the model.
    """

    def __init__(self, model: Model, parameters: Sequence[Parameter]):
        self._by_parameter = {p.signal: p.obj for p in parameters}
        self._paths: dict[Any, tuple[str, ...]] = {}
        if model.toplevel is not None:
            self._add_network(model.toplevel, ())
        self._by_signal: dict[Signal, Any] = {}
        self._by_name: dict[str, Any] = {}
        self._named_before: dict[str, Any] = {}
        for obj, signals in model.sig.items():
            self._by_name.setdefault(str(obj), obj)
            for key, signal in signals.items():
                if signal is None or (
                    isinstance(obj, nengo.Connection) and key in _FOREIGN
                ):
                    continue
                self._by_signal.setdefault(signal, obj)

    def _add_network(self, network: nengo.Network, path: tuple[str, ...]) -> None:
        for objects, kind in (
            (network.ensembles, "ensemble"),
            (network.nodes, "node"),
            (network.probes, "probe"),
        ):
            for number, obj in enumerate(objects):
                self._paths[obj] = (*path, readable(obj.label, f"{kind}{number}"))
        for number, inner in enumerate(network.networks):
            name = readable(inner.label, f"network{number}")
            self._add_network(inner, (*path, name))
        for conn in network.connections:
            self._paths[conn] = (*path, self._connection(conn, path))

    def _connection(self, conn: nengo.Connection, path: tuple[str, ...]) -> str:
        """Name a connection after its ends, as seen from a network around it."""
        ends = []
        for end in (conn.pre_obj, conn.post_obj):
            found = self.path_of(end)
            inner = found[len(path) :] if found[: len(path)] == path else found
            ends.append(".".join(inner) or type(end).__name__)
        return readable(conn.label, f"{ends[0]}->{ends[1]}")

    def path_of(self, obj: Any) -> tuple[str, ...]:
        """Return the names of the networks around an object, and its own."""
        if obj in self._paths:
            return self._paths[obj]
        if isinstance(obj, Neurons):
            return self.path_of(obj.ensemble)
        if isinstance(obj, LearningRule):
            *outer, name = self.path_of(obj.connection)
            return (*outer, f"{name}.{type(obj.learning_rule_type).__name__}")
        if isinstance(obj, nengo.Connection):  # Nengo made it for a probe
            around = self.path_of(obj.post_obj)[:-1]
            return (*around, self._connection(obj, around))
        return (readable(getattr(obj, "label", None), type(obj).__name__),)

    def path(self, op: Operator) -> tuple[str, ...]:
        """Return the path of the object that an operator writes for, or ()."""
        written = [*op.sets, *op.incs, *op.updates]
        for signal in written:
            found = self.path_of_signal(signal)
            if found:
                return found
        obj = self._named(op.tag)
        if obj is not None:
            return self.path_of(obj)
        for signal in op.reads:
            if signal.base in self._by_parameter:
                return self.path_of(self._by_parameter[signal.base])
        return ()

    def path_of_signal(self, signal: Signal) -> tuple[str, ...]:
        """Return the path of the object that a signal belongs to, or ()."""
        obj = self._by_signal.get(signal, self._by_signal.get(signal.base))
        if obj is None:
            obj = self._named(signal.name)
        if obj is None:
            obj = self._by_parameter.get(signal.base)
        return () if obj is None else self.path_of(obj)

    def _named(self, name: str | None) -> NengoObject | None:
        """Return the object whose name another one starts with."""
        asked = name or ""
        if asked not in self._named_before:
            name = asked
            while name and name not in self._by_name:
                name = name[: max(name.rfind("."), name.rfind(" "), 0)]
            self._named_before[asked] = self._by_name.get(name) if name else None
        return self._named_before[asked]
