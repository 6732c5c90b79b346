"""What users may pass as objectives and metrics, in one form."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nengo
from nengo.exceptions import SimulationError, ValidationError

from nengo_dl import losses
from nengo_dl.objectives import Regularize, mse
from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.keras_names import keras_named
from nengo_dl.training.masking import masked_function, masked_keras, weighted_values
from nengo_dl.training.running_metrics import RunningMetric
from nengo_dl.training.weighting import ScaledLoss, Weighted

__all__ = ["Term", "check_dependence", "find_terms", "first_line"]


@dataclass(frozen=True)
class Term:
    """One summand of a loss.

    Attributes
    ----------
    probes : tuple of Probe
        Whose outputs it takes.
    function : callable
        ``f(outputs, targets)``, tensors, or tuples of them for several probes.
    name : str
        For messages.
    needs_size : bool
        Whether targets must have the shape of the outputs.
    key : object
        What the user passed; equal terms have equal keys.
    masks : bool
        Whether targets may be NaN.
    weighs : bool
        Whether weights of items count.
    weighted : callable or None
        ``f(output, target, weight)``. None: what the function returns is multiplied.
    running : RunningMetric or None
        Counts over minibatches, in the place of the function.
    sums : bool
        Whether the value is a sum over items, not a mean.
    """

    probes: tuple[nengo.Probe, ...]
    function: Callable[..., Any]
    name: str
    needs_size: bool = False
    key: Any = None
    masks: bool = False
    weighs: bool = False
    weighted: Callable[..., Any] | None = None
    running: RunningMetric | None = None
    sums: bool = False

    def __call__(
        self,
        outputs: Sequence[tf.Tensor],
        targets: Sequence[tf.Tensor | None],
        weights: Sequence[tf.Tensor | None] = (),
    ) -> tf.Tensor:
        """Return the value as a number; larger results are averaged.

        Parameters
        ----------
        outputs : sequence of tf.Tensor, shapes (n_items, n_steps, size)
            What the probes show.
        targets : sequence of tf.Tensor or None
            Targets.
        weights : sequence of tf.Tensor or None
            Weights of the items, for each probe.

        Raises
        ------
        SimulationError
            If the function fails, or does not return numbers.
        """
        return self._number(
            outputs, targets, lambda: self._value(outputs, targets, weights)
        )

    def update(
        self,
        variables: Sequence[tf.Tensor],
        outputs: Sequence[tf.Tensor],
        targets: Sequence[tf.Tensor | None],
        weights: Sequence[tf.Tensor | None],
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the variables of a running metric, and its value, as `__call__`."""
        found: list[tf.Tensor] = []
        running = self.running
        assert running is not None, "others are called"

        def value() -> Any:
            weight = weights[0] if self.weighs else None
            now, value = running.update(variables, outputs[0], targets[0], weight)
            found.extend(now)
            return value

        number = self._number(outputs, targets, value)
        return found, number

    def _value(self, outputs, targets, weights) -> Any:
        if len(self.probes) > 1:
            return self.function(tuple(outputs), tuple(targets))
        weight = weights[0] if weights and self.weighs else None
        if weight is None:
            return self.function(outputs[0], targets[0])
        if self.weighted is not None:
            return self.weighted(outputs[0], targets[0], weight)
        return weighted_values(self.function(outputs[0], targets[0]), weight)

    def _number(self, outputs, targets, compute: Callable[[], Any]) -> tf.Tensor:
        shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
        try:
            value = compute()
        except Exception as error:
            given = ", ".join(
                "none" if target is None else str(tuple(target.shape))
                for target in targets
            )
            raise SimulationError(
                f"The objective {self.name} failed for outputs of shape {shapes} and "
                f"targets of shape {given}: {first_line(error)}"
            ) from error
        try:
            value = tf.convert_to_tensor(value)
            if not (
                value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool
            ):
                raise TypeError(f"{value.dtype.name} is not a numeric type")
            value = tf.cast(value, outputs[0].dtype)
        except (TypeError, ValueError) as error:
            raise SimulationError(
                f"The objective {self.name} must return a number as a tensor "
                f"(got {value!r} of type {type(value).__name__})"
            ) from error
        return tf.reduce_mean(value)


