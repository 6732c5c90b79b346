"""Layers that compute sequences."""

from __future__ import annotations

from typing import Any

from nengo_dl.interchange.keras.activation_functions import Activation
from nengo_dl.interchange.keras.registry import find_row, register
from nengo_dl.interchange.keras.rows.dense import ConvertDense, values, values_if_any
from nengo_dl.support.lazy_imports import keras

__all__ = ["ConvertSimpleRNN", "ConvertTimeDistributed"]


@register(keras.layers.TimeDistributed)
class ConvertTimeDistributed(ConvertDense):
    """A layer for each time step: a dense one, or an activation."""

    distributes = True

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if the layer in it can be computed along other axes."""
        inner = find_row(layer.layer)
        activation = cls.activation(layer)
        if not activation.by_element and not converter.options.temporal_model:
            return f"{activation.name!r} computes each time step for itself"
        if inner is ConvertDense or (inner is not None and inner.only_activates):
            return True
        return f"only dense layers are distributed, no {type(layer.layer).__name__}"

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return the activation function of the layer in it."""
        row = find_row(layer.layer)
        return super().activation(layer) if row is None else row.activation(layer.layer)

    def convert(self, node_id: int) -> Any:
        """Connect the input to a Node or neurons."""
        if find_row(self.layer.layer) is ConvertDense:
            return self.convert_with(node_id, self.layer.layer)
        activation = self.activation(self.layer)
        obj = self.add_nengo_obj(node_id, activation=activation)
        self.add_connection(node_id, obj)
        return self.activated(node_id, obj, activation)


@register(keras.layers.SimpleRNN)
class ConvertSimpleRNN(ConvertDense):
    """Neurons that are connected to themselves, one time step of Nengo for each."""

    takes_fold = "nothing"

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True if time is that of the simulation."""
        if not converter.options.temporal_model:
            return "temporal_model=True computes one time step after the other"
        if layer.go_backwards or layer.return_state or layer.stateful:
            return "sequences are computed forwards, and from a state of zero"
        activation = cls.activation(layer)
        if not activation.is_linear and converter.swaps.neurons(activation) is None:
            return f"there are no neurons for {activation.name!r}"
        return True

    @classmethod
    def ends_sequence(cls, layer: keras.Layer) -> bool:
        """Whether only the last output is returned."""
        return not layer.return_sequences

    def convert(self, node_id: int) -> Any:
        """Connect the input to neurons, and these to themselves."""
        cell = self.layer.cell
        activation = self.activation(self.layer)
        obj = self.add_nengo_obj(node_id, values_if_any(cell.bias), activation)
        self.add_connection(node_id, obj, transform=values(cell.kernel).T)
        # a synapse of 0 is a delay of one step, which every other has, too
        synapse = self.converter.options.synapse
        self.converter.maker.connect(
            self.call(node_id),
            obj,
            obj,
            transform=values(cell.recurrent_kernel).T,
            synapse=0 if synapse is None else synapse,
        )
        return obj
