"""What `compile` takes as losses and metrics, as objectives of the trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import nengo
from nengo.exceptions import ValidationError

from nengo_dl import losses
from nengo_dl.training.recipe import TrainingRecipe

__all__ = ["make_recipe", "probe_named"]

#: Names whose meaning depends on the shapes of outputs and targets, with the functions
#: for one output, for as many targets as outputs, and for numbers of classes.
_BY_SHAPE = {
    ("accuracy", "acc"): (
        keras.metrics.binary_accuracy,
        keras.metrics.categorical_accuracy,
        keras.metrics.sparse_categorical_accuracy,
    ),
    ("crossentropy", "ce"): (
        keras.metrics.binary_crossentropy,
        keras.metrics.categorical_crossentropy,
        keras.metrics.sparse_categorical_crossentropy,
    ),
}


def probe_named(
    key: Any, probes: Mapping[str, nengo.Probe], attribute: str
) -> nengo.Probe:
    """Return a probe that is given by itself, its label, or its name.

    Parameters
    ----------
    key : Probe or str
        What the user wrote.
    probes : dict of {str: Probe}
        All probes by name.
    attribute : str
        The argument, for error messages.

    Raises
    ------
    ValidationError
        If there is no such probe.
    """
    for name, probe in probes.items():
        if key is probe or (isinstance(key, str) and key in (name, probe.label)):
            return probe
    raise ValidationError(
        f"{key!r} is no probe of the simulated network; it has {', '.join(probes)}",
        attr=attribute,
    )


def make_recipe(
    optimizer: Any,
    loss: Any,
    metrics: Any,
    loss_weights: Any,
    probes: Mapping[str, nengo.Probe],
) -> TrainingRecipe:
    """Return what is trained and measured, from the arguments of ``compile``.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer or str
        Optimizer.
    loss, metrics, loss_weights : object
        As for `keras.Model.compile`, by Probe, label or name.
    probes : dict of {str: Probe}
        All probes by name.
    """
    by_probe = _by_probe(loss, probes, "loss")
    weights = _by_probe(loss_weights, probes, "loss_weights")
    objective = {p: _loss(f, weights.get(p)) for p, f in by_probe.items()}
    names = {probe: name for name, probe in probes.items()}
    several = len(by_probe) > 1
    measured: dict[str, dict[nengo.Probe, Any]] = {}
    if several:
        for probe, function in by_probe.items():
            measured[f"{names[probe]}_loss"] = {probe: _loss(function, None)}
    for probe, functions in _by_probe(metrics, probes, "metrics").items():
        if not isinstance(functions, (list, tuple)):
            functions = [functions]
        for function in functions:
            name = _name(function)
            name = f"{names[probe]}_{name}" if len(probes) > 1 else name
            measured[name] = {probe: _metric(function)}
    return TrainingRecipe(optimizer, objective, measured)


def _by_probe(
    given: Any, probes: Mapping[str, nengo.Probe], attribute: str
) -> dict[nengo.Probe, Any]:
    """Return what is given for each probe."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {
            probe_named(key, probes, attribute): value for key, value in given.items()
        }
    if isinstance(given, (list, tuple)) and not (
        attribute == "metrics" and (len(probes) == 1 or not _nested(given))
    ):
        if len(given) != len(probes):
            raise ValidationError(
                f"A list must have an entry for each of the {len(probes)} probes, "
                f"{', '.join(probes)} (got {len(given)})",
                attr=attribute,
            )
        return dict(zip(probes.values(), given, strict=True))
    return dict.fromkeys(probes.values(), given)


def _nested(given: Sequence[Any]) -> bool:
    return any(isinstance(part, (list, tuple)) for part in given)


def _loss(function: Any, weight: float | None) -> Any:
    """Return a loss as an objective, whose arguments are in the other order."""
    if isinstance(function, losses.Regularize):
        found = function.objective
        if weight is None:
            return found
        factor = 1.0 if found.weight is None else found.weight
        return dataclasses.replace(found, weight=factor * weight)
    if weight is None and function is losses.nan_mse:
        return function
    if weight is None and (isinstance(function, str) or not _is_own(function)):
        return function
    found = keras.losses.get(function) if isinstance(function, str) else function
    factor = 1.0 if weight is None else float(weight)
    return lambda output, target: factor * _mean(found(target, output))


def _mean(values: Any) -> Any:
    return keras.ops.mean(values)


def _is_own(function: Any) -> bool:
    """Whether a function is the user's, ``f(y_true, y_pred)``."""
    module = getattr(function, "__module__", "") or ""
    is_keras = isinstance(function, keras.losses.Loss | keras.metrics.Metric)
    return callable(function) and not is_keras and module.partition(".")[0] != "keras"


def _metric(function: Any) -> Any:
    for names, functions in _BY_SHAPE.items():
        if isinstance(function, str) and function in names:
            return _by_shape(*functions)
    if _is_own(function):
        return lambda output, target: function(target, output)
    return function


def _by_shape(one: Callable, many: Callable, classes: Callable) -> Callable:
    """Return the metric that Keras chooses by the shapes of outputs and targets."""

    def metric(output, target):
        if output.shape[-1] == 1:
            return one(target, output)
        if len(target.shape) == len(output.shape) and (
            target.shape[-1] == output.shape[-1]
        ):
            return many(target, output)
        return classes(target, output)

    return metric


def _name(function: Any) -> str:
    if isinstance(function, str):
        return function
    name = getattr(function, "name", None) or getattr(function, "__name__", None)
    return name or type(function).__name__
