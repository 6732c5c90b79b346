"""Activation functions, in whatever form Keras takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nengo
from nengo.neurons import NeuronType

from nengo_dl.neurons import LeakyReLU
from nengo_dl.support.lazy_imports import keras, tf

__all__ = [
    "LINEAR",
    "Activation",
    "activation_of",
    "activation_of_function",
    "activation_of_layer",
]


@dataclass(frozen=True)
class Activation:
    """An activation function.

    Attributes
    ----------
    name : str
        What it is called.
    function : callable
        Keras's function of a tensor.
    keys : tuple
        The functions and neuron types under which `Swaps` finds it; the last one has
        its parameters.
    neurons : NeuronType or None
        Neurons that compute the same; None if there are none.
    by_element : bool
        Whether it can be computed for each time step of a sequence, or for all of them
        at once. Layers may have weights for a whole sequence, or an axis of it.
    """

    name: str
    function: Callable[[Any], Any]
    keys: tuple = ()
    neurons: NeuronType | None = None
    by_element: bool = True

    @property
    def is_linear(self) -> bool:
        """Whether it does nothing."""
        return self.function is keras.activations.linear


LINEAR = Activation(
    "linear", keras.activations.linear, (keras.activations.linear,), None
)

#: Neurons that compute the same as Keras's functions.
_EXACT: dict[Callable, NeuronType] = {
    keras.activations.relu: nengo.RectifiedLinear(),
    keras.activations.sigmoid: nengo.Sigmoid(tau_ref=1),
    keras.activations.tanh: nengo.Tanh(tau_ref=1),
    keras.activations.leaky_relu: LeakyReLU(negative_slope=0.2),  # Keras's default
}


def _twins() -> Iterator[tuple[Callable, Callable]]:
    """Yield functions that compute what one of ``keras.activations`` does, with it."""
    for name in dir(keras.activations):
        known = getattr(keras.activations, name)
        if name in ("deserialize", "get", "serialize") or not inspect.isfunction(known):
            continue
        for module in (tf.nn, tf.math, keras.ops):
            twin = getattr(module, name, None)
            # the default of keras.ops.gelu is an approximation
            if twin is not None and twin is not keras.ops.gelu:
                yield twin, known
    yield tf.identity, keras.activations.linear
    yield tf.exp, keras.activations.exponential
    yield keras.ops.exp, keras.activations.exponential


_SAME: dict[Callable, Callable] = dict(_twins())


def activation_of(given: Any) -> Activation | None:
    """Return what is known about an activation function.

    Parameters
    ----------
    given : object
        A function, a name, or a layer that is an activation, or its class.

    Returns
    -------
    Activation or None
        None if it is no activation.
    """
    if inspect.isclass(given) and given in _OF_LAYERS and given is not _ANY:
        given = given()
    if not (isinstance(given, str) or (callable(given) and not inspect.isclass(given))):
        return None
    try:
        return activation_of_function(keras.activations.get(given))
    except ValueError:
        return None


def activation_of_layer(layer: keras.Layer) -> Activation:
    """Return the activation function that a layer is."""
    find = _OF_LAYERS.get(type(layer))
    if find is not None:
        return find(layer)
    return Activation(type(layer).__name__, layer, by_element=False)


def activation_of_function(function: Callable[[Any], Any]) -> Activation:
    """Return what is known about a function, or a layer in the place of one."""
    if isinstance(function, keras.Layer):
        return activation_of_layer(function)
    function = _SAME.get(function, function)
    if function is keras.activations.linear:
        return LINEAR
    name = getattr(function, "__name__", type(function).__name__)
    neurons = _EXACT.get(function)
    keys = (function,) if neurons is None else (function, neurons)
    return Activation(name, function, keys, neurons)


def _leaky(slope: float) -> Activation:
    """Return a leaky rectifier, with neurons for its slope."""

    def leaky(x: Any) -> Any:
        return keras.activations.leaky_relu(x, negative_slope=slope)

    neurons = LeakyReLU(slope)
    keys = (keras.activations.leaky_relu, neurons)
    return Activation(f"leaky_relu({slope:g})", leaky, keys, neurons)


def _rectifier(layer: keras.layers.ReLU) -> Activation:
    """Return a rectifier, or one with limits, for which there are no neurons."""
    slope, threshold = layer.negative_slope, layer.threshold
    if not threshold and layer.max_value is None:
        if slope:
            return _leaky(float(slope))
        return activation_of_function(keras.activations.relu)

    def limited(x: Any) -> Any:
        return keras.activations.relu(
            x, negative_slope=slope, max_value=layer.max_value, threshold=threshold
        )

    if layer.max_value == 6 and not threshold and not slope:
        return Activation("relu6", limited, (keras.activations.relu6,))
    return Activation("relu with limits", limited)


_ANY = keras.layers.Activation

#: How layers say which activation functions they are.
_OF_LAYERS: dict[type, Callable[[Any], Activation]] = {
    _ANY: lambda layer: activation_of_function(layer.activation),
    keras.layers.ReLU: _rectifier,
    keras.layers.LeakyReLU: lambda layer: _leaky(float(layer.negative_slope)),
    keras.layers.ELU: lambda layer: Activation(
        "elu", layer.call, (keras.activations.elu,)
    ),
    keras.layers.Softmax: lambda layer: Activation(
        "softmax", layer.call, (keras.activations.softmax,), None, layer.axis == -1
    ),
}
