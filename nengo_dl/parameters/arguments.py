"""Current parameters as arguments for new Nengo objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder.connection import BuiltConnection
from nengo.builder.ensemble import BuiltEnsemble
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.neurons import Direct
from nengo.solvers import NoSolver
from nengo.transforms import (
    Convolution,
    ConvolutionTranspose,
    Dense,
    NoTransform,
    Sparse,
    SparseMatrix,
    Transform,
)

from nengo_dl.parameters.values import ParameterValues

__all__ = [
    "ONE_OBJECT",
    "FixedWeights",
    "ZeroFunction",
    "by_label",
    "check_item",
    "connection_arguments",
    "nengo_arguments",
]

#: Types of which an instance is one object, even where it can be iterated over.
ONE_OBJECT = nengo.base.NengoObject | nengo.Network | Neurons | str


class FixedWeights(NoSolver):
    """A solver that returns weights from neurons to neurons, as they are.

    Nengo's `NoSolver` with ``weights=True`` multiplies by encoders; this one does not.

    Parameters
    ----------
    values : (n_neurons, n_post_neurons) array_like, optional
        Weights, one row for each neuron that sends. None: zeros.
    weights : bool
        Always True.
    """

    compositional = False

    def __init__(self, values: np.ndarray | None = None, weights: bool = True):
        super().__init__(values=values, weights=weights)


class ZeroFunction:
    """A function whose result is never used, but has the size that a decoder needs.

    Parameters
    ----------
    size_out : int
        Length of the result.
    """

    def __init__(self, size_out: int):
        self.size_out = size_out

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return zeros."""
        return np.zeros(self.size_out)


def check_item(item: Any, minibatch_size: int) -> int:
    """Return which item of a minibatch was chosen.

    Raises
    ------
    ValidationError
        If there is no such item.
    """
    if (
        not isinstance(item, int | np.integer)
        or isinstance(item, bool)
        or not 0 <= item < minibatch_size
    ):
        raise ValidationError(
            f"Must be an item of the minibatch, 0 to {minibatch_size - 1}; got "
            f"{item!r}",
            attr="item",
        )
    return int(item)


def nengo_arguments(
    values: ParameterValues, objs: Sequence[Any], item: int = 0
) -> list[dict[str, Any]]:
    """Return arguments that give new objects the current parameters of others.

    Parameters
    ----------
    values : ParameterValues
        Current parameters.
    objs : sequence of Ensemble or Neurons or Connection
        Objects of the simulated network.
    item : int
        Which item of a minibatch to take learned values from.

    Returns
    -------
    list of dict
        For ensembles (and their neurons): ``encoders``, ``gain``, ``bias``, and
        ``normalize_encoders=False``. For connections that decode: ``solver``, with the
        product of decoders and transform, and ``transform=None``; if input and output
        differ in size also a ``function`` that says so. For other connections:
        ``transform``, and ``function`` if there is one.

    Raises
    ------
    ValidationError
        If an object has no parameters, or is not part of the network.
    """
    item = check_item(item, values.minibatch_size)
    for obj in objs:
        _check_object(values, obj)
    return [
        _ensemble_arguments(obj, built, item)
        if isinstance(built, BuiltEnsemble)
        else connection_arguments(obj, built, item)
        for obj, built in zip(objs, values.built(objs), strict=True)
    ]


def by_label(objs: Sequence[Any], arguments: Sequence[Any]) -> dict[str, Any]:
    """Return arguments as a dict with the labels of their objects as keys.

    Raises
    ------
    ValidationError
        If labels are missing or not unique.
    """
    labels = [(o.ensemble if isinstance(o, Neurons) else o).label for o in objs]
    for number, label in enumerate(labels):
        if label is None or label in labels[:number]:
            raise ValidationError(
                f"Labels must be given and unique for as_dict=True; {objs[number]} has "
                f"the label {label!r}{'' if label is None else ' again'}",
                attr="nengo_objs",
            )
    return dict(zip(labels, arguments, strict=True))


