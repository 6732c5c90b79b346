"""Dense layers."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.support.lazy_imports import keras

__all__ = ["ConvertDense", "values", "values_if_any"]


def values(variable: Any) -> np.ndarray:
    """Return the values of a Keras variable."""
    return np.asarray(variable.numpy())


def values_if_any(variable: Any) -> np.ndarray | None:
    """Return the values of a Keras variable; None if there is none."""
    return None if variable is None else values(variable)


@register(keras.layers.Dense)
class ConvertDense(LayerConverter):
    """A matrix; a convolution with one element if it is used along other axes."""

    step_by_step = True
    takes_fold = "everything"

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node or neurons."""
        return self.convert_with(node_id, self.layer)

    def convert_with(self, node_id: int, layer: keras.Layer) -> Any:
        """Convert a call with the weights of a layer."""
        fold = self.fold(node_id)
        kernel, biases = fold.apply(values(layer.kernel), values_if_any(layer.bias))
        obj = self.add_nengo_obj(node_id, biases, fold.activation)
        shape = self.input_shape(node_id)
        transform: Any = kernel.T
        if len(shape) > 1:
            transform = nengo.Convolution(
                kernel.shape[1],
                (int(np.prod(shape[:-1])), shape[-1]),
                kernel_size=(1,),
                strides=(1,),
                init=kernel[None],
            )
        self.add_connection(node_id, obj, transform=transform)
        return self.activated(node_id, obj, fold.activation)
