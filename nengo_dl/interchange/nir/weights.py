"""From transforms of Nengo to vertices."""

from __future__ import annotations

from math import prod
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.transforms import ChannelShape

from nengo_dl.interchange.nir.draft import Vertex
from nengo_dl.interchange.nir.forms import Image, convolution_matrix
from nengo_dl.interchange.nir.transforms import Pooling, ZeroPadding

__all__ = ["weight_vertices"]


def weight_vertices(
    connection: nengo.Connection, weights: Any, scale: float
) -> list[Vertex]:
    """Return what stands for the weights of a connection.

    Parameters
    ----------
    connection : nengo.Connection
        Connection whose transform is asked for.
    weights : ndarray, sparse matrix or None
        Its weights as they are, including decoders.
    scale : float
        What the output of the pre object is multiplied by.

    Returns
    -------
    list of Vertex
        Vertices one behind the other; empty if values are handed on as they are.

    Raises
    ------
    ValidationError
        If NIR has no node for the transform.
    """
    transform = connection.transform
    if isinstance(transform, nengo.Convolution):
        return [_convolution(transform, np.asarray(weights) * scale)]
    if isinstance(transform, nengo.Sparse):
        return _sparse(transform, weights, scale)
    if not isinstance(transform, nengo.Dense | nengo.transforms.NoTransform):
        raise ValidationError(
            f"{connection} has a {type(transform).__name__} transform, for which NIR "
            "has no node",
            attr="transform",
            obj=connection,
        )
    if weights is None:
        weights = np.array(1.0)
    weights = weights * scale
    if weights.ndim == 2:
        size_out, size_in = weights.shape
        return [Vertex("Linear", size_in, size_out, {"weight": weights})]
    if np.all(weights == 1):
        return []
    size = connection.size_mid if weights.ndim == 0 else len(weights)
    factors = np.broadcast_to(weights, (size,)).copy()
    return [Vertex("Scale", size, size, {"scale": factors})]


def _dense(weights: Any) -> np.ndarray:
    if hasattr(weights, "toarray"):
        return np.asarray(weights.toarray(), dtype=np.float64)
    return np.asarray(weights, dtype=np.float64)


def _sparse(transform: nengo.Sparse, weights: Any, scale: float) -> list[Vertex]:
    matrix = _dense(weights)
    size_out, size_in = matrix.shape
    usual = isinstance(transform, Pooling | ZeroPadding) and np.array_equal(
        matrix, _dense(transform.sample())
    )
    if not usual:
        return [Vertex("Linear", size_in, size_out, {"weight": matrix * scale})]
    images = Image(transform.image_shape), Image(transform.output_shape)
    values = {"padding": transform.padding, "matrix": lambda: matrix}
    if isinstance(transform, Pooling):
        kind = "AvgPool2d" if transform.mean else "SumPool2d"
        values |= {"kernel_size": transform.kernel_size, "stride": transform.strides}
    else:
        kind = "ZeroPadding"
    found = [Vertex(kind, size_in, size_out, values, images=images)]
    if scale != 1:
        factors = {"scale": np.full(size_in, scale)}
        found.insert(0, Vertex("Scale", size_in, size_in, factors))
    return found


def _image(shape: ChannelShape) -> Image:
    return Image((shape.n_channels, *shape.spatial_shape), shape.channels_last)


def _convolution(transform: nengo.Convolution, kernel: np.ndarray) -> Vertex:
    images = _image(transform.input_shape), _image(transform.output_shape)
    n_axes = transform.dimensions
    if n_axes > 2:
        raise ValidationError(
            f"{transform} has {n_axes} axes; NIR has convolutions of one and two",
            attr="transform",
        )
    kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
    before, after = images[0].shape, images[1].shape
    strides, groups = tuple(transform.strides), transform.groups
    padding = (0,) * n_axes
    symmetric = True
    if transform.padding == "same":
        total = [
            max((a - 1) * s + k - n, 0)
            for n, a, k, s in zip(before[1:], after[1:], kernel.shape[2:], strides)
        ]
        padding = tuple(t // 2 for t in total)
        symmetric = all(t % 2 == 0 for t in total)

    def matrix() -> np.ndarray:
        return convolution_matrix(kernel, before, after, strides, padding, groups)

    values = {
        "input_shape": before[1:],
        "weight": kernel,
        "stride": strides,
        # an even kernel takes one zero more after the image, as 'same' does in NIR
        "padding": padding if symmetric or max(strides) > 1 else "same",
        "dilation": (1,) * n_axes,
        "groups": groups,
        "bias": np.zeros(after[0]),
        "matrix": matrix,
        "as_matrix": not symmetric and max(strides) > 1,
    }
    kind = "Conv1d" if n_axes == 1 else "Conv2d"
    return Vertex(kind, prod(before), prod(after), values, images=images)
