"""Synapses of the Keras layers of TensorNodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nengo
import numpy as np

from nengo_dl.inspection.fan_out import FanOut, fan_out_of
from nengo_dl.support.lazy_imports import keras
from nengo_dl.tensor_node import TensorNode

__all__ = ["synapses_of_layers"]

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)

#: Layers of which each output is the product of a kernel with some inputs.
_WITH_KERNEL = (
    keras.layers.Dense,
    *_CONVOLUTIONS,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)

#: Layers with weights that are no synapses: NeuroBench counts none of them.
_NO_SYNAPSES = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.PReLU,
)


def synapses_of_layers(node: TensorNode, code: Any) -> list[FanOut] | None:
    """Return the synapses of each layer with a kernel, in the order of the layers.

    Of a layer that is alone in its node, they are those of each input; of others, one
    number stands for all inputs.

    Parameters
    ----------
    node : TensorNode
        A node.
    code : object
        Its layer, model or function, with current weights.

    Returns
    -------
    list of FanOut or None
        None if there is something of which the number of operations is not known.
    """
    if not isinstance(code, keras.layers.Layer):
        return None
    layers = list(_layers(code))
    found = []
    for layer in layers:
        if not layer.weights or isinstance(layer, _NO_SYNAPSES):
            continue
        fan_out = _by_input(layer, node) if len(layers) == 1 else None
        if fan_out is None:
            shape = node.shape_out if len(layers) == 1 else _output_shape(layer)
            fan_out = None if shape is None else _fan_out(layer, shape)
        if fan_out is None:
            return None
        found.append(fan_out)
    return found


def _layers(layer: Any) -> Iterator[Any]:
    """Return the layers of a model, also of models in it; or the layer itself."""
    if not isinstance(layer, keras.Model | keras.Sequential):
        yield layer
        return
    for inner in layer.layers:
        yield from _layers(inner)


def _by_input(layer: Any, node: TensorNode) -> FanOut | None:
    """Return the synapses of each input of the only layer of a node, if it is easy."""
    shape = node.shape_in
    if isinstance(layer, keras.layers.Dense) and shape is not None and len(shape) == 1:
        return fan_out_of(None, np.asarray(layer.kernel).T, shape[0])
    if not isinstance(layer, _CONVOLUTIONS) or set(layer.dilation_rate) != {1}:
        return None
    if layer.padding not in ("same", "valid"):
        return None
    kernel = np.asarray(layer.kernel)
    transform = nengo.Convolution(
        layer.filters,
        shape,
        layer.kernel_size,
        layer.strides,
        layer.padding,
        layer.data_format == "channels_last",
        kernel,
        layer.groups,
    )
    return fan_out_of(transform, kernel, transform.size_in)


def _output_shape(layer: Any) -> tuple[int, ...] | None:
    """Return the shape of an output of a layer of a model, without the batch axis."""
    try:
        shape = layer.output.shape[1:]
    except (AttributeError, ValueError):  # not called, or called more than once
        return None
    return None if any(size is None for size in shape) else tuple(shape)


def _fan_out(layer: Any, shape: tuple[int, ...]) -> FanOut | None:
    """Return the synapses of a layer with an output of some shape."""
    if not isinstance(layer, _WITH_KERNEL):
        return None
    kernel = np.asarray(layer.kernel)
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    n_channels = shape[0] if first else shape[-1]
    positions = int(np.prod(shape)) // n_channels
    n_used = int(np.count_nonzero(kernel))
    return FanOut(
        np.array([n_used * positions]),
        kernel.size * positions,
        kernel.size,
        kernel.size - n_used,
    )
