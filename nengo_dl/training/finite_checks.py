"""Find the numbers in a minibatch that make a loss infinite, or no number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from nengo.exceptions import SimulationError

from nengo_dl.training.data import Minibatch
from nengo_dl.training.terms import Term

__all__ = ["bad_inputs", "bad_targets", "not_finite"]


def not_finite(
    result: Mapping[str, Any],
    terms: Sequence[Term],
    variables: Sequence[Any],
    where: str,
    causes: Callable[[str], str] = str,
) -> SimulationError:
    """Return an error that says what is to blame: the data, else what was computed.

    Parameters
    ----------
    result : mapping
        Losses, and which gradients are finite (see `TrainingFunctions.run`), with the
        part of the minibatch that they are of.
    terms : sequence of Term
        The objective.
    variables : sequence of tf.Variable
        What is trained.
    where : str
        Epoch and minibatch.
    causes : callable, optional
        Returns what is to blame in which of several processes, given what is here.
        Default: there is one process.
    """
    minibatch, start = result["part"].minibatch, result["part"].start
    what = bad_inputs(minibatch, start) or bad_targets(minibatch, start, terms)
    what = causes(what or "")
    if what:
        return SimulationError(f"{what} ({where}). Parameters are as they were before")
    losses = np.ma.filled(result["losses"], 0)
    bad = [(t, v) for t, v in zip(terms, losses, strict=True) if not np.isfinite(v)]
    if bad:
        probes = ", ".join(str(p) for term, _ in bad for p in term.probes)
        what = f"The loss of {probes} is {bad[0][1]}"
    else:
        fine = result["fine"].numpy()
        names = [v.name for v, is_fine in zip(variables, fine) if not is_fine]
        what = f"The gradient of {', '.join(names)} is not finite, or too large,"
    return SimulationError(
        f"{what} in {where}. Parameters are as they were before. A smaller "
        "learning rate, or clipping of gradients by the optimizer, may help"
    )


def bad_inputs(minibatch: Minibatch, start: int) -> str | None:
    """Say where inputs are not finite.

    Parameters
    ----------
    minibatch : Minibatch
        What was computed, or some of its steps.
    start : int
        The first of these steps.

    Returns
    -------
    str or None
        A clause that names the node, and the first such item and step.
    """
    for signal, values in minibatch.inputs.items():
        rows = np.moveaxis(values, 0, 1)[: minibatch.n_items]
        found = _first(rows, minibatch.items, start, ~np.isfinite(rows))
        if found is not None:
            return f"The input of {signal.name.removesuffix('.out')} is {found}"
    return None


def bad_targets(minibatch: Minibatch, start: int, terms: Sequence[Term]) -> str | None:
    """Say where targets are not finite, or are NaN and the objective minds.

    Parameters
    ----------
    minibatch, start
        As for `bad_inputs`.
    terms : sequence of Term
        The objective.

    Returns
    -------
    str or None
        A clause that names the probe, the first such item and step, and what helps.
    """
    for term in terms:
        for probe in term.probes:
            target = minibatch.targets.get(probe)
            if target is None or target.dtype.kind != "f":
                continue
            bad = np.isinf(target) if term.masks else ~np.isfinite(target)
            found = _first(target, minibatch.items, start, bad)
            if found is None:
                continue
            advice = ""
            if not term.masks:
                advice = (
                    f". The objective {term.name} is not told that a target is "
                    "missing: give it a parameter named mask (True where there is a "
                    "target) or sample_weight, or use 'mse' or a loss of Keras"
                )
            return f"The target of {probe} is {found}{advice}"
    return None


def _first(values, items, start, bad) -> str | None:
    """Return the first bad value and its place; axes are items, steps, ..."""
    if not bad.any():
        return None
    index = np.unravel_index(np.argmax(bad), bad.shape)
    place = f"item {items[index[0]]}"
    if len(index) > 1:
        place += f", step {start + index[1]}"
    if len(index) > 2:
        place += f", element {', '.join(map(str, index[2:]))}"
    count = int(bad.sum())
    more = f" (and {count - 1} more are not finite)" if count > 1 else ""
    return f"{values[index]} at {place}{more}"
