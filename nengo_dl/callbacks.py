"""Callbacks for ``Simulator.fit`` and its relatives; those of Keras work as well."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.tensorboard.board import Board, check_folder
from nengo_dl.training.summaries import find_summaries

__all__ = ["IsolateState", "NengoSummaries", "TensorBoard"]


class NengoSummaries(keras.callbacks.Callback):
    """Record parameters of Nengo's objects for TensorBoard, after each epoch.

    Parameters
    ----------
    log_dir : str or os.PathLike
        Folder; the record is a new ``run_N`` in it.
    sim : Simulator
        What is trained.
    objects : list
        Connections and TensorNodes (weights), Ensembles (encoders) and Neurons
        (biases), as for ``summaries`` of `nengo_dl.Simulator.train`; ``"loss"`` records
        losses and metrics.

    Raises
    ------
    ValidationError
        If the folder cannot be written to, or something cannot be recorded.
    """

    def __init__(self, log_dir: Any, sim: Any, objects: Sequence[Any]):
        super().__init__()
        folder = check_folder(log_dir)
        if folder is None:
            raise ValidationError(
                "Must be the name of a folder (got None)", attr="log_dir", obj=sim
            )
        self.board = Board(folder)
        self.summaries = find_summaries(
            objects, self.board, sim.model, sim.data.get_params
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Record."""
        if self.summaries is not None:
            self.summaries.record_parameters(epoch)
            self.summaries.after_epoch(epoch, logs or {})

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Write what waits to be written."""
        self.board.flush()


class IsolateState(keras.callbacks.Callback):
    """Begin validation in the initial state, and leave the state as it is.

    Training and validation never touch the state of the simulation, with or without
    this callback. It exists so that older scripts run unchanged.

    Parameters
    ----------
    sim : Simulator
        What is trained.
    """

    def __init__(self, sim: Any):
        super().__init__()
        self.sim = sim

    def set_model(self, model: Any) -> None:
        """Check that the model is that of the simulator.

        Raises
        ------
        ValidationError
            If it belongs to another one.
        """
        super().set_model(model)
        if getattr(model, "simulator", None) is not self.sim:
            raise ValidationError(
                "IsolateState was made for another simulator than the one that is "
                "trained; write IsolateState(sim)",
                attr="sim",
                obj=self.sim,
            )


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's callback of this name, which profiles minibatches of ``predict``, too.

    Parameters
    ----------
    log_dir : str or os.PathLike
        Folder; profiles of predictions are in its folder ``predict``.
    *args
        Further arguments of `keras.callbacks.TensorBoard`.
    profile_batch : int or tuple of int
        Minibatch to profile, or the first and last one, counted from 1; 0 for none.
    **kwargs
        Further arguments of `keras.callbacks.TensorBoard`.
    """

    def __init__(
        self, log_dir: Any = "logs", *args: Any, profile_batch: Any = 0, **kwargs: Any
    ):
        super().__init__(log_dir, *args, profile_batch=profile_batch, **kwargs)
        if isinstance(profile_batch, str):
            profile_batch = [int(part) for part in profile_batch.split(",")]
        if isinstance(profile_batch, int):
            profile_batch = (profile_batch, profile_batch)
        self._first, self._last = profile_batch
        self._folder = os.path.join(os.fspath(log_dir), "predict")
        self._is_recording = False

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start the profiler if this is the first minibatch to record."""
        if batch + 1 == self._first:
            tf.profiler.experimental.start(self._folder)
            self._is_recording = True

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop the profiler if this was the last minibatch to record."""
        if batch + 1 == self._last:
            self._stop_recording()

    def on_predict_end(self, logs: Any = None) -> None:
        """Stop the profiler if there were fewer minibatches."""
        self._stop_recording()

    def _stop_recording(self) -> None:
        if self._is_recording:
            self._is_recording = False
            tf.profiler.experimental.stop()
