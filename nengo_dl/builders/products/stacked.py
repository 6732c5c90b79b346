"""Products of several matrices with the same vectors, read once for all of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from nengo.builder.operator import DotInc

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.matvec import batched_matvec, of_one_type
from nengo_dl.builders.shapes import reshape
from nengo_dl.compiler.tiles import Tiles, vectors_of_rows
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["StackedDotIncBuilder"]


class StackedDotIncBuilder(OpBuilder):
    """Add products of wide matrices and vectors, ``Y += A @ X``, row by row.

    Matrices of all connections from populations of one size merge, whatever their
    numbers of rows are: each row is multiplied with the population that it belongs to.

    Notes
    -----
    XLA makes one kernel of the vectors that are gathered for all rows, the
    multiplication, and the sums, which are a product with ones. It reads each weight
    once and writes nothing but the sums, on all cores. (44,000 rows of 100 weights for
    4,000 vectors: 650 µs, as a stack of tiles with gathered vectors 1,600.) Where there
    are several vectors for each row, the products would be written, so `Tiles` are
    multiplied.
    """

    adds_products = True
    reads_once: ClassVar[tuple[int, ...]] = (1,)

    def __init__(self, ops: Sequence[DotInc], config: BuildConfig):
        super().__init__(ops, config)
        self.n_columns = ops[0].A.shape[1]
        self.n_multiplications = sum(op.A.size for op in ops)
        self.is_product = self.n_columns > tuning.FEW_TERMS
        vectors, owners = vectors_of_rows(ops)
        self.n_vectors = len(vectors)
        tiles = Tiles(owners)
        with tf.init_scope():  # long literals make programs large
            self.vector_of_row = tf.constant(owners, tf.int32)
            self.vector_of_tile = tf.constant(tiles.owners, tf.int32)
            self.rows_of_tiles = tf.constant(tiles.rows, tf.int32)
            self.places = tf.constant(tiles.places, tf.int32)
        self.by_rows = config.minibatch_size == 1 and config.simulates_by_xla_on_cpu

    @classmethod
    def merge_key(cls, op: DotInc) -> Hashable:
        """Return the number of columns."""
        return op.A.shape[1]

    @classmethod
    def flat(cls, op: DotInc) -> bool:
        """Return True: matrices of different numbers of rows merge."""
        return True

    def arrange(self, index: int, value: tf.Tensor) -> tf.Tensor:
        """Return constant matrices as tiles, unless their rows are multiplied."""
        return value if index > 0 or self.by_rows else self._tiles(value)

    def _tiles(self, value: tf.Tensor) -> tf.Tensor:
        """Return matrices as tiles, shape ``(batch, n_tiles, n_rows, n_columns)``."""
        rows = reshape(value, (value.shape[0], -1, self.n_columns))
        filled = tf.pad(rows, ((0, 0), (0, 1), (0, 0)))
        return tf.gather(filled, self.rows_of_tiles, axis=1)

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Return the products, shape ``(batch, n_elements)``.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            The matrices, one after the other, or as `arrange` returns them; and the
            vectors, each one once, shape ``(batch, n_vectors * n_columns)``.
        previous : sequence of tf.Tensor
            Nothing.
        """
        a, x = of_one_type(*reads)
        x = reshape(x, (x.shape[0], self.n_vectors, self.n_columns))
        is_tiled = 0 in self.constant_reads and not self.by_rows
        if self.by_rows and a.shape[0] == x.shape[0] == 1 and a.dtype.is_floating:
            y = self._sums(reshape(a, (-1, self.n_columns)), x[0])
        else:
            a = a if is_tiled else self._tiles(a)
            y = batched_matvec(a, tf.gather(x, self.vector_of_tile, axis=1))
            y = tf.gather(reshape(y, (y.shape[0], -1)), self.places, axis=1)
        return Writes(incs=(y,))

    def _sums(self, rows: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
        with tf.init_scope():  # as a literal inside the loop it would be slow
            ones = tf.ones((self.n_columns, 1), rows.dtype)
        products = rows * tf.gather(vectors, self.vector_of_row)
        return reshape(tf.matmul(products, ones), (1, -1))
