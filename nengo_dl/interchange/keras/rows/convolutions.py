"""Convolutions, and their transposes."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.interchange.keras.rows.dense import values, values_if_any
from nengo_dl.interchange.keras.rows.reshaping import padded_indices
from nengo_dl.support.lazy_imports import keras

__all__ = [
    "ConvertConvolution",
    "ConvertConvolutionTranspose",
    "ConvertDepthwiseConvolution",
    "ConvertSeparableConvolution",
]

layers = keras.layers


def _obstacle(layer: keras.Layer) -> bool | str:
    """Return True, or why a layer is none of Nengo's convolutions."""
    if any(rate != 1 for rate in layer.dilation_rate):
        return (
            f"Nengo has no dilated convolutions (dilation_rate={layer.dilation_rate})"
        )
    if layer.data_format != "channels_last":
        return "its channels come first"
    return True


class _Convolves(LayerConverter):
    takes_fold = "everything"

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        return _obstacle(layer)

    def connect_convolution(
        self, node_id: int, pre: Any, obj: Any, kernel: np.ndarray, groups: int = 1
    ) -> tuple[int, ...]:
        """Connect an object with a convolution; return the shape of its output."""
        layer = self.layer
        shape = self.input_shape(node_id)
        size, strides = kernel.shape[:-2], tuple(layer.strides)
        padding = layer.padding
        if padding == "causal":
            shape = (shape[0] + size[0] - 1, shape[1])
            where = padded_indices(shape, ((size[0] - 1, 0),))
            # a Node of its own holds the zeros before the beginning
            longer = nengo.Node(size_in=int(np.prod(shape)), label=f"{layer.name}.pad")
            self.converter.maker.connect(self.call(node_id), pre, longer[where])
            pre, padding = longer, "valid"
        transform = nengo.Convolution(
            kernel.shape[-1],
            shape,
            kernel_size=size,
            strides=strides if len(strides) == len(size) else strides * len(size),
            padding=padding,
            init=kernel,
            groups=groups,
        )
        if obj is not None:
            self.converter.maker.connect(
                self.call(node_id), pre, obj, transform=transform
            )
        return transform


@register(layers.Conv1D, layers.Conv2D, layers.Conv3D)
class ConvertConvolution(_Convolves):
    """A convolution; its biases are those of the neurons, if there are any."""

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node or neurons."""
        fold = self.fold(node_id)
        kernel, biases = fold.apply(
            values(self.layer.kernel), values_if_any(self.layer.bias)
        )
        obj = self.add_nengo_obj(node_id, biases, fold.activation)
        pre = self.converter.source(self.call(node_id), 0)
        self.connect_convolution(node_id, pre, obj, kernel, self.layer.groups)
        return self.activated(node_id, obj, fold.activation)


def _by_channel(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel of a convolution in which each channel is a group."""
    *size, n_channels, multiplier = kernel.shape
    return kernel.reshape(*size, 1, n_channels * multiplier)


@register(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
class ConvertDepthwiseConvolution(_Convolves):
    """A convolution in which each channel is a group."""

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node or neurons."""
        fold = self.fold(node_id)
        kernel = values(self.layer.kernel)
        n_channels = kernel.shape[-2]
        kernel, biases = fold.apply(_by_channel(kernel), values_if_any(self.layer.bias))
        obj = self.add_nengo_obj(node_id, biases, fold.activation)
        pre = self.converter.source(self.call(node_id), 0)
        self.connect_convolution(node_id, pre, obj, kernel, n_channels)
        return self.activated(node_id, obj, fold.activation)


@register(layers.SeparableConv1D, layers.SeparableConv2D)
class ConvertSeparableConvolution(_Convolves):
    """A convolution of each channel, then one of single elements."""

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node between the two, and this to the output."""
        fold = self.fold(node_id)
        first = values(self.layer.depthwise_kernel)
        second, biases = fold.apply(
            values(self.layer.pointwise_kernel), values_if_any(self.layer.bias)
        )
        obj = self.add_nengo_obj(node_id, biases, fold.activation)
        shape = (*self.output_shape(node_id)[:-1], second.shape[-2])
        between = nengo.Node(
            size_in=int(np.prod(shape)), label=f"{self.layer.name}.depthwise"
        )
        pre = self.converter.source(self.call(node_id), 0)
        n_channels = first.shape[-2]
        self.connect_convolution(node_id, pre, between, _by_channel(first), n_channels)
        ones = (1,) * (len(shape) - 1)
        transform = nengo.Convolution(
            second.shape[-1], shape, kernel_size=ones, strides=ones, init=second
        )
        self.converter.maker.connect(
            self.call(node_id), between, obj, transform=transform
        )
        return self.activated(node_id, obj, fold.activation)


@register(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
class ConvertConvolutionTranspose(LayerConverter):
    """The transpose of a convolution."""

    takes_fold = "everything"

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True, or why the layer is none of Nengo's convolutions."""
        if getattr(layer, "output_padding", None) is not None:
            return f"output_padding={layer.output_padding} has no counterpart in Nengo"
        return _obstacle(layer)

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node or neurons."""
        fold = self.fold(node_id)
        # Keras's kernels have the output's channels first
        kernel = np.swapaxes(values(self.layer.kernel), -1, -2)
        kernel, biases = fold.apply(kernel, values_if_any(self.layer.bias))
        obj = self.add_nengo_obj(node_id, biases, fold.activation)
        transform = nengo.ConvolutionTranspose(
            kernel.shape[-1],
            self.input_shape(node_id),
            output_shape=self.output_shape(node_id),
            kernel_size=kernel.shape[:-2],
            strides=tuple(self.layer.strides),
            padding=self.layer.padding,
            init=np.ascontiguousarray(kernel),
        )
        self.add_connection(node_id, obj, transform=transform)
        return self.activated(node_id, obj, fold.activation)
