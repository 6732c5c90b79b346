"""Keras callbacks around our training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.training.history import TrainingHistory

__all__ = ["KerasCallbacks"]

_KERAS_ENDINGS = (".weights.h5", ".keras", ".h5")


class KerasCallbacks:
    """Calls the methods of Keras callbacks.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback
        Objects to call.
    owner : Simulator
        What is trained.

    Raises
    ------
    ValidationError
        If one of them is something else.
    """

    def __init__(self, callbacks: Sequence[Any], owner: Any):
        if isinstance(callbacks, keras.callbacks.Callback):
            callbacks = [callbacks]
        for callback in callbacks:
            if not isinstance(callback, keras.callbacks.Callback):
                raise ValidationError(
                    f"Must be Keras callbacks (got {type(callback).__name__})",
                    attr="callbacks",
                    obj=owner,
                )
        self.callbacks = list(callbacks)
        self.owner = owner
        self.model: _Model | None = None

    def begin(self, trainer: Any, optimizer: Any, data: Any, options: Any) -> None:
        """Announce the beginning of training."""
        self.model = _Model(trainer, optimizer, self.owner)
        params = {
            "epochs": options.n_epochs,
            "steps": data.n_minibatches,
            "verbose": 0,
        }
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(self.model)
            callback.on_train_begin()

    def begin_epoch(self, epoch: int) -> None:
        """Announce the beginning of an epoch."""
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch)

    def begin_batch(self, number: int) -> None:
        """Announce the beginning of a minibatch."""
        for callback in self.callbacks:
            callback.on_train_batch_begin(number)

    def end_batch(self, number: int, logs: Mapping[str, float]) -> bool:
        """Announce the end of a minibatch; return whether to stop."""
        for callback in self.callbacks:
            callback.on_train_batch_end(number, dict(logs))
        return self.model.stop_training

    def end_epoch(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """Announce the end of an epoch; return whether to stop."""
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, dict(logs))
        return self.model.stop_training

    def end(self, history: TrainingHistory) -> None:
        """Announce the end of training."""
        for callback in self.callbacks:
            callback.on_train_end()


class _Model:
    """What callbacks may ask of the model that is trained."""

    def __init__(self, trainer: Any, optimizer: Any, simulator: Any):
        self.optimizer = optimizer
        self.simulator = simulator
        self.stop_training = False
        self.metrics: list[Any] = []
        self.compiled = True
        self._trainer = trainer

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of all trainable variables."""
        return [
            variable.numpy()
            for variable in self._trainer.engine.storage.trained_variables
        ]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Replace the values of all trainable variables."""
        for variable, value in zip(
            self._trainer.engine.storage.trained_variables, weights, strict=True
        ):
            variable.assign(value)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write a file of parameters (see ``Simulator.save_params``).

        Keras asks for names of its own formats; ours end in ``.npz`` instead.
        """
        self._trainer.publish()
        self.simulator.save_params(_parameter_file(filepath))

    save = save_weights

    def load_weights(self, filepath: Any) -> None:
        """Load a file of parameters (see ``Simulator.load_params``)."""
        self.simulator.load_params(_parameter_file(filepath))


def _parameter_file(filepath: Any) -> str:
    """Return the name of a parameter file for one that a Keras callback wants."""
    path = str(filepath)
    for ending in _KERAS_ENDINGS:
        path = path.removesuffix(ending)
    return path
