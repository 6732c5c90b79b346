"""The private names of TensorFlow that are used, all of them.

TensorFlow has no public way to call a function with variables of the caller's choice in
less than a millisecond, nor to keep a traced function in a file under a name of one's
own. Both take the four methods of its context that are used here (TensorFlow 2.18 to
2.21 have them). Without them, each simulator traces and compiles for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

try:
    from tensorflow.python.eager.context import context
except ImportError:  # pragma: no cover
    context = None

__all__ = ["add_function", "call_function", "is_available", "remove_function"]

_METHODS = ("add_function_def", "call_function", "has_function", "remove_function")


def is_available() -> bool:
    """Whether this version of TensorFlow has what the functions of this module need."""
    return context is not None and all(hasattr(context(), name) for name in _METHODS)


def add_function(definition: Any) -> None:
    """Make a function known to TensorFlow, unless one of its name is.

    Parameters
    ----------
    definition : FunctionDef
        As in the library of a ``tf.compat.v1.GraphDef``.
    """
    if not context().has_function(definition.signature.name):
        context().add_function_def(definition)


def remove_function(name: str) -> None:
    """Let TensorFlow forget a function."""
    if context().has_function(name):
        context().remove_function(name)


def call_function(
    name: str, tensors: Sequence[tf.Tensor], n_outputs: int
) -> list[tf.Tensor]:
    """Call a function that TensorFlow knows.

    Parameters
    ----------
    name : str
        Of a function that was added, or of a traced one that exists.
    tensors : sequence of tf.Tensor
        Its arguments, and after them its captures (handles of variables).
    n_outputs : int
        How many tensors it returns.

    Returns
    -------
    list of tf.Tensor
        What it returns, side by side.

    Notes
    -----
    A call with 30 variables takes 52 µs; of ``tf.function``, which looks at each
    argument in Python, 94 µs. (``tf.raw_ops.StatefulPartitionedCall`` would be public,
    but ignores that XLA is to compile the function.)
    """
    return context().call_function(name.encode(), list(tensors), n_outputs)
