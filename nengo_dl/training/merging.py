"""Losses and metrics over the minibatches of several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from nengo.exceptions import ValidationError

from nengo_dl.distribution.workers import Workers
from nengo_dl.training.averages import Averages
from nengo_dl.training.terms import Term

__all__ = ["merge"]


def merge(
    workers: Workers,
    found: Averages,
    metrics: Mapping[str, Term],
    starts: Mapping[str, Sequence[Any]],
    n_terms: int,
) -> dict[str, float]:
    """Return means of loss and metrics over the minibatches of all workers.

    Parameters
    ----------
    workers : Workers
        The processes.
    found : Averages
        Of the minibatches of this one, which may be none.
    metrics : mapping of {str: Term}
        The metrics.
    starts : mapping of {str: sequence of tf.Tensor}
        Variables of metrics that count over minibatches, at the beginning.
    n_terms : int
        Number of terms of the loss.

    Raises
    ------
    ValidationError
        If no worker has a minibatch.
    """
    sums = found.sums(n_terms)
    added = [
        np.asarray(now.numpy(), np.float64) - np.asarray(start, np.float64)
        for name in starts
        for now, start in zip(found.variables[name], starts[name], strict=True)
    ]
    flat = [np.asarray(part, np.float64).reshape(-1) for part in (*sums, *added)]
    total = workers.total(np.concatenate(flat)).numpy()
    parts = iter(np.split(total, np.cumsum([len(part) for part in flat])[:-1]))
    losses, counts, means = next(parts), next(parts), next(parts)
    if not counts[0]:
        raise ValidationError(
            "There is no minibatch to evaluate in any worker; give data that can be "
            "iterated again, such as a function that returns a generator",
            attr="inputs",
        )
    values = {"loss": float(losses.sum() / counts[0])}
    for name, term, mean in zip(metrics, metrics.values(), means.reshape(-1, 2)):
        if term.running is None:
            values[name] = float(mean[0] / mean[1])
            continue
        variables = [
            tf.cast(start, tf.float64) + next(parts).reshape(start.shape)
            for start in starts[name]
        ]
        variables = [
            tf.cast(v, s.dtype) for v, s in zip(variables, starts[name], strict=True)
        ]
        result = term.running.metric.stateless_result(variables)
        values[name] = float(np.mean(np.asarray(result)))
    return values
