"""Dense transforms, built as Nengo builds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.builder import Model
from nengo.builder import transforms as nengos
from nengo.builder.operator import DotInc, ElementwiseInc, Reset
from nengo.builder.signal import Signal
from nengo.transforms import Dense, NoTransform

from nengo_dl.building.workshop import Workshop

__all__ = ["build_dense", "build_no_transform"]


def build_dense(
    shop: Workshop,
    model: Model,
    transform: Dense,
    sig_in: Signal,
    decoders: np.ndarray | None = None,
    encoders: np.ndarray | None = None,
    rng: Any = np.random,
) -> tuple[Signal, Signal]:
    """Build a matrix into a model, in the place of Nengo's ``build_dense``.

    Parameters
    ----------
    shop : Workshop
        What the functions that build a model share.
    model : nengo.builder.Model
        The model.
    transform : nengo.Dense
        The transform.
    sig_in : Signal
        What is transformed.
    decoders, encoders : ndarray, optional
        Matrices by which the transform is multiplied from the right and the left,
        shapes ``(size_in, n_neurons)`` and ``(size_out, n_neurons)``.
    rng : numpy.random.RandomState
        The connection's random numbers.

    Returns
    -------
    weighted, weights : Signal
        The result, and the matrix.
    """
    if encoders is not None or type(transform) is not Dense:
        return nengos.build_dense(model, transform, sig_in, decoders, encoders, rng)
    return _add(shop, model, transform.shape, transform.sample(rng), sig_in, decoders)


def build_no_transform(
    shop: Workshop,
    model: Model,
    transform: NoTransform,
    sig_in: Signal,
    decoders: np.ndarray | None = None,
    encoders: np.ndarray | None = None,
    rng: Any = np.random,
) -> tuple[Signal, Signal | None]:
    """Build decoders without a transform, in the place of Nengo's function.

    Nengo makes a dense transform for each connection, which takes 0.15 ms.

    Parameters
    ----------
    shop, model, transform, sig_in, decoders, encoders, rng
        As for `build_dense`.

    Returns
    -------
    weighted, weights : Signal
        As of `build_dense`; without decoders, the signal itself and None.
    """
    if decoders is None and encoders is None:
        return sig_in, None
    if encoders is not None or type(transform) is not NoTransform:
        return nengos.build_no_transform(
            model, transform, sig_in, decoders, encoders, rng
        )
    shape = (transform.size_out, transform.size_in)
    return _add(shop, model, shape, np.ones((), shop.dtype), sig_in, decoders)


def _add(
    shop: Workshop,
    model: Model,
    shape: tuple[int, int],
    matrix: np.ndarray,
    sig_in: Signal,
    decoders: np.ndarray | None,
) -> tuple[Signal, Signal]:
    """Add the signals and operators of a matrix."""
    # a copy, which no user can change
    weights = matrix.astype(shop.dtype)
    if decoders is not None:
        weights = nengos.multiply(weights, decoders.astype(shop.dtype, copy=False))
    names = shop.names.get(shape)
    if names is None:
        # as Nengo writes them, also where it makes a transform only for that
        name = f"Dense(shape={shape!r})"
        names = (f"{name}.weights", f"{name}.weighted", f"{name}.apply_weights")
        shop.names[shape] = names
    signal = Signal(weights, readonly=True, name=names[0])
    weighted = shop.zeros(shape[0], names[1])
    model.add_op(Reset(weighted))
    kind = ElementwiseInc if weights.ndim < 2 else DotInc
    model.add_op(kind(signal, sig_in, weighted, tag=names[2]))
    return weighted, signal
