"""How many synapses carry a value on: of matrices, sparse ones and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np

from nengo_dl.compiler.sparse import coo

__all__ = ["FanOut", "fan_out_of"]


@dataclass(frozen=True, eq=False)
class FanOut:
    """Number of weights that each input of a product is multiplied with.

    Attributes
    ----------
    effective : (size_in,) ndarray
        For each input, the number of weights that are not zero. Weights that items of a
        minibatch have learned on their own count with their mean.
    dense : int
        Number of products with all weights, for all inputs together.
    n_weights : int
        Number of weights; those of a kernel are there once.
    n_zeros : float
        How many of them are zero.
    """

    effective: np.ndarray
    dense: int
    n_weights: int
    n_zeros: float


def fan_out_of(transform: Any, weights: Any, size_in: int) -> FanOut:
    """Return the number of synapses of the inputs of a connection.

    Parameters
    ----------
    transform : nengo.transforms.Transform
        The connection's transform.
    weights : ndarray or SparseMatrix or scipy.sparse matrix or None
        Its weights, as ``sim.data`` has them, decoders included; None if there are
        none.
    size_in : int
        Number of inputs.
    """
    if weights is None:  # values are passed on as they are
        return FanOut(np.ones(size_in), size_in, 0, 0)
    if isinstance(transform, nengo.Convolution | nengo.ConvolutionTranspose):
        return _of_convolution(transform, np.asarray(weights))
    if not isinstance(weights, np.ndarray):
        _, columns, data = coo(weights)
        effective = np.bincount(columns[data != 0], minlength=size_in)
        n_weights = int(np.prod(weights.shape))
        n_zeros = float(n_weights - effective.sum())
        return FanOut(effective, n_weights, n_weights, n_zeros)
    if weights.ndim < 2:
        used = np.broadcast_to(weights != 0, (size_in,))
        n_zeros = float(weights.size - np.count_nonzero(weights))
        return FanOut(used.astype(float), size_in, weights.size, n_zeros)
    effective = np.count_nonzero(weights, axis=-2)
    if weights.ndim == 3:
        effective = effective.mean(axis=0)
    n_weights = weights.shape[-2] * weights.shape[-1]
    n_zeros = float(n_weights - effective.sum())
    return FanOut(effective, n_weights, n_weights, n_zeros)


def _of_convolution(transform: Any, kernel: np.ndarray) -> FanOut:
    shape = transform.input_shape
    is_transpose = isinstance(transform, nengo.ConvolutionTranspose)
    hits = [
        _hits(*sizes, transform.padding, is_transpose)
        for sizes in zip(
            shape.spatial_shape,
            transform.output_shape.spatial_shape,
            transform.kernel_size,
            transform.strides,
            strict=True,
        )
    ]
    by_group = (*kernel.shape[:-1], transform.groups, -1)
    # kernel size, channel of a group, group -> kernel size, channel
    used = np.count_nonzero(kernel.reshape(by_group), axis=-1)
    used = np.swapaxes(used, -1, -2).reshape(*kernel.shape[:-2], shape.n_channels)
    every = np.full(used.shape, kernel.shape[-1] // transform.groups)
    effective, dense = (_spread(counts, hits) for counts in (used, every))
    if shape.channels_last:
        effective = np.moveaxis(effective, 0, -1)
    n_zeros = float(kernel.size - np.count_nonzero(kernel))
    return FanOut(effective.ravel(), int(dense.sum()), kernel.size, n_zeros)


def _hits(
    n_in: int, n_out: int, n_kernel: int, stride: int, padding: str, is_transpose: bool
) -> np.ndarray:
    """Return whether each element of a kernel meets each input, along one axis.

    Returns
    -------
    (n_kernel, n_in) ndarray of int
        There is at most one output for which it does.
    """
    # a transposed convolution goes the way of a convolution back
    wide, narrow = (n_out, n_in) if is_transpose else (n_in, n_out)
    before = 0
    if padding == "same":
        before = max((narrow - 1) * stride + n_kernel - wide, 0) // 2
    found = np.zeros((n_kernel, n_in), dtype=int)
    element, place = np.meshgrid(np.arange(n_kernel), np.arange(narrow), indexing="ij")
    met = place * stride + element - before
    inside = (met >= 0) & (met < wide)
    found[element[inside], (place if is_transpose else met)[inside]] = 1
    return found


def _spread(counts: np.ndarray, hits: Sequence[np.ndarray]) -> np.ndarray:
    """Return counts for each input, axes (channel, *space).

    Parameters
    ----------
    counts : ndarray, axes (*kernel_size, channel)
        Number of weights of each element of a kernel.
    hits : sequence of ndarray
        What `_hits` returns for each axis.
    """
    for axis_hits in hits:  # each takes an axis away in front, and adds one at the end
        counts = np.tensordot(counts, axis_hits, axes=(0, 0))
    return counts
