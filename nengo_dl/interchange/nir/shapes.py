"""Shapes of what nodes of NIR take and give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.nir.graph import FlatGraph

__all__ = [
    "MAX_NUMBERS",
    "Shape",
    "Shapes",
    "bounded",
    "find_shapes",
    "pair",
    "same_shape",
]

#: Numbers that the network may need for one node besides its inputs and outputs: zeros
#: around images and in kernels, entries of pooling matrices, delayed values.
MAX_NUMBERS = 2**27

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """What one node takes and gives.

    Attributes
    ----------
    taken, given : tuple of int
        Shapes, channels first.
    """

    taken: Shape
    given: Shape


def pair(value: Any, n: int = 2) -> tuple[int, ...]:
    """Return whole numbers for each axis, of one number or of one for each."""
    numbers = np.ravel(value)
    if numbers.size not in (1, n) or np.any(numbers != np.round(numbers)):
        raise ValueError(f"expected {n} whole numbers, got {numbers.tolist()}")
    return tuple(int(number) for number in np.broadcast_to(numbers, (n,)))


def bounded(size: int, what: str) -> int:
    """Return a number of numbers that a node needs, if it is not too large."""
    if size > MAX_NUMBERS:
        raise ValueError(f"{what} would take {size} numbers, more than {MAX_NUMBERS}")
    return size


def same_shape(shape: Shape) -> Shapes:
    """Return the shapes of a node that works element by element."""
    return Shapes(shape, shape)


def find_shapes(
    graph: FlatGraph,
    row: Callable[[str], Any],
    max_size: int,
) -> dict[str, Shapes]:
    """Find the shapes of all nodes, from the inputs on, and compare them.

    Parameters
    ----------
    graph : FlatGraph
        The graph.
    row : callable
        From the name of a node to its row of the registry, whose
        ``shapes(node, taken)`` gives the shapes, or None if that needs the shape of
        what the node gets.
    max_size : int
        Numbers that one node may take or give.

    Returns
    -------
    dict of {str: Shapes}
        For each node.

    Raises
    ------
    ValidationError
        If they do not fit, or cannot be found.
    """
    found: dict[str, Shapes] = {}
    readers: dict[str, list[str]] = {}
    for pre, post in graph.edges:
        readers.setdefault(pre, []).append(post)
    todo: list[tuple[str, Shape | None]] = [(name, None) for name in graph.nodes]
    while todo:
        name, taken = todo.pop()
        if name in found:
            continue
        shapes = _shapes_of(graph, name, row(name), taken)
        if shapes is None:
            continue
        if max(prod(shapes.taken), prod(shapes.given)) > max_size:
            raise ValidationError(
                f"the node {name!r} has the shapes {shapes.taken} and {shapes.given}, "
                f"more than the {max_size} numbers that 'max_bytes' allows",
                attr="nodes",
            )
        found[name] = shapes
        todo.extend((reader, shapes.given) for reader in readers.get(name, ()))
    unknown = sorted(set(graph.nodes) - set(found))
    if unknown:
        raise ValidationError(
            f"the shapes of {unknown} cannot be found: they follow from what a node "
            "gets, and no input leads there",
            attr="nodes",
        )
    _compare(graph, found)
    return found


def _shapes_of(
    graph: FlatGraph, name: str, row: Any, taken: Shape | None
) -> Shapes | None:
    node = graph.nodes[name]
    try:
        shapes = row.shapes(node, taken)
    except (ValueError, TypeError, IndexError) as error:
        raise ValidationError(
            f"the {type(node).__name__} node {name!r} has no shape: {error}",
            attr="nodes",
        ) from error
    if shapes is not None and min(shapes.taken + shapes.given, default=1) < 1:
        raise ValidationError(
            f"the {type(node).__name__} node {name!r} has the shapes {shapes.taken} "
            f"and {shapes.given}; lengths must be above 0",
            attr="nodes",
        )
    return shapes


def _compare(graph: FlatGraph, found: dict[str, Shapes]) -> None:
    for pre, post in graph.edges:
        given, taken = found[pre].given, found[post].taken
        if given != taken:
            raise ValidationError(
                f"{pre!r} gives {_text(given)} and {post!r} takes {_text(taken)}; a "
                "Flatten node between them changes the shape, not the number of values",
                attr="edges",
            )


def _text(shape: Sequence[int]) -> str:
    return f"the shape {tuple(shape)}"
