"""Builders for Nengo's basic operators (see ``nengo.builder.operator``)."""

from __future__ import annotations

import numpy as np
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Reset

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.events import event_matvec, suits_events
from nengo_dl.builders.products.matvec import (
    batched_matvec,
    columns_matvec,
    of_one_type,
)
from nengo_dl.builders.products.mixed import in_product_type, routine_is_faster
from nengo_dl.builders.products.padded import (
    PaddedColumnsBuilder,
    PaddedDotIncBuilder,
)
from nengo_dl.builders.products.stacked import StackedDotIncBuilder
from nengo_dl.builders.registry import register
from nengo_dl.builders.shapes import reshape
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "CopyBuilder",
    "DotIncBuilder",
    "ElementwiseIncBuilder",
    "ResetBuilder",
]


@register(Reset)
class ResetBuilder(OpBuilder):
    """Set signals to constants: ``dst = value``."""

    @classmethod
    def flat(cls, op):
        """Return True: sizes do not matter."""
        return True

    def __init__(self, ops, config: BuildConfig):
        super().__init__(ops, config)
        self.dtype = config.dtype if ops[0].dst.dtype.kind == "f" else ops[0].dst.dtype
        self.values = np.concatenate(
            [np.full(op.dst.size, op.value, dtype=self.dtype) for op in ops]
        )[None, :]

    def step(self, reads, previous):
        """Return the constants, shape ``(1, n_elements)``."""
        if (self.values == self.values[0, 0]).all():
            value = tf.fill(self.values.shape, tf.constant(self.values[0, 0]))
        else:
            value = tf.constant(self.values)
        return Writes(sets=(value,))


