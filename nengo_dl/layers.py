"""Networks written as chains of layers: neuron types, Keras layers and functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import nengo
import numpy as np
from nengo.base import NengoObject, ObjView
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.neurons import Direct, LIFRate, NeuronType
from nengo.transforms import Transform
from nengo.utils.numpy import is_integer, is_number

from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.tensor_node import TensorNode

__all__ = ["Layer", "reshaped", "tensor_layer"]

#: Arguments that are the node's and not the function's.
_NODE_ARGUMENTS = ("label", "pass_time", "shape_out", "size_out")

#: Arguments of an Ensemble that determine how its neurons respond.
_CURVES = ("gain", "bias", "max_rates", "intercepts")


class Layer:
    """A neuron type, Keras layer or function, to be called with its input.

    Parameters
    ----------
    layer_func : NeuronType or keras.Layer or callable
        See `tensor_layer`.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     inp = nengo.Node(np.ones(4))
    ...     x = nengo_dl.Layer(tf.keras.layers.Dense(10))(inp)
    ...     x = nengo_dl.Layer(nengo.RectifiedLinear())(x)
    ...     x = nengo_dl.Layer(tf.keras.layers.Dense(2))(x)
    ...     probe = nengo.Probe(x)
    >>> x.size_out
    2
    """

    def __init__(self, layer_func: Any):
        self.layer_func = layer_func

    def __call__(self, input: Any, **arguments: Any) -> Any:
        """Make the layer; see `tensor_layer` for the arguments and the result."""
        return tensor_layer(input, self.layer_func, **arguments)

    def __repr__(self) -> str:
        return f"Layer({self.layer_func!r})"


def tensor_layer(
    input: Any,
    layer_func: Any,
    shape_in: int | Sequence[int] | None = None,
    synapse: Any = None,
    transform: Any = 1,
    return_conn: bool = False,
    **layer_args: Any,
) -> Any:
    """Make neurons or a `TensorNode`, and connect something to it.

    Call this inside a network's context.

    Parameters
    ----------
    input : Node or Ensemble or Neurons or TensorNode, or a slice of one
        Where the layer's input comes from.
    layer_func : NeuronType or keras.Layer or callable
        What the layer is. A neuron type gives an Ensemble with one neuron for each
        element, whose neurons get the input directly. The arguments ``max_rates`` and
        ``intercepts``, or ``gain`` and ``bias``, set how they respond; without them,
        ``net.config[nengo.Ensemble]`` does, and else gains are 1 and biases 0. A
        Keras layer or model, or a function ``f(x)`` of a tensor, gives a `TensorNode`
        (without time; ``pass_time=True`` changes that). A class of Keras layers is
        instantiated.
    shape_in : int or tuple of int, optional
        Shape of the input without the axis for the items of the minibatch. Default: a
        vector of as many elements as there are.
    synapse : Synapse or float, optional
        Of the connection. Default: none.
    transform : float or array_like or Transform or Distribution
        Of the connection. 1 stands for a connection without weights, which training
        does not change. With a distribution, give ``shape_in``.
    return_conn : bool
        Return the connection, too.
    **layer_args
        For a neuron type, arguments of the Ensemble. Else ``label``, ``shape_out`` and
        ``pass_time`` of the `TensorNode`; others are passed to the function, or to the
        class of Keras layers.

    Returns
    -------
    TensorNode or Neurons
        What to connect the next layer to.
    Connection
        From the input; only with ``return_conn``.

    Raises
    ------
    ValidationError
        If the layer is none of these, or does not fit its input.

    Warns
    -----
    UserWarning
        If the layer has LIF neurons of gain 1 and bias 0 only by default: an input up
        to 1 never makes them spike.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     inp = nengo.Node(np.ones(4))
    ...     x = nengo_dl.tensor_layer(inp, tf.reduce_sum, axis=1, keepdims=True)
    ...     probe = nengo.Probe(x)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run_steps(1)
    >>> sim.data[probe]
    array([[4.]])
    """
    if not isinstance(input, NengoObject | ObjView | Neurons):
        raise ValidationError(
            "Must be a Node, an Ensemble, Neurons, or a slice of one (got "
            f"{type(input).__name__})",
            attr="input",
        )
    if is_number(transform) and transform == 1:
        transform = None
    shape = _shape(shape_in, input, transform)
    if isinstance(layer_func, NeuronType):
        target = _neurons(layer_func, int(np.prod(shape)), layer_args)
    else:
        target = _node(layer_func, shape, layer_args)
    if transform is None and target.size_in != input.size_out:
        raise ValidationError(
            f"Must have as many elements as {input} has outputs, {input.size_out}, "
            f"unless there is a transform (got {shape_in})",
            attr="shape_in",
        )
    conn = nengo.Connection(input, target, synapse=synapse, transform=transform)
    return (target, conn) if return_conn else target


def _shape(shape_in: Any, input: Any, transform: Any) -> Any:
    """Return the shape of what reaches a layer."""
    if shape_in is not None:
        return (shape_in,) if is_integer(shape_in) else shape_in
    if isinstance(transform, nengo.dists.Distribution):
        raise ValidationError(
            "With a distribution as transform, shape_in is needed: it says how many "
            "elements the layer has",
            attr="shape_in",
        )
    if isinstance(transform, Transform):
        return (transform.size_out,) if transform.size_out else (input.size_out,)
    if transform is not None and np.ndim(transform) == 2:
        return (np.shape(transform)[0],)
    return (input.size_out,)


def _neurons(neuron_type: NeuronType, size: int, arguments: dict[str, Any]) -> Neurons:
    if isinstance(neuron_type, Direct):
        raise ValidationError(
            "Direct mode has no neurons; use a function", attr="layer_func"
        )
    given = {name for name in _CURVES if arguments.get(name) is not None}
    direct, curves = given & {"gain", "bias"}, given - {"gain", "bias"}
    if direct and curves:
        raise ValidationError(
            f"Has {' and '.join(sorted(direct))} as well as "
            f"{' and '.join(sorted(curves))}, which would be ignored: the one pair "
            "determines the other. Give gain and bias, or max_rates and intercepts",
            attr="layer_args",
        )
    configured = _configured_curves()
    if direct:
        configured = {k: v for k, v in configured.items() if k in ("gain", "bias")}
    if curves or configured.keys() & {"max_rates", "intercepts"}:
        # of these, Nengo takes what is missing from the configuration
        arguments = {"gain": None, "bias": None, **arguments}
    else:
        if not given and not configured:
            _warn_if_silent(neuron_type)
        arguments = {
            "gain": nengo.dists.Choice([1]),
            "bias": nengo.dists.Choice([0]),
            # of the configuration, of which Nengo would warn that they have no effect
            "max_rates": nengo.Ensemble.max_rates.default,
            "intercepts": nengo.Ensemble.intercepts.default,
            **configured,
            **arguments,
        }
    return nengo.Ensemble(size, 1, neuron_type=neuron_type, **arguments).neurons


def _configured_curves() -> dict[str, Any]:
    """Return what the nearest configuration says of the neurons' response curves.

    Gains and biases there beat rates and intercepts, as in an Ensemble of Nengo.
    """
    for config in reversed(nengo.Config.context):
        if nengo.Ensemble not in config.params:
            continue
        params = config[nengo.Ensemble]
        found = {name: getattr(params, name) for name in _CURVES if name in params}
        found = {name: value for name, value in found.items() if value is not None}
        direct = {k: v for k, v in found.items() if k in ("gain", "bias")}
        if found:
            return direct or found
    return {}


def _warn_if_silent(neuron_type: NeuronType) -> None:
    """Warn of neurons that inputs of ordinary size leave silent: LIF neurons."""
    if isinstance(neuron_type, LIFRate) and not np.any(
        neuron_type.rates(np.array([-1.0, 1.0]), gain=np.ones(1), bias=np.zeros(1))
    ):
        warn_user(
            f"The {type(neuron_type).__name__} neurons of this layer are silent unless "
            "their input is larger than 1: a layer has gains of 1 and biases of 0, and "
            "neither its arguments nor the configuration say otherwise. Pass "
            "max_rates=nengo.dists.Choice([100]), intercepts=nengo.dists.Choice([0]) "
            "to the layer, or set both once with net.config[nengo.Ensemble]; "
            "gain=nengo.dists.Choice([1]) keeps it as it is, without this warning."
        )


def _node(layer_func: Any, shape: Any, arguments: dict[str, Any]) -> TensorNode:
    own = {k: v for k, v in arguments.items() if k in _NODE_ARGUMENTS}
    others = {k: v for k, v in arguments.items() if k not in _NODE_ARGUMENTS}
    own.setdefault("pass_time", False)
    if inspect.isclass(layer_func) and issubclass(layer_func, keras.Layer):
        layer_func = layer_func(**others)
    elif inspect.isclass(layer_func) and issubclass(layer_func, NeuronType):
        raise ValidationError(
            f"Is a class; pass an instance, {layer_func.__name__}()",
            attr="layer_func",
        )
    elif others and isinstance(layer_func, keras.Layer):
        raise ValidationError(
            f"A Keras layer that exists takes no further arguments (got "
            f"{', '.join(others)})",
            attr="layer_args",
        )
    elif others:
        name = getattr(layer_func, "__name__", type(layer_func).__name__)
        layer_func = functools.partial(layer_func, **others)
        own.setdefault("label", name)
    return TensorNode(layer_func, shape_in=shape, **own)


def reshaped(shape_in: int | Sequence[int]) -> Callable[[Callable], Callable]:
    """Give a function its input in another shape, and flatten what it returns.

    Parameters
    ----------
    shape_in : int or tuple of int
        Shape of the last argument, without the axis for the items of the minibatch.

    Returns
    -------
    callable
        A decorator of functions ``f(t, x)`` or ``f(x)``.

    Raises
    ------
    ValidationError
        If it is no shape.

    Examples
    --------
    >>> @nengo_dl.reshaped((2, 3))
    ... def transpose(t, x):
    ...     return tf.transpose(x, (0, 2, 1))
    >>> transpose(0.0, tf.reshape(tf.range(6), (1, 6))).numpy()
    array([[0, 3, 1, 4, 2, 5]], dtype=int32)
    """
    shape: tuple[Any, ...] = (
        (shape_in,) if is_integer(shape_in) else tuple(cast(Sequence[int], shape_in))
    )
    if not shape or not all(is_integer(n) and n > 0 for n in shape):
        raise ValidationError(
            f"Must be a positive integer or a tuple of them (got {shape_in!r})",
            attr="shape_in",
        )

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args):
            *first, x = args
            result = function(*first, tf.reshape(x, (-1, *shape)))
            if not tf.is_tensor(result) or result.shape.rank in (None, 0):
                return result  # the node says what is wrong with it
            size = int(np.prod(result.shape[1:]))
            return tf.reshape(result, (-1, size))

        return call

    return decorate
