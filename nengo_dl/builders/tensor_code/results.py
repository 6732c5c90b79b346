"""What is wrong with a result of TensorFlow code."""

from __future__ import annotations

from typing import Any

import numpy as np

from nengo_dl.builders.tensor_code.weights import Shape
from nengo_dl.support.lazy_imports import tf

__all__ = ["find_problem"]


def find_problem(
    result: Any, shape_out: Shape | None, dtype: np.dtype, batch: int | None
) -> str | None:
    """Return why a result is no output; None if it is one.

    Parameters
    ----------
    result : object
        What the code returned.
    shape_out : tuple of int or None
        Shape without the axis for items. None: any that is known.
    dtype : numpy.dtype
        Precision of the simulation.
    batch : int or None
        Number of items. None: not known.
    """
    wanted = "(minibatch,) + shape_out"
    if shape_out is not None:
        wanted = f"(minibatch, {', '.join(map(str, shape_out))})"
    if not tf.is_tensor(result):
        what = "None" if result is None else f"{result!r}, which is no tensor"
        return f"returned {what}; it must return a tensor of shape {wanted}"
    shape = result.shape
    if result.dtype != tf.as_dtype(dtype):
        return (
            f"returned a tensor of type {result.dtype.name} where {dtype.name} is "
            "simulated; use tf.cast, or take the type from the arguments"
        )
    if shape.rank is None or shape.rank < 2:
        return (
            f"returned a tensor of shape {shape}; {wanted} is needed: an axis for "
            "the items of the minibatch, and at least one more"
        )
    fits = (
        all(n is not None for n in shape[1:])
        if shape_out is None
        else shape[1:].is_compatible_with(shape_out)
    )
    if batch is not None and shape[0] not in (None, 1, batch):
        fits = False
    if fits:
        return None
    return f"returned a tensor of shape {shape}; {wanted} is needed" + (
        "" if shape_out else ", with a known shape_out"
    )
