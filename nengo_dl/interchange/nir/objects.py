"""From the objects of a network to a draft of a graph."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

from nengo_dl.interchange.nir.draft import JUNCTION, Draft, Vertex
from nengo_dl.interchange.nir.filters import synapse_vertices
from nengo_dl.interchange.nir.populations import Population, Writing, find_population
from nengo_dl.interchange.nir.report import ExchangeReport
from nengo_dl.interchange.nir.sources import Source
from nengo_dl.interchange.nir.weights import weight_vertices

__all__ = ["draft_of"]


def draft_of(
    source: Source, writing: Writing, inputs: list[nengo.Node] | None
) -> tuple[Draft, ExchangeReport]:
    """Draw a graph of a network.

    Parameters
    ----------
    source : Source
        The network.
    writing : Writing
        How numbers are written.
    inputs : list of Node or None
        Nodes that are inputs although their output is constant and not zero.

    Returns
    -------
    draft : Draft
        The graph, with junctions.
    report : ExchangeReport
        What is different in it.
    """
    return _Translation(source, writing, inputs).run()


def _full(part: Any, size: int) -> bool:
    if part is None:
        return True
    return bool(np.array_equal(np.arange(size)[part], np.arange(size)))


class _Translation:
    """Objects that were translated, and the names of their vertices."""

    def __init__(self, source: Source, writing: Writing, inputs: Any):
        self.source = source
        self.writing = writing
        self.inputs = None if inputs is None else set(inputs)
        self.draft = Draft()
        self.report = ExchangeReport()
        self.network = source.network
        self.enter: dict[Any, str] = {}
        self.leave: dict[Any, str] = {}
        self.scale: dict[Any, float] = {}
        self.constants: dict[Any, np.ndarray] = {}

    def run(self) -> tuple[Draft, ExchangeReport]:
        self._find_constants()
        for node in self.network.all_nodes:
            if node not in self.constants:
                self._node(node)
        for ensemble in self.network.all_ensembles:
            self._ensemble(ensemble)
        for connection in self.network.all_connections:
            self._connection(connection)
        for probe in self.network.all_probes:
            self._probe(probe)
        return self.draft, self.report

    # nodes

    def _find_constants(self) -> None:
        """Find Nodes whose output is constant, and only used at once and as it is."""
        for node in self.network.all_nodes:
            if (
                isinstance(node.output, np.ndarray)
                and np.any(node.output)
                and (self.inputs is None or node not in self.inputs)
            ):
                self.constants[node] = np.asarray(node.output, dtype=np.float64)
        for connection in self.network.all_connections:
            if connection.synapse is not None or connection.function is not None:
                self.constants.pop(connection.pre_obj, None)
        for probe in self.network.all_probes:
            self.constants.pop(probe.obj, None)
        for node in self.network.all_nodes:
            self._find_constant_sum(node)

    def _find_constant_sum(self, node: nengo.Node) -> None:
        """Find out whether a Node adds up constants, for those that it leads to."""
        if node.output is not None or node.size_in == 0:
            return
        into = [c for c in self.network.all_connections if c.post_obj is node]
        used = [c for c in self.network.all_connections if c.pre_obj is node]
        if (
            into
            and all(c.pre_obj in self.constants for c in into)
            and all(c.synapse is None and c.function is None for c in used)
            and not any(probe.obj is node for probe in self.network.all_probes)
        ):
            self.constants[node] = sum(
                (self._brought(c, node.size_in) for c in into),
                start=np.zeros(node.size_in),
            )
            for connection in used:
                if isinstance(connection.post_obj, nengo.Node):
                    self._find_constant_sum(connection.post_obj)

    def _brought(self, connection: nengo.Connection, size: int) -> np.ndarray:
        """Return what a constant adds to the object that it is connected to."""
        value = self.constants[connection.pre_obj][connection.pre_slice]
        for vertex in weight_vertices(connection, self.source.weights(connection), 1.0):
            weights = vertex.values.get("scale")
            if weights is None:
                weights = vertex.values.get("weight")
                if vertex.images is not None:
                    weights = vertex.matrix()
                value = weights @ value
            else:
                value = weights * value
        brought = np.zeros(size)
        np.add.at(brought, np.arange(size)[connection.post_slice], value)
        return brought

    def _node(self, node: nengo.Node) -> None:
        label = node.label or "node"
        if node.size_in == 0:
            name = self.draft.add(label, Vertex("Input", node.size_out, node.size_out))
            self.leave[node] = name
        elif node.output is None:
            name = self.draft.add(label, Vertex(JUNCTION, node.size_in, node.size_in))
            self.enter[node] = self.leave[node] = name
        else:
            size_in, size_out = node.size_in, node.size_out
            self.enter[node] = self.draft.add(
                f"{label}_in", Vertex("Output", size_in, size_in)
            )
            if size_out:
                self.leave[node] = self.draft.add(
                    f"{label}_out", Vertex("Input", size_out, size_out)
                )
            self.report.left_out(
                node,
                f"its function; what it gets is the Output {label}_in, and what "
                f"it gives the Input {label}_out",
            )

    # populations

    def _ensemble(self, ensemble: nengo.Ensemble) -> None:
        built = self.source.data[ensemble]
        found = find_population(ensemble, self.writing)
        for what in found.approximated:
            self.report.approximated(ensemble, what)
        for what in found.left_out:
            self.report.left_out(ensemble, what)
        if ensemble.noise is not None:
            self.report.left_out(ensemble, f"the noise {ensemble.noise}")
        n = ensemble.n_neurons
        values = {
            key: np.broadcast_to(np.asarray(value, np.float64), (n,))
            for key, value in found.values.items()
        }
        gain = np.asarray(built.gain, np.float64)
        bias = self._bias(ensemble, found, np.asarray(built.bias, np.float64), values)
        # what comes through encoders has their gains in it, so the node has none
        gain_in_node = found.gain_field is not None and not self._leads_to(ensemble)
        if found.gain_field is not None:
            values[found.gain_field] = gain if gain_in_node else np.ones(n)
        if bias is not None and gain_in_node:
            if np.any((gain == 0) & (bias != 0)):
                raise ValidationError(
                    f"{ensemble} has neurons with gain 0 and a bias, which a "
                    f"{found.kind} node cannot have",
                    attr="gain",
                    obj=ensemble,
                )
            bias = bias / np.where(gain == 0, 1, gain)
        name = self.draft.add(
            ensemble.label or "ensemble", Vertex(found.kind, n, n, values, bias)
        )
        self.leave[ensemble] = self.leave[ensemble.neurons] = name
        self.scale[ensemble] = self.scale[ensemble.neurons] = found.scale
        self._entries(ensemble, name, 1.0 if gain_in_node else gain)

    def _leads_to(self, obj: Any) -> bool:
        # neurons of an ensemble are equal objects, but not always the same one
        return any(c.post_obj == obj for c in self.network.all_connections)

    def _entries(self, ensemble: nengo.Ensemble, name: str, gain: Any) -> None:
        """Add encoders, and gains of what is connected to the neurons."""
        n = ensemble.n_neurons
        self.enter[ensemble.neurons] = name
        if np.any(gain != 1) and self._leads_to(ensemble.neurons):
            scale = Vertex("Scale", n, n, {"scale": gain})
            self.enter[ensemble.neurons] = self.draft.add(f"{name}_gain", scale)
            self.draft.connect(self.enter[ensemble.neurons], name)
        if self._leads_to(ensemble):
            built = self.source.data[ensemble]
            encoders = np.asarray(built.scaled_encoders, np.float64)
            linear = Vertex("Linear", ensemble.dimensions, n, {"weight": encoders})
            self.enter[ensemble] = self.draft.add(f"{name}_encoders", linear)
            self.draft.connect(self.enter[ensemble], name)

    def _bias(
        self,
        ensemble: nengo.Ensemble,
        found: Population,
        bias: np.ndarray,
        values: dict[str, np.ndarray],
    ) -> np.ndarray | None:
        """Put the bias into a field; or return it, where there is none for it."""
        start = None
        for state in type(ensemble.neuron_type).state:
            initial = self.source.initial(ensemble, state)
            if state == "current":
                start = initial
            elif state == "voltage" and np.any(initial):
                self.report.left_out(ensemble, "its initial voltages")
        if found.bias_field is not None:
            values[found.bias_field] = bias
            return None
        if start is not None:
            # a leak voltage is there from the start, and does not come by the synapse
            if np.array_equal(start, bias):
                values["v_leak"] = bias
                return None
            if np.any(start):
                self.report.left_out(ensemble, "its initial currents")
        return bias if np.any(bias) else None

    # connections

    def _connection(self, connection: nengo.Connection) -> None:
        pre, post = connection.pre_obj, connection.post_obj
        if connection.learning_rule is not None:
            self.report.left_out(
                connection,
                f"its learning rule {connection.learning_rule}; weights stay as now",
            )
        if isinstance(post, nengo.connection.LearningRule):
            self.report.left_out(connection, "what it brings to a learning rule")
            return
        target = self.enter.get(post)
        if connection.solver.weights and isinstance(post, nengo.Ensemble):
            target = self.leave[post]
        if pre in self.constants:
            self._constant(connection, target)
            return
        if pre not in self.leave or target is None:
            raise ValidationError(
                f"{connection} has an end that NIR has no node for", obj=connection
            )
        name = self._weigh(connection, self.leave[pre])
        label = self._label(connection)
        name = self._filter(name, connection, connection.synapse, label)
        self._spread(name, connection, target)

    def _label(self, connection: nengo.Connection) -> str:
        if connection.label:
            return connection.label
        labels = (
            getattr(end, "label", None)
            or getattr(getattr(end, "ensemble", None), "label", None)
            or type(end).__name__.lower()
            for end in (connection.pre_obj, connection.post_obj)
        )
        return "_to_".join(labels)

    def _chain(self, name: str, label: str, vertex: Vertex) -> str:
        new = self.draft.add(label, vertex)
        self.draft.connect(name, new)
        return new

    def _weigh(self, connection: nengo.Connection, name: str) -> str:
        """Add slices, functions and weights of a connection."""
        pre, label = connection.pre_obj, self._label(connection)
        scale = self.scale.get(pre, 1.0)
        decoded = isinstance(pre, nengo.Ensemble)
        if not decoded:
            size = pre.size_out
            if not _full(connection.pre_slice, size):
                rows = np.eye(size)[connection.pre_slice] * scale
                linear = Vertex("Linear", size, len(rows), {"weight": rows})
                name, scale = self._chain(name, f"{label}_pre", linear), 1.0
            if connection.function is not None:
                name = self._cut(connection, name, label, scale)
                scale = 1.0
        weights = self.source.weights(connection)
        for vertex in weight_vertices(connection, weights, scale):
            name = self._chain(name, label, vertex)
        return name

    def _cut(self, connection: Any, name: str, label: str, scale: float) -> str:
        sizes = self.draft.vertices[name].size_out, connection.size_mid
        if scale != 1:
            values = {"scale": np.full(sizes[0], scale)}
            name = self._chain(
                name, f"{label}_scale", Vertex("Scale", *sizes[:1] * 2, values)
            )
        self._chain(name, f"{label}_in", Vertex("Output", *sizes[:1] * 2))
        self.report.left_out(
            connection,
            f"its function; what it gets is the Output {label}_in, and what it gives "
            f"the Input {label}_out",
        )
        return self.draft.add(f"{label}_out", Vertex("Input", *sizes[1:] * 2))

    def _spread(self, name: str, connection: nengo.Connection, target: str) -> None:
        """Connect to the elements of the target that a connection leads to."""
        post = connection.post_obj
        size = self.draft.vertices[target].size_in
        part = connection.post_slice
        if not (connection.solver.weights and isinstance(post, nengo.Ensemble)):
            if not _full(part, size):
                columns = np.zeros((size, self.draft.vertices[name].size_out))
                np.add.at(columns, np.arange(size)[part], np.eye(columns.shape[1]))
                linear = Vertex("Linear", columns.shape[1], size, {"weight": columns})
                name = self._chain(name, f"{self._label(connection)}_post", linear)
        self.draft.connect(name, target)

    def _constant(self, connection: nengo.Connection, target: Any) -> None:
        if connection.post_obj in self.constants:
            return
        bias = self._brought(connection, self.draft.vertices[target].size_in)
        if self.draft.vertices[target].kind == JUNCTION:
            self.draft.vertices[target].add_bias(bias)
        else:
            self.draft.push_bias(target, bias)

    def _filter(self, name: str, owner: Any, synapse: Any, label: str) -> str:
        """Add what stands for a synapse."""
        size = self.draft.vertices[name].size_out
        for end, vertex in synapse_vertices(
            synapse, size, owner, self.writing, self.report
        ):
            name = self._chain(name, f"{label}{end}", vertex)
        return name

    # probes

    def _probe(self, probe: nengo.Probe) -> None:
        obj, label = probe.obj, probe.label or "output"
        neurons = isinstance(obj, Neurons)
        if obj not in self.leave or (
            probe.attr not in (None, "output", "decoded_output")
            and not (neurons and probe.attr == "spikes")
        ):
            self.report.left_out(probe, f"{probe.attr} of {obj}; NIR has outputs only")
            return
        if probe.sample_every is not None:
            self.report.left_out(probe, f"that it keeps {probe.sample_every} s apart")
        name = self.leave[obj]
        connection = self.source.of_probe(probe)
        if connection is not None:
            name = self._weigh(connection, name)
        else:
            scale = self.scale.get(obj, 1.0)
            size = obj.size_out
            if not _full(probe.slice, size):
                rows = np.eye(size)[probe.slice] * scale
                linear = Vertex("Linear", size, len(rows), {"weight": rows})
                name = self._chain(name, f"{label}_part", linear)
            elif scale != 1:
                values = {"scale": np.full(size, scale)}
                scaled = Vertex("Scale", size, size, values)
                name = self._chain(name, f"{label}_scale", scaled)
        name = self._filter(name, probe, probe.synapse, label)
        size = self.draft.vertices[name].size_out
        self._chain(name, label, Vertex("Output", size, size))
