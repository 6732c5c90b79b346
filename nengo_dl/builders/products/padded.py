"""Products of matrices of different shapes, in one kernel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from nengo.builder.operator import DotInc

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.matvec import batched_matvec, of_one_type
from nengo_dl.builders.shapes import reshape
from nengo_dl.compiler.padding import Padding
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["PaddedDotIncBuilder"]


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
        y = batched_matvec(a, tf.gather(x, self.vector_elements, axis=1))
        y = reshape(y, (y.shape[0], len(self.ops) * self.shape[0]))
        return Writes(incs=(tf.gather(y, self.result_elements, axis=1),))
