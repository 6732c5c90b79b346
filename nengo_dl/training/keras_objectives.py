"""What `compile` takes as losses and metrics, as objectives of the trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nengo
from nengo.exceptions import ValidationError

from nengo_dl import losses
from nengo_dl.objectives import Regularize
from nengo_dl.support.lazy_imports import keras
from nengo_dl.training.keras_names import keras_named
from nengo_dl.training.recipe import TrainingRecipe
from nengo_dl.training.weighting import ScaledLoss, Weighted

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
    weighted_metrics: Any = None,
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
    weighted_metrics : object
        As ``metrics``; weights of items count.
    """
    by_probe = _by_probe(loss, probes, "loss")
    by_probe = {p: function for p, function in by_probe.items() if function is not None}
    weights = _by_probe(loss_weights, probes, "loss_weights")
    objective = {p: _loss(f, weights.get(p)) for p, f in by_probe.items()}
    names = {probe: name for name, probe in probes.items()}
    several = len(by_probe) > 1
    measured: dict[str, dict[nengo.Probe, Any]] = {}
    if several:
        for probe, function in by_probe.items():
            own = _loss(function, None)
            if not isinstance(own, Regularize):  # which sees no targets
                own = Weighted(own)
            measured[f"{names[probe]}_loss"] = {probe: own}
    for attribute, given in (
        ("metrics", metrics),
        ("weighted_metrics", weighted_metrics),
    ):
        for probe, function in _each(_by_probe(given, probes, attribute)):
            weighs = attribute == "weighted_metrics"
            prefix = f"{names[probe]}_" if len(probes) > 1 else ""
            name = _free_name(prefix, _name(function), weighs, measured)
            metric = _metric(function)
            metric = Weighted(_counted(metric, name)) if weighs else metric
            measured[name] = {probe: metric}
    needed = set()
    if _is_by_probe(loss, probes, "loss"):
        needed = {p for p, f in objective.items() if not isinstance(f, Regularize)}
    for attribute, given in (
        ("metrics", metrics),
        ("weighted_metrics", weighted_metrics),
    ):
        if _is_by_probe(given, probes, attribute):
            needed |= {probe for probe, _ in _each(_by_probe(given, probes, attribute))}
    return TrainingRecipe(optimizer, objective, measured, needed=frozenset(needed))


def _free_name(prefix: str, name: str, weighs: bool, taken: Collection[str]) -> str:
    """Return the name of a metric, where others have the same, as Keras does."""
    first = f"{prefix}{name}"
    if weighs and first in taken:
        first = f"{prefix}weighted_{name}"
    found, number = first, 0
    while found in taken:
        number += 1
        found = f"{first}_{number}"
    return found


def _each(given: Mapping[nengo.Probe, Any]) -> Iterator[tuple[nengo.Probe, Any]]:
    """Yield each metric with its probe."""
    for probe, functions in given.items():
        if not isinstance(functions, (list, tuple)):
            functions = [functions]
        for function in functions:
            yield probe, function


def _counted(function: Any, name: str) -> keras.metrics.Metric:
    """Return a metric that divides by the sum of weights, over all minibatches."""
    if isinstance(function, str):
        function = keras.metrics.get(function)
    if isinstance(function, keras.metrics.Metric):
        return function
    if isinstance(function, _InOurOrder):
        function = function.function
    return keras.metrics.MeanMetricWrapper(function, name=name)


@dataclass(frozen=True)
class _InOurOrder:
    """A function ``f(target, output)`` as ``f(output, target)``."""

    function: Callable[[Any, Any], Any]

    def __call__(self, output: Any, target: Any) -> Any:
        return self.function(target, output)


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
    if _is_by_probe(given, probes, attribute):
        if len(given) != len(probes):
            raise ValidationError(
                f"A list must have an entry for each of the {len(probes)} probes, "
                f"{', '.join(probes)} (got {len(given)})",
                attr=attribute,
            )
        return dict(zip(probes.values(), given, strict=True))
    return dict.fromkeys(probes.values(), given)


def _is_by_probe(given: Any, probes: Collection[Any], attribute: str) -> bool:
    """Whether something is given for each probe, and not once for all of them."""
    if isinstance(given, (list, tuple)):
        is_list_of_one = attribute.endswith("metrics") and (
            len(probes) == 1 or not _nested(given)
        )
        return not is_list_of_one
    return isinstance(given, Mapping)


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
    found = _named(function, "loss") if isinstance(function, str) else function
    if weight is None and (isinstance(function, str) or not _is_own(function)):
        return function
    factor = 1.0 if weight is None else float(weight)
    return ScaledLoss(found, factor, masks=not _is_own(found))


def _is_own(function: Any) -> bool:
    """Whether a function is the user's, ``f(y_true, y_pred)``."""
    module = getattr(function, "__module__", "") or ""
    is_keras = isinstance(function, keras.losses.Loss | keras.metrics.Metric)
    return callable(function) and not is_keras and module.partition(".")[0] != "keras"


def _metric(function: Any) -> Any:
    for names, functions in _BY_SHAPE.items():
        if isinstance(function, str) and function in names:
            return _InOurOrder(_by_shape(*functions))
    if _is_own(function):
        return _InOurOrder(function)
    if isinstance(function, str):
        _named(function, "metrics")
    return function


def _named(name: str, attribute: str) -> Any:
    """Return a loss or metric of Keras, or raise now, not when training begins."""
    return keras_named(name, attribute, "a function f(y_true, y_pred)")


def _by_shape(one: Callable, many: Callable, classes: Callable) -> Callable:
    """Return the metric that Keras chooses by the shapes of outputs and targets."""

    def metric(target, output):
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
