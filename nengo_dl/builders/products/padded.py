"""Products of matrices of different shapes, in one kernel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from nengo.builder.operator import DotInc

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.matvec import (
    batched_matvec,
    columns_matvec,
    of_one_type,
)
from nengo_dl.builders.shapes import reshape
from nengo_dl.compiler.padding import Padding
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["PaddedColumnsBuilder", "PaddedDotIncBuilder"]


class PaddedDotIncBuilder(OpBuilder):
    """Add products of matrices and vectors of different shapes: ``Y += A @ X``.

    Each kernel takes time to compile, and a microsecond to launch, however small it is.
    So where there are many shapes, matrices are filled up with zeros to the largest one
    of those that are up to twice as large.
    """

    adds_products = True

    def __init__(self, ops: Sequence[DotInc], config: BuildConfig):
        super().__init__(ops, config)
        padding = Padding([op.A.shape for op in ops])
        self.shape = padding.shape
        self.n_multiplications = sum(op.A.size for op in ops)
        self.is_product = self.shape[1] > tuning.FEW_TERMS
        with tf.init_scope():  # long literals make programs large
            self.matrix_elements = tf.constant(padding.matrix_elements, tf.int32)
            self.vector_elements = tf.constant(padding.vector_elements, tf.int32)
            self.result_elements = tf.constant(padding.result_elements, tf.int32)

    @classmethod
    def merge_key(cls, op: DotInc) -> Hashable:
        """Return the powers of two that the shape fits into."""
        return tuple((length - 1).bit_length() for length in op.A.shape)

    @classmethod
    def n_zeros(cls, ops: Sequence[DotInc]) -> int:
        """Return how many weights are filled in."""
        n_rows, n_columns = np.max([op.A.shape for op in ops], axis=0).tolist()
        return len(ops) * n_rows * n_columns - sum([op.A.size for op in ops])

    @classmethod
    def flat(cls, op: DotInc) -> bool:
        """Return True: matrices of different shapes merge."""
        return True

    def arrange(self, index: int, value: tf.Tensor) -> tf.Tensor:
        """Return constant matrices as a stack, ``(1, n_ops, n_rows, n_columns)``."""
        return self._stack(value) if index == 0 else value

    def _stack(self, value: tf.Tensor) -> tf.Tensor:
        filled = tf.pad(value, ((0, 0), (0, 1)))
        return tf.gather(filled, self.matrix_elements, axis=1)

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Return the products, shape ``(batch, n_elements)``."""
        a, x = of_one_type(*reads)
        if 0 not in self.constant_reads:
            a = self._stack(a)
        y = self._products(a, tf.gather(x, self.vector_elements, axis=1))
        y = reshape(y, (y.shape[0], len(self.ops) * self.shape[0]))
        if self.result_elements.shape[0] < y.shape[1]:
            y = tf.gather(y, self.result_elements, axis=1)
        return Writes(incs=(y,))

    def _products(self, a: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return the products of stacks, shape ``(batch, n_ops, n_rows)``."""
        return batched_matvec(a, x)


class PaddedColumnsBuilder(PaddedDotIncBuilder):
    """Add products of a few columns, such as encoders, for each number of rows.

    Populations of one size represent different numbers of dimensions. Columns of zeros
    make their encoders matrices of one shape.
    """

    def __init__(self, ops: Sequence[DotInc], config: BuildConfig):
        super().__init__(ops, config)
        # as columns, each of which lies together
        with tf.init_scope():
            self.matrix_elements = tf.transpose(self.matrix_elements, (0, 2, 1))

    @classmethod
    def merge_key(cls, op: DotInc) -> Hashable:
        """Return the number of rows."""
        return op.A.shape[0]

    def _products(self, a: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return the products of stacks, shape ``(batch, n_ops, n_rows)``."""
        if a.shape[0] == 1:
            return columns_matvec(a, x)
        return batched_matvec(tf.linalg.matrix_transpose(a), x)
