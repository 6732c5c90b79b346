"""From a NIR graph to a Nengo network."""

from __future__ import annotations

import os
from math import prod
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.config import configure_settings
from nengo_dl.interchange.nir.files import read_graph
from nengo_dl.interchange.nir.graph import FlatGraph, Relay, flat_graph, waiting_edges
from nengo_dl.interchange.nir.nodes import find_row
from nengo_dl.interchange.nir.nodes.registry import Place, Reading
from nengo_dl.interchange.nir.packages import import_nir
from nengo_dl.interchange.nir.shapes import Shapes, find_shapes
from nengo_dl.support.arguments import check_seconds
from nengo_dl.support.user_warnings import warn_user

__all__ = ["from_nir"]


def from_nir(
    path_or_graph: Any,
    dt: float | None = None,
    method: str | None = None,
    max_bytes: int = 2**30,
) -> tuple[nengo.Network, dict[str, nengo.Node], dict[str, nengo.Probe]]:
    """Convert a NIR graph to a network, spike for spike.

    Parameters
    ----------
    path_or_graph : str, Path or nir.NIRGraph
        The graph, or a file that contains it.
    dt : float, optional
        Length of the time steps of the simulation, in seconds. Spikes are the number 1
        only with this length. Default: the value that `to_nir` wrote.
    method : "euler" or "exact", optional
        How the differential equations of NIR are solved: with Euler's method, as most
        readers do, or exactly for inputs that are constant within a step. Default: the
        method that `to_nir` wrote, else Euler's method.
    max_bytes : int
        Largest allowed size of the contents of a file, in bytes.

    Returns
    -------
    network : nengo.Network
        The network; weights are trainable, neurons are not.
    inputs : dict of {str: nengo.Node}
        Nodes to feed, by the names of the Input nodes.
    outputs : dict of {str: nengo.Probe}
        Probes, by the names of the Output nodes.

    Raises
    ------
    ValidationError
        If the graph has nodes of an unknown type, shapes that do not fit, numbers that
        are not finite, or cycles without neurons or delays; or if the file is damaged,
        has links, or needs more memory than allowed.

    Notes
    -----
    Edges have no delay, except for those that close a cycle, which delay by one step.
    The page on exporting networks says which ones these are. States start at zero.
    Delays are rounded to whole steps, with a warning if that changes them.

    References
    ----------
    .. [1] J. E. Pedersen et al. Neuromorphic intermediate representation: A unified
       instruction set for interoperable brain-inspired computing. Nature Communications
       15, 2024, 8122.

    Examples
    --------
    >>> import nir
    >>> graph = nir.NIRGraph.from_list(
    ...     nir.Input(np.array([1])),
    ...     nir.Linear(np.array([[5.0], [10.0]])),
    ...     nir.LIF(*np.array([[0.02, 0.02], [1, 1], [0, 0], [1, 1]])),
    ...     nir.Output(np.array([2])),
    ... )
    >>> net, inputs, outputs = nengo_dl.from_nir(graph, dt=0.001)
    >>> with nengo_dl.Simulator(net, dt=0.001, progress_bar=False) as sim:
    ...     sim.run_steps(10, input_feeds={inputs["input"]: np.ones((1, 10, 1))})
    >>> sim.data[outputs["output"]].sum(axis=0).tolist()
    [2.0, 3.0]
    """
    nir = import_nir()
    graph = path_or_graph
    if isinstance(graph, str | os.PathLike):
        graph = read_graph(graph, max_bytes)
    if not isinstance(graph, nir.NIRGraph):
        raise ValidationError(
            f"must be a file or a nir.NIRGraph; got {type(graph).__name__}",
            attr="path_or_graph",
        )
    dt, method = _settings(graph, dt, method)
    flat = flat_graph(graph)
    _check_numbers(flat)
    shapes = find_shapes(
        flat, lambda name: find_row(flat.nodes[name], name), max_size=max_bytes // 8
    )
    return _network(flat, shapes, dt, method)


def _settings(graph: Any, dt: Any, method: Any) -> tuple[float, str]:
    said = graph.metadata if isinstance(graph.metadata, dict) else {}
    if dt is None and "dt" not in said:
        raise ValidationError(
            "must be given, since the graph does not say with which steps it is to be "
            "simulated",
            attr="dt",
        )
    dt = check_seconds(float(said["dt"]) if dt is None else dt, "dt")
    if method is None:
        method = said.get("method", "euler")
        method = method.decode() if isinstance(method, bytes) else method
    if method not in ("euler", "exact"):
        raise ValidationError(
            f"must be 'euler' or 'exact'; got {method!r}", attr="method"
        )
    return dt, method


