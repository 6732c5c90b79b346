"""Synaptic operations, counted from what probes recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder.connection import BuiltConnection
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.neurons import Direct
from nengo.utils.numpy import is_integer

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.names import name_objects
from nengo_dl.inspection.activity import Activity, Operations
from nengo_dl.inspection.fan_out import FanOut, fan_out_of
from nengo_dl.inspection.histories import ProbeHistory
from nengo_dl.inspection.recorded import (
    Recorded,
    first_step,
    probes_of_neurons,
    record_of,
)
from nengo_dl.parameters.freezing import trained_copies
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.tensor_node import TensorNode

__all__ = ["measure_activity"]


def measure_activity(
    values: ParameterValues,
    histories: Mapping[nengo.Probe, ProbeHistory],
    n_steps: int,
    start: float,
    inference_steps: int | None,
) -> Activity:
    """Count operations from what probes recorded.

    Parameters
    ----------
    values : ParameterValues
        Current parameters of the model.
    histories : mapping of {Probe: ProbeHistory}
        Recorded values.
    n_steps : int
        Number of steps that were simulated.
    start : float
        Time to leave out at the beginning, in seconds.
    inference_steps : int or None
        Number of steps of an inference; None: all that are looked at.

    Returns
    -------
    Activity
        Means over inferences.

    Raises
    ------
    ValidationError
        If an argument is unusable, or there is nothing to look at.
    """
    model = values.model
    if model.toplevel is None:
        raise ValidationError(
            "The simulator was made from a model without a network, so there are no "
            "connections to count",
            attr="network",
        )
    first = first_step(start, model.dt, n_steps)
    steps = n_steps - first
    if inference_steps is not None:
        fine = is_integer(inference_steps) and not isinstance(inference_steps, bool)
        if not fine or not 1 <= inference_steps <= steps:
            raise ValidationError(
                f"Must be a number of steps from 1 to {steps}, those that are looked "
                f"at (got {inference_steps!r})",
                attr="inference_steps",
            )
        steps = int(inference_steps)
    records = _Records(values, histories, n_steps, first)
    names = name_objects(model)
    found = Activity(
        operations=[],
        steps=steps,
        seconds=steps * model.dt,
        n_inferences=values.minibatch_size * (n_steps - first) / steps,
        n_neurons=sum(ens.n_neurons for ens in _with_neurons(model.toplevel)),
        spikes=records.spikes(steps),
        activation_sparsity=records.sparsity(),
        connection_sparsity=None,
        footprint=_footprint(values),
    )
    n_weights, n_zeros = 0, 0.0
    for product in _products(values, names):
        if product.fan_out is not None:
            n_weights += product.fan_out.n_weights
            n_zeros += product.fan_out.n_zeros
        entry = records.operations(product, steps)
        if entry is None:
            found.uncounted.append(product.name)
        else:
            found.operations.append(entry)
    sparsity = n_zeros / n_weights if n_weights else None
    return _replaced(found, connection_sparsity=sparsity)


def _replaced(activity: Activity, **changes: Any) -> Activity:
    return Activity(**{**vars(activity), **changes})


def _with_neurons(network: nengo.Network) -> list[nengo.Ensemble]:
    return [e for e in network.all_ensembles if not isinstance(e.neuron_type, Direct)]


@dataclass(frozen=True, eq=False)
class _Product:
    """A product of weights with some inputs.

    Attributes
    ----------
    name : str
        Between which objects it is.
    fan_out : FanOut or None
        Its synapses; None if they are not known.
    source : Ensemble or Node or (Ensemble, "input") or None
        What decides which of the inputs are zero; None: nothing that can be probed.
    where : slice or list of int or Ellipsis
        Which part of the source's values the inputs are.
    """

    name: str
    fan_out: FanOut | None
    source: Any = None
    where: Any = ...


def _products(values: ParameterValues, names: Mapping[Any, str]) -> Iterator[_Product]:
    """Return all products of a network, in the order of its objects."""
    network = values.model.toplevel
    assert network is not None

    def name(obj: Any) -> str:
        obj = obj.ensemble if isinstance(obj, Neurons) else obj
        return getattr(obj, "label", None) or names.get(obj, str(obj))

    connections = [
        conn
        for conn in network.all_connections
        if isinstance(values.model.params.get(conn), BuiltConnection)
        and not isinstance(conn.post_obj, nengo.connection.LearningRule)
    ]
    built = dict(zip(connections, values.built(connections), strict=True))
    encoded = set()
    for conn in connections:
        label = conn.label or f"{name(conn.pre_obj)} -> {name(conn.post_obj)}"
        yield from _of_connection(conn, built[conn].weights, label)
        if isinstance(conn.post_obj, nengo.Ensemble) and not conn.solver.weights:
            encoded.add(conn.post_obj)
    encoding = [ens for ens in _with_neurons(network) if ens in encoded]
    encoders = values.get(*((ens, "scaled_encoders") for ens in encoding))
    for ens, weights in zip(encoding, encoders, strict=True):
        fan_out = fan_out_of(None, weights, ens.dimensions)
        yield _Product(f"encoders of {name(ens)}", fan_out, (ens, "input"))
    nodes = [node for node in network.all_nodes if isinstance(node, TensorNode)]
    for node, code in trained_copies(values, nodes).items():
        # Keras is there: there are TensorNodes
        from nengo_dl.inspection.layer_synapses import synapses_of_layers

        layers = synapses_of_layers(node, code)
        if layers is None:
            yield _Product(f"TensorNode {name(node)}", None)
        for number, fan_out in enumerate(layers or ()):
            suffix = f", layer {number + 1}" if len(layers or ()) > 1 else ""
            source = None
            if len(fan_out.effective) == node.size_in:
                source = _source_of(node, connections, built)
            yield _Product(f"{name(node)}{suffix}", fan_out, source)


def _source_of(
    node: TensorNode, connections: Iterable[nengo.Connection], built: Mapping[Any, Any]
) -> Any:
    """Return what a node's input is, value for value, or None."""
    incoming = [conn for conn in connections if conn.post_obj is node]
    if len(incoming) != 1 or not _passes_on(incoming[0], built[incoming[0]].weights):
        return None
    conn = incoming[0]
    is_whole = conn.size_in == conn.pre_obj.size_out and conn.size_out == node.size_in
    is_ordered = conn.pre_slice == conn.post_slice == slice(None)
    if not (is_whole and is_ordered and conn.synapse is None):
        return None
    return conn.pre_obj.ensemble if isinstance(conn.pre_obj, Neurons) else conn.pre_obj


