"""Layers that move elements, and layers that do nothing when nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.support.lazy_imports import keras

__all__ = [
    "ConvertCropping",
    "ConvertNoise",
    "ConvertPermute",
    "ConvertRepeatVector",
    "ConvertReshaping",
    "ConvertUpSampling",
    "ConvertZeroPadding",
    "padded_indices",
]

layers = keras.layers


@register(layers.Flatten, layers.Reshape)
class ConvertReshaping(LayerConverter):
    """Nothing: Nengo's vectors are in C order."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True unless channels are moved."""
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            return "its channels come first"
        return True

    @classmethod
    def passes_on(cls, layer: keras.Layer) -> bool:
        """Return True."""
        return True

    def convert(self, node_id: int) -> Any:
        """Return what holds the input."""
        return self.converter.source(self.call(node_id), 0)


@register(
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.AlphaDropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.ActivityRegularization,
    layers.Identity,
)
class ConvertNoise(ConvertReshaping):
    """Nothing: these layers return their input when nothing is trained."""

    step_by_step = True
    differs_in_training = True


class _Moves(LayerConverter):
    """A Node with elements of the input in another order, some of them repeated."""

    def places(self, node_id: int) -> np.ndarray:
        """Return which element of the input each element of the output is."""
        raise NotImplementedError

    def convert(self, node_id: int) -> Any:
        """Connect the elements of the input to a Node."""
        obj = self.add_nengo_obj(node_id)
        pre = self.converter.source(self.call(node_id), 0)
        places = self.places(node_id).ravel().tolist()
        self.converter.maker.connect(self.call(node_id), pre[places], obj)
        return obj

    def _all_places(self, node_id: int) -> np.ndarray:
        shape = self.input_shape(node_id)
        return np.arange(int(np.prod(shape))).reshape(shape)


def _channels_last(layer: keras.Layer) -> bool | str:
    fine = getattr(layer, "data_format", "channels_last") in (None, "channels_last")
    return fine or "its channels come first"


@register(layers.Permute)
class ConvertPermute(_Moves):
    """Axes in another order."""

    def places(self, node_id: int) -> np.ndarray:
        """Return which element of the input each element of the output is."""
        return self._all_places(node_id).transpose([d - 1 for d in self.layer.dims])


@register(layers.RepeatVector)
class ConvertRepeatVector(_Moves):
    """A vector several times."""

    def places(self, node_id: int) -> np.ndarray:
        """Return which element of the input each element of the output is."""
        return np.tile(self._all_places(node_id), (self.layer.n, 1))


@register(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
class ConvertCropping(_Moves):
    """A part of an image."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if channels come last."""
        return _channels_last(layer)

    def places(self, node_id: int) -> np.ndarray:
        """Return which element of the input each element of the output is."""
        places = self._all_places(node_id)
        parts = []
        for n, (before, after) in zip(places.shape, _pairs(self.layer.cropping)):
            parts.append(slice(before, n - after))
        return places[tuple(parts)]


@register(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)
class ConvertUpSampling(_Moves):
    """An image whose elements are repeated."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if elements are repeated."""
        if getattr(layer, "interpolation", "nearest") != "nearest":
            return f"its interpolation is {layer.interpolation!r}, not 'nearest'"
        return _channels_last(layer)

    def places(self, node_id: int) -> np.ndarray:
        """Return which element of the input each element of the output is."""
        places = self._all_places(node_id)
        for axis, n in enumerate(np.broadcast_to(self.layer.size, places.ndim - 1)):
            places = np.repeat(places, n, axis=axis)
        return places


@register(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
class ConvertZeroPadding(LayerConverter):
    """A Node of which the input writes the middle."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if channels come last."""
        return _channels_last(layer)

    def convert(self, node_id: int) -> Any:
        """Connect the input to the middle of a Node."""
        obj = self.add_nengo_obj(node_id)
        where = padded_indices(self.output_shape(node_id), _pairs(self.layer.padding))
        self.add_connection(node_id, obj[where])
        return obj


def _pairs(widths: Any) -> list[tuple[int, int]]:
    """Return the numbers of elements before and after, for each axis."""
    if isinstance(widths, Sequence) and isinstance(widths[0], Sequence):
        return [tuple(pair) for pair in widths]
    return [tuple(widths)]


def padded_indices(
    shape: tuple[int, ...], widths: Sequence[tuple[int, int]]
) -> list[int]:
    """Return the places of an input in an output that has zeros around it.

    Parameters
    ----------
    shape : tuple of int
        Shape of the output.
    widths : sequence of (int, int)
        Numbers of zeros before and after, for the first axes.
    """
    places = np.arange(int(np.prod(shape))).reshape(shape)
    parts = tuple(slice(before, n - after) for n, (before, after) in zip(shape, widths))
    return places[parts].ravel().tolist()
