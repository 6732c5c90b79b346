"""Metrics of Keras, which count over all minibatches of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.training.masking import missing_masked

__all__ = ["RunningMetric"]


class RunningMetric:
    """A metric of Keras as functions of its variables.

    Parameters
    ----------
    metric : keras.metrics.Metric
        The metric. Its own variables stay as they are.
    """

    def __init__(self, metric: keras.metrics.Metric):
        self.metric = metric

    def start(self, output_shape: Sequence[int], target: Any) -> list[tf.Tensor]:
        """Return the variables at the beginning of an epoch.

        Parameters
        ----------
        output_shape : sequence of int
            Shape of what a probe shows, in a minibatch.
        target : ndarray or None
            Targets of a minibatch.
        """
        metric = self.metric
        if not metric.variables and target is not None:
            # some make their variables for the first values that they see
            output = np.zeros(output_shape, np.float32)
            seen, output, _ = self._in_rows(np.zeros_like(target), output, None)
            metric.update_state(seen, output)
        return [tf.convert_to_tensor(v) for v in metric.stateless_reset_state()]

    def update(
        self, variables: Sequence[tf.Tensor], output: Any, target: Any, weight: Any
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the variables after a minibatch, and the result of all until then.

        Parameters
        ----------
        variables : sequence of tf.Tensor
            As `start` or this method returned them.
        output : tf.Tensor, shape (n_items, n_steps, size)
            What a probe shows.
        target : tf.Tensor
            Targets; of means over items, those with NaN do not count.
        weight : tf.Tensor, shape (n_items,) or (n_items, 1 or n_steps), or None
            Weights of items.
        """
        metric = self.metric
        if isinstance(metric, keras.metrics.MeanMetricWrapper):
            target, output, weight = missing_masked(output, target, weight)
        else:
            target, output, weight = self._in_rows(target, output, weight)
        weights = {} if weight is None else {"sample_weight": weight}
        found = metric.stateless_update_state(variables, target, output, **weights)
        return list(found), metric.stateless_result(found)

    def _in_rows(self, target: Any, output: Any, weight: Any) -> tuple[Any, Any, Any]:
        """Return values with one axis for items and steps.

        Those of Keras that are no means know none of steps: AUC, R2Score, F1Score.
        Metrics of users see values as they are.
        """
        is_keras = type(self.metric).__module__.partition(".")[0] == "keras"
        if not is_keras or target is None or target.shape[:2] != output.shape[:2]:
            return target, output, weight
        n_items, n_steps = output.shape[:2]
        if weight is not None:
            weight = tf.reshape(weight, (n_items, -1))
            weight = tf.reshape(tf.broadcast_to(weight, (n_items, n_steps)), (-1,))
        target, output = (
            tf.reshape(values, (n_items * n_steps, *values.shape[2:]))
            for values in (target, output)
        )
        return target, output, weight
