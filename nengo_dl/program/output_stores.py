"""Arrays for the outputs of many steps: small ones of equal kind share one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from nengo_dl.builders.shapes import reshape
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["OutputStore", "find_stores"]


@dataclass(frozen=True)
class OutputStore:
    """Outputs whose values are kept in one array, side by side.

    Attributes
    ----------
    outputs : tuple of int
        Numbers of the outputs.
    sizes : tuple of int
        How many values each has in a step.
    """

    outputs: tuple[int, ...]
    sizes: tuple[int, ...]

    def join(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the values of a step, shape ``(minibatch, n_values)``."""
        flat = [
            reshape(values[number], (-1, size))
            for number, size in zip(self.outputs, self.sizes, strict=True)
        ]
        return flat[0] if len(flat) == 1 else tf.concat(flat, axis=1)

    def split(self, values: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return each output and its part of an array, whose last axis is divided."""
        if len(self.outputs) == 1:
            return [(self.outputs[0], values)]
        parts = np.split(values, np.cumsum(self.sizes)[:-1], axis=2)
        return list(zip(self.outputs, parts, strict=True))


def find_stores(
    kinds: Sequence[Hashable], shapes: Sequence[tuple[int, ...]]
) -> list[OutputStore]:
    """Divide outputs among arrays.

    Parameters
    ----------
    kinds : sequence of hashable
        For each output, what those that share an array have in common.
    shapes : sequence of tuple of int
        Shapes of the outputs in a step, without the batch axis.

    Returns
    -------
    list of OutputStore
        Each output is in one of them.
    """
    members: dict[Hashable, list[int]] = {}
    sizes = [int(np.prod(shape)) for shape in shapes]
    for number, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
        key = kind if size <= tuning.SMALL_OUTPUT else ("large", number)
        members.setdefault(key, []).append(number)
    return [
        OutputStore(tuple(found), tuple(sizes[number] for number in found))
        for found in members.values()
    ]
