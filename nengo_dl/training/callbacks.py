"""Keras callbacks around our training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.support.lazy_imports import keras
from nengo_dl.training.keras_model import SimulatorModel

__all__ = ["KerasCallbacks"]


class KerasCallbacks:
    """Calls the methods of Keras callbacks, in the order and with the logs of Keras.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback, or keras.callbacks.CallbackList
        Objects to call.
    model : SimulatorModel
        What they are told that is trained.
    verbose : int
        Whether to show progress as Keras does (0: not).

    Attributes
    ----------
    sees_parameters : bool
        Whether one of them may look at parameters at all.
    sees_batches : bool
        Whether one of them may look at them between minibatches.

    Raises
    ------
    ValidationError
        If one of them is something else.
    """

    def __init__(self, callbacks: Any, model: SimulatorModel, verbose: int = 0):
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks.callbacks
        if callbacks is None:
            callbacks = []
        if isinstance(callbacks, keras.callbacks.Callback):
            callbacks = [callbacks]
        if not isinstance(callbacks, Iterable):
            raise ValidationError(
                f"Must be a list of Keras callbacks (got {type(callbacks).__name__})",
                attr="callbacks",
            )
        for callback in callbacks:
            if not isinstance(callback, keras.callbacks.Callback):
                raise ValidationError(
                    f"Must be Keras callbacks (got {type(callback).__name__})",
                    attr="callbacks",
                )
        self.model = model
        self.verbose = verbose
        self.sees_parameters = not all(map(_is_blind, callbacks))
        self.sees_batches = any(map(_sees_batches, callbacks))
        # Keras's progress bar is one of those that do something between minibatches
        self._tells_batches = verbose != 0 or any(map(_overrides_batches, callbacks))
        self._given: list[Any] = list(callbacks)
        self._list: Any = None
        self._last: dict[str, float] = {}

    def begin(self, optimizer: Any, n_epochs: int, n_minibatches: int | None) -> None:
        """Announce the beginning of training."""
        self.model.use(optimizer)
        self.model.stop_training = False
        self._make_list(n_epochs, n_minibatches)
        self._list.on_train_begin()

    def begin_alone(self, n_minibatches: int | None) -> None:
        """Get ready for an evaluation or a prediction that is no part of training."""
        self._make_list(1, n_minibatches)

    def _make_list(self, n_epochs: int, n_minibatches: int | None) -> None:
        self._list = keras.callbacks.CallbackList(
            self._given,
            add_history=True,
            add_progbar=self.verbose != 0,
            model=self.model,
            verbose=self.verbose,
            epochs=n_epochs,
            steps=n_minibatches,
        )

    def begin_epoch(self, epoch: int) -> None:
        """Announce the beginning of an epoch."""
        self._list.on_epoch_begin(epoch)

    def begin_batch(self, number: int) -> None:
        """Announce the beginning of a minibatch."""
        if self._tells_batches:
            self._list.on_train_batch_begin(number)

    def end_batch(self, number: int, logs: Mapping[str, float]) -> bool:
        """Announce the end of a minibatch; return whether to stop."""
        if self._tells_batches:
            self._list.on_train_batch_end(number, dict(logs))
        return self.model.stop_training

    def end_epoch(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """Announce the end of an epoch; return whether to stop."""
        self._last = dict(logs)
        self._list.on_epoch_end(epoch, self._last)
        return self.model.stop_training

    def end(self) -> None:
        """Announce the end of training."""
        self._list.on_train_end(self._last)

    def begin_test(self) -> None:
        """Announce the beginning of an evaluation."""
        self._list.on_test_begin()

    def begin_test_batch(self, number: int) -> None:
        """Announce the beginning of a minibatch that is evaluated."""
        self._list.on_test_batch_begin(number)

    def end_test_batch(self, number: int, logs: Mapping[str, float]) -> None:
        """Announce the end of a minibatch that is evaluated."""
        self._list.on_test_batch_end(number, dict(logs))

    def end_test(self, logs: Mapping[str, float]) -> None:
        """Announce the end of an evaluation."""
        self._list.on_test_end(dict(logs))

    def begin_predict(self) -> None:
        """Announce the beginning of a prediction."""
        self._list.on_predict_begin()

    def begin_predict_batch(self, number: int) -> None:
        """Announce the beginning of a minibatch that is predicted."""
        self._list.on_predict_batch_begin(number)

    def end_predict_batch(self, number: int, outputs: Sequence[Any]) -> None:
        """Announce the end of a minibatch that is predicted."""
        self._list.on_predict_batch_end(number, {"outputs": outputs})

    def end_predict(self) -> None:
        """Announce the end of a prediction."""
        self._list.on_predict_end()


#: Those of Keras that look at losses only.
_BLIND = (
    keras.callbacks.CSVLogger,
    keras.callbacks.History,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TerminateOnNaN,
)

#: Those that look at parameters between epochs only, or call functions of the user.
_BLIND_IN_EPOCHS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.SwapEMAWeights,
)


def _is_blind(callback: keras.callbacks.Callback) -> bool:
    if type(callback) is keras.callbacks.EarlyStopping:
        return not callback.restore_best_weights
    return type(callback) in _BLIND


def _sees_batches(callback: keras.callbacks.Callback) -> bool:
    blind = type(callback) in (*_BLIND, *_BLIND_IN_EPOCHS)
    return not blind and _overrides_batches(callback)


def _overrides_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does something between the minibatches of training."""
    names = [
        f"on_{kind}batch_{end}" for kind in ("", "train_") for end in ("begin", "end")
    ]
    # functions that are attributes of the object, as those of LambdaCallback, are none
    # of a class
    return any(
        getattr(getattr(callback, name), "__func__", None)
        is not getattr(keras.callbacks.Callback, name)
        for name in names
    )