def check_dependence(
    terms: Sequence[Term], gradients: Mapping[nengo.Probe, Any]
) -> None:
    """Raise if the loss does not depend on any output, warn of terms that do not.

    Parameters
    ----------
    terms : sequence of Term
        The summands.
    gradients : mapping of {Probe: tf.Tensor or None}
        With respect to what the probes show; None where there is no path.

    Raises
    ------
    SimulationError
        If nothing can be learned.
    """
    constant = [
        term for term in terms if all(gradients.get(p) is None for p in term.probes)
    ]
    if not constant:
        return
    names = ", ".join(f"{t.name} of {t.probes[0]}" for t in constant)
    message = (
        f"The objective {names} has no gradient: its value does not depend on the "
        "output, or is computed outside of TensorFlow (numpy(), tf.argmax, a "
        "comparison, tf.stop_gradient)"
    )
    if len(constant) == len(terms):
        raise SimulationError(message)
    warn_user(message)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def find_terms(
    objective: Any,
    targets: Sequence[nengo.Probe],
    probes: Mapping[nengo.Probe, tuple[int, ...]],
    attribute: str = "objective",
) -> list[Term]:
    """Return the summands of a loss.

    Parameters
    ----------
    objective : str or callable or None or dict
        As passed to ``Simulator.train``.
    targets : sequence of Probe
        Probes with targets.
    probes : dict of {Probe: tuple of int}
        All probes of the network, with the shapes of what they show in one step.
    attribute : str
        The argument, for error messages.

    Returns
    -------
    list of Term
        At least one.

    Raises
    ------
    ValidationError
        If an objective is unknown, or belongs to something that is no probe.
    """
    if not isinstance(objective, Mapping):
        if isinstance(objective, Regularize) and not targets and len(probes) == 1:
            targets = list(probes)
        objective = {probe: objective for probe in targets}
    terms = []
    for key, value in objective.items():
        members = key if isinstance(key, tuple) else (key,)
        for probe in members:
            if probe not in probes:
                raise ValidationError(
                    f"{probe} is not a probe of the simulated network", attr=attribute
                )
        if isinstance(value, losses.Regularize):
            value = value.objective
        elif value is losses.nan_mse:
            value = mse
        if isinstance(value, Regularize):
            terms.append(_size_term(members, value, probes, attribute))
        else:
            terms.append(_term(members, value, attribute))
    covered = {probe for term in terms for probe in term.probes}
    for probe in targets:
        if probe not in covered:
            raise ValidationError(
                f"There is a target for {probe}, but no objective", attr=attribute
            )
    for term in terms:
        if term.needs_size and not set(term.probes) <= set(targets):
            raise ValidationError(
                f"The objective {term.name} of {term.probes[0]} needs a target",
                attr=attribute,
            )
    if not terms:
        raise ValidationError(
            "There is nothing to minimize: give a target or an objective for at least "
            "one probe",
            attr=attribute,
        )
    return terms


def _term(probes, objective, attribute) -> Term:
    """Return the term of an objective; weights of items count in all losses."""
    if isinstance(objective, Weighted):
        term = _unweighted_term(probes, objective.function, attribute)
        # so that those of two simulators are known to be equal
        named = isinstance(term.key, str)
        key = f"weighted {term.key}" if named else (Weighted, term.key)
        return dataclasses.replace(term, weighs=True, key=key)
    term = _unweighted_term(probes, objective, attribute)
    return dataclasses.replace(term, weighs=attribute != "metrics")


def _unweighted_term(probes, objective, attribute) -> Term:
    if objective is None:
        if len(probes) > 1:
            raise ValidationError(
                "Output gradients (objective None) are given for each probe on its own",
                attr=attribute,
            )
        return Term(probes, _given_gradient, "None", True, "None", True, sums=True)
    if objective == "mse" or objective is mse:
        if len(probes) > 1:
            raise ValidationError(
                "'mse' is an objective of one probe, not of a tuple of probes",
                attr=attribute,
            )
        weighted = masked_keras(keras.losses.mean_squared_error)
        return Term(probes, mse, "'mse'", True, "mse", True, weighted=weighted)
    if isinstance(objective, str):
        return _named_term(probes, objective, attribute)
    if not callable(objective):
        raise ValidationError(
            "Must be a name, a function f(output, target), a Keras loss, None, or a "
            f"dict of these by probe (got {objective!r})",
            attr=attribute,
        )
    name = getattr(objective, "__name__", type(objective).__name__)
    module = getattr(objective, "__module__", "") or ""
    if isinstance(objective, keras.metrics.Metric):
        if attribute != "metrics":
            raise ValidationError(
                f"The Keras metric {objective.name!r} has no useful gradient; pass it "
                "as one of the metrics, and a loss as objective",
                attr=attribute,
            )
        return _metric_term(probes, objective, name, objective)
    if isinstance(objective, ScaledLoss):
        name = getattr(objective.loss, "__name__", type(objective.loss).__name__)
        return dataclasses.replace(
            _keras_term(probes, objective, name, objective), masks=objective.masks
        )
    if isinstance(objective, keras.losses.Loss) or (
        inspect.isfunction(objective) and module.partition(".")[0] == "keras"
    ):
        return _keras_term(probes, masked_keras(objective), name, objective)
    masked = masked_function(objective)
    if masked is not None:
        return _keras_term(probes, masked, name, objective)
    return Term(probes, objective, name, key=objective)


def _named_term(probes, name, attribute) -> Term:
    """Return a term for a loss or metric of Keras by its name."""
    found = keras_named(name, attribute)
    if isinstance(found, keras.metrics.Metric):
        return _metric_term(probes, found, repr(name), name)
    return _keras_term(probes, masked_keras(found), repr(name), name)


def _keras_term(probes, function, name, key) -> Term:
    """Return a term of ``f(output, target, weight=None)``, which may see NaN."""
    return Term(probes, function, name, key=key, masks=True, weighted=function)


def _metric_term(probes, metric, name, key) -> Term:
    running = RunningMetric(metric)
    return Term(probes, running.update, name, key=key, masks=True, running=running)


def _size_term(members, objective, probes, attribute) -> Term:
    """Return a term that shows a probe's values in their own shape."""
    if len(members) > 1:
        raise ValidationError(
            "Regularize is an objective of one probe, not of a tuple of probes",
            attr=attribute,
        )
    shape = probes[members[0]]
    objective.check_shape(shape)

    def size(output: tf.Tensor, target: Any) -> tf.Tensor:
        return objective(tf.reshape(output, (*output.shape[:2], *shape)))

    return Term(members, size, "Regularize", key=objective)


def _given_gradient(output: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return a number whose gradient with respect to the output is the target."""
    target = tf.cast(target, output.dtype)
    target = tf.where(tf.math.is_nan(target), tf.zeros_like(target), target)
    return tf.reduce_sum(output * target)
