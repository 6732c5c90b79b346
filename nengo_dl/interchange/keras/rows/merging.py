"""Layers that merge several inputs."""

from __future__ import annotations

from typing import Any, ClassVar

import nengo
import numpy as np

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.registry import register
from nengo_dl.support.lazy_imports import keras

__all__ = [
    "ConvertAdd",
    "ConvertAverage",
    "ConvertConcatenate",
    "ConvertMultiply",
    "ConvertSubtract",
]


@register(keras.layers.Add)
class ConvertAdd(LayerConverter):
    """A sum: all inputs are connected to the same Node or neurons."""

    step_by_step = True
    takes_fold = "activation"

    def factors(self, n_inputs: int) -> list[float]:
        """Return what each input is multiplied by."""
        return [1.0] * n_inputs

    def convert(self, node_id: int) -> Any:
        """Connect all inputs to a Node or neurons."""
        fold = self.fold(node_id)
        obj = self.add_nengo_obj(node_id, activation=fold.activation)
        n_inputs = len(self.call(node_id).inputs)
        for index, factor in enumerate(self.factors(n_inputs)):
            self.add_connection(
                node_id,
                obj,
                index,
                trainable=False,
                transform=None if factor == 1 else factor,
                **self._repeated(node_id, index),
            )
        return self.activated(node_id, obj, fold.activation)

    def _repeated(self, node_id: int, index: int) -> dict[str, Any]:
        return {}

    def add_connection(self, node_id, obj, input_idx=0, **kwargs):  # numpydoc: inherits
        """Connect an input, whose elements are repeated where its shape is smaller."""
        shape = self.input_shape(node_id, input_idx)
        wanted = self.output_shape(node_id)
        if shape == wanted:
            return super().add_connection(node_id, obj, input_idx, **kwargs)
        places = np.arange(int(np.prod(shape))).reshape(shape)
        places = np.broadcast_to(places, wanted).ravel()
        pre = self.converter.source(self.call(node_id), input_idx)
        transform = kwargs.pop("transform", None)
        return self.converter.maker.connect(
            self.call(node_id), pre[places.tolist()], obj, transform=transform, **kwargs
        )


@register(keras.layers.Subtract)
class ConvertSubtract(ConvertAdd):
    """The difference of two inputs."""

    def factors(self, n_inputs: int) -> list[float]:
        """Return what each input is multiplied by."""
        return [1.0, -1.0]


@register(keras.layers.Average)
class ConvertAverage(ConvertAdd):
    """The mean of all inputs."""

    def factors(self, n_inputs: int) -> list[float]:
        """Return what each input is multiplied by."""
        return [1 / n_inputs] * n_inputs


@register(keras.layers.Multiply)
class ConvertMultiply(LayerConverter):
    """Networks of neurons that approximate products of two numbers, if asked for."""

    step_by_step = True

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if there are to be neurons."""
        if converter.options.product_neurons is None:
            return "product_neurons=200 would approximate products with neurons"
        shapes = {t.shape for call in converter.calls_of(layer) for t in call.inputs}
        if len(shapes) > 1:
            return "only inputs of one shape become products of neurons"
        return True

    def convert(self, node_id: int) -> Any:
        """Connect pairs of inputs to products."""
        call = self.call(node_id)
        n = int(np.prod(self.output_shape(node_id)))
        obj = self.converter.source(call, 0)
        for index in range(1, len(call.inputs)):
            product = nengo.networks.Product(
                self.converter.options.product_neurons,
                n,
                input_magnitude=1,
                label=self.layer.name,
            )
            connect = self.converter.maker.connect
            connect(call, obj, product.input_a)
            connect(call, self.converter.source(call, index), product.input_b)
            entry = self.converter.maker.note(call, "Product")
            entry.n_neurons += product.n_neurons
            entry.neurons = type(product.all_ensembles[0].neuron_type).__name__
            obj = product.output
        return obj


@register(keras.layers.Concatenate)
class ConvertConcatenate(LayerConverter):
    """A Node, or neurons, of which each input writes a part."""

    takes_fold = "activation"
    step_by_step = True

    #: axes of Keras's tensors that Nengo's vectors do not have: that of the batch
    n_axes: ClassVar[int] = 1

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True unless time steps are put one after the other."""
        for call in converter.calls_of(layer):
            n_axes = len(call.outputs[0].shape) + 1
            if converter.has_time(call) and layer.axis % n_axes == 1:
                return "it joins sequences along the axis of time"
        return True

    def convert(self, node_id: int) -> Any:
        """Connect each input to its part."""
        fold = self.fold(node_id)
        obj = self.add_nengo_obj(node_id, activation=fold.activation)
        call = self.call(node_id)
        shape = self.output_shape(node_id)
        n_axes = len(call.outputs[0].shape) + 1
        axis = self.layer.axis % n_axes - (n_axes - len(shape))
        places = np.arange(int(np.prod(shape))).reshape(shape)
        begin = 0
        for index in range(len(call.inputs)):
            length = self.input_shape(node_id, index)[axis]
            part = np.take(places, range(begin, begin + length), axis=axis).ravel()
            self.add_connection(node_id, obj[_slice(part)], index, trainable=False)
            begin += length
        return self.activated(node_id, obj, fold.activation)


def _slice(places: np.ndarray) -> Any:
    """Return places as a slice if they follow each other."""
    if np.all(np.diff(places) == 1):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places.tolist()
