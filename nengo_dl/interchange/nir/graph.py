"""Graphs of NIR without subgraphs, and which of their edges wait a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nengo.exceptions import ValidationError

__all__ = ["FlatGraph", "Relay", "flat_graph", "waiting_edges"]

Edge = tuple[str, str]


@dataclass(frozen=True)
class Relay:
    """The Input or Output of a subgraph: hands on what it gets.

    Attributes
    ----------
    shape : tuple of int or None
        Shape that the file gives for it.
    """

    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class FlatGraph:
    """Nodes by name, and edges between them.

    Attributes
    ----------
    nodes : dict of {str: nir.NIRNode or Relay}
        Nodes; those of subgraphs have the names of both, with a dot between.
    edges : list of (str, str)
        From, to; in the order of the file.
    """

    nodes: dict[str, Any]
    edges: list[Edge]

    def sources(self, name: str) -> list[str]:
        """Return the names of the nodes whose outputs a node gets."""
        return [a for a, b in self.edges if b == name]


def flat_graph(graph: Any) -> FlatGraph:
    """Return a graph without subgraphs.

    Parameters
    ----------
    graph : nir.NIRGraph
        Graph, in which edges to and from a subgraph mean its one Input and Output.

    Returns
    -------
    FlatGraph
        The same with the nodes of all subgraphs.

    Raises
    ------
    ValidationError
        If an edge is there twice or leads nowhere, or a subgraph has several inputs or
        outputs that an edge could mean.
    """
    nodes: dict[str, Any] = {}
    edges: list[Edge] = []
    _add(graph, "", nodes, edges)
    twice = [edge for edge, count in Counter(edges).items() if count > 1]
    if twice:
        raise ValidationError(f"the edge {min(twice)} is there twice", attr="edges")
    return FlatGraph(nodes, edges)


def _add(graph: Any, prefix: str, nodes: dict[str, Any], edges: list[Edge]) -> None:
    import nir

    ends: dict[str, tuple[list[str], list[str]]] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, nir.NIRGraph):
            _add(node, f"{full}.", nodes, edges)
            starts, stops = (
                [
                    f"{full}.{n}"
                    for n, inner in node.nodes.items()
                    if type(inner) is kind
                ]
                for kind in (nir.Input, nir.Output)
            )
            ends[name] = starts, stops
            continue
        if prefix and isinstance(node, nir.Input | nir.Output):
            kind = "input" if isinstance(node, nir.Input) else "output"
            shape = getattr(node, f"{kind}_type")[kind]
            node = Relay(None if shape is None else tuple(int(n) for n in shape))
        if full in nodes:
            raise ValidationError(f"two nodes have the name {full!r}", attr="nodes")
        nodes[full] = node
        ends[name] = [full], [full]
    for edge in graph.edges:
        pre, post = edge
        for name in edge:
            if name not in ends:
                raise ValidationError(
                    f"the edge {(pre, post)} has an end {name!r}, and there are only "
                    f"the nodes {sorted(ends)}",
                    attr="edges",
                )
        _one(pre, ends[pre][1], "Output")
        _one(post, ends[post][0], "Input")
        edges.append((ends[pre][1][0], ends[post][0][0]))


def _one(name: str, found: Sequence[str], kind: str) -> None:
    if len(found) != 1:
        raise ValidationError(
            f"an edge of the subgraph {name!r} needs one {kind} in it; it has "
            f"{list(found)}",
            attr="edges",
        )


def waiting_edges(
    edges: Sequence[Edge],
    starts: Iterable[str],
    memory: Collection[str],
    delays: Collection[str],
) -> set[Edge]:
    """Return the edges over which values take a step, so that no cycle is immediate.

    NIR describes continuous time, in which a recurrent edge takes none. Simulators with
    steps hand over what the neurons did in the step before. Here, the edge that waits
    is the one that leaves the last neurons before a cycle closes, where cycles are
    looked for along the edges in their order, from the inputs.

    Parameters
    ----------
    edges : sequence of (str, str)
        Edges between nodes.
    starts : iterable of str
        Where to start, the inputs, in the order in which edges name them.
    memory : collection of str
        Nodes that keep a state: neurons and integrators.
    delays : collection of str
        Nodes whose output does not depend on their input in the same step.

    Returns
    -------
    set of (str, str)
        Edges that wait.

    Raises
    ------
    ValidationError
        If there is a cycle without neurons, integrators or delays.
    """
    readers: dict[str, list[str]] = {}
    for pre, post in edges:
        readers.setdefault(pre, [])
        readers.setdefault(post, [])
        if post not in delays:
            readers[pre].append(post)
    starts = set(starts)
    order = sorted(readers, key=lambda name: name not in starts)  # inputs first
    waiting: set[Edge] = set()
    while (cycle := _find_cycle(order, readers)) is not None:
        last = max((i for i, name in enumerate(cycle) if name in memory), default=None)
        if last is None:
            raise ValidationError(
                f"the cycle {' -> '.join([*cycle, cycle[0]])} has neither neurons nor "
                "a delay of a step, so it has no value; put a Delay into it",
                attr="edges",
            )
        edge = cycle[last], cycle[(last + 1) % len(cycle)]
        readers[edge[0]].remove(edge[1])
        waiting.add(edge)
    return waiting


def _find_cycle(
    order: Iterable[str], readers: Mapping[str, Sequence[str]]
) -> list[str] | None:
    """Return the nodes of the first cycle, from where it was entered."""
    done: set[str] = set()
    for start in order:
        if start in done:
            continue
        path, places = [start], {start: 0}
        stack = [iter(readers[start])]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                left = path.pop()
                del places[left]
                done.add(left)
            elif name in places:
                return path[places[name] :]
            elif name not in done:
                places[name] = len(path)
                path.append(name)
                stack.append(iter(readers[name]))
    return None
