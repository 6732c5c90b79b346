"""Convolutions and pooling, with channels first."""

from __future__ import annotations

from math import prod
from typing import Any

import nengo
import numpy as np

from nengo_dl.interchange.nir.nodes.registry import NodeRow, Place, Reading, reads
from nengo_dl.interchange.nir.shapes import Shape, Shapes, bounded, pair
from nengo_dl.interchange.nir.transforms import Pooling, ZeroPadding

__all__ = ["ConvolutionRow", "PoolingRow", "dilated"]


def dilated(kernel: np.ndarray, dilation: Shape) -> np.ndarray:
    """Return kernels with zeros between their elements, axes last."""
    n_axes = len(dilation)
    sizes = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[-n_axes:])]
    spread = np.zeros((*kernel.shape[:-n_axes], *sizes), kernel.dtype)
    places: tuple[Any, ...] = (..., *(slice(None, None, d) for d in dilation))
    spread[places] = kernel
    return spread


@reads("Conv1d", "Conv2d")
class ConvolutionRow(NodeRow):
    """Convolutions; kernels are (filters, channels / groups, axes)."""

    @staticmethod
    def _numbers(node: Any) -> tuple[Shape, Shape, Shape, int]:
        n_axes = 1 if type(node).__name__ == "Conv1d" else 2
        kernel = np.shape(node.weight)
        if len(kernel) != n_axes + 2:
            raise ValueError(f"'weight' has the shape {kernel}")
        stride, dilation = pair(node.stride, n_axes), pair(node.dilation, n_axes)
        sizes = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel[2:]))
        padding = node.padding
        if isinstance(padding, bytes):
            padding = padding.decode()
        if isinstance(padding, str) and padding == "same":
            if max(stride) > 1:
                raise ValueError("padding 'same' is not defined for strides above 1")
            # an even kernel takes one zero more after the image
            return stride, dilation, (-1,) * n_axes, int(node.groups)
        padding = pair(0 if isinstance(padding, str) else padding, n_axes)
        if min(stride + dilation) < 1 or min(padding) < 0 or int(node.groups) < 1:
            raise ValueError(
                f"stride {stride}, dilation {dilation}, padding {padding}, groups "
                f"{node.groups}"
            )
        if max(stride) == 1 and all(2 * p == s - 1 for p, s in zip(padding, sizes)):
            padding = (-1,) * n_axes if any(padding) else padding
        return stride, dilation, padding, int(node.groups)

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return channels and lengths before and after."""
        stride, dilation, padding, groups = self._numbers(node)
        kernel = np.shape(node.weight)
        n_channels = kernel[1] * groups
        if kernel[0] % groups:
            raise ValueError(f"{kernel[0]} filters in {groups} groups")
        if np.shape(node.bias) not in ((), (1,), kernel[:1]):
            raise ValueError(f"'bias' has the shape {np.shape(node.bias)}")
        if node.input_shape is not None:
            taken = n_channels, *pair(node.input_shape, len(stride))
        if taken is None:
            return None
        if len(taken) != len(kernel) - 1 or taken[0] != n_channels:
            raise ValueError(
                f"it gets the shape {taken}; expected {n_channels} channels and "
                f"{len(kernel) - 2} axes"
            )
        sizes = [d * (k - 1) + 1 for d, k in zip(dilation, kernel[2:])]
        lengths = [
            n if p < 0 else (n + 2 * p - size) // s + 1
            for n, p, size, s in zip(taken[1:], padding, sizes, stride)
        ]
        padded = [n + 2 * max(p, 0) for n, p in zip(taken[1:], padding)]
        bounded(n_channels * prod(padded), "the image with zeros around")
        bounded(prod(kernel[:2]) * prod(sizes), "the kernels with zeros between")
        return Shapes(tuple(taken), (kernel[0], *lengths))

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make a Node that a convolution leads to, behind one with zeros around."""
        stride, dilation, padding, groups = self._numbers(node)
        same = min(padding) < 0
        zeros = ZeroPadding(shapes.taken, padding) if max(padding) > 0 else None
        shape = shapes.taken if zeros is None else zeros.output_shape
        kernel = dilated(np.asarray(node.weight, np.float64), dilation)
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
        transform = nengo.Convolution(
            n_filters=shapes.given[0],
            input_shape=shape,
            kernel_size=kernel.shape[:-2],
            strides=stride,
            padding="same" if same else "valid",
            channels_last=False,
            init=np.ascontiguousarray(kernel),
            groups=groups,
        )
        after = reading.junction(prod(shapes.given), name)
        # zeros between the elements of a kernel would not stay
        fixed = max(dilation) > 1
        bias = np.zeros(shapes.given[0]) + np.asarray(node.bias, float)
        bias = bias if np.any(bias) else None
        if zeros is None:
            return Place(after, after, transform, fixed, bias)
        before = reading.junction(prod(shape), f"{name} padded")
        reading.connect(before, after, fixed, transform=transform, label=name)
        return Place(before, after, zeros, fixed=True, bias=bias)


@reads("SumPool2d", "AvgPool2d")
class PoolingRow(NodeRow):
    """Sums or means of windows; the zeros around count in the mean."""

    @staticmethod
    def _pooling(node: Any, taken: Shape) -> Pooling:
        if len(taken) != 3:
            raise ValueError(f"it gets the shape {taken}; expected channels and 2 axes")
        return Pooling(
            taken,
            pair(node.kernel_size),
            pair(node.stride),
            pair(node.padding),
            mean=type(node).__name__ == "AvgPool2d",
        )

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return channels and lengths before and after."""
        if taken is None:
            return None
        sizes = self._sizes(node)
        given = Pooling.given_shape(taken, *sizes)
        bounded(prod(given) * prod(sizes[0]), "the matrix that pools")
        return Shapes(tuple(taken), given)

    @staticmethod
    def _sizes(node: Any) -> tuple[Shape, Shape, Shape]:
        return pair(node.kernel_size), pair(node.stride), pair(node.padding)

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make a Node that a sparse matrix leads to."""
        after = reading.junction(prod(shapes.given), name)
        return Place(after, after, self._pooling(node, shapes.taken), fixed=True)
