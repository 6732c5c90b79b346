"""Losses of a minibatch and their gradients, as a part of what is traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nengo

from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.computation import Computation
from nengo_dl.training.terms import check_dependence
from nengo_dl.training.trained_parameters import TrainedParameters

__all__ = ["differentiate"]


def differentiate(
    computation: Computation,
    forward: Callable[..., Any],
    state: Any,
    pieces: Any,
    compared: Any,
    variables: Sequence[tf.Variable],
    add: Callable[[Sequence[tf.Tensor]], tf.Tensor],
) -> tuple[Any, list[tf.Tensor], dict[str, Any], list[tf.Tensor], Mapping[int, Any]]:
    """Return state, losses, what is measured, gradients, and which variables are seen.

    Parameters
    ----------
    computation : Computation
        With an update.
    forward : callable
        See `TrainingFunctions._make_forward`.
    state, pieces, compared
        What it takes.
    variables : sequence of tf.Variable
        The parameters.
    add : callable
        Returns the sum of losses, of which gradients are taken.
    """
    update = computation.update
    assert update is not None, "others have no gradient"
    with tf.GradientTape() as tape:
        tape.watch(variables)
        shown: dict[nengo.Probe, tf.Tensor] = {}
        state, losses, measured, _ = forward(state, pieces, compared, tape.watch, shown)
        scaled = update.scale_loss(add(losses))
    gradients, for_shown, seen = _gradients(
        tape, scaled, variables, update.parameters, shown
    )
    check_dependence(computation.terms, for_shown)
    return state, losses, measured, gradients, seen


def _gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[tf.Variable],
    parameters: TrainedParameters,
    shown: Mapping[nengo.Probe, tf.Tensor],
) -> tuple[list[tf.Tensor], dict[nengo.Probe, Any], Mapping[int, Any]]:
    """Return gradients of parameters and of what probes show.

    Objectives may use the variables of parameters themselves. Their gradients are
    added; the third result is which these are.
    """
    seen = parameters.accessed(tape.watched_variables())
    by_name = [variable.value for variable in seen.values()]
    found = tape.gradient(loss, [*variables, *by_name, *shown.values()])
    count = len(variables) + len(by_name)
    gradients = parameters.added(
        [
            tf.zeros_like(variable)
            if gradient is None
            else tf.convert_to_tensor(gradient)
            for variable, gradient in zip([*variables, *by_name], found)
        ],
        seen,
    )
    return gradients, dict(zip(shown, found[count:], strict=True)), seen
