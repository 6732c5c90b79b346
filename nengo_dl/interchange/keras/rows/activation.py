"""Layers that are activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from nengo_dl.interchange.keras.activations import (
    Activation,
    find_activation,
)
from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register

__all__ = [
    "ConvertActivation",
    "ConvertLeakyReLU",
    "ConvertReLU",
]


@register(keras.layers.Activation)
class ConvertActivation(LayerConverter):
    """Neurons, or a TensorNode for functions that no neurons compute."""

    step_by_step = True
    only_activates = True

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if there are neurons for the function."""
        activation = cls.activation(layer)
        if activation.is_linear or converter.swaps.neurons(activation) is not None:
            return True
        return f"there are no neurons for {activation.name!r}"

    def convert(self, node_id: int) -> Any:
        """Connect the input to neurons, element by element."""
        activation = self.activation(self.layer)
        if activation.is_linear:
            return self.converter.source(self.call(node_id), 0)
        obj = self.add_nengo_obj(node_id, activation=activation)
        self.add_connection(node_id, obj)
        return obj


@register(keras.layers.ReLU)
class ConvertReLU(ConvertActivation):
    """Rectified linear units, which may leak."""

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return a rectifier, or one with limits, for which there are no neurons."""
        if not layer.threshold and layer.max_value is None:
            if layer.negative_slope:
                return find_activation(
                    keras.activations.leaky_relu, float(layer.negative_slope)
                )
            return find_activation(keras.activations.relu)
        function = _limited(layer.negative_slope, layer.max_value, layer.threshold)
        if layer.max_value == 6 and not layer.threshold and not layer.negative_slope:
            return Activation("relu6", function, (keras.activations.relu6,))
        return Activation("relu with limits", function)


def _limited(slope: float, max_value: float | None, threshold: float) -> Callable:
    def relu(x: Any) -> Any:
        return keras.activations.relu(
            x, negative_slope=slope, max_value=max_value, threshold=threshold
        )

    return relu


@register(keras.layers.LeakyReLU)
class ConvertLeakyReLU(ConvertActivation):
    """Rectified linear units that leak."""

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return a leaky rectifier."""
        return find_activation(
            keras.activations.leaky_relu, float(layer.negative_slope)
        )


@register(keras.layers.ELU)
class ConvertELU(ConvertActivation):
    """Exponential linear units, if there are neurons that take their place."""

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return the function with the layer's parameter."""
        return Activation("elu", layer.call, (keras.activations.elu,))


@register(keras.layers.Softmax)
class ConvertSoftmax(ConvertActivation):
    """Shares of the last axis, if there are neurons that take their place."""

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return the function of the last axis."""
        return Activation("softmax", layer.call, (keras.activations.softmax,))

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if there are neurons for it."""
        if layer.axis != -1:
            return f"its axis {layer.axis} is not the last one, -1"
        return super().convertible(layer, converter)
