"""Layers that multiply and shift each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.interchange.keras.rows.dense import values
from nengo_dl.support.lazy_imports import keras

__all__ = [
    "ConvertBatchNormalization",
    "ConvertNormalization",
    "ConvertRescaling",
]


class _Affine(LayerConverter):
    """A factor and a summand for each channel, which is the last axis."""

    step_by_step = True
    takes_fold = "everything"

    def convert(self, node_id: int) -> Any:
        """Connect the input, element by element, to a Node or neurons."""
        fold = self.fold(node_id)
        channels = self.affine(self.layer)
        assert channels is not None, "it is all that these layers do"
        factor, summand = channels
        shape = self.output_shape(node_id)
        factor, biases = fold.apply(np.broadcast_to(factor, shape[-1:]), summand)
        obj = self.add_nengo_obj(node_id, biases, fold.activation)
        transform = np.broadcast_to(factor, shape).ravel()
        self.add_connection(node_id, obj, transform=transform)
        return self.activated(node_id, obj, fold.activation)


@register(keras.layers.BatchNormalization)
class ConvertBatchNormalization(_Affine):
    """Batch normalization with the moving averages, as Keras computes at inference."""

    differs_in_training = True

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if channels are the last axis."""
        axis = np.atleast_1d(layer.axis)
        if len(axis) == 1 and layer.input_spec is not None:
            last = layer.input_spec.ndim
            if last is None or axis[0] in (-1, last - 1):
                return True
        return f"its axis {layer.axis} is not the last one"

    @classmethod
    def affine(cls, layer: keras.Layer) -> tuple[np.ndarray, np.ndarray] | None:
        """Return factor and summand of each channel."""
        factor = 1 / np.sqrt(values(layer.moving_variance) + layer.epsilon)
        if layer.gamma is not None:
            factor = factor * values(layer.gamma)
        summand = -values(layer.moving_mean) * factor
        if layer.beta is not None:
            summand = summand + values(layer.beta)
        return factor, summand


@register(keras.layers.Rescaling)
class ConvertRescaling(_Affine):
    """A factor and a summand that are not trained."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if factor and summand are numbers, or one for each channel."""
        if np.ndim(layer.scale) > 1 or np.ndim(layer.offset) > 1:
            return "its scale or offset has more than one axis"
        return True

    @classmethod
    def affine(cls, layer: keras.Layer) -> tuple[np.ndarray, np.ndarray] | None:
        """Return factor and summand, with an axis so that they are of channels."""
        return (
            np.atleast_1d(np.asarray(layer.scale, dtype=np.float32)),
            np.atleast_1d(np.asarray(layer.offset, dtype=np.float32)),
        )


@register(keras.layers.Normalization)
class ConvertNormalization(_Affine):
    """Normalization with the mean and variance of data that were seen before."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if there are mean and variance of each channel."""
        mean = np.asarray(layer.mean)
        if mean.size not in (1, *mean.shape[-1:]):
            return f"its mean has the shape {mean.shape}; only one axis is converted"
        return True

    @classmethod
    def affine(cls, layer: keras.Layer) -> tuple[np.ndarray, np.ndarray] | None:
        """Return factor and summand of each channel."""
        mean, variance = np.ravel(layer.mean), np.ravel(layer.variance)
        # as Keras: a variance of zero does not divide
        deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
        if layer.invert:
            return deviation, mean
        return 1 / deviation, -mean / deviation