def _check_numbers(flat: FlatGraph) -> None:
    for name, node in flat.nodes.items():
        if isinstance(node, Relay):
            continue
        find_row(node, name)
        for field, value in vars(node).items():
            if field in ("metadata", "input_type", "output_type"):
                continue
            array = np.asarray(value)
            if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
                raise ValidationError(
                    f"{field!r} of the node {name!r} has numbers that are not finite",
                    attr="nodes",
                )


def _network(
    flat: FlatGraph, shapes: dict[str, Shapes], dt: float, method: str
) -> tuple[nengo.Network, dict[str, nengo.Node], dict[str, nengo.Probe]]:
    import nir

    inputs: dict[str, nengo.Node] = {}
    outputs: dict[str, nengo.Probe] = {}
    with nengo.Network(seed=0) as network:
        configure_settings(trainable=None)
        network.config[nengo.Ensemble].trainable = False
        reading = Reading(dt, method, network)
        places = {
            name: _place(name, node, shapes[name], reading)
            for name, node in flat.nodes.items()
        }
        for name, node in flat.nodes.items():
            if isinstance(node, nir.Input):
                if flat.sources(name):
                    raise ValidationError(
                        f"the Input node {name!r} gets something from "
                        f"{flat.sources(name)}; inputs come from outside",
                        attr="edges",
                    )
                inputs[name] = places[name].source
            elif isinstance(node, nir.Output):
                outputs[name] = nengo.Probe(places[name].source, label=name)
        _connect(flat, shapes, places, list(inputs), reading)
    if reading.rounded:
        warn_user(
            f"the delays of {reading.rounded} are not a whole number of steps of {dt} "
            "s, and were rounded"
        )
    return network, inputs, outputs


def _place(name: str, node: Any, shapes: Shapes, reading: Reading) -> Place:
    try:
        return find_row(node, name).make(node, name, shapes, reading)
    except ValidationError as error:
        raise ValidationError(
            f"the {type(node).__name__} node {name!r}: {error}", attr="nodes"
        ) from error


def _connect(
    flat: FlatGraph,
    shapes: dict[str, Shapes],
    places: dict[str, Place],
    inputs: list[str],
    reading: Reading,
) -> None:
    rows = {name: find_row(node, name) for name, node in flat.nodes.items()}
    late = waiting_edges(
        flat.edges,
        inputs,
        memory={name for name, row in rows.items() if row.has_memory},
        delays={
            n for n, row in rows.items() if row.is_delay(flat.nodes[n], reading.dt)
        },
    )
    sources: dict[str, list[str]] = {name: [] for name in flat.nodes}
    for pre, post in flat.edges:
        sources[post].append(pre)
    one = None
    for name, place in places.items():
        target, found = place.target, sources[name]
        weights = {"transform": place.transform, "label": name}
        if place.transform is not None and len(found) != 1:
            target = reading.junction(prod(shapes[name].taken), f"{name} input")
            reading.connect(target, place.target, place.fixed, **weights)
            weights = {}
        for pre in found:
            synapse = 0 if (pre, name) in late else None
            reading.connect(
                places[pre].source, target, place.fixed, synapse=synapse, **weights
            )
        if place.bias is not None:
            one = nengo.Node([1.0], label="one") if one is None else one
            _add_bias(one, place, f"{name} bias", reading)


def _add_bias(one: nengo.Node, place: Place, label: str, reading: Reading) -> None:
    """Connect a constant, with the bias as weights, so that it can be trained."""
    bias = np.asarray(place.bias, np.float64).ravel()
    size = place.source.size_in
    if bias.size == size:
        reading.connect(one, place.source, transform=bias[:, None], label=label)
        return
    # one number for each channel of an image
    channels = reading.junction(bias.size, label)
    reading.connect(one, channels, transform=bias[:, None], label=label)
    elements = np.arange(size)
    spread = nengo.Sparse(
        (size, bias.size),
        indices=np.stack([elements, elements // (size // bias.size)], axis=1),
        init=np.ones(size),
    )
    reading.connect(channels, place.source, True, transform=spread)
