"""TensorFlow versions of Nengo's products of sparse matrices and vectors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod

import numpy as np
from nengo.builder.operator import BsrDotInc, SparseDotInc

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.dense import batched_matvec
from nengo_dl.builders.products.events import event_matvec, suits_events
from nengo_dl.builders.registry import register
from nengo_dl.builders.shapes import reshape, with_axis
from nengo_dl.compiler.sparse import coo, row_slots
from nengo_dl.support.lazy_imports import tf

__all__ = ["BsrDotIncBuilder", "SparseDotIncBuilder"]


@register(SparseDotInc)
class SparseDotIncBuilder(OpBuilder):
    r"""Products of sparse matrices and vectors.

    The first operand holds the stored entries of the matrices, in the order of
    `nengo_dl.compiler.sparse.coo`; entries with equal coordinates add up. All
    operators that are computed in the same way merge into one block-diagonal product.

    Notes
    -----
    .. math:: y_i \mathrel{+}= \sum_{j : A_{ij} \neq 0} A_{ij} x_j

    Three ways are compared by their costs on a CPU (1,000 x 1,000 at 10 % in single
    precision: 71, 75 and 407 µs; SciPy: 92 µs):

    - *slots*: every row has as many slots as the longest one has entries; gather, then
      sum over the slots. About 0.6 ns per slot.
    - *dense*: the entries are scattered into a matrix, once (`arrange`). About 0.09 ns
      per element, less in batches.
    - *segments*: `tf.math.unsorted_segment_sum`, for matrices with a few very long
      rows. About 4 ns per entry.

    A step of training, with its derivative, takes 0.6 ns per element in the dense way,
    in the two others 7 ns per entry (3 for each of 8 items).

    A single large matrix is also kept by columns, in steps in which few elements of the
    vector differ from zero: the vector usually holds spikes. See `event_matvec`.
    """

    #: Matrices with at least this many rows, columns, and entries are also kept by
    #: columns, unless they have more elements than this for each entry.
    EVENT_SIZE, EVENT_ENTRIES, EVENT_ELEMENTS = 256, 2**16, 25

    #: Larger matrices are not made dense, to save memory.
    MAX_DENSE_ELEMENTS = 2**22

    def __init__(self, ops: Sequence[SparseDotInc], config: BuildConfig):
        super().__init__(ops, config)
        entries = [coo(op.A.initial_value)[:2] for op in ops]
        n_rows = np.array([op.A.shape[0] for op in ops])
        n_cols = np.array([op.A.shape[1] for op in ops])
        counts = [len(rows) for rows, _ in entries]
        ids = np.repeat(np.arange(len(ops)), counts)
        rows = np.concatenate([rows for rows, _ in entries])
        cols = np.concatenate([cols for _, cols in entries])
        flat_rows = rows + (np.cumsum(n_rows) - n_rows)[ids]
        flat_cols = cols + (np.cumsum(n_cols) - n_cols)[ids]
        self.n_rows, self.n_entries = int(n_rows.sum()), len(rows)
        self.shape = (len(ops), *ops[0].A.shape)

        uniform = len({op.A.shape for op in ops}) == 1
        n_slots = int(np.bincount(flat_rows, minlength=1).max(initial=0))
        costs = self._costs(
            self.n_entries,
            n_slots * self.n_rows,
            prod(self.shape) if uniform else np.inf,
            config.minibatch_size,
            len(ops),
            config.training is not None,
        )
        self.way = min(costs, key=costs.__getitem__)
        self.n_multiplications = self.n_entries
        self.is_product = self.way == "dense"
        self.by_events = len(ops) == 1 and self._pays_by_events(config)
        with tf.init_scope():
            if self.by_events:
                self.transposed = tf.constant(np.stack([cols, rows], axis=1))
            if self.way == "dense":
                coordinates = np.stack([ids, rows, cols], axis=1)
                self.coordinates = tf.constant(coordinates.astype(np.int32))
            elif self.way == "slots":
                self._fill_slots(flat_rows, flat_cols)
            else:
                self.rows = tf.constant(flat_rows.astype(np.int32))
                self.cols = tf.constant(flat_cols.astype(np.int32))

    def _pays_by_events(self, config: BuildConfig) -> bool:
        size = prod(self.shape)
        return (
            suits_events(config, size)
            and min(self.shape[1:]) >= self.EVENT_SIZE
            and self.n_entries >= self.EVENT_ENTRIES
            and size <= self.EVENT_ELEMENTS * self.n_entries
        )

    @classmethod
    def merge_key(cls, op: SparseDotInc) -> Hashable:
        """Return what decides on the way of the computation.

        Matrices whose longest rows are of similar length merge, so that at most half of
        the slots are wasted. The shape counts only where a dense product may pay.
        """
        rows = coo(op.A.initial_value)[0]
        n_slots = int(np.bincount(rows, minlength=1).max(initial=0))
        costs = {
            batch: cls._costs(
                len(rows), n_slots * op.A.shape[0], prod(op.A.shape), batch
            )
            for batch in (1, 1000)
        }
        dense = any(min(c, key=c.__getitem__) == "dense" for c in costs.values())
        sparse = min(("slots", "segments"), key=costs[1].__getitem__)
        return sparse, n_slots.bit_length(), op.A.shape if dense else None

    @classmethod
    def flat(cls, op: SparseDotInc) -> bool:
        """Return True: matrices of any shapes merge."""
        return True

    @classmethod
    def _costs(
        cls,
        n_entries: int,
        n_slots: int,
        n_elements: float,
        batch: int,
        n_ops: int = 1,
        training: bool = False,
    ) -> dict[str, float]:
        """Return the measured costs of all ways, in ns per step."""
        if training:
            slot, entry, element = 3 + 2.5 * batch, 5 + 2.6 * batch, 0.6 + 0.02 * batch
        else:
            # stacks of matrices take a slower path than single ones
            load = 0.06 if n_ops == 1 else 0.2
            slot, entry, element = 0.7 * batch, 2.8 + 1.2 * batch, load + 0.035 * batch
        costs = {"slots": slot * n_slots, "segments": entry * n_entries}
        if n_elements <= cls.MAX_DENSE_ELEMENTS:
            costs["dense"] = element * n_elements
        return costs

    def _fill_slots(self, rows: np.ndarray, cols: np.ndarray) -> None:
        slots = row_slots(rows, self.n_rows)
        empty = slots < 0
        # an unused slot reads a column that its row needs anyway, so that a value
        # that is not finite stays in the rows that depend on it
        own = np.broadcast_to(slots[:1], slots.shape)
        columns = np.append(cols, 0)[np.where(empty, own, slots)]
        self.slots = tf.constant(
            np.where(empty, self.n_entries, slots).astype(np.int32)
        )
        self.columns = tf.constant(columns.astype(np.int32))
        empty_rows = empty.all(axis=0)
        self.empty_rows = tf.constant(empty_rows) if empty_rows.any() else None

    def arrange(self, index, value):
        """Return the entries in the places where `step` needs them.

        Parameters
        ----------
        index : int
            Which operand.
        value : tf.Tensor
            The stored entries, shape ``(1, n_entries)``, if it is the first one.

        Returns
        -------
        tf.Tensor or tuple of tf.Tensor
            What the product takes; if events are looked for, also the columns of the
            matrix, shape ``(n_cols, n_rows)``.
        """
        if index > 0 or self.n_entries == 0:
            return value
        A = getattr(self, f"_arrange_{self.way}")(value)
        if not self.by_events:
            return A
        _, n_rows, n_cols = self.shape
        return A, tf.scatter_nd(self.transposed, value[0], (n_cols, n_rows))

    def step(self, reads, previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the products.

        Parameters
        ----------
        reads : sequence
            The matrices, as `arrange` returns them if they are constant, else their
            stored entries, shape ``(1, n_entries)``, and the vectors, shape
            ``(batch, sum of n_cols)``.
        previous : sequence of tf.Tensor
            None.

        Returns
        -------
        Writes
            The increment, shape ``(batch, sum of n_rows)``.
        """
        matrices, X = reads
        if self.n_entries == 0:
            return Writes(incs=(tf.zeros((1, self.n_rows), X.dtype),))
        if 0 not in self.constant_reads:
            matrices = self.arrange(0, matrices)
        A, columns = matrices if self.by_events else (matrices, None)

        def product() -> tf.Tensor:
            return getattr(self, f"_multiply_{self.way}")(A, X)

        y = product() if columns is None else event_matvec(columns, X, product)
        return Writes(incs=(y,))

    def _arrange_dense(self, data: tf.Tensor) -> tf.Tensor:
        return with_axis(tf.scatter_nd(self.coordinates, data[0], self.shape), 0)

    def _multiply_dense(self, A: tf.Tensor, X: tf.Tensor) -> tf.Tensor:
        n_ops, _, n_cols = self.shape
        Y = batched_matvec(A, reshape(X, (X.shape[0], n_ops, n_cols)))
        return reshape(Y, (-1, self.n_rows))

    def _arrange_slots(self, data: tf.Tensor) -> tf.Tensor:
        # the slots' axis comes first: the sum is then over whole rows of the result,
        # which is twice as fast
        return tf.gather(tf.pad(data, [(0, 0), (0, 1)]), self.slots, axis=1)

    def _multiply_slots(self, A: tf.Tensor, X: tf.Tensor) -> tf.Tensor:
        Y = tf.reduce_sum(A * tf.gather(X, self.columns, axis=1), axis=1)
        if self.empty_rows is not None:
            Y = tf.where(self.empty_rows, tf.zeros((), Y.dtype), Y)
        return Y

    def _arrange_segments(self, data: tf.Tensor) -> tf.Tensor:
        return data

    def _multiply_segments(self, A: tf.Tensor, X: tf.Tensor) -> tf.Tensor:
        products = A * tf.gather(X, self.cols, axis=1)
        return tf.transpose(
            tf.math.unsorted_segment_sum(tf.transpose(products), self.rows, self.n_rows)
        )


