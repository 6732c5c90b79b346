"""TensorFlow versions of Nengo's convolutions and of its sparse matrix products."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import product
from math import prod

import numpy as np
import tensorflow as tf
from nengo.builder.operator import BsrDotInc, SparseDotInc
from nengo.builder.transforms import ConvInc, ConvTransposeInc, GeneralConvInc

from nengo_dl.builders.base import BuildConfig, OpBuilder, Writes, register
from nengo_dl.builders.events import event_matvec
from nengo_dl.builders.operators import batched_matvec
from nengo_dl.builders.shapes import reshape, with_axis
from nengo_dl.compiler.sparse import coo, row_slots

__all__ = [
    "BsrDotIncBuilder",
    "ConvIncBuilder",
    "ConvTransposeIncBuilder",
    "SparseDotIncBuilder",
]

#: Kernels with at most this many weights per output are applied by elementwise
#: multiplications, which XLA fuses into one loop; larger ones by convolution routines.
#: Twice as many where several groups would need one call of the routine each. (32 x 32
#: x 3, 16 filters: 3 x 3 fused 50 µs, routine 180 µs; 5 x 5 fused 400 µs, routine 240.)
MAX_FUSED_TAPS = 32

#: A single kernel with this many filters or more, and few weights, is applied by one
#: product of matrices, in which what each output sees is a row. (28 x 28, 3 x 3 in
#: steps of 2, 16 filters, 16 items: 99 µs, fused 206, routine 166; 32 x 32 x 3, 3 x 3,
#: 16 filters: 46, 234, 77 µs; 5 x 5: 83, routine 201. With 4 filters, fused is faster.)
FEWEST_PATCH_FILTERS = 8

#: How many weights are few if the input has at most so many channels. (With 16
#: channels, 3 x 3, the routine takes half as long.)
MAX_PATCH_TAPS, MAX_PATCH_CHANNELS = 80, 4


class _ConvBuilder(OpBuilder):
    """What both convolutions share: images to and from signals, channels last."""

    adds_products = True

    def __init__(self, ops: Sequence[GeneralConvInc], config: BuildConfig):
        super().__init__(ops, config)
        self.conv = ops[0].conv
        self.size_in = self.conv.input_shape.spatial_shape
        self.size_out = self.conv.output_shape.spatial_shape
        # where the kernel is applied: strides make one of both images smaller
        n_places = min(prod(self.size_in), prod(self.size_out))
        self.n_multiplications = len(ops) * ops[0].W.size * n_places

    @classmethod
    def merge_key(cls, op: GeneralConvInc) -> Hashable:
        """Return all properties of the convolution but its weights."""
        conv = op.conv
        return (
            conv.input_shape,
            conv.output_shape,
            conv.kernel_size,
            conv.strides,
            conv.padding,
            conv.groups,
        )

    def _images(self, X: tf.Tensor) -> tf.Tensor:
        """Return the input as ``(batch, n_ops) + spatial_shape + (n_channels,)``."""
        X = reshape(X, (-1, len(self.ops), *self.conv.input_shape.shape))
        if self.conv.channels_last:
            return X
        return tf.transpose(X, (0, 1, *range(3, X.shape.rank), 2))

    def _signal(self, images: tf.Tensor) -> tf.Tensor:
        """Return the output in the shape of its signal."""
        if not self.conv.channels_last:
            last = images.shape.rank - 1
            images = tf.transpose(images, (0, 1, last, *range(2, last)))
        return reshape(images, (-1, len(self.ops), *self.ops[0].Y.shape))

    def _same_padding(self, size: int, out: int, kernel: int, stride: int) -> int:
        """Return the total of the padding on both sides of an axis."""
        if self.conv.padding == "valid":
            return 0
        return max((out - 1) * stride + kernel - size, 0)


@register(ConvInc)
class ConvIncBuilder(_ConvBuilder):
    r"""Convolutions over any number of axes, grouped or not.

    Notes
    -----
    For strides :math:`s` and a padding :math:`p` before the first element,

    .. math:: y_{o, k} \mathrel{+}= \sum_{i, c} w_{i, c, k} \, x_{s o + i - p, c}

    Operators with equal properties merge like the groups of one convolution. Grouped
    convolution routines are slow on CPUs (32 channels of 26 x 26, each with its own 3 x
    3 kernel: 1,500 µs, fused multiplications 43 µs), or missing outside of XLA; larger
    kernels therefore use one ungrouped convolution for each group.

    References
    ----------
    .. [1] Dumoulin, V., & Visin, F. (2016). A guide to convolution arithmetic for deep
       learning. arXiv:1603.07285.
    """

    is_product = True

    def __init__(self, ops: Sequence[GeneralConvInc], config: BuildConfig):
        super().__init__(ops, config)
        n_channels = ops[0].W.shape[-2]
        n_taps = prod(self.conv.kernel_size) * n_channels
        self._apply = self._per_group
        if not len(ops) == self.conv.groups == 1:
            if n_taps <= 2 * MAX_FUSED_TAPS:
                self._apply = self._fused
        elif config.training is None:  # derivatives of what is fused are slow
            if self.conv.n_filters < FEWEST_PATCH_FILTERS:
                if n_taps <= MAX_FUSED_TAPS:
                    self._apply = self._fused
            elif n_taps <= MAX_FUSED_TAPS or (
                n_taps <= MAX_PATCH_TAPS and n_channels <= MAX_PATCH_CHANNELS
            ):
                self._apply = self._by_patches
        # XLA's own convolutions take 1.2 to 1.5 times as long as TensorFlow's, with
        # their derivatives, and much longer to compile
        self.avoids_xla = self._apply == self._per_group

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Convolve the inputs.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Kernels, shape ``(1, n_ops) + kernel_size + (n_channels / groups,
            n_filters)``, and inputs, shape ``(batch, n_ops, size_in)``.
        previous : sequence of tf.Tensor
            None.

        Returns
        -------
        Writes
            The increment, shape ``(batch, n_ops, size_out)``.
        """
        W, X = reads
        # not a slice, whose derivative would be a copy
        W = reshape(W, W.shape[1:])
        return Writes(incs=(self._signal(self._apply(W, self._images(X))),))

    def _per_group(self, W: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        groups, n_ops = self.conv.groups, len(self.ops)
        if n_ops == groups == 1:
            # without the copies that derivatives of slices would make
            images = reshape(images, (-1, *images.shape[2:]))
            images = self._convolve(images, reshape(W, W.shape[1:]))
            return reshape(images, (-1, 1, *images.shape[1:]))
        outputs = []
        for i in range(n_ops):
            parts = zip(
                tf.split(images[:, i], groups, axis=-1),
                tf.split(W[i], groups, axis=-1),
            )
            filtered = [self._convolve(image, kernel) for image, kernel in parts]
            outputs.append(tf.concat(filtered, axis=-1))
        return tf.stack(outputs, axis=1)

    def _convolve(self, images: tf.Tensor, W: tf.Tensor) -> tf.Tensor:
        conv = self.conv
        return tf.nn.convolution(images, W, conv.strides, conv.padding.upper())

    def _fused(self, W: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        conv, groups, n_ops = self.conv, self.conv.groups, len(self.ops)
        kernel_size, n_channels = conv.kernel_size, W.shape[-2]
        images = self._pad(images)
        images = reshape(images, (*images.shape[:-1], groups, n_channels))
        W = reshape(W, (n_ops, *kernel_size, n_channels, groups, -1))

        total = None
        for position, window in self._windows():
            shifted = images[(slice(None), slice(None), *window)]
            for channel in range(n_channels):
                weights = W[(slice(None), *position, channel)]
                weights = reshape(
                    weights, (1, n_ops, *[1] * conv.dimensions, groups, -1)
                )
                term = shifted[..., channel : channel + 1] * weights
                total = term if total is None else total + term
        return reshape(total, (-1, n_ops, *self.size_out, conv.n_filters))

    def _by_patches(self, W: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        images = self._pad(images)[:, 0]
        # what each output sees, in the order of the weights
        patches = tf.concat(
            [images[(slice(None), *window)] for _, window in self._windows()], axis=-1
        )
        n_filters = self.conv.n_filters
        filtered = tf.matmul(
            reshape(patches, (-1, patches.shape[-1])),
            reshape(W, (-1, n_filters)),
        )
        return reshape(filtered, (-1, 1, *self.size_out, n_filters))

    def _pad(self, images: tf.Tensor) -> tf.Tensor:
        axes = zip(
            self.size_in, self.size_out, self.conv.kernel_size, self.conv.strides
        )
        padding = [self._same_padding(*axis) for axis in axes]
        if not any(padding):
            return images
        around = [(p // 2, p - p // 2) for p in padding]
        return tf.pad(images, [(0, 0), (0, 0), *around, (0, 0)])

    def _windows(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Yield the positions in the kernel, and the elements of images they meet."""
        for position in product(*map(range, self.conv.kernel_size)):
            yield (
                position,
                tuple(
                    slice(first, first + (out - 1) * stride + 1, stride)
                    for first, out, stride in zip(
                        position, self.size_out, self.conv.strides
                    )
                ),
            )


@register(ConvTransposeInc)
class ConvTransposeIncBuilder(_ConvBuilder):
    r"""Transposed convolutions over any number of axes.

    Notes
    -----
    For strides :math:`s` and the padding :math:`p` that the convolution from output to
    input has before the first element,

    .. math:: y_{s o + i - p, k} \mathrel{+}= \sum_c w_{i, c, k} \, x_{o, c}

    All products come from one matrix multiplication. Kernel positions with equal
    remainder modulo the stride form one image, to which each adds the input shifted by
    whole elements; no zeros are multiplied, as they would be in a dilated input. (26 x
    26 x 32, 3 x 3, 16 filters: 380 µs, `tf.nn.conv_transpose` 8,200 µs under XLA.)

    References
    ----------
    .. [1] Dumoulin, V., & Visin, F. (2016). A guide to convolution arithmetic for deep
       learning. arXiv:1603.07285.
    """

    is_product = True

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Convolve the inputs.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Kernels, shape ``(1, n_ops) + kernel_size + (n_channels, n_filters)``, and
            inputs, shape ``(batch, n_ops, size_in)``.
        previous : sequence of tf.Tensor
            None.

        Returns
        -------
        Writes
            The increment, shape ``(batch, n_ops, size_out)``.
        """
        W, X = reads
        n_ops, images = len(self.ops), self._images(X)
        n_channels, n_filters = W.shape[-2:]
        W = reshape(W[0], (n_ops, -1, n_channels, n_filters))
        W = reshape(tf.transpose(W, (0, 2, 1, 3)), (n_ops, n_channels, -1))
        products = tf.einsum(
            "bnpc,nct->bnpt",
            reshape(images, (-1, n_ops, prod(self.size_in), n_channels)),
            W,
        )
        # TensorFlow slices tensors of at most 8 axes, hence the merged ones
        products = reshape(
            products,
            (-1, *self.size_in, prod(self.conv.kernel_size), n_filters),
        )
        images = self._crop(self._interleave(self._add_shifted(products)))
        images = reshape(images, (-1, n_ops, *images.shape[1:]))
        return Writes(incs=(self._signal(images),))

    def _add_shifted(self, products: tf.Tensor) -> tf.Tensor:
        """Sum over kernel positions, separately for each remainder modulo the strides.

        Returns a tensor of shape ``(n_images,) + shifted_shape + (n_remainders,
        n_filters)``.
        """
        kernel_size, strides = self.conv.kernel_size, self.conv.strides
        last_shift = [(k - 1) // s for k, s in zip(kernel_size, strides)]
        images = {}
        for i, position in enumerate(np.ndindex(*kernel_size)):
            shifts, remainders = zip(*map(divmod, position, strides))
            around = [(m, last - m) for m, last in zip(shifts, last_shift)]
            term = tf.pad(products[..., i, :], [(0, 0), *around, (0, 0)])
            images[remainders] = (
                images[remainders] + term if remainders in images else term
            )
        # strides longer than the kernel leave gaps
        gap = tf.zeros_like(images[(0,) * len(strides)])
        return tf.stack([images.get(r, gap) for r in np.ndindex(*strides)], axis=-2)

    def _interleave(self, images: tf.Tensor) -> tf.Tensor:
        """Merge the remainders modulo the strides with the axes they belong to."""
        conv, n_axes = self.conv, self.conv.dimensions
        sizes = images.shape[1:-2]
        images = reshape(images, (-1, *sizes, *conv.strides, conv.n_filters))
        pairs = [axis for a in range(n_axes) for axis in (1 + a, 1 + a + n_axes)]
        images = tf.transpose(images, (0, *pairs, 1 + 2 * n_axes))
        merged = [size * stride for size, stride in zip(sizes, conv.strides)]
        return reshape(images, (-1, *merged, conv.n_filters))

    def _crop(self, images: tf.Tensor) -> tf.Tensor:
        """Cut out the output, which may extend beyond the last contribution."""
        window, after = [], []
        axes = zip(
            self.size_out,
            self.size_in,
            self.conv.kernel_size,
            self.conv.strides,
            images.shape[1:],
        )
        for size_out, size_in, kernel, stride, size in axes:
            # of the forward convolution, whose input is our output
            first = self._same_padding(size_out, size_in, kernel, stride) // 2
            window.append(slice(first, first + size_out))
            after.append((0, max(first + size_out - size, 0)))
        return tf.pad(images[(slice(None), *window)], [(0, 0), *after, (0, 0)])


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
    - *dense*: the entries are scattered into a matrix, which happens once, because XLA
      moves it out of the loop. About 0.09 ns per element, less in batches.
    - *segments*: `tf.math.unsorted_segment_sum`, for matrices with a few very long
      rows. About 4 ns per entry.

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
        )
        self.way = min(costs, key=costs.get)
        self.n_multiplications = self.n_entries
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
            config.training is None  # a loop of unknown length is slow backwards
            and config.minibatch_size == 1
            and min(self.shape[1:]) >= self.EVENT_SIZE
            and self.n_entries >= self.EVENT_ENTRIES
            and size <= self.EVENT_ELEMENTS * self.n_entries
            # many small kernels one after the other do not suit GPUs
            and not tf.config.list_physical_devices("GPU")
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
        dense = any(min(c, key=c.get) == "dense" for c in costs.values())
        sparse = min(("slots", "segments"), key=costs[1].get)
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
    ) -> dict[str, float]:
        """Return the measured costs of all ways, in ns per step."""
        costs = {
            "slots": 0.7 * batch * n_slots,
            "segments": (2.8 + 1.2 * batch) * n_entries,
        }
        if n_elements <= cls.MAX_DENSE_ELEMENTS:
            # stacks of matrices take a slower path than single ones
            load = 0.06 if n_ops == 1 else 0.2
            costs["dense"] = (load + 0.035 * batch) * n_elements
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

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the products.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Stored entries of the matrices, shape ``(1, n_entries)``, and the vectors,
            shape ``(batch, sum of n_cols)``.
        previous : sequence of tf.Tensor
            None.

        Returns
        -------
        Writes
            The increment, shape ``(batch, sum of n_rows)``.
        """
        data, X = reads
        if self.n_entries == 0:
            return Writes(incs=(tf.zeros((1, self.n_rows), X.dtype),))
        # outside of what depends on the vector, so that XLA moves it out of the loop
        A = getattr(self, f"_arrange_{self.way}")(data)

        def product() -> tf.Tensor:
            return getattr(self, f"_multiply_{self.way}")(A, X)

        if not self.by_events:
            return Writes(incs=(product(),))
        _, n_rows, n_cols = self.shape
        columns = tf.scatter_nd(self.transposed, data[0], (n_cols, n_rows))
        Y = event_matvec(columns, X[0], lambda: product()[0])
        return Writes(incs=(Y[None],))

    def _arrange_dense(self, data: tf.Tensor) -> tf.Tensor:
        return tf.scatter_nd(self.coordinates, data[0], self.shape)

    def _multiply_dense(self, A: tf.Tensor, X: tf.Tensor) -> tf.Tensor:
        n_ops, _, n_cols = self.shape
        Y = batched_matvec(A[None], reshape(X, (X.shape[0], n_ops, n_cols)))
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
