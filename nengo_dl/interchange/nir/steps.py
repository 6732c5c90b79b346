"""Delays of one step that readers make by themselves."""

from __future__ import annotations

import numpy as np

from nengo_dl.interchange.nir.draft import Draft
from nengo_dl.interchange.nir.graph import waiting_edges

__all__ = ["drop_implied_delays"]

_MEMORY = ("LIF", "IF", "CubaLIF", "LI", "I")


def drop_implied_delays(draft: Draft, dt: float) -> None:
    """Remove delays of one step in recurrent connections, where that changes nothing.

    Every simulator with steps hands recurrent spikes over in the next step, while many
    do not know delays. A delay is removed if `waiting_edges` then finds the edge in its
    place, which is the rule of `from_nir`.

    Parameters
    ----------
    draft : Draft
        Changed.
    dt : float
        Length of a step, in seconds.
    """
    delays = [
        name
        for name, vertex in draft.vertices.items()
        if vertex.kind == "Delay" and np.all(np.round(vertex.values["delay"] / dt) == 1)
    ]
    for name in delays:
        _move_to_neurons(draft, name)
    removed = {}
    for name in delays:
        before, after = draft.before(name), draft.after(name)
        if len(before) == len(after) == 1:
            edge = before[0], after[0]
            memory = draft.vertices[edge[0]].kind in _MEMORY
            if memory and edge not in draft.edges and edge not in removed:
                removed[edge] = name
    while removed:
        edges = _without(draft, removed)
        waiting = waiting_edges(
            edges,
            [n for n, v in draft.vertices.items() if v.kind == "Input"],
            {n for n, v in draft.vertices.items() if v.kind in _MEMORY},
            {n for n, v in draft.vertices.items() if v.kind == "Delay"},
        )
        if waiting == set(removed):
            break
        kept = set(removed) - waiting
        # another edge would wait: then all delays stay
        removed = {e: n for e, n in removed.items() if kept and e not in kept}
    for name in removed.values():
        draft.remove(name)


def _without(
    draft: Draft, removed: dict[tuple[str, str], str]
) -> list[tuple[str, str]]:
    gone = {(pre, name): (pre, post) for (pre, post), name in removed.items()}
    names = set(removed.values())
    return [gone.get(edge, edge) for edge in draft.edges if edge[0] not in names]


def _move_to_neurons(draft: Draft, name: str) -> None:
    """Move a delay towards the neurons, before weights that only it gets."""
    while len(before := draft.before(name)) == 1:
        (weights,) = before
        vertex = draft.vertices[weights]
        sources = draft.before(weights)
        if (
            vertex.kind not in ("Linear", "Scale", "Conv1d", "Conv2d")
            or np.any(vertex.values.get("bias", 0))
            or draft.after(weights) != [name]
            or len(sources) != 1
        ):
            return
        after = draft.after(name)
        swap = {
            (sources[0], weights): (sources[0], name),
            (weights, name): (name, weights),
        }
        swap |= {(name, post): (weights, post) for post in after}
        draft.edges = {swap.get(edge, edge): None for edge in draft.edges}
        delay = draft.vertices[name]
        step = float(delay.values["delay"].flat[0])
        delay.size_in = delay.size_out = vertex.size_in
        delay.values["delay"] = np.full(vertex.size_in, step)
