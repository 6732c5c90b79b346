"""Storing current parameters in the objects of the user's network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nengo
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.neurons import Direct

from nengo_dl.parameters.arguments import (
    check_item,
    connection_arguments,
    nengo_arguments,
)
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.tensor_node import TensorNode

__all__ = ["Frozen", "freeze", "trained_copies"]

_Change = tuple[Any, str, Any]

#: In this order each assignment is valid when those before it were made, also when
#: they are undone.
_ORDER = ("function_info", "transform", "solver")


class Frozen:
    """What `Simulator.freeze_params` changed, and the way back.

    Parameters
    ----------
    changes : list of tuple (object, str, object)
        Objects, attributes, and the values before, in the order of the changes.
    """

    def __init__(self, changes: list[_Change]):
        self._changes = changes

    @property
    def objects(self) -> list[Any]:
        """The objects that were changed."""
        return list(dict.fromkeys(obj for obj, _, _ in self._changes))

    def undo(self) -> None:
        """Give all objects back what they were defined with.

        Simulators that exist are not affected.
        """
        for obj, attribute, value in self._changes:
            _set(obj, attribute, value)
        self._changes = []

    def __repr__(self) -> str:
        return f"<Frozen parameters of {len(self.objects)} objects>"


def freeze(values: ParameterValues, objs: Any, item: int = 0) -> Frozen:
    """Store current parameters in the definitions of objects.

    Parameters
    ----------
    values : ParameterValues
        Current parameters.
    objs : Network or Ensemble or Neurons or Connection or Probe or TensorNode, or \
            sequence of them
        Parts of the simulated network. Of networks, everything in them that has
        parameters, including the decoders of their probes.
    item : int
        Which item of a minibatch to take learned values from.

    Returns
    -------
    Frozen
        With which all of it can be undone.

    Raises
    ------
    TypeError
        If there is something else among the objects.
    ValidationError
        If an object is not part of the simulated network, or the layer of a TensorNode
        cannot be copied. Nothing is changed then.
    """
    item = check_item(item, values.minibatch_size)
    chosen = _choose(values, objs)
    nodes = [obj for obj in chosen if isinstance(obj, TensorNode)]
    new: list[_Change] = []
    for node, code in trained_copies(values, nodes, item).items():
        if code is not node.tensor_func:
            new += [(node, "tensor_func", code), (node, "trained_elsewhere", False)]
    ensembles = [obj for obj in chosen if isinstance(obj, nengo.Ensemble)]
    for ens, arguments in zip(
        ensembles, nengo_arguments(values, ensembles, item), strict=True
    ):
        new += [(ens, name, value) for name, value in arguments.items()]
        # they follow from gain and bias now, and Nengo warns of other ones
        new.append((ens, "max_rates", nengo.Ensemble.max_rates.default))
        new.append((ens, "intercepts", nengo.Ensemble.intercepts.default))
        if ens.seed is None:
            # neurons then start in the same state wherever the ensemble is built
            new.append((ens, "seed", int(values.model.seeds[ens])))
    probes = {
        conn.post_obj: conn
        for conn in values.model.params
        if isinstance(conn, nengo.Connection) and isinstance(conn.post_obj, nengo.Probe)
    }
    connections = [
        probes.get(obj, obj)
        for obj in chosen
        if isinstance(obj, nengo.Connection) or obj in probes
    ]
    for conn, built in zip(connections, values.built(connections), strict=True):
        if built.weights is None:
            continue
        arguments = connection_arguments(conn, built, item)
        if isinstance(conn.post_obj, nengo.Probe):
            if "solver" in arguments:
                new.append((conn.post_obj, "solver", arguments["solver"]))
            continue
        if "solver" not in arguments:
            arguments.pop("function", None)  # as it is already
        elif conn.size_mid != conn.size_out and "function" not in arguments:
            arguments["function"] = None
        if "function" in arguments:
            arguments["function_info"] = arguments.pop("function")
        new += [(conn, name, arguments[name]) for name in _ORDER if name in arguments]
    return _assign(new)


def trained_copies(
    values: ParameterValues, nodes: Iterable[TensorNode], item: int = 0
) -> dict[TensorNode, Any]:
    """Return the code of TensorNodes, with copies of layers that have their weights.

    Nodes that share a layer share the copy, unless their moving averages differ.
    """
    copies: dict[tuple[int, tuple[bytes, ...]], Any] = {}
    found: dict[TensorNode, Any] = {}
    for node in nodes:
        record = values.model.params[node]
        signals = list(record.signals.values())
        if not signals:
            found[node] = node.tensor_func
            continue
        read = values.read(signals)
        stacked = [read[signal][0] for signal in signals]
        arrays = [value[0 if len(value) == 1 else item] for value in stacked]
        key = (id(node.tensor_func), tuple(array.tobytes() for array in arrays))
        if key not in copies:
            copies[key] = record.function.trained(arrays)
        found[node] = copies[key]
    return found


def _assign(new: list[_Change]) -> Frozen:
    done: list[_Change] = []
    try:
        for obj, attribute, value in new:
            done.append((obj, attribute, getattr(obj, attribute)))
            _set(obj, attribute, value)
    except BaseException:
        Frozen(done).undo()
        raise
    return Frozen(done)


def _set(obj: Any, attribute: str, value: Any) -> None:
    if attribute == "tensor_func":
        obj.exchange(value)
    else:
        setattr(obj, attribute, value)


def _choose(values: ParameterValues, objs: Any) -> list[Any]:
    """Return all objects whose parameters are to be stored, each of them once."""
    kinds = (
        nengo.Network
        | nengo.Ensemble
        | nengo.Connection
        | nengo.Probe
        | Neurons
        | TensorNode
    )
    single = kinds | nengo.Node | str
    if isinstance(objs, single) or not isinstance(objs, Iterable):
        objs = [objs]
    params = values.model.params
    chosen: dict[Any, None] = {}
    for obj in objs:
        if not isinstance(obj, kinds):
            raise TypeError(
                "Only Networks, Ensembles, Neurons, Connections, Probes and "
                f"TensorNodes can be frozen; got {type(obj).__name__} {obj!r}"
            )
        owner = obj.ensemble if isinstance(obj, Neurons) else obj
        if owner not in params:
            raise ValidationError(
                f"{obj} is not part of the simulated network", attr="objs"
            )
        if not isinstance(owner, nengo.Network):
            if isinstance(owner, nengo.Ensemble) and isinstance(
                owner.neuron_type, Direct
            ):
                raise ValidationError(
                    f"{obj} is in Direct mode, so there is nothing to freeze",
                    attr="objs",
                )
            chosen[owner] = None
            continue
        for member in (
            *owner.all_ensembles,
            *owner.all_connections,
            *owner.all_probes,
            *(node for node in owner.all_nodes if isinstance(node, TensorNode)),
        ):
            # what was added to the network later was not simulated
            direct = isinstance(member, nengo.Ensemble) and isinstance(
                member.neuron_type, Direct
            )
            if member in params and not direct:
                chosen[member] = None
    return list(chosen)
