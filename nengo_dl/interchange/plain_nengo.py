"""Networks of Nengo's objects alone, with the parameters of a simulator."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.base import ObjView
from nengo.builder.ensemble import BuiltEnsemble
from nengo.connection import LearningRule
from nengo.exceptions import SimulatorClosed, ValidationError
from nengo.neurons import Direct
from nengo.solvers import NoSolver

from nengo_dl.interchange.keras.converter import Converter
from nengo_dl.interchange.plainness import check_plain
from nengo_dl.neurons import LeakyReLU
from nengo_dl.parameters.arguments import (
    FixedWeights,
    check_item,
    connection_arguments,
    nengo_arguments,
)
from nengo_dl.parameters.freezing import trained_copies
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.simulator.simulator import Simulator
from nengo_dl.support.lazy_imports import keras
from nengo_dl.tensor_node import TensorNode

__all__ = ["export_network"]

_ENSEMBLE = (
    *("radius", "eval_points", "n_eval_points", "neuron_type", "noise", "label"),
    *("encoders", "intercepts", "max_rates", "gain", "bias", "normalize_encoders"),
)
_CONNECTION = (
    *("synapse", "transform", "solver", "learning_rule_type", "eval_points"),
    *("scale_eval_points", "label", "seed"),
)


def export_network(sim: Simulator, item: int = 0, strict: bool = True) -> nengo.Network:
    """Make a network with a simulator's parameters that needs no nengo_dl to run.

    Parameters
    ----------
    sim : Simulator
        An open simulator of a network, which is not changed.
    item : int
        Which item of a minibatch to take learned values from.
    strict : bool
        Whether it is an error if something cannot be expressed by Nengo's own classes.
        Otherwise that is left as it is, a TensorNode with a copy of its trained layer.

    Returns
    -------
    nengo.Network
        Ensembles, Nodes, Probes and networks have the same places in it as in the
        simulated one, so ``net.probes[0]`` stands for ``sim.model.toplevel.probes[0]``.

    Raises
    ------
    SimulatorClosed
        If the simulator was closed.
    ValidationError
        If it is no simulator of a network, there is no such item, or something has no
        form in Nengo (with ``strict``).

    Notes
    -----
    Ensembles get encoders, gains, biases and seeds, as by `Simulator.freeze_params`.
    Connections that decode start from neurons, with their weights as transform, except
    those that a learning rule changes. The Keras layers of a TensorNode become
    transforms, neurons and Nodes, in a network of their own that is added behind the
    others, in the way of `nengo_dl.Converter`; batch normalization is part of the
    weights before it. The Node in the TensorNode's place passes the input on to them.

    Noise that has no seed differs from that of the simulator. Functions of Nodes are
    the same objects. A probe of a connection with ``solver.weights`` shows what neurons
    get before their gains.

    Examples
    --------
    >>> import keras
    >>> with nengo.Network(seed=0) as net:
    ...     x = nengo_dl.tensor_layer(nengo.Node([1.0, 2.0]), keras.layers.Dense(3))
    ...     x = nengo_dl.tensor_layer(x, keras.layers.Dense(1, activation="relu"))
    ...     probe = nengo.Probe(x)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     plain = nengo_dl.export_network(sim)
    ...     sim.run_steps(2)
    >>> with nengo.Simulator(plain, progress_bar=False) as reference:
    ...     reference.run_steps(2)
    >>> np.allclose(reference.data[plain.probes[0]], sim.data[probe], atol=1e-6)
    True
    """
    if not isinstance(sim, Simulator):
        raise ValidationError(
            f"Must be a nengo_dl.Simulator (got {type(sim).__name__})", attr="sim"
        )
    if sim.closed:
        raise SimulatorClosed("Cannot export the network: the simulator is closed")
    network = sim.model.toplevel
    if network is None:
        raise ValidationError(
            "Was made of a model without a network, so there is none to export",
            attr="sim",
        )
    values = sim.data.parameter_values
    copier = _Copier(values, check_item(item, values.minibatch_size), strict)
    made = copier.copy(network)
    if strict:
        check_plain(made)
    return made


class _Copier:
    """Makes a network object by object."""

    def __init__(self, values: ParameterValues, item: int, strict: bool):
        self.values = values
        self.item = item
        self.strict = strict
        #: what stands for an object where it sends, and where it receives
        self.sends: dict[Any, Any] = {}
        self.receives: dict[Any, Any] = {}
        self._places: dict[nengo.Connection, int] = {}

    def copy(self, network: nengo.Network) -> nengo.Network:
        made = nengo.Network(
            label=network.label, seed=network.seed, add_to_container=False
        )
        pairs = [(network, made)]
        self._add_objects(network, made, pairs)
        nodes = [n for n in network.all_nodes if isinstance(n, TensorNode)]
        codes = trained_copies(self.values, nodes, self.item)
        for old, new in pairs:
            with new:
                for node in old.nodes:
                    if isinstance(node, TensorNode):
                        self._add_layers(node, codes[node])
        late = []
        for old, new in pairs:
            for place, conn in enumerate(old.connections):
                is_late = isinstance(conn.post_obj, LearningRule)
                late.append((is_late, place, conn, new))
        # what teaches a learning rule comes after the connection that has it
        for _, place, conn, new in sorted(late, key=lambda entry: entry[0]):
            with new:
                self._places[self._connect(conn)] = place
        for _, new in pairs:
            new.connections.sort(key=lambda conn: self._places.get(conn, 0))
        for old, new in pairs:
            with new:
                for probe in old.probes:
                    self._add_probe(probe)
        return made

    def _add_objects(self, old: nengo.Network, new: nengo.Network, pairs: list) -> None:
        frozen = [e for e in old.ensembles if not isinstance(e.neuron_type, Direct)]
        arguments = dict(
            zip(frozen, nengo_arguments(self.values, frozen, self.item), strict=True)
        )
        with new:
            for ens in old.ensembles:
                given = {name: getattr(ens, name) for name in _ENSEMBLE}
                if ens in arguments:  # gain and bias tell them
                    del given["intercepts"], given["max_rates"]
                given |= arguments.get(ens, {})
                seed = int(self.values.model.seeds[ens])
                made = nengo.Ensemble(ens.n_neurons, ens.dimensions, seed=seed, **given)
                self._replace(ens, made)
                self._replace(ens.neurons, made.neurons)
            for node in old.nodes:
                output = None if isinstance(node, TensorNode) else node.output
                sizes = {"size_in": node.size_in}
                if output is not None:
                    sizes["size_out"] = node.size_out
                made = nengo.Node(output, label=node.label, seed=node.seed, **sizes)
                self._replace(node, made)
            for inner in old.networks:
                made = nengo.Network(label=inner.label, seed=inner.seed)
                pairs.append((inner, made))
                self._add_objects(inner, made, pairs)

    def _replace(self, old: Any, new: Any) -> None:
        self.sends[old] = self.receives[old] = new

    def _end(self, end: Any, table: dict[Any, Any]) -> Any:
        """Return what stands for an object, or for a part of it."""
        if isinstance(end, ObjView):
            return self._end(end.obj, table)[end.slice]
        if isinstance(end, LearningRule):
            return self._rule(end)
        return table[end]

    def _rule(self, rule: LearningRule) -> LearningRule:
        old, new = rule.connection.learning_rule, self.sends[rule.connection]
        if isinstance(old, dict):
            (key,) = (key for key, other in old.items() if other == rule)
            return new.learning_rule[key]
        if isinstance(old, list):
            return new.learning_rule[old.index(rule)]
        return new.learning_rule

    def _connect(self, conn: nengo.Connection) -> nengo.Connection:
        given = {name: getattr(conn, name) for name in _CONNECTION}
        if conn.function is not None:
            given["function"] = conn.function
        pre = self._end(conn.pre, self.sends)
        post = self._end(conn.post, self.receives)
        built = self.values.built([conn])[0]
        if built.weights is not None:
            arguments = connection_arguments(conn, built, self.item)
            if "solver" not in arguments:
                given["transform"] = arguments["transform"]
            elif conn.learning_rule_type is None:
                weights = np.asarray(arguments["solver"].values).T
                if isinstance(arguments["solver"], FixedWeights):
                    post = self.receives[conn.post_obj].neurons
                    weights = self._without_gains(conn, weights)
                pre = self.sends[conn.pre_obj].neurons
                given = {name: given[name] for name in ("synapse", "label", "seed")} | {
                    "transform": nengo.Dense(weights.shape, init=weights)
                }
            else:
                self._keep_decoders(conn, given, arguments["solver"])
        made = nengo.Connection(pre, post, **given)
        self.sends[conn] = self.receives[conn] = made
        return made

    def _without_gains(self, conn: nengo.Connection, weights: np.ndarray) -> np.ndarray:
        """Return weights between neurons, whose input Nengo multiplies by gains."""
        gain = np.asarray(self.values.gain(conn.post_obj))[:, None]
        if np.any(weights[(gain == 0)[:, 0]]):
            raise ValidationError(
                f"{conn} sends to neurons with gain 0, which Nengo's transforms cannot",
                attr="sim",
            )
        return np.divide(weights, gain, out=np.zeros_like(weights), where=gain != 0)

    def _keep_decoders(
        self, conn: nengo.Connection, given: dict[str, Any], solver: Any
    ) -> None:
        """Let a connection decode, so that its learning rule can change decoders."""
        if isinstance(solver, FixedWeights) and self.strict:
            raise ValidationError(
                f"{conn} has weights between neurons that a learning rule changes, for "
                "which Nengo has no solver. strict=False keeps nengo_dl's",
                attr="sim",
            )
        given.pop("function", None)
        given |= {"solver": solver, "transform": None}
        if conn.size_in != conn.size_out:
            # only the size of these targets counts
            built: BuiltEnsemble = self.values.built([conn.pre_obj])[0]
            points = np.array(built.eval_points)
            given["eval_points"] = points
            given["function"] = np.zeros((len(points), conn.size_out))

    def _add_layers(self, node: TensorNode, code: Any) -> None:
        """Put Nengo objects in the place of a TensorNode, behind its new Node."""
        receiver = self.receives[node]
        try:
            if not isinstance(code, keras.Layer) or node.shape_in is None:
                raise ValueError("it is not a Keras layer with an input")
            start = keras.Input(node.shape_in)
            model = keras.Model(start, code(start))
            with nengo.Network(add_to_container=False):
                converter = Converter(model, inference_only=True, allow_fallback=False)
        except (ValidationError, TypeError, ValueError) as error:
            if self.strict:
                raise ValidationError(
                    f"{node} cannot become Nengo objects: {error}. strict=False leaves "
                    "it a TensorNode",
                    attr="sim",
                ) from error
            self.sends[node] = TensorNode(
                code,
                shape_in=node.shape_in,
                shape_out=node.shape_out,
                pass_time=node.pass_time,
                label=node.label,
            )
            if node.size_in:
                nengo.Connection(receiver, self.sends[node], synapse=None)
            return
        (entry,) = converter.inputs.values()
        (probe,) = converter.outputs.values()
        self.sends[node] = _add_converted(converter.net, entry, probe, receiver, node)

    def _add_probe(self, probe: nengo.Probe) -> None:
        target = self._end(probe.target, self.sends)
        given = {}
        conn = next(
            (
                conn
                for conn in self.values.model.params
                if isinstance(conn, nengo.Connection) and conn.post_obj is probe
            ),
            None,
        )
        if conn is not None:
            built = self.values.built([conn])[0]
            if built.weights is not None:
                arguments = connection_arguments(conn, built, self.item)
                if isinstance(arguments.get("solver"), NoSolver):
                    given["solver"] = arguments["solver"]
        if not isinstance(probe.obj, TensorNode):
            given["attr"] = probe.attr
        nengo.Probe(
            target,
            sample_every=probe.sample_every,
            synapse=probe.synapse,
            label=probe.label,
            seed=probe.seed,
            **given,
        )


def _add_converted(
    net: nengo.Network, entry: nengo.Node, probe: nengo.Probe, start: Any, node: Any
) -> Any:
    """Copy a converted model to behind a Node; return what holds its result."""
    sends: dict[Any, Any] = {entry: start}
    receives: dict[Any, Any] = {}

    def end(obj: Any, table: dict[Any, Any]) -> Any:
        return table[obj.obj][obj.slice] if isinstance(obj, ObjView) else table[obj]

    with nengo.Network(label=str(node.label or node)):
        for ens in net.ensembles:
            given = {name: getattr(ens, name) for name in _ENSEMBLE}
            if type(ens.neuron_type) is LeakyReLU:
                receives[ens.neurons], sends[ens.neurons] = _add_leaky(ens, given)
                continue
            made = nengo.Ensemble(ens.n_neurons, ens.dimensions, **given)
            receives[ens.neurons] = sends[ens.neurons] = made.neurons
        for other in net.nodes:
            if other is not entry:
                sizes = {"size_in": other.size_in} if other.size_in else {}
                made = nengo.Node(other.output, label=other.label, **sizes)
                receives[other] = sends[other] = made
        for conn in net.connections:
            nengo.Connection(
                end(conn.pre, sends),
                end(conn.post, receives),
                synapse=conn.synapse,
                transform=conn.transform,
            )
    return end(probe.target, sends)


def _add_leaky(
    ens: nengo.Ensemble, given: dict[str, Any]
) -> tuple[nengo.Node, nengo.Node]:
    """Make leaky rectifiers of rectifiers of both signs; return input and output."""
    leaky = ens.neuron_type
    start = nengo.Node(size_in=ens.n_neurons, label=ens.label)
    result = nengo.Node(size_in=ens.n_neurons, label=ens.label)
    for sign, slope in ((1, 1.0), (-1, leaky.negative_slope)):
        if slope == 0:  # which Nengo's neurons do not have as an amplitude
            continue
        own = {
            **given,
            "neuron_type": nengo.RectifiedLinear(leaky.amplitude * slope),
            "bias": sign * np.asarray(ens.bias),
        }
        part = nengo.Ensemble(ens.n_neurons, ens.dimensions, **own).neurons
        nengo.Connection(start, part, transform=sign, synapse=None)
        nengo.Connection(part, result, transform=sign, synapse=None)
    return start, result
