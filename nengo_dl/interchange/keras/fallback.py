"""Layers as they are, in TensorNodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nengo_dl.interchange.keras.graph import Call, Tensor
from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["LayerCall", "tensor_code"]

#: What stands for the tensors in the arguments of a call.
_PLACE = "nengo_dl tensor "


class LayerCall(keras.Layer):
    """A layer with all arguments of a call, as a function of one vector.

    Parameters
    ----------
    layer : keras.Operation
        The layer.
    arguments : list
        Positional and keyword arguments, with strings in the place of tensors.
    shapes : list of list of int
        Shapes of the tensors, which follow each other in the vector.
    dtypes : list of str
        Types of the tensors.
    **kwargs
        Arguments of every layer.
    """

    def __init__(
        self,
        layer: keras.Operation,
        arguments: Sequence[Any],
        shapes: Sequence[Sequence[int]],
        dtypes: Sequence[str],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.layer = layer
        self.arguments = arguments
        self.shapes = shapes
        self.dtypes = dtypes

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return all outputs, one after the other."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        tensors = []
        for part, shape, dtype in zip(
            tf.split(x, sizes, axis=1), self.shapes, self.dtypes, strict=True
        ):
            part = tf.reshape(part, (-1, *shape))
            # numbers, such as those of words, come in the precision of the simulation
            is_float = dtype.startswith(("float", "bfloat"))
            tensors.append(part if is_float else tf.cast(part, dtype))
        args, kwargs = _replaced(self.arguments, tensors)
        if isinstance(self.layer, keras.Layer):
            kwargs = {"training": training, **kwargs}
        outputs = keras.tree.flatten(self.layer(*args, **kwargs))
        flat = [
            tf.reshape(tf.cast(y, x.dtype), (-1, int(np.prod(y.shape[1:]))))
            for y in outputs
        ]
        return tf.concat(flat, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "arguments": self.arguments,
            "shapes": self.shapes,
            "dtypes": self.dtypes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LayerCall:
        """Make the layer from its arguments."""
        layer = keras.saving.deserialize_keras_object(config["layer"])
        return cls(**{**config, "layer": layer})


def tensor_code(call: Call, shape: Any) -> tuple[Any, tuple[int, ...]]:
    """Return what a TensorNode computes for a call, and the shape of its input.

    Parameters
    ----------
    call : Call
        The call.
    shape : callable
        Returns the shape of a tensor.

    Returns
    -------
    tensor_func : keras.Layer
        The layer itself if it takes and returns one tensor, else a `LayerCall`.
    shape_in : tuple of int
        Shape of its input.
    """
    shapes = [shape(tensor) for tensor in call.inputs]
    dtypes = [tensor.dtype for tensor in call.inputs]
    is_plain = (
        isinstance(call.layer, keras.Layer)
        and call.args == (call.inputs[0],)
        and all(value is None for value in call.kwargs.values())
        and len(call.outputs) == 1
        and len(shapes[0]) > 0
        and len(shape(call.outputs[0])) > 0
        and "float" in dtypes[0]
    )
    if is_plain:
        layer = call.layer
        # the layer itself shares its weights with its other calls
        while type(layer) is keras.layers.Activation and isinstance(
            layer.activation, keras.Layer
        ):
            layer = layer.activation
        return layer, shapes[0]
    places = {tensor: number for number, tensor in enumerate(call.inputs)}
    arguments = _with_places((list(call.args), dict(call.kwargs)), places)
    wrapped = LayerCall(
        call.layer,
        arguments,
        [list(shape) for shape in shapes],
        dtypes,
        name=f"{call.layer.name}_call",
    )
    n_elements = sum(int(np.prod(shape)) for shape in shapes)
    wrapped(tf.zeros((1, n_elements)))  # so that it is built, and its weights are
    return wrapped, (n_elements,)


def _with_places(value: Any, places: Mapping[Tensor, int]) -> Any:
    if isinstance(value, Tensor):
        return f"{_PLACE}{places[value]}"
    if isinstance(value, dict):
        return {key: _with_places(inner, places) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_places(inner, places) for inner in value]
    return value


def _replaced(value: Any, tensors: Sequence[Any]) -> Any:
    if isinstance(value, str) and value.startswith(_PLACE):
        return tensors[int(value.removeprefix(_PLACE))]
    if isinstance(value, Mapping):
        return {key: _replaced(inner, tensors) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, tensors) for inner in value]
    return value
