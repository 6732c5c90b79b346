"""Losses for ``Simulator.compile``, with arguments in Keras's order."""

from __future__ import annotations

from typing import Any

from nengo_dl import objectives
from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["Regularize", "nan_mse"]


def nan_mse(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Return the mean squared error; NaN in targets adds nothing.

    It is `nengo_dl.objectives.mse` for ``Simulator.compile``.

    Parameters
    ----------
    y_true : tf.Tensor, shape (minibatch, n_steps, size)
        Targets, NaN where they do not matter.
    y_pred : tf.Tensor, shape (minibatch, n_steps, size)
        What a probe shows.

    Examples
    --------
    >>> target, output = tf.constant([[[np.nan], [1.0]]]), tf.constant([[[0.0], [3.0]]])
    >>> float(nengo_dl.losses.nan_mse(target, output))
    2.0
    """
    return objectives.mse(y_pred, y_true)


class Regularize(keras.losses.Loss):
    """The size of a probe's output, as a loss that needs no targets.

    It is `nengo_dl.objectives.Regularize` for ``Simulator.compile``.

    Parameters
    ----------
    order, axis, weight
        As for `nengo_dl.objectives.Regularize`.
    name : str
        Name of the loss.

    Raises
    ------
    ValidationError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> activity = nengo_dl.losses.Regularize(order=1, weight=0.01)
    >>> float(activity(None, tf.constant([[[1.0, -3.0]]])))
    0.0399999...
    """

    def __init__(
        self,
        order: float | str = 2,
        axis: int | None = None,
        weight: float | None = None,
        name: str = "regularize",
    ):
        super().__init__(name=name)
        self.objective = objectives.Regularize(order, axis, weight)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the mean of the norms; targets are not used."""
        return self.objective(y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, with which Keras can make the loss again."""
        objective = self.objective
        return {
            "order": objective.order,
            "axis": objective.axis,
            "weight": objective.weight,
            "name": self.name,
        }
