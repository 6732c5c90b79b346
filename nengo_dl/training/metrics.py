"""What users may pass as metrics, in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo
from nengo.exceptions import ValidationError

from nengo_dl.training.terms import Term, find_terms

__all__ = ["find_metrics"]


def find_metrics(
    metrics: Any,
    measured: Sequence[nengo.Probe],
    probes: Mapping[nengo.Probe, tuple[int, ...]],
) -> dict[str, Term]:
    """Return the terms of metrics by name.

    Parameters
    ----------
    metrics : dict or None
        As passed to ``Simulator.train``.
    measured : sequence of Probe
        Probes that have an objective.
    probes : dict of {Probe: tuple of int}
        All probes of the network, with the shapes of what they show in one step.

    Raises
    ------
    ValidationError
        If it is no dict of metrics, or does not say which probe a metric is for.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise ValidationError(
            "Must be a dict of {name: function} or {name: {Probe: function}} (got "
            f"{type(metrics).__name__})",
            attr="metrics",
        )
    found = {}
    for name, metric in metrics.items():
        if not isinstance(metric, Mapping):
            if len(measured) > 1:
                raise ValidationError(
                    f"With several probes, {name!r} must be a dict of "
                    "{Probe: function}",
                    attr="metrics",
                )
            metric = {measured[0]: metric}
        for key, function in metric.items():
            members = key if isinstance(key, tuple) else (key,)
            (term,) = find_terms({key: function}, members, probes, "metrics")
            label = name if len(metric) == 1 else f"{name}_{key.label or key}"
            found[label] = term
    return found
