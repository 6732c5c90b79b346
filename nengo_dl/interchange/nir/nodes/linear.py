"""Affine, Linear and Scale."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nengo_dl.interchange.nir.nodes.registry import NodeRow, Place, Reading, reads
from nengo_dl.interchange.nir.shapes import Shape, Shapes, same_shape

__all__ = ["AffineRow", "ScaleRow"]


@reads("Affine", "Linear")
class AffineRow(NodeRow):
    r""":math:`y = W x + b`."""

    def shapes(self, node: Any, taken: Shape | None) -> Shapes:
        """Return the lengths of the rows and columns of the matrix."""
        weight = np.asarray(node.weight)
        if weight.ndim != 2:
            raise ValueError(
                f"expected a matrix of weights, got the shape {weight.shape}"
            )
        bias = getattr(node, "bias", None)
        if bias is not None and np.shape(bias) != weight.shape[:1]:
            raise ValueError(
                f"'bias' has the shape {np.shape(bias)}, and 'weight' {weight.shape}"
            )
        return Shapes(weight.shape[1:], weight.shape[:1])

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make a Node that the weights lead to."""
        junction = reading.junction(shapes.given[0], name)
        bias = getattr(node, "bias", None)
        weight = np.asarray(node.weight, dtype=np.float64)
        return Place(junction, junction, weight, bias=bias)


@reads("Scale")
class ScaleRow(NodeRow):
    r""":math:`y = s x`, element by element."""

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return the shape of the factors."""
        shape = np.shape(node.scale)
        if prod(shape) == 1:
            return None if taken is None else same_shape(taken)
        return same_shape(shape)

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make a Node that the factors lead to."""
        size = prod(shapes.given)
        scale = np.broadcast_to(np.asarray(node.scale, float).ravel(), (size,))
        junction = reading.junction(size, name)
        return Place(junction, junction, scale.copy())
