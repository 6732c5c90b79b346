"""Weights of TensorFlow code, and what its errors say."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from nengo_dl.compiler.tensor_nodes import StateTraits
from nengo_dl.support.lazy_imports import tf

__all__ = ["Shape", "Weight", "first_line", "hint", "in_precision"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A weight of a layer, model or object.

    Attributes
    ----------
    name : str
        Unique within the function.
    value : ndarray
        Initial value, for one item of a minibatch.
    trainable : bool
        Whether training changes it by its gradient.
    state : StateTraits or None
        How it behaves if calls replace it; None if they do not.
    variable : tf.Variable or None
        The user's, if there is one.
    """

    name: str
    value: np.ndarray
    trainable: bool
    state: StateTraits | None = None
    variable: tf.Variable | None = None


def hint(error: Exception) -> str:
    """Return what took the place of a name of TensorFlow 1, if that was missing."""
    found = re.search(r"module 'tensorflow\S*' has no attribute '(\w+)'", str(error))
    if found is None:
        return ""
    if found[1] in ("layers", "contrib", "get_variable", "variable_scope"):
        return (
            ". It belongs to TensorFlow 1; pass a Keras layer instead, such as "
            "nengo_dl.Layer(keras.layers.Dense(10))"
        )
    if hasattr(tf.compat.v1, found[1]):
        return f". It belongs to TensorFlow 1, and is tf.compat.v1.{found[1]} now"
    return ""


def first_line(error: Exception) -> str:
    """Return what an exception says, without its details."""
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def in_precision(found: np.dtype, dtype: np.dtype) -> np.dtype:
    """Return the type of a weight in a simulation: its own unless it is a float's."""
    return dtype if np.issubdtype(found, np.floating) else np.dtype(found)
