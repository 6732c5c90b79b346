"""Losses, metrics and outputs of the minibatches of several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.distribution.workers import Workers
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.averages import Averages
from nengo_dl.training.terms import Term

__all__ = ["merge", "merge_outputs"]

#: How many numbers of outputs are added at once: vectors that are sent, and their
#: copies, take some times this in memory.
_PIECE = 1 << 22


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
    sizes = workers.gather(np.array([sum(map(len, flat))], np.int64))[:, 0]
    # a worker without a minibatch has no variables
    flat.append(np.zeros(sizes.max() - sizes[workers.rank]))
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
        elif name in starts:
            values[name] = _counted(term.running, starts[name], parts)
        else:
            values[name] = 0.0
    rows = workers.gather(np.array([*values.values()], np.float64))
    return dict(zip(values, rows[np.argmax(sizes)].tolist(), strict=True))


def _counted(running, starts, parts) -> float:
    """Return a metric that counts over minibatches, given what all have counted."""
    variables = [
        tf.cast(
            tf.cast(start, tf.float64) + next(parts).reshape(start.shape), start.dtype
        )
        for start in starts
    ]
    return float(np.mean(np.asarray(running.metric.stateless_result(variables))))


def merge_outputs(
    workers: Workers,
    probes: Sequence[nengo.Probe],
    shown: Sequence[Sequence[np.ndarray]],
    counts: Sequence[int],
    dtype: np.dtype,
) -> dict[nengo.Probe, np.ndarray]:
    """Return outputs for the minibatches of all workers, equal to the last bit.

    Minibatches come in turns, one of each worker, as arrays are divided.

    Parameters
    ----------
    workers : Workers
        The processes.
    probes : sequence of Probe
        The probes.
    shown : sequence of sequence of ndarray, shapes (n_items, n_steps, size)
        What each of them shows for the minibatches of this worker that have items.
    counts : sequence of int
        How many items each minibatch of this worker has.
    dtype : numpy.dtype
        Of the outputs.

    Raises
    ------
    ValidationError
        If no worker has a minibatch, or they have different numbers of steps.
    """
    longest = int(workers.gather(np.array([len(counts)], np.int64)).max())
    row = np.zeros(longest, np.int64)
    row[: len(counts)] = counts
    table = workers.gather(row).T if longest else np.zeros((0, workers.count), np.int64)
    if not table.any():
        raise ValidationError(
            "There is no minibatch to predict in any worker; give data that can be "
            "iterated again, such as a function that returns a generator",
            attr="inputs",
        )
    ends = np.cumsum(table).reshape(table.shape)
    starts = (ends - table)[: len(counts), workers.rank]
    places = [slice(s, s + n) for s, n in zip(starts, counts, strict=True) if n]
    shapes = _shapes(workers, probes, shown)
    return {
        probe: _gathered(workers, values, places, (int(ends[-1, -1]), *shape), dtype)
        for probe, values, shape in zip(probes, shown, shapes, strict=True)
    }


def _shapes(workers, probes, shown) -> list[tuple[int, ...]]:
    """Return the shapes of outputs without the axis of items, which must agree."""
    own = np.array([v[0].shape[1:] if v else (0, 0) for v in shown], np.int64)
    rows = workers.gather(own.reshape(-1)).reshape(workers.count, -1, 2)
    largest = rows.max(axis=0)
    for probe, row, found in zip(probes, np.swapaxes(rows, 0, 1), largest, strict=True):
        # a worker without minibatches says nothing
        if not ((row == found) | (row == 0)).all():
            raise ValidationError(
                f"The outputs of {probe} need the same number of steps in all workers "
                f"(got {', '.join(str(n) for n, _ in row)})",
                attr="inputs",
            )
    return [tuple(map(int, found)) for found in largest]


def _gathered(workers, values, places, shape, dtype) -> np.ndarray:
    """Return arrays of all workers, each at its place along the first axis."""
    # whole numbers with the same bits: sums with zero change neither -0.0 nor NaN
    bits = np.dtype(f"i{dtype.itemsize}")
    whole = np.zeros(shape, bits)
    for place, value in zip(places, values, strict=True):
        whole[place] = np.ascontiguousarray(value, dtype).view(bits)
    flat = whole.reshape(-1)
    for begin in range(0, flat.size, _PIECE):
        piece = flat[begin : begin + _PIECE]
        piece[:] = workers.total(piece).numpy()
    return whole.view(dtype)
