"""What the converters of all types of layers share."""

from __future__ import annotations

from typing import Any, ClassVar

import nengo
import numpy as np

from nengo_dl.interchange.keras.activation_functions import (
    LINEAR,
    Activation,
    activation_of_function,
)
from nengo_dl.interchange.keras.fold import Fold
from nengo_dl.interchange.keras.graph import Call
from nengo_dl.support.lazy_imports import keras

__all__ = ["LayerConverter"]


class LayerConverter:
    """Makes the Nengo objects of layers of one type.

    Subclasses are registered with `nengo_dl.Converter.register`, and implement
    `convert`.

    Parameters
    ----------
    layer : keras.Layer
        The layer.
    converter : Converter
        The converter that uses this object.

    Attributes
    ----------
    step_by_step : bool
        Whether the layer computes each time step of a sequence independently, so that
        it can be part of a model that is converted with ``temporal_model``.
    distributes : bool
        Whether the layer contains another layer, which is applied to single time steps.
    takes_fold : str
        What of the calls that follow `convert` computes along, as it is in
        ``self.fold(node_id)``: ``"nothing"``, an ``"activation"``, or
        ``"everything"``: factors of channels, too.
    only_activates : bool
        Whether the layer is an activation function and nothing else.
    differs_in_training : bool
        Whether Keras computes something else in training.

    Examples
    --------
    >>> import keras
    >>> from nengo_dl.interchange.keras import LayerConverter
    >>> class Double(keras.layers.Layer):
    ...     def call(self, x):
    ...         return 2 * x
    >>> @nengo_dl.Converter.register(Double)
    ... class ConvertDouble(LayerConverter):
    ...     def convert(self, node_id):
    ...         output = self.add_nengo_obj(node_id)
    ...         self.add_connection(node_id, output, transform=2, trainable=False)
    ...         return output
    >>> model = keras.Sequential([keras.Input((3,)), Double()])
    >>> nengo_dl.Converter(model, allow_fallback=False).verify()
    True
    """

    step_by_step: ClassVar[bool] = False
    distributes: ClassVar[bool] = False
    takes_fold: ClassVar[str] = "nothing"
    only_activates: ClassVar[bool] = False
    differs_in_training: ClassVar[bool] = False

    def __init__(self, layer: keras.Layer, converter: Any):
        self.layer = layer
        self.converter = converter

    @classmethod
    def convertible(cls, layer: keras.Layer, converter: Any) -> bool | str:
        """Return True, or the reason why a layer cannot become Nengo objects."""
        return True

    @classmethod
    def activation(cls, layer: keras.Layer) -> Activation:
        """Return the activation function of a layer."""
        function = getattr(layer, "activation", None)
        return LINEAR if function is None else activation_of_function(function)

    @classmethod
    def affine(cls, layer: keras.Layer) -> tuple[np.ndarray, np.ndarray] | None:
        """Return factor and summand of each channel, if that is all a layer does."""
        return None

    @classmethod
    def passes_on(cls, layer: keras.Layer) -> bool:
        """Whether the layer returns the elements of its input as they are."""
        return False

    @classmethod
    def ends_sequence(cls, layer: keras.Layer) -> bool:
        """Whether the output of a sequence has no time axis."""
        return False

    def convert(self, node_id: int) -> Any:
        """Make the Nengo objects of a call of the layer.

        Parameters
        ----------
        node_id : int
            Number of the call, from 0; more than one for layers that are shared.

        Returns
        -------
        Node or Neurons or TensorNode or a slice of one
            What holds the output of the layer, in C order. A list of them for layers
            with several outputs.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement convert")

    def call(self, node_id: int) -> Call:
        """Return a call of the layer."""
        return self.converter.find_call(self.layer, node_id)

    def fold(self, node_id: int) -> Fold:
        """Return what is to be computed along with the layer."""
        return self.converter.fold_of(self.call(node_id))

    def input_shape(self, node_id: int, input_idx: int = 0) -> tuple[int, ...]:
        """Return the shape of an input, without the axis of the batch."""
        return self.converter.shape(self.call(node_id).inputs[input_idx])

    def output_shape(self, node_id: int, output_idx: int = 0) -> tuple[int, ...]:
        """Return the shape of an output, without the axis of the batch."""
        return self.converter.shape(self.call(node_id).outputs[output_idx])

    def add_nengo_obj(
        self,
        node_id: int,
        biases: np.ndarray | None = None,
        activation: Activation | None = None,
        size: int | None = None,
    ) -> Any:
        """Make a Node or neurons for the output of the layer.

        Parameters
        ----------
        node_id : int
            Number of the call.
        biases : array_like, optional
            What is added to the inputs; broadcast to the shape of the output.
        activation : Activation, optional
            The activation function; without one, or if there are no neurons for it, the
            object is a Node.
        size : int, optional
            Number of elements. Default: that of the output.

        Returns
        -------
        Node or Neurons
            The object, to which inputs are to be connected.
        """
        shape = (size,) if size else self.output_shape(node_id)
        call = self.call(node_id)
        if biases is not None:
            biases = np.broadcast_to(biases, shape).ravel()
        n = int(np.prod(shape))
        drive = None
        if activation is not None and not activation.is_linear:
            drive = self.converter.drive_of(call, activation)
        if drive is None:
            return self.converter.maker.add_node(call, n, biases)
        return self.converter.maker.add_neurons(call, n, biases, drive, activation)

    def add_connection(
        self,
        node_id: int,
        obj: Any,
        input_idx: int = 0,
        trainable: bool | None = None,
        transform: Any = None,
        **kwargs: Any,
    ) -> nengo.Connection:
        """Connect an input of the layer to an object.

        Parameters
        ----------
        node_id : int
            Number of the call.
        obj : Node or Neurons or TensorNode or a slice of one
            The object.
        input_idx : int
            Which input it is.
        trainable : bool, optional
            Whether training changes the weights. Default: as the layer.
        transform : array_like or Transform, optional
            Weights. Default: none.
        **kwargs
            Other arguments of the `nengo.Connection`.

        Returns
        -------
        nengo.Connection
            The connection, with the synapse of the conversion if it comes from neurons.
        """
        call = self.call(node_id)
        pre = self.converter.source(call, input_idx)
        return self.converter.maker.connect(
            call, pre, obj, trainable, transform, **kwargs
        )

    def activated(self, node_id: int, obj: Any, activation: Activation) -> Any:
        """Return an object behind which an activation is, if no neurons compute it.

        Parameters
        ----------
        node_id : int
            Number of the call.
        obj : Node or Neurons
            What `add_nengo_obj` has returned for this activation.
        activation : Activation
            The activation.

        Returns
        -------
        Neurons or Node or TensorNode
            The object itself, or a TensorNode that computes the activation of it.
        """
        call = self.call(node_id)
        if activation.is_linear or self.converter.drive_of(call, activation):
            return obj
        return self.converter.maker.add_function(
            call, obj, activation, self.output_shape(node_id)
        )
