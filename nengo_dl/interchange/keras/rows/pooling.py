"""Pooling of images, sequences and volumes."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.support.lazy_imports import keras

__all__ = [
    "ConvertAveragePooling",
    "ConvertGlobalAveragePooling",
    "ConvertGlobalMaxPooling",
    "ConvertMaxPooling",
]

layers = keras.layers

_OFFER = "max_to_avg_pool=True makes it an average"
_WITH_SPIKES = (
    "the maximum of spikes is not that of rates, but of the filtered spikes in each "
    f"step, which is larger; {_OFFER}, with which the model should be trained"
)


@register(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
class ConvertAveragePooling(LayerConverter):
    """A sparse matrix, or a convolution, with equal weights."""

    takes_fold = "activation"

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if channels come last."""
        if layer.data_format != "channels_last":
            return "its channels come first"
        return True

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node or neurons."""
        fold = self.fold(node_id)
        obj = self.add_nengo_obj(node_id, activation=fold.activation)
        transform = self.transform(self.input_shape(node_id))
        self.add_connection(node_id, obj, transform=transform, trainable=False)
        return self.activated(node_id, obj, fold.activation)

    def transform(self, shape: tuple[int, ...]) -> Any:
        """Return the weights for an input of a shape."""
        size, strides = _sizes(self.layer, len(shape) - 1)
        if self.layer.padding == "valid":
            n_channels = shape[-1]
            return nengo.Convolution(
                n_channels,
                shape,
                kernel_size=size,
                strides=strides,
                padding="valid",
                init=np.full((*size, 1, n_channels), 1 / np.prod(size)),
                groups=n_channels,
            )
        return _averages(shape, size, strides)


@register(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
class ConvertMaxPooling(ConvertAveragePooling):
    """An average, if asked for."""

    warning_with_spikes = _WITH_SPIKES

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if it is to be an average."""
        if not converter.options.max_to_avg_pool:
            return f"neurons do not compute a maximum; {_OFFER}"
        return super().convertible(layer, converter)


@register(
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
)
class ConvertGlobalAveragePooling(ConvertAveragePooling):
    """A sparse matrix with equal weights."""

    def transform(self, shape: tuple[int, ...]) -> Any:
        """Return the weights for an input of a shape."""
        n_channels, n = shape[-1], int(np.prod(shape[:-1]))
        columns = np.arange(n * n_channels)
        return nengo.Sparse(
            (n_channels, n * n_channels),
            indices=np.stack([columns % n_channels, columns], axis=1),
            init=np.full(n * n_channels, 1 / n),
        )


@register(
    layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D
)
class ConvertGlobalMaxPooling(ConvertGlobalAveragePooling):
    """An average, if asked for."""

    warning_with_spikes = _WITH_SPIKES

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if it is to be an average."""
        if not converter.options.max_to_avg_pool:
            return f"neurons do not compute a maximum; {_OFFER}"
        return super().convertible(layer, converter)


def _sizes(layer: keras.Layer, n_axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the size and the strides of the windows, one number for each axis."""
    size = np.broadcast_to(layer.pool_size, n_axes)
    strides = np.broadcast_to(layer.strides or layer.pool_size, n_axes)
    return tuple(map(int, size)), tuple(map(int, strides))


def _averages(
    shape: tuple[int, ...], size: tuple[int, ...], strides: tuple[int, ...]
) -> nengo.Sparse:
    """Return the means of windows, as TensorFlow places them with padding "same".

    Elements outside of the image do not count, so that windows at its border have
    larger weights.
    """
    n_channels = shape[-1]
    windows = []  # for each axis, the places in each window
    for n, width, stride in zip(shape, size, strides):
        n_out = -(-n // stride)
        before = max((n_out - 1) * stride + width - n, 0) // 2
        begins = np.arange(n_out) * stride - before
        windows.append([range(max(b, 0), min(b + width, n)) for b in begins.tolist()])
    places = np.arange(int(np.prod(shape))).reshape(shape)
    rows, columns, weights = [], [], []
    for row, index in enumerate(np.ndindex(*map(len, windows))):
        window = np.ix_(*(windows[axis][i] for axis, i in enumerate(index)))
        found = places[window].reshape(-1, n_channels)
        rows.append(np.tile(row * n_channels + np.arange(n_channels), len(found)))
        columns.append(found.ravel())
        weights.append(np.full(found.size, 1 / len(found)))
    n_rows = n_channels * (row + 1)
    return nengo.Sparse(
        (n_rows, int(np.prod(shape))),
        indices=np.stack([np.concatenate(rows), np.concatenate(columns)], axis=1),
        init=np.concatenate(weights),
    )
