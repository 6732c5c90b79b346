"""Products of numbers of lower precision, for training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nengo_dl.builders.base import Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.processor import multiplies_bfloat16

__all__ = ["in_product_type", "routine_is_faster"]

_Step = Callable[[Any, Sequence[Any], Sequence[Any]], Writes]


def in_product_type(step: _Step) -> _Step:
    """Have a builder compute its products in the type that training was given.

    Its attribute ``is_mixed`` says whether it does. Operands are rounded, and results
    converted back; so are those of the products in the derivative.
    """

    @functools.wraps(step)
    def wrapped(self: Any, reads: Sequence[Any], previous: Sequence[Any]) -> Writes:
        if not self.is_mixed:
            return step(self, reads, previous)
        dtype = self.config.product_dtype
        lower = [tf.cast(x, dtype) if x.dtype.is_floating else x for x in reads]
        writes = step(self, lower, previous)
        return Writes(incs=tuple(tf.cast(y, self.config.dtype) for y in writes.incs))

    return wrapped


def routine_is_faster(config: BuildConfig) -> bool:
    """Return whether TensorFlow multiplies this type faster than XLA.

    XLA's CPU compiler converts bfloat16 to single precision, TensorFlow's own routines
    use the processor's instructions for it. (6,400 x 784 by 784 x 512, two cores: 37 ms
    of CPU time in single precision, XLA 48; in bfloat16 16, XLA 54.)
    """
    return config.processor == "CPU" and multiplies_bfloat16()
