"""What is recorded during training, for TensorBoard."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.builder import Model
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

from nengo_dl.compiler.labels import ObjectNames, readable
from nengo_dl.compiler.parameters import find_parameters
from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.tensorboard.board import Board
from nengo_dl.training.terms import Term

__all__ = ["TrainingSummaries", "find_summaries"]

#: Which parameter is recorded of which object; of Nodes, only TensorNodes have weights.
_ATTRIBUTES: dict[type, str] = {
    nengo.Node: "weights",
    nengo.Connection: "weights",
    nengo.Ensemble: "encoders",
    Neurons: "bias",
}

_KNOWN = (
    "Connections and TensorNodes (weights), Ensembles (encoders), Neurons (biases), "
    "'loss', variables, and functions without arguments that write tf.summary entries"
)

Lookup = Callable[..., Sequence[Any]]


class TrainingSummaries:
    """Records losses and parameters while a network is trained.

    Parameters
    ----------
    board : Board
        Writes them.
    has_loss : bool
        Whether losses and metrics are recorded.
    parameters : mapping of {str: tuple}
        Which histograms to record: arguments of the lookup, by name.
    functions : sequence of callable
        Functions that write entries of their own.
    lookup : callable
        Returns the current values of parameters, given as tuples of an object and the
        name of its parameter.
    """

    def __init__(
        self,
        board: Board,
        has_loss: bool,
        parameters: Mapping[str, tuple[Any, str]],
        functions: Sequence[Callable[[], Any]],
        lookup: Lookup,
    ):
        self.board = board
        self.has_loss = has_loss
        self.parameters = dict(parameters)
        self.functions = list(functions)
        self.lookup = lookup

    def after_update(
        self, step: int, terms: Sequence[Term], losses: np.ndarray
    ) -> None:
        """Record an update of the parameters.

        Parameters
        ----------
        step : int
            Number of updates so far.
        terms : sequence of Term
            Summands of the loss.
        losses : (n_terms,) ndarray
            Their values for this minibatch, before the update.
        """
        if self.has_loss:
            self.board.scalar("loss", float(losses.sum()), step)
            if len(terms) > 1:
                names = [
                    "_and_".join(
                        readable(p.label, f"probe{n}")
                        for n, p in enumerate(term.probes)
                    )
                    for term in terms
                ]
                for tag, loss in zip(_distinct(names), losses, strict=True):
                    self.board.scalar(f"loss/{tag}", float(loss), step)
        self.record_parameters(step)

    def record_parameters(self, step: int) -> None:
        """Record histograms of parameters, and what functions write."""
        if self.parameters:
            values = self.lookup(*self.parameters.values())
            for tag, value in zip(self.parameters, values, strict=True):
                self._histograms(tag, value, step)
        for function in self.functions:
            self.board.call(function, step)

    def _histograms(self, tag: str, value: Any, step: int) -> None:
        if isinstance(value, Mapping):  # the weights of a TensorNode
            for name, array in value.items():
                parts = [readable(part, "weight") for part in name.split("/")]
                self._histograms("/".join([tag, *parts]), array, step)
            return
        # of sparse weights, what is stored
        dense = value if isinstance(value, np.ndarray) else value.data
        self.board.histogram(tag, dense, step)

    def after_epoch(self, step: int, values: Mapping[str, float]) -> None:
        """Record means of an epoch: loss, metrics, and those of validation data."""
        if self.has_loss:
            for name, value in values.items():
                self.board.scalar(f"epoch/{readable(name, 'metric')}", value, step)
        self.board.flush()


def find_summaries(
    summaries: Any, board: Board | None, model: Model, lookup: Lookup
) -> TrainingSummaries | None:
    """Return what to record during training, None for nothing.

    Parameters
    ----------
    summaries : list or None
        What the user passed.
    board : Board or None
        Writes them; without one there is a warning.
    model : Model
        The built model.
    lookup : callable
        See `TrainingSummaries`.

    Raises
    ------
    ValidationError
        If something cannot be recorded.
    """
    if summaries is None:
        return None
    if (
        isinstance(summaries, (str, NengoObject, Neurons, tf.Variable))
        or tf.is_tensor(summaries)
        or callable(summaries)
        or not isinstance(summaries, Iterable)
    ):
        summaries = [summaries]
    parameters = find_parameters(model, lambda base: False)
    having = {(p.obj, p.attribute) for p in parameters if not p.internal}
    having |= _with_weights(model)
    names = ObjectNames(model, parameters)
    has_loss, wanted, functions = False, [], []
    for summary in _without_repetitions(summaries):
        kind = next((k for k in _ATTRIBUTES if isinstance(summary, k)), None)
        if isinstance(summary, str) and summary == "loss":
            has_loss = True
        elif kind is not None:
            pair = (summary, _ATTRIBUTES[kind])
            if pair not in having:
                raise ValidationError(
                    f"{summary} has no {pair[1]}, or is not part of the simulated "
                    "network",
                    attr="summaries",
                )
            wanted.append(pair)
        else:
            functions.append(_writer(summary))
    if not (has_loss or wanted or functions):
        return None
    if board is None:
        warn_user(
            "The summaries are not recorded, because the simulator has no folder to "
            "write them to; make it with Simulator(..., tensorboard='folder')",
        )
        return None
    tags = _distinct(
        "/".join([attribute, *names.path_of(obj)]) for obj, attribute in wanted
    )
    return TrainingSummaries(
        board, has_loss, dict(zip(tags, wanted, strict=True)), functions, lookup
    )


def _with_weights(model: Model) -> set[tuple[Any, str]]:
    """Return the TensorNodes that have weights, as pairs of object and attribute."""
    return {
        (obj, "weights")
        for obj, record in model.params.items()
        if isinstance(record, BuiltTensorNode) and record.weights
    }


def _writer(summary: Any) -> Callable[[], Any]:
    """Return a function that writes a summary which is no object of the network."""
    if isinstance(summary, tf.Variable | keras.Variable):
        return partial(_record_variable, summary)
    if tf.is_tensor(summary) or isinstance(summary, keras.KerasTensor):
        raise ValidationError(
            "A tensor of TensorFlow 2 never changes its value: pass a variable, "
            "which is recorded after each update, or a function without arguments "
            "that computes something and calls tf.summary.scalar or histogram",
            attr="summaries",
        )
    if callable(summary) and _takes_nothing(summary):
        return summary
    raise ValidationError(
        f"Cannot record {summary!r}; what can be recorded is {_KNOWN}", attr="summaries"
    )


def _without_repetitions(summaries: Iterable[Any]) -> list[Any]:
    """Return each summary once; variables and tensors have no equality."""
    found: dict[Any, Any] = {}
    for summary in summaries:
        try:
            found.setdefault(summary, summary)
        except TypeError:
            found.setdefault(id(summary), summary)
    return list(found.values())


def _record_variable(variable: tf.Variable | keras.Variable) -> None:
    """Write the value of a variable: a number, or a histogram of several."""
    value = tf.convert_to_tensor(variable)
    write = tf.summary.histogram if value.shape.rank else tf.summary.scalar
    write(readable(variable.name.removesuffix(":0"), "variable"), value)


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # of a builtin, unknown
        pass
    return True


def _distinct(names: Iterable[str]) -> list[str]:
    """Append numbers to names that appear again."""
    found: list[str] = []
    for name in names:
        number, candidate = 0, name
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return found
