"""When training functions of two simulators are equal, without tracing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo

from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.terms import Term
from nengo_dl.training.updates import Update

__all__ = ["facts_of_terms", "facts_of_update", "shapes_of", "variables_of_update"]


def facts_of_terms(
    terms: Sequence[Term], metrics: Mapping[str, Term], probes: Sequence[nengo.Probe]
) -> tuple[object, ...] | None:
    """Return what losses and metrics compute, without the objects of one network.

    Parameters
    ----------
    terms : sequence of Term
        Losses.
    metrics : mapping of {str: Term}
        What is measured besides.
    probes : sequence of Probe
        In the order of the outputs of a step.

    Returns
    -------
    tuple or None
        None if one of them is not known by a name: functions of users, and objects.
    """
    if not all(isinstance(t.key, str) for t in (*terms, *metrics.values())):
        return None
    numbers = {probe: number for number, probe in enumerate(probes)}

    def fact(term: Term) -> tuple[object, ...]:
        return tuple(numbers[probe] for probe in term.probes), term.key

    named = tuple((name, *fact(term)) for name, term in metrics.items())
    return tuple(map(fact, terms)), named


def facts_of_update(update: Update | None) -> tuple[object, ...] | None:
    """Return what an update computes, or None if that is not known.

    Parameters
    ----------
    update : Update or None
        Of parameters.
    """
    if update is None:
        return ()
    key, by_parameter = update.key
    # options of other classes, and variables that are named by their identity
    if not isinstance(key, tuple) or any(ids for ids, _ in key[1:]):
        return None
    pieces = [
        (p.name, p.shape, p.block, p.start, p.end) for p in update.parameters.pieces
    ]
    return key, by_parameter, pieces


def variables_of_update(update: Update | None) -> list[tf.Variable]:
    """Return the variables of an optimizer, and what it is shown of parameters."""
    if update is None:
        return []
    shown = update.parameters.of_optimizer(update.by_parameter)
    return [*update.variables, *(getattr(v, "value", v) for v in shown)]


def shapes_of(given: Any) -> object:
    """Return types and shapes in a structure of tensors."""
    return tf.nest.map_structure(lambda t: f"{t.dtype.name}{tuple(t.shape)}", given)
