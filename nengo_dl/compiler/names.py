"""Names of objects, parameters and state that do not depend on how they are compiled.

An object is named by its place in the network, as one would write it in Python:
``net.ensembles[0]``, ``net.networks[1].connections[2]``. The simulated network is
``net`` whatever the script calls it. Objects outside of it (of a model that was put
together by hand) are ``model.ensembles[0]`` and so on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import nengo
from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.connection import LearningRule

__all__ = ["describe_objects", "name_objects", "name_outputs", "name_state"]

_KINDS = {
    nengo.Ensemble: "ensembles",
    nengo.Connection: "connections",
    nengo.Node: "nodes",
    nengo.Probe: "probes",
    nengo.Network: "networks",
}


def name_objects(model: Model) -> dict[Any, str]:
    """Return the names of all objects of a model.

    Parameters
    ----------
    model : Model
        A built model.

    Returns
    -------
    dict of {NengoObject or Network or Neurons or LearningRule: str}
        Names are unique. The connection that Nengo makes for a probe is named after
        it: ``net.probes[0].connection``.
    """
    names: dict[Any, str] = {}

    def add(obj: Any, name: str) -> None:
        names[obj] = name
        if isinstance(obj, nengo.Ensemble):
            names[obj.neurons] = f"{name}.neurons"
        elif isinstance(obj, nengo.Connection):
            for number, rule in enumerate(_rules_of(obj)):
                names.setdefault(rule, f"{name}.learning_rules[{number}]")

    def add_network(network: nengo.Network, name: str) -> None:
        add(network, name)
        for kind, plural in _KINDS.items():
            for index, obj in enumerate(network.objects[kind]):
                member = f"{name}.{plural}[{index}]"
                if kind is nengo.Network:
                    add_network(obj, member)
                else:
                    add(obj, member)

    if model.toplevel is not None:
        add_network(model.toplevel, "net")
    counts = dict.fromkeys(_KINDS, 0)
    for obj in model.params:
        kind = next((kind for kind in _KINDS if isinstance(obj, kind)), None)
        if kind is None or obj in names:
            continue
        if kind is nengo.Connection and isinstance(obj.post_obj, nengo.Probe):
            probe = obj.post_obj
            if probe in names:
                add(obj, f"{names[probe]}.connection")
                continue
        add(obj, f"model.{_KINDS[kind]}[{counts[kind]}]")
        counts[kind] += 1
    return names


def _rules_of(conn: nengo.Connection) -> Iterable[LearningRule]:
    rules = conn.learning_rule
    if rules is None:
        return ()
    if isinstance(rules, dict):
        return rules.values()
    return rules if isinstance(rules, list) else (rules,)


def describe_objects(names: dict[Any, str]) -> dict[str, dict[str, Any]]:
    """Describe the ensembles and connections of a network.

    Two networks with equal descriptions can use each other's parameters. Neuron types,
    synapses and functions are left out: parameters that were trained with rate neurons
    are often used with spiking ones. So are Nodes and Probes, which have none.

    Parameters
    ----------
    names : dict
        Result of `name_objects`.

    Returns
    -------
    dict of {str: dict}
        For each object what it is, in values that JSON can hold.
    """
    descriptions: dict[str, dict[str, Any]] = {}
    for obj, name in names.items():
        if isinstance(obj, nengo.Ensemble):
            descriptions[name] = {
                "type": "Ensemble",
                "label": obj.label,
                "n_neurons": int(obj.n_neurons),
                "dimensions": int(obj.dimensions),
            }
        elif isinstance(obj, nengo.Connection) and not isinstance(
            obj.post_obj, nengo.Probe
        ):
            descriptions[name] = {
                "type": "Connection",
                "label": obj.label,
                "pre": _describe_end(obj.pre_obj, obj.pre_slice, names),
                "post": _describe_end(obj.post_obj, obj.post_slice, names),
            }
    return descriptions


def _describe_end(obj: Any, selection: Any, names: dict[Any, str]) -> str:
    name = names.get(obj, type(obj).__name__)
    if isinstance(obj, nengo.Node):
        # not by its place: a Node more or less changes no parameters
        name = f"Node {obj.label!r}" if obj.label else "Node"
    if isinstance(selection, slice):
        if selection == slice(None):
            return name
        parts = (selection.start, selection.stop, selection.step)
        return f"{name}[{':'.join('' if p is None else str(int(p)) for p in parts)}]"
    if not hasattr(selection, "__iter__"):
        return f"{name}[{int(selection)}]"
    return f"{name}[{', '.join(str(int(index)) for index in selection)}]"


def name_state(
    model: Model, names: dict[Any, str], state: Collection[Signal]
) -> dict[str, Signal]:
    """Name the signals that hold the state of a simulation.

    Parameters
    ----------
    model : Model
        A built model.
    names : dict
        Result of `name_objects`.
    state : collection of Signal
        Base signals to name.

    Returns
    -------
    dict of {str: Signal}
        State that Nengo stored for an object is named after it
        (``net.ensembles[0].neurons.voltage``); that of a process after what the process
        computes (``net.connections[0].weighted.process[1]``); what is left, after the
        operator that changes it (``operators[7].sets[0]``).
    """
    known = _name_signals(model, names)
    found = {name: signal for signal, name in known.items() if signal in state}
    named = set(found.values())
    for number, op in enumerate(model.operators):
        for kind in ("sets", "incs", "updates"):
            for position, signal in enumerate(getattr(op, kind)):
                base = signal.base
                if base in named or base not in state:
                    continue
                output = known.get(op.updates[0].base) if op.updates else None
                name = (
                    f"operators[{number}].{kind}[{position}]"
                    if output is None or kind != "updates"
                    else f"{output}.process[{position}]"
                )
                if name in found:
                    name = f"operators[{number}].{kind}[{position}]"
                found[name] = base
                named.add(base)
    return found


def name_outputs(model: Model, names: dict[Any, str]) -> dict[Operator, str]:
    """Name operators after what they compute first.

    Parameters
    ----------
    model : Model
        A built model.
    names : dict
        Result of `name_objects`.

    Returns
    -------
    dict of {Operator: str}
        Such as ``net.nodes[0].out``; names are unique.
    """
    known = _name_signals(model, names)
    found: dict[Operator, str] = {}
    taken: set[str] = set()
    for number, op in enumerate(model.operators):
        written = [*op.sets, *op.incs, *op.updates]
        name = known.get(written[0].base) if written else None
        if name is None or name in taken:
            name = f"operators[{number}]"
        taken.add(name)
        found[op] = name
    return found


def _name_signals(model: Model, names: dict[Any, str]) -> dict[Signal, str]:
    """Name the base signals that Nengo stored for objects."""
    known: dict[Signal, str] = {}
    for obj, signals in model.sig.items():
        if obj in names:
            for key, signal in signals.items():
                if signal is not None:
                    known.setdefault(signal.base, f"{names[obj]}.{key}")
    return known