@register(Copy)
class CopyBuilder(OpBuilder):
    """Copy or add signals, or elements of them: ``dst[...] (+)= src[...]``.

    Copies of whole signals merge whatever their sizes; those with index lists merge
    when source and destination have equal shapes.
    """

    @classmethod
    def merge_key(cls, op):
        """Return whether the copy is an increment."""
        return op.inc

    @classmethod
    def flat(cls, op):
        """Return whether whole signals are copied."""
        return cls._is_whole(op)

    @classmethod
    def state_sets(cls, op):
        """Return the destination if the copy leaves some of its elements alone."""
        return (0,) if cls._keeps_elements(op) else ()

    @staticmethod
    def _is_whole(op: Copy) -> bool:
        return (
            op.src_slice is None
            and op.dst_slice is None
            and op.src.shape == op.dst.shape
        )

    @staticmethod
    def _keeps_elements(op: Copy) -> bool:
        if op.inc or op.dst_slice is None:
            return False
        touched = np.zeros(op.dst.shape, dtype=bool)
        touched[op.dst_slice] = True
        return not touched.all()

    def __init__(self, ops, config: BuildConfig):
        super().__init__(ops, config)
        self.whole = self._is_whole(ops[0])
        if self.whole:
            return
        # positions within each operator's own source and destination
        sources, targets = [], []
        for number, op in enumerate(ops):
            source = np.arange(op.src.size).reshape(op.src.shape)
            target = np.arange(op.dst.size).reshape(op.dst.shape)
            if op.src_slice is not None:
                source = source[op.src_slice]
            if op.dst_slice is not None:
                target = target[op.dst_slice]
            source = np.broadcast_to(source, target.shape)
            sources.append(source.ravel() + number * op.src.size)
            targets.append(target.ravel() + number * op.dst.size)
        source, target = np.concatenate(sources), np.concatenate(targets)
        self.n_targets = sum(op.dst.size for op in ops)
        self.n_sources = sum(op.src.size for op in ops)
        counts = np.bincount(target, minlength=self.n_targets)
        # one column of sources for each term; n_sources stands for a zero
        order = np.argsort(target, kind="stable")
        column = np.arange(len(target)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.table = np.full((self.n_targets, max(counts.max(), 1)), self.n_sources)
        self.table[target[order], column] = source[order]
        self.untouched = counts == 0

    def step(self, reads, previous):
        """Return the copied values, in the shape of the destinations."""
        (src,) = reads
        if self.whole:
            value = src
        else:
            flat = reshape(src, (src.shape[0], self.n_sources))
            flat = tf.pad(flat, ((0, 0), (0, 1)))
            value = tf.add_n(
                [
                    tf.gather(flat, tf.constant(column, tf.int32), axis=1)
                    for column in self.table.T
                ]
            )
            if previous:
                old = reshape(previous[0], (previous[0].shape[0], self.n_targets))
                value = tf.where(tf.constant(self.untouched[None]), old, value)
            value = reshape(
                value, (value.shape[0], len(self.ops), *self.ops[0].dst.shape)
            )
        return Writes(incs=(value,)) if self.ops[0].inc else Writes(sets=(value,))


def _aligned(signal, ndim: int) -> tuple[int, ...]:
    """Return a shape with trailing axes of length 1 up to ``ndim``, as NumPy aligns."""
    return (1,) * (ndim - signal.ndim) + signal.shape


@register(ElementwiseInc)
class ElementwiseIncBuilder(OpBuilder):
    """Add products, element by element: ``Y += A * X``.

    Operators whose operands all have one size merge whatever that size is; those that
    broadcast merge when their shapes are equal.
    """

    adds_products = True

    @classmethod
    def flat(cls, op):
        """Return whether nothing is broadcast."""
        return op.A.shape == op.X.shape == op.Y.shape

    def step(self, reads, previous):
        """Return the products, in the shape of Y."""
        a, x = of_one_type(*reads)
        op = self.ops[0]
        if not self.flat(op):
            ndim = op.Y.ndim
            a = reshape(a, (*a.shape[:2], *_aligned(op.A, ndim)))
            x = reshape(x, (*x.shape[:2], *_aligned(op.X, ndim)))
        return Writes(incs=(a * x,))


@register(DotInc)
class DotIncBuilder(OpBuilder):
    """Add matrix-vector products: ``Y += A @ X``.

    A is a matrix, a vector or a number; X and Y are vectors, numbers, or columns.
    Operators of equal shapes run as one batched product.
    """

    adds_products = True

    @classmethod
    def for_unlike(cls, op):
        """Return classes for small matrices of many shapes."""
        if op.A.ndim != 2 or op.X.ndim == 0 or op.A.size > tuning.MOST_PADDED:
            return ()
        n_rows, n_columns = op.A.shape
        if n_columns > max(n_rows, tuning.FEW_TERMS):
            return StackedDotIncBuilder, PaddedDotIncBuilder
        if n_rows >= n_columns:
            return PaddedColumnsBuilder, PaddedDotIncBuilder
        return (PaddedDotIncBuilder,)

    def __init__(self, ops, config: BuildConfig):
        super().__init__(ops, config)
        # sums of a few products are as quickly computed again
        self.is_product = ops[0].A.ndim > 0 and ops[0].A.shape[-1] > tuning.FEW_TERMS
        n_columns = ops[0].X.shape[1] if ops[0].X.ndim == 2 else 1
        self.n_multiplications = len(ops) * ops[0].A.size * n_columns
        self.is_wide = (
            ops[0].A.ndim == 2
            and ops[0].X.ndim > 0
            and len(ops) > 1
            and ops[0].A.shape[0] >= ops[0].A.shape[1]
            and 1 < ops[0].A.shape[1] <= tuning.LONGEST_FUSED_SUM
        )
        # where there is a matrix product to gain; short sums would only be less exact
        self.is_mixed = (
            config.product_dtype is not None
            and ops[0].A.ndim == 2
            and ops[0].X.ndim > 0
            and ops[0].A.shape[0] > 1
            and ops[0].A.shape[1] > tuning.LONGEST_FUSED_SUM
        )
        self.avoids_xla = self.is_mixed and routine_is_faster(config)
        self._may_be_events = (
            len(ops) == 1
            and ops[0].A.ndim == 2
            and ops[0].X.ndim == 1
            and ops[0].A.shape[0] >= tuning.FEWEST_EVENT_ROWS
            and ops[0].A.shape[1] >= tuning.FEWEST_EVENT_COLUMNS
            and ops[0].A.size >= tuning.FEWEST_EVENT_WEIGHTS
            and suits_events(config, ops[0].A.size)
        )

    @property
    def by_events(self) -> bool:
        """Whether only the columns are added whose neurons spike, while few do."""
        return self._may_be_events and 0 in self.constant_reads

    @property
    def by_columns(self) -> bool:
        """Whether `step` takes the matrices as columns, each of which lies together."""
        return (self.is_wide and 0 in self.constant_reads) or self.by_events

    def arrange(self, index, value):
        """Return constant matrices in the order in which their elements are read."""
        if index > 0 or not self.by_columns:
            return value
        return tf.linalg.matrix_transpose(value)

    @in_product_type
    def step(self, reads, previous):
        """Return the products, in the shape of Y."""
        a, x = of_one_type(*reads)
        op = self.ops[0]
        n_ops = len(self.ops)
        if op.A.ndim == 0 or op.X.ndim == 0:
            shape = op.Y.shape
            a = reshape(a, (*a.shape[:2], *_aligned(op.A, len(shape))))
            x = reshape(x, (*x.shape[:2], *_aligned(op.X, len(shape))))
            return Writes(incs=(a * x,))
        n = op.A.shape[-1]
        m = op.A.size // n
        x = reshape(x, (x.shape[0], n_ops, n))
        if self.by_events and x.dtype.is_floating:
            columns, vectors = a[0, 0], x[:, 0]
            y = event_matvec(columns, vectors, lambda: tf.matmul(vectors, columns))
        elif self.by_columns:
            y = columns_matvec(a, x)
        else:
            y = batched_matvec(reshape(a, (a.shape[0], n_ops, m, n)), x)
        return Writes(incs=(reshape(y, (y.shape[0], n_ops, *op.Y.shape)),))
