"""TensorFlow versions of Nengo's convolutions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from nengo.builder.transforms import ConvInc, ConvTransposeInc, GeneralConvInc

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.mixed import in_product_type
from nengo_dl.builders.registry import register
from nengo_dl.builders.shapes import reshape
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["ConvIncBuilder", "ConvTransposeIncBuilder"]


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
        # derivatives of what is fused are slow, and so is that in other runtimes (which
        # have no routine in double precision, though)
        is_portable = config.portable and config.dtype == np.float32
        prefers_routine = config.training is not None or is_portable
        if not len(ops) == self.conv.groups == 1:
            if n_taps <= 2 * tuning.MOST_FUSED_TAPS:
                self._apply = self._fused
        elif not prefers_routine:
            if self.conv.n_filters < tuning.FEWEST_PATCH_FILTERS:
                if n_taps <= tuning.MOST_FUSED_TAPS:
                    self._apply = self._fused
            elif n_taps <= tuning.MOST_FUSED_TAPS or (
                n_taps <= tuning.MOST_PATCH_TAPS
                and n_channels <= tuning.MOST_PATCH_CHANNELS
            ):
                self._apply = self._by_patches
        # XLA's own convolutions take 1.2 to 1.5 times as long as TensorFlow's, with
        # their derivatives, and much longer to compile
        self.avoids_xla = self._apply == self._per_group
        self.is_mixed = self.avoids_xla and config.product_dtype is not None

    @in_product_type
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
        images: dict[Any, Any] = {}
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
