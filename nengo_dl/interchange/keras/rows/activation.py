"""Layers that are activation functions."""

from __future__ import annotations

from typing import Any

from nengo_dl.interchange.keras.activation_functions import (
    Activation,
    activation_of_layer,
)
from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.support.lazy_imports import keras

__all__ = ["ConvertActivation", "ConvertSoftmax"]


@register(
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
)
class ConvertActivation(LayerConverter):
    """Neurons, or a TensorNode for functions that no neurons compute."""

    step_by_step = True
    only_activates = True

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return the function that the layer is."""
        return activation_of_layer(layer)

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


@register(keras.layers.Softmax)
class ConvertSoftmax(ConvertActivation):
    """Shares of the last axis, if there are neurons that take their place."""

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if there are neurons for it."""
        if layer.axis != -1:
            return f"its axis {layer.axis} is not the last one, -1"
        return super().convertible(layer, converter)
