"""Losses and metrics over the minibatches of a pass through data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.terms import Term

__all__ = ["Averages"]


class Averages:
    """Losses and metrics over the minibatches of a pass through data.

    Parameters
    ----------
    metrics : mapping of {str: Term}
        The metrics. Those that count over minibatches are not averaged.

    Attributes
    ----------
    variables : dict of {str: list of tf.Tensor}
        What the metrics that count over minibatches have counted.
    losses : list of ndarray
        For each minibatch, the values of all terms.
    """

    def __init__(self, metrics: Mapping[str, Term]):
        self.losses: list[np.ndarray] = []
        self.variables: dict[str, list[tf.Tensor]] = {}
        self._running = {n for n, term in metrics.items() if term.running is not None}
        self._counts: list[float] = []
        self._metrics: dict[str, list[tuple[float, float]]] = {n: [] for n in metrics}
        self._total = (0.0, 0.0)
        self._metric_totals = dict.fromkeys(self._metrics, (0.0, 0.0))

    def add(self, results: Sequence[Mapping[str, Any]], n_items: float) -> float:
        """Add a minibatch, given part by part; return its loss.

        Parameters
        ----------
        results : sequence of dict
            What `TrainingFunctions.run` returned for the parts.
        n_items : float
            How many items there were: the weight of the minibatch.
        """
        parts = [result["losses"] for result in results]
        mean = parts[0] if len(parts) == 1 else np.ma.mean(np.ma.stack(parts), axis=0)
        self.losses.append(mean)
        self._counts.append(n_items)
        total, count = self._total
        self._total = total + n_items * float(mean.sum()), count + n_items
        for result in results:
            for name, value in result["metrics"].items():
                if name in self._running:
                    self._metrics[name] = [(float(value), n_items)]
                    self._metric_totals[name] = float(value), 1
                    continue
                self._metrics[name].append((float(value), n_items))
                total, count = self._metric_totals[name]
                total += n_items * float(value)
                self._metric_totals[name] = total, count + n_items
        return float(mean.sum())

    @property
    def running(self) -> dict[str, float]:
        """Means of loss and metrics so far."""
        totals = {"loss": self._total, **self._metric_totals}
        return {name: total / count for name, (total, count) in totals.items() if count}

    def sums(self, n_terms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what can be added to that of other processes.

        Parameters
        ----------
        n_terms : int
            Number of terms of the loss.

        Returns
        -------
        ndarray, shape (n_terms,)
            Losses, times the numbers of items.
        ndarray, shape (1,)
            Number of items.
        ndarray, shape (n_metrics, 2)
            Metrics, times the numbers of items, and these.
        """
        losses = np.zeros(n_terms)
        for values, count in zip(self.losses, self._counts, strict=True):
            losses += count * np.asarray(values, np.float64)
        totals = [self._metric_totals[name] for name in self._metrics]
        counts = np.array([sum(self._counts)], np.float64)
        return losses, counts, np.array(totals, np.float64).reshape(-1, 2)

    def of_terms(self) -> np.ndarray:
        """Return the mean of each term."""
        return _mean(self.losses, self._counts)

    def values(self) -> dict[str, float]:
        """Return the means of loss and metrics."""
        means = {
            name: float(_mean(*zip(*found, strict=True)))
            for name, found in self._metrics.items()
        }
        return {"loss": float(self.of_terms().sum()), **means}


def _mean(values: Sequence[Any], counts: Sequence[float]) -> Any:
    """Return the mean over items of what are means of some of them each."""
    if len(set(counts)) == 1:
        return np.mean(values, axis=0)
    return np.average(values, axis=0, weights=counts)
