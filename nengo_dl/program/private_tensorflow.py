"""The private names of TensorFlow that are used, all of them.

TensorFlow has no public way to call a function with variables of the caller's choice in
less than a millisecond, nor to keep a traced function in a file under a name of one's
own. Both take the four methods of its context that are used here (TensorFlow 2.18 to
2.21 have them). Without them, each simulator traces and compiles for itself.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nengo_dl.support.lazy_imports import tf

__all__ = ["add_functions", "call_function", "is_available", "remove_functions"]

_METHODS = ("add_function_def", "call_function", "has_function", "remove_function")


def context() -> Any:
    """Return the object that knows all functions of TensorFlow."""
    from tensorflow.python.eager.context import context

    return context()


@functools.cache
def is_available() -> bool:
    """Whether this version of TensorFlow has what the functions of this module need."""
    try:
        return all(hasattr(context(), name) for name in _METHODS)
    except ImportError:  # pragma: no cover
        return False


#: How often each function was added, since equal ones may be added several times.
_added: Counter[str] = Counter()
_lock = threading.RLock()  # the finalizer of one may run while another is added


def add_functions(definitions: Sequence[Any]) -> None:
    """Make functions known to TensorFlow.

    Parameters
    ----------
    definitions : sequence of FunctionDef
        As in the library of a ``tf.compat.v1.GraphDef``, with names that tell what they
        compute.
    """
    with _lock:
        for definition in reversed(definitions):  # callers after what they call
            name = definition.signature.name
            _added[name] += 1
            if not context().has_function(name):
                context().add_function_def(definition)


def remove_functions(names: Sequence[str]) -> None:
    """Let TensorFlow forget functions that were added, each as often as it was."""
    with _lock:
        for name in names:
            _added[name] -= 1
            if not _added[name]:
                del _added[name]
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
    # without outputs, there is no list of them
    return context().call_function(name.encode(), list(tensors), n_outputs) or []
