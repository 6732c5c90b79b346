"""From a Nengo network to a NIR graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.nir.draft import Draft, Vertex
from nengo_dl.interchange.nir.files import write_graph
from nengo_dl.interchange.nir.forms import Image, find_forms
from nengo_dl.interchange.nir.objects import draft_of
from nengo_dl.interchange.nir.packages import import_nir
from nengo_dl.interchange.nir.populations import Writing
from nengo_dl.interchange.nir.report import ExchangeReport
from nengo_dl.interchange.nir.sources import Source
from nengo_dl.interchange.nir.steps import drop_implied_delays
from nengo_dl.version import __version__

__all__ = ["to_nir"]


def to_nir(
    sim_or_network: Any,
    path: Any = None,
    *,
    dt: float | None = None,
    method: str = "euler",
    dtype: Any = "float32",
    inputs: Sequence[nengo.Node] | None = None,
    strict: bool = False,
) -> tuple[Any, ExchangeReport]:
    """Convert a network to a NIR graph.

    Parameters
    ----------
    sim_or_network : Simulator or nengo.Network
        A simulator of this package or of Nengo, whose current parameters are written,
        or a network, which is built.
    path : str or Path, optional
        File to write. Default: no file.
    dt : float, optional
        Length of the time steps for simulations of the graph, in seconds. A spike is
        ``amplitude / dt`` in Nengo, and 1 in NIR, so weights are scaled. Default: that
        of the simulator, or 0.001.
    method : "euler" or "exact"
        How readers solve differential equations. Time constants of equations that the
        network solves in another way are adjusted, so that steps of this length agree.
    dtype : dtype-like
        Type of the numbers in the graph.
    inputs : sequence of Node, optional
        Nodes with a constant output that become inputs. By default, Nodes with an
        output of zero become inputs; the output of others is added to the biases.
    strict : bool
        Whether to raise an error if anything is approximated or left out.

    Returns
    -------
    graph : nir.NIRGraph
        The graph; its metadata have ``dt`` and ``method``.
    report : ExchangeReport
        What was approximated or left out.

    Raises
    ------
    ValidationError
        If NIR has no node for a part of the network (such as rate neurons), or, with
        ``strict``, if the report is not empty.
    SimulatorClosed
        If the simulator was closed.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     node = nengo.Node(np.zeros(2), label="input")
    ...     neurons = nengo.Ensemble(
    ...         3, 1, neuron_type=nengo_dl.ResetLIF(amplitude=0.001), gain=np.ones(3),
    ...         bias=np.zeros(3), label="neurons"
    ...     ).neurons
    ...     _ = nengo.Connection(
    ...         node, neurons, transform=np.ones((3, 2)), synapse=None, label="weights"
    ...     )
    ...     probe = nengo.Probe(neurons, label="output")
    >>> graph, report = nengo_dl.to_nir(net)
    >>> graph.edges
    [('input', 'weights'), ('weights', 'neurons'), ('neurons', 'output')]
    >>> print(report)
    nothing was approximated or left out
    """
    import_nir()
    if method not in ("euler", "exact"):
        raise ValidationError(
            f"must be 'euler' or 'exact'; got {method!r}", attr="method"
        )
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise ValidationError(
            f"must be a floating point type; got {dtype}", attr="dtype"
        )
    source = Source(sim_or_network, dt)
    draft, report = draft_of(
        source, Writing(source.dt, method), None if inputs is None else list(inputs)
    )
    if strict and report:
        raise ValidationError(
            f"strict=True, but NIR cannot express everything:\n{report}",
            attr="strict",
        )
    draft.dissolve_junctions()
    draft.place_biases()
    _merge_padding(draft)
    drop_implied_delays(draft, source.dt)
    forms = find_forms(draft)
    graph = _graph(draft, forms, dtype, {"dt": source.dt, "method": method})
    if path is not None:
        write_graph(path, graph)
    return graph, report


def _merge_padding(draft: Draft) -> None:
    """Make zeros around images part of the convolutions that follow."""
    for name in [n for n, v in draft.vertices.items() if v.kind == "ZeroPadding"]:
        zeros, after = draft.vertices[name], draft.after(name)
        reader = draft.vertices[after[0]] if len(after) == 1 else None
        if (
            reader is not None
            and reader.kind in ("Conv1d", "Conv2d")
            and draft.before(after[0]) == [name]
            and reader.values["padding"] == (0,) * len(zeros.values["padding"])
            and reader.ends[0] == zeros.ends[1]
        ):
            _join(zeros, reader)
            draft.remove(name)
        else:
            weight = zeros.values["matrix"]()
            zeros.kind, zeros.values, zeros.images = "Linear", {"weight": weight}, None


def _join(zeros: Vertex, reader: Vertex) -> None:
    matrices = reader.values["matrix"], zeros.values["matrix"]
    reader.values["matrix"] = lambda: matrices[0]() @ matrices[1]()
    reader.values["padding"] = zeros.values["padding"]
    reader.values["input_shape"] = zeros.ends[0].shape[1:]
    reader.images = zeros.ends[0], reader.ends[1]
    reader.size_in = zeros.size_in


def _graph(
    draft: Draft, forms: dict[str, Image | None], dtype: np.dtype, metadata: dict
) -> Any:
    import nir

    nodes = {}
    for name, vertex in draft.vertices.items():
        make = _NODES.get(vertex.kind, _elementwise)
        nodes[name] = make(nir, vertex, forms.get(name), dtype)
    metadata["written_by"] = f"nengo_dl {__version__}"
    graph = nir.NIRGraph(
        nodes=nodes, edges=list(draft.edges), metadata=metadata, type_check=False
    )
    try:
        graph.infer_types()
    except ValueError:
        # nir takes the height of a kernel for its width, too (1.0.8); the types are
        # not part of the file
        pass
    return graph


_Make = Callable[[Any, Vertex, Any, np.dtype], Any]


def _shape(vertex: Vertex, form: Image | None) -> np.ndarray:
    return np.array([vertex.size_in] if form is None else form.shape)


def _elementwise(nir: Any, vertex: Vertex, form: Image | None, dtype: np.dtype) -> Any:
    values = {}
    for name, value in vertex.values.items():
        array = np.asarray(value)
        if form is not None:
            array = form.channels_first(array).reshape(form.shape)
        values[name] = np.array(array, dtype=dtype)
    return getattr(nir, vertex.kind)(**values)


def _linear(nir: Any, vertex: Vertex, form: Any, dtype: np.dtype) -> Any:
    weight = np.array(vertex.values["weight"], dtype=dtype)
    if "bias" not in vertex.values:
        return nir.Linear(weight=weight)
    return nir.Affine(weight=weight, bias=np.array(vertex.values["bias"], dtype=dtype))


def _convolution(nir: Any, vertex: Vertex, form: Any, dtype: np.dtype) -> Any:
    names = "input_shape", "stride", "padding", "dilation", "groups"
    values = {name: vertex.values[name] for name in names}
    if vertex.kind == "Conv1d":
        values = {
            name: value[0] if isinstance(value, tuple) else value
            for name, value in values.items()
        }
    for name in ("weight", "bias"):
        values[name] = np.array(vertex.values[name], dtype=dtype)
    return getattr(nir, vertex.kind)(**values)


def _pooling(nir: Any, vertex: Vertex, form: Any, dtype: np.dtype) -> Any:
    names = "kernel_size", "stride", "padding"
    return getattr(nir, vertex.kind)(**{n: np.array(vertex.values[n]) for n in names})


def _flatten(nir: Any, vertex: Vertex, form: Any, dtype: np.dtype) -> Any:
    shape = np.array(vertex.values["input_type"])
    return nir.Flatten(input_type={"input": shape}, start_dim=0, end_dim=-1)


def _input(nir: Any, vertex: Vertex, form: Image | None, dtype: np.dtype) -> Any:
    return nir.Input(input_type={"input": _shape(vertex, form)})


def _output(nir: Any, vertex: Vertex, form: Image | None, dtype: np.dtype) -> Any:
    return nir.Output(output_type={"output": _shape(vertex, form)})


_NODES: dict[str, _Make] = {
    "Linear": _linear,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "SumPool2d": _pooling,
    "AvgPool2d": _pooling,
    "Flatten": _flatten,
    "Input": _input,
    "Output": _output,
}