def _check_object(values: ParameterValues, obj: Any) -> None:
    if not isinstance(obj, nengo.Ensemble | nengo.Connection | Neurons):
        raise ValidationError(
            "Only Ensembles, Neurons and Connections have parameters; got "
            f"{type(obj).__name__} {obj}",
            attr="nengo_objs",
        )
    owner = obj.ensemble if isinstance(obj, Neurons) else obj
    if owner not in values.model.params:
        raise ValidationError(
            f"{obj} is not part of the simulated network", attr="nengo_objs"
        )
    if isinstance(owner, nengo.Ensemble) and isinstance(owner.neuron_type, Direct):
        raise ValidationError(
            f"{obj} is in Direct mode, so it has no encoders, gains or biases",
            attr="nengo_objs",
        )


def _ensemble_arguments(
    obj: nengo.Ensemble | Neurons, built: BuiltEnsemble, item: int
) -> dict[str, Any]:
    encoders, scaled = built.encoders, built.scaled_encoders
    if encoders.ndim == 3:
        encoders, scaled = encoders[item], scaled[item]
    silent = (built.gain == 0)[:, None]
    if (silent & (scaled != 0)).any():
        number = int(np.argmax((silent & (scaled != 0)).any(axis=1)))
        raise ValidationError(
            f"Neuron {number} of {obj} has gain 0 and encoders other than 0, which no "
            "arguments of nengo.Ensemble can express",
            attr="nengo_objs",
        )
    if np.any(silent & ~np.isfinite(encoders)):
        encoders = np.where(silent, 0, encoders)
    return {
        "encoders": np.array(encoders),
        "gain": np.array(built.gain),
        "bias": np.array(built.bias),
        "normalize_encoders": False,
    }


def connection_arguments(
    conn: nengo.Connection, built: BuiltConnection, item: int = 0
) -> dict[str, Any]:
    """Return the arguments that give a new connection these weights.

    Parameters
    ----------
    conn : nengo.Connection
        The connection, or the one that Nengo made for a probe.
    built : BuiltConnection
        Its weights.
    item : int
        Which item of a minibatch to take learned weights from.
    """
    pre = conn.pre_obj
    weights = built.weights
    if isinstance(pre, nengo.Ensemble) and not isinstance(pre.neuron_type, Direct):
        weights = np.array(weights[item] if weights.ndim == 3 else weights).T
        to_neurons = conn.solver.weights and isinstance(conn.post_obj, nengo.Ensemble)
        arguments = {
            "solver": FixedWeights(weights) if to_neurons else NoSolver(weights),
            "transform": None,
        }
        if conn.size_in != conn.size_out:
            arguments["function"] = ZeroFunction(conn.size_out)
        return arguments
    arguments = {"transform": _transform(conn, weights, item)}
    if conn.function is not None:
        arguments["function"] = conn.function
    return arguments


def _transform(conn: nengo.Connection, weights: Any, item: int) -> Transform | None:
    transform = conn.transform
    if isinstance(transform, NoTransform):
        return None
    if isinstance(transform, Dense):
        n_axes = 2 if len(transform.init_shape) == 2 else len(transform.init_shape)
        weights = weights[item] if weights.ndim > n_axes else weights
        return Dense(transform.shape, init=np.array(weights))
    if isinstance(transform, Sparse):
        if isinstance(weights, SparseMatrix):
            return Sparse(
                transform.shape, indices=weights.indices, init=np.array(weights.data)
            )
        return Sparse(transform.shape, init=weights.copy())
    if isinstance(transform, Convolution | ConvolutionTranspose):
        arguments = {
            "n_filters": transform.n_filters,
            "input_shape": transform.input_shape,
            "kernel_size": transform.kernel_size,
            "strides": transform.strides,
            "padding": transform.padding,
            "channels_last": transform.channels_last,
            "init": np.array(weights),
        }
        if isinstance(transform, ConvolutionTranspose):
            arguments["output_shape"] = transform.output_shape
        else:
            arguments["groups"] = transform.groups
        return type(transform)(**arguments)
    raise ValidationError(
        f"Cannot express the weights of {conn}: its transform is a "
        f"{type(transform).__name__}, and only Dense, Sparse, Convolution and "
        "ConvolutionTranspose are known",
        attr="nengo_objs",
    )