@register(BsrDotInc)
class BsrDotIncBuilder(OpBuilder):
    r"""Products of block sparse matrices and vectors.

    Operators with the same pattern of blocks merge.

    Notes
    -----
    For the blocks :math:`A_k` in block row :math:`i` and block column :math:`j_k`,

    .. math:: y_i \mathrel{+}= \sum_{k \in i} A_k x_{j_k}
    """

    def __init__(self, ops: Sequence[BsrDotInc], config: BuildConfig):
        super().__init__(ops, config)
        indptr = np.asarray(ops[0].indptr)
        n_rows = len(indptr) - 1
        slots = row_slots(np.repeat(np.arange(n_rows), np.diff(indptr)), n_rows)
        self.n_blocks = len(ops[0].indices)
        self.n_multiplications = sum(op.A.size for op in ops)
        self.is_full = not (slots < 0).any()
        with tf.init_scope():
            self.columns = tf.constant(np.asarray(ops[0].indices, dtype=np.int32))
            self.slots = tf.constant(np.where(slots < 0, self.n_blocks, slots))

    @classmethod
    def merge_key(cls, op: BsrDotInc) -> Hashable:
        """Return the pattern of the blocks."""
        return (
            np.asarray(op.indices, dtype=np.int64).tobytes(),
            np.asarray(op.indptr, dtype=np.int64).tobytes(),
        )

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the products.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Blocks, shape ``(batch or 1, n_ops, n_blocks, n_rows, n_cols)``, and the
            vectors, shape ``(batch, n_ops, size)`` or ``(batch, n_ops, size, 1)``.
        previous : sequence of tf.Tensor
            None.

        Returns
        -------
        Writes
            The increment, in the shape of its signal.
        """
        A, X = reads
        n_ops = len(self.ops)
        X = reshape(X, (-1, n_ops, self.ops[0].X.size // A.shape[-1], A.shape[-1]))
        blocks = tf.gather(X, self.columns, axis=2)
        products = tf.reduce_sum(A * with_axis(blocks, -2), axis=-1)
        if not self.is_full:
            products = tf.pad(products, [(0, 0), (0, 0), (0, 1), (0, 0)])
        Y = tf.reduce_sum(tf.gather(products, self.slots, axis=2), axis=2)
        return Writes(incs=(reshape(Y, (-1, n_ops, *self.ops[0].Y.shape)),))
