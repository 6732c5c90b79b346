"""A graph while it is made of a network: vertices with flat signals.

Nodes of a network that only hand on what they get, constants, and biases have no
counterpart in NIR; the passes of this module take them away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Draft", "Vertex"]

JUNCTION = "Junction"


@dataclass
class Vertex:
    """One node.

    Attributes
    ----------
    kind : str
        Type in NIR, or ``"Junction"`` for what only adds up what it gets.
    size_in, size_out : int
        Numbers that it takes and gives.
    values : dict of {str: Any}
        Fields of the node in NIR; arrays are flat.
    bias : ndarray or None
        What is added to its input, if that has not found a place yet.
    images : tuple or None
        For convolutions and pooling, `Image` before and after.
    """

    kind: str
    size_in: int
    size_out: int
    values: dict[str, Any] = field(default_factory=dict)
    bias: np.ndarray | None = None
    images: tuple[Any, Any] | None = None

    @property
    def ends(self) -> tuple[Any, Any]:
        """Images before and after what is a convolution or pooling."""
        assert self.images is not None, f"a {self.kind} has no images"
        return self.images

    def matrix(self) -> np.ndarray:
        """Return what a convolution or pooling does to signals of the network."""
        before, after = self.ends
        found = np.empty((self.size_out, self.size_in))
        found[after.order[:, None], before.order] = self.values["matrix"]()
        return found

    def add_bias(self, bias: np.ndarray) -> None:
        """Add something to the bias that waits for a place."""
        self.bias = bias if self.bias is None else self.bias + bias


class Draft:
    """Vertices by name, and edges in the order in which they were made."""

    def __init__(self) -> None:
        self.vertices: dict[str, Vertex] = {}
        self.edges: dict[tuple[str, str], None] = {}

    def add(self, name: str | None, vertex: Vertex) -> str:
        """Add a vertex; return its name, which is made one that no other has."""
        if vertex.kind == JUNCTION:  # these go, and leave their names to others
            name = f"junction.{len(self.vertices)}"
            self.vertices[name] = vertex
            return name
        name = re.sub(r"[^\w\- ]+", "_", name or vertex.kind.lower()).strip("_ ")
        name = unique = name or vertex.kind.lower()
        number = 1
        while unique in self.vertices:
            unique, number = f"{name}_{number}", number + 1
        self.vertices[unique] = vertex
        return unique

    def connect(self, pre: str, post: str) -> None:
        """Add an edge; a second one of the same ends gets a Scale by 1 between."""
        if (pre, post) in self.edges:
            size = self.vertices[pre].size_out
            scale = Vertex("Scale", size, size, {"scale": np.ones(size)})
            name = self.add(f"{pre}_again", scale)
            self.edges[pre, name] = None
            pre = name
        self.edges[pre, post] = None

    def before(self, name: str) -> list[str]:
        """Return the names of the vertices whose outputs a vertex gets."""
        return [a for a, b in self.edges if b == name]

    def after(self, name: str) -> list[str]:
        """Return the names of the vertices that get the output of a vertex."""
        return [b for a, b in self.edges if a == name]

    def remove(self, name: str) -> None:
        """Remove a vertex; what it got goes to where its output went."""
        after, old = self.after(name), self.edges
        del self.vertices[name]
        self.edges = {}
        again = []
        for pre, post in old:
            for reader in after if post == name else [post] if pre != name else []:
                if (pre, reader) in self.edges or (
                    post == name and (pre, reader) in old
                ):
                    again.append((pre, reader))
                else:
                    self.edges[pre, reader] = None
        for edge in again:
            self.connect(*edge)

    def dissolve_junctions(self) -> None:
        """Remove the vertices that only add up, after finding places for biases."""
        for name in [n for n, v in self.vertices.items() if v.kind == JUNCTION]:
            bias = self.vertices[name].bias
            if bias is not None and not self._into_weights_before(name, bias):
                for reader in self.after(name):
                    self.push_bias(reader, bias)
            self.remove(name)

    def push_bias(self, name: str, bias: np.ndarray) -> None:
        """Add a constant to the input of a vertex, where that can be said."""
        vertex = self.vertices[name]
        values = vertex.values
        if vertex.kind == "Linear":
            old = values.get("bias", 0.0)
            values["bias"] = old + values["weight"] @ bias
        elif vertex.kind == "Scale":
            for reader in self.after(name):
                self.push_bias(reader, values["scale"] * bias)
        elif vertex.kind in ("LIF", "LI"):
            values["v_leak"] = values["v_leak"] + values["r"] * bias
        else:
            vertex.add_bias(bias)

    def _into_weights_before(self, name: str, bias: np.ndarray) -> bool:
        for source in self.before(name):
            vertex = self.vertices[source]
            if self.after(source) != [name]:
                continue
            if vertex.kind == "Linear":
                vertex.values["bias"] = vertex.values.get("bias", 0.0) + bias
                return True
            if vertex.kind in ("Conv1d", "Conv2d"):
                channels = vertex.ends[1].channels_first(bias)
                channels = channels.reshape(len(vertex.values["bias"]), -1)
                if np.all(channels == channels[:, :1]):
                    vertex.values["bias"] = vertex.values["bias"] + channels[:, 0]
                    return True
        return False

    def place_biases(self) -> None:
        """Give each bias that is left a place: in weights, or an Affine of zeros."""
        for name in list(self.vertices):
            vertex = self.vertices[name]
            if vertex.bias is None:
                continue
            bias, vertex.bias = vertex.bias, None
            if not np.any(bias) or self._into_weights_before(name, bias):
                continue
            source = self._some_input()
            size = self.vertices[source].size_out
            values = {"weight": np.zeros((bias.size, size)), "bias": bias}
            affine = Vertex("Linear", size, bias.size, values)
            constant = self.add(f"{name}_bias", affine)
            self.connect(source, constant)
            self.connect(constant, name)

    def _some_input(self) -> str:
        inputs = [n for n, v in self.vertices.items() if v.kind == "Input"]
        if inputs:
            return min(inputs, key=lambda name: self.vertices[name].size_out)
        return self.add("nothing", Vertex("Input", 1, 1))