def _passes_on(conn: nengo.Connection, weights: Any) -> bool:
    """Whether values get to a Node as they are, which is no operation."""
    is_node = isinstance(conn.pre_obj, nengo.Node) and conn.function is None
    return weights is None and (
        is_node
        or (
            isinstance(conn.pre_obj, Neurons) and not isinstance(conn.post_obj, Neurons)
        )
    )


def _of_connection(
    conn: nengo.Connection, weights: Any, name: str
) -> Iterator[_Product]:
    """Return the product of a connection, if it is one."""
    pre = conn.pre_obj
    is_decoded = isinstance(pre, nengo.Ensemble) and not isinstance(
        pre.neuron_type, Direct
    )
    if is_decoded:
        fan_out = fan_out_of(conn.transform, weights, pre.n_neurons)
        yield _Product(name, fan_out, pre)
        return
    if _passes_on(conn, weights):
        return
    fan_out = fan_out_of(conn.transform, weights, conn.size_mid)
    if isinstance(pre, Neurons):
        yield _Product(name, fan_out, pre.ensemble, conn.pre_slice)
    elif weights is not None:
        is_probed = isinstance(pre, nengo.Node) and conn.function is None
        yield _Product(name, fan_out, pre if is_probed else None, conn.pre_slice)


class _Records:
    """What was recorded of all sources of products.

    Parameters are those of `measure_activity`; ``first`` is the number of steps to
    leave out.
    """

    def __init__(
        self,
        values: ParameterValues,
        histories: Mapping[nengo.Probe, ProbeHistory],
        n_steps: int,
        first: int,
    ):
        self._dt = values.model.dt
        self.found: dict[Any, Recorded] = {}

        def record(probe: nengo.Probe) -> Recorded:
            return record_of(values.model, probe, histories[probe], n_steps, first)

        for ens, probes in probes_of_neurons(histories).items():
            places = [np.arange(ens.n_neurons)[probe.slice].ravel() for probe in probes]
            order = np.concatenate(places)
            if len(order) == ens.n_neurons:  # else some neurons are not probed
                joined = Recorded.joined(record(probe) for probe in probes)
                back = np.argsort(order)
                self.found[ens] = Recorded(
                    joined.mean[back],
                    joined.n_active[back],
                    joined.count,
                    joined.n_items,
                    joined.level,
                )
        for probe, history in histories.items():
            whole = probe.synapse is None and probe.sample_every is None
            if history.only_last or not whole or probe.target is not probe.obj:
                continue
            if isinstance(probe.obj, nengo.Node):
                self.found[probe.obj] = record(probe)
            elif isinstance(probe.obj, nengo.Ensemble) and probe.attr == "input":
                self.found[probe.obj, "input"] = record(probe)

    def _neurons(self) -> dict[nengo.Ensemble, Recorded]:
        return {k: v for k, v in self.found.items() if isinstance(k, nengo.Ensemble)}

    def spikes(self, steps: int) -> float | None:
        """Return the number of spikes in so many steps, or None."""
        found = []
        for ens, record in self._neurons().items():
            if ens.neuron_type.spiking:
                amplitude = float(getattr(ens.neuron_type, "amplitude", 1.0))
                found.append(np.abs(record.mean).sum() * self._dt / amplitude)
        return float(sum(found)) * steps if found else None

    def sparsity(self) -> float | None:
        """Return the share of outputs of neurons that are zero, or None."""
        records = self._neurons().values()
        total = sum(record.count * len(record.n_active) for record in records)
        active = sum(int(record.n_active.sum()) for record in records)
        return 1 - active / total if total else None

    def operations(self, product: _Product, steps: int) -> Operations | None:
        """Return the operations of a product in so many steps; None if not known."""
        fan_out, source = product.fan_out, product.source
        record = self.found.get(source)
        if fan_out is None or (record is None and isinstance(source, nengo.Ensemble)):
            return None
        dense = float(fan_out.dense * steps)
        if record is None:
            effective = float(fan_out.effective.sum() * steps)
            return Operations(product.name, effective, 0.0, dense, False)
        share = record.n_active[product.where] / record.count
        effective = float(share @ fan_out.effective * steps)
        if self._are_spikes(source, record):
            return Operations(product.name, 0.0, effective, dense, True)
        return Operations(product.name, effective, 0.0, dense, True)

    def _are_spikes(self, source: Any, record: Recorded) -> bool:
        """Whether there is one value besides zero, which is part of the weights."""
        if record.level is None:
            return False
        if isinstance(source, nengo.Ensemble):
            return bool(source.neuron_type.spiking)
        if isinstance(source, nengo.Node):
            return any(np.isclose(record.level, v) for v in (0.0, 1.0, 1 / self._dt))
        return False


def _footprint(values: ParameterValues) -> int:
    """Return the memory of parameters, and of the state of one item, in bytes."""
    step = values.session.step
    blocks = step.layout.block_of
    signals = {p.signal for p in values.parameters}
    signals |= {signal for block in step.state_blocks for signal in block.signals}
    return sum(
        n_values(signal)
        * (step.dtype_of(blocks[signal]) if signal in blocks else signal.dtype).itemsize
        for signal in signals
    )
