"""Forms of signals: which are images, in which order, and where they are flattened."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from nengo_dl.interchange.nir.draft import Draft, Vertex

__all__ = ["ELEMENTWISE", "Image", "convolution_matrix", "find_forms"]

#: Kinds that work element by element: what they take and give has one form.
ELEMENTWISE = frozenset(
    ["Input", "Output", "Scale", "Delay", "Threshold", "LIF", "IF", "CubaLIF"]
    + ["LI", "I"]
)


@dataclass(frozen=True)
class Image:
    """The form of a signal that is an image.

    Attributes
    ----------
    shape : tuple of int
        Channels, and the lengths of the axes.
    channels_last : bool
        Whether the signal of the network has the channels last; NIR has them first.
    """

    shape: tuple[int, ...]
    channels_last: bool = False

    @property
    def order(self) -> np.ndarray:
        """For each element of NIR, which one of the signal it is."""
        places = np.arange(prod(self.shape))
        if not self.channels_last:
            return places
        last = places.reshape((*self.shape[1:], self.shape[0]))
        return np.moveaxis(last, -1, 0).ravel()

    def channels_first(self, values: np.ndarray) -> np.ndarray:
        """Return values in the order of NIR."""
        return np.asarray(values)[self.order]


def find_forms(draft: Draft) -> dict[str, Image | None]:
    """Find which signals are images, and flatten them where matrices follow.

    Vertices that work element by element have the form of those around. Where a
    convolution gets what a matrix makes, NIR has no node to give that a shape: there,
    the convolution becomes a matrix, too.

    Parameters
    ----------
    draft : Draft
        Changed: Flatten vertices are added, and convolutions may become matrices.

    Returns
    -------
    dict of {str: Image or None}
        For each vertex that works element by element, the form, or None for vectors.
    """
    for vertex in draft.vertices.values():
        if vertex.values.get("as_matrix"):
            _make_matrix(vertex)
    while True:
        classes = _classes(draft)
        to_matrix = _misplaced(draft, classes)
        if not to_matrix:
            break
        for name in to_matrix:
            _make_matrix(draft.vertices[name])
    forms = {name: _form(draft, members) for members in classes for name in members}
    for pre, post in list(draft.edges):
        given, taken = _given(draft, forms, pre), _taken(draft, forms, post)
        if given is not None and taken is None:
            _flatten(draft, pre, post, given)
    return forms


def _classes(draft: Draft) -> list[list[str]]:
    """Return groups of elementwise vertices that have to have the same form."""
    parent = {n: n for n, v in draft.vertices.items() if v.kind in ELEMENTWISE}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pre, post in draft.edges:
        if pre in parent and post in parent:
            parent[root(pre)] = root(post)
    groups: dict[str, list[str]] = {}
    for name in parent:
        groups.setdefault(root(name), []).append(name)
    return list(groups.values())


def _around(draft: Draft, members: list[str]) -> tuple[list[str], list[str]]:
    inside = set(members)
    before = [a for a, b in draft.edges if b in inside and a not in inside]
    after = [b for a, b in draft.edges if a in inside and b not in inside]
    return before, after


def _form(draft: Draft, members: list[str]) -> Image | None:
    before, after = _around(draft, members)
    if any(draft.vertices[name].images is None for name in before):
        return None
    images = {draft.vertices[name].ends[1] for name in before}
    images |= {
        draft.vertices[name].ends[0]
        for name in after
        if draft.vertices[name].images is not None
    }
    return images.pop() if len(images) == 1 else None


def _misplaced(draft: Draft, classes: list[list[str]]) -> list[str]:
    """Return convolutions and pools that get something that is no such image."""
    forms = {name: _form(draft, members) for members in classes for name in members}
    return [
        post
        for pre, post in draft.edges
        if (images := draft.vertices[post].images) is not None
        and _given(draft, forms, pre) != images[0]
    ]


def _given(draft: Draft, forms: dict[str, Image | None], name: str) -> Image | None:
    vertex = draft.vertices[name]
    return forms.get(name) if vertex.images is None else vertex.images[1]


def _taken(draft: Draft, forms: dict[str, Image | None], name: str) -> Image | None:
    vertex = draft.vertices[name]
    return forms.get(name) if vertex.images is None else vertex.images[0]


def _flatten(draft: Draft, pre: str, post: str, image: Image) -> None:
    """Put a Flatten between, and what follows into the order of NIR."""
    size = prod(image.shape)
    vertex = draft.vertices[post]
    flatten = Vertex("Flatten", size, size, {"input_type": image.shape})
    chain = [pre, draft.add(f"{pre}_flat", flatten), post]
    if image.channels_last:
        if vertex.kind == "Linear" and draft.before(post) == [pre]:
            vertex.values["weight"] = vertex.values["weight"][:, image.order]
        else:
            weight = np.zeros((size, size))
            weight[image.order, np.arange(size)] = 1
            back = Vertex("Linear", size, size, {"weight": weight})
            chain.insert(2, draft.add(f"{pre}_order", back))
    edges: dict[tuple[str, str], None] = {}
    for edge in draft.edges:
        for new in pairwise(chain) if edge == (pre, post) else [edge]:
            edges[new] = None
    draft.edges = edges


def _make_matrix(vertex: Vertex) -> None:
    """Turn a convolution or pooling into the matrix that it is."""
    values = {"weight": vertex.matrix()}
    if np.any(vertex.values.get("bias", 0)):
        bias = vertex.values["bias"]
        values["bias"] = np.empty(vertex.size_out)
        values["bias"][vertex.ends[1].order] = np.repeat(
            bias, vertex.size_out // len(bias)
        )
    vertex.kind, vertex.values, vertex.images = "Linear", values, None


def convolution_matrix(
    kernel: np.ndarray,
    before: tuple[int, ...],
    after: tuple[int, ...],
    strides: tuple[int, ...],
    padding: tuple[int, ...],
    groups: int,
) -> np.ndarray:
    """Return a convolution as a matrix.

    Parameters
    ----------
    kernel : ndarray, shape (filters, channels / groups, axes...)
        Kernels, as in NIR.
    before, after : tuple of int
        Shapes of the images, channels first.
    strides, padding : tuple of int
        Steps between windows, and zeros before the first element, for each axis.
    groups : int
        In how many parts channels and filters are divided.

    Returns
    -------
    ndarray, shape (size after, size before)
        The matrix.
    """
    n_before, n_after = prod(before[1:]), prod(after[1:])
    matrix = np.zeros((after[0], n_after, before[0], n_before))
    windows = np.stack(np.unravel_index(np.arange(n_after), after[1:]))
    per_group = np.zeros((after[0], before[0], *kernel.shape[2:]))
    n_filters, n_channels = after[0] // groups, before[0] // groups
    for group in range(groups):
        filters = slice(group * n_filters, (group + 1) * n_filters)
        channels = slice(group * n_channels, (group + 1) * n_channels)
        per_group[filters, channels] = kernel[filters]
    for offset in np.ndindex(*kernel.shape[2:]):
        places = windows * np.array(strides)[:, None]
        places += (np.array(offset) - padding)[:, None]
        valid = np.all((places >= 0) & (places < np.array(before[1:])[:, None]), axis=0)
        pixels = np.ravel_multi_index(tuple(places[:, valid]), before[1:])
        weights = per_group[(slice(None), slice(None), *offset)]
        matrix[:, np.flatnonzero(valid), :, pixels] = weights
    return matrix.reshape(prod(after), prod(before))
