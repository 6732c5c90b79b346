"""Which builder each operator of a model gets; what has none, runs in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nengo.builder.operator import Operator

from nengo_dl.builders.base import OpBuilder
from nengo_dl.builders.callbacks import CallbackBuilder
from nengo_dl.builders.registry import find_builder
from nengo_dl.support.user_warnings import warn_user

__all__ = ["make_builder_lookup"]


def make_builder_lookup(
    dtype: Any = np.float32, minibatch_size: int = 1, uses_xla: bool = True
) -> Callable[[Operator], type[OpBuilder]]:
    """Return a function that finds builders, and warns once for each missing one.

    Parameters
    ----------
    dtype : numpy.dtype
        Floating point type of the simulation.
    minibatch_size : int
        Length of the batch axis.
    uses_xla : bool
        Whether what XLA cannot compile needs another builder.

    Returns
    -------
    callable
        From an operator to its builder.
    """
    dtype = np.dtype(dtype)
    known: dict[object, type[OpBuilder]] = {}
    special: dict[Operator, type[OpBuilder]] = {}

    def lookup(op: Operator) -> type[OpBuilder]:
        builder = special.get(op)
        if builder is None:
            builder = find(op)
            if uses_xla:
                builder = builder.for_xla(op, dtype, minibatch_size)
            special[op] = builder
        return builder

    def find(op: Operator) -> type[OpBuilder]:
        subject = getattr(op, "neurons", None) or getattr(op, "process", None)
        key = (type(op), type(subject))
        builder = known.get(key)
        if builder is None:
            builder = find_builder(op)
            if builder is None:
                name = type(subject if subject is not None else op).__name__
                warn_user(
                    f"{name} has no TensorFlow version: it runs in Python in each "
                    "time step, which is slow and has no gradient. To give it one, "
                    "register a builder with nengo_dl.builders.register "
                    f"({type(op).__name__} operators)."
                )
                builder = CallbackBuilder
            known[key] = builder
        return builder

    return lookup
