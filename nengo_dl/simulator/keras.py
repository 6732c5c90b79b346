"""Keras's way to train and to predict: compile, fit, evaluate, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.simulator.base import doing
from nengo_dl.simulator.training import TrainingFace
from nengo_dl.support.errors import errors_of_self
from nengo_dl.support.lazy_imports import keras

if TYPE_CHECKING:
    from nengo_dl.training.keras_face import KerasTraining
    from nengo_dl.training.keras_model import SimulatorModel

__all__ = ["KerasFace"]


class KerasFace(TrainingFace):
    """Methods with the names and arguments of `keras.Model`."""

    @property
    def keras_model(self) -> SimulatorModel:
        """The trained parameters as a Keras model, for callbacks and other models.

        It has a layer for each trained object of the network, named after the object.
        The simulator uses the values that you assign to its weights.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ens = nengo.Ensemble(10, 1, label="ens")
        ...     probe = nengo.Probe(ens)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     for layer in sim.keras_model.layers:
        ...         print(layer.name, layer.count_params())
        ens 20
        """
        return self._get_training().keras_model

    @errors_of_self
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: Any = "auto",
    ) -> None:
        """Choose how `fit` trains, and what `fit` and `evaluate` measure.

        Parameters
        ----------
        optimizer : keras.optimizers.Optimizer or str
            Optimizer, or the name of one; a name makes a new one.
        loss : str or callable or keras.losses.Loss or dict or list
            Loss, or one for each Probe (by Probe, label or name). Functions are
            ``f(y_true, y_pred)``, with outputs of shape ``(minibatch, n_steps, size)``.
        loss_weights : float or dict or list, optional
            Factors of the losses in their sum.
        metrics : list or dict, optional
            Further measures: names, functions ``f(y_true, y_pred)``, or Keras metrics,
            which are computed over all minibatches of an epoch.
        weighted_metrics : list or dict, optional
            The same, weighted by ``sample_weight`` or ``class_weight``.
        run_eagerly : bool
            Must be False.
        jit_compile : bool or "auto"
            Must be what the simulator was made with, or ``"auto"``.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an argument is of the wrong kind, or the optimizer belongs to other
            variables.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     node, out = nengo.Node([0], label="x"), nengo.Node(size_in=1)
        ...     connection = nengo.Connection(node, out, transform=0, synapse=None)
        ...     probe = nengo.Probe(out, label="y")
        >>> x = np.linspace(-1, 1, 8).reshape(8, 1, 1)  # items, steps, size
        >>> with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        ...     sim.compile(keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
        ...     history = sim.fit(x, 2 * x, epochs=100, verbose=0)
        ...     print(sorted(history.history), sim.data[connection].weights.round(2))
        ...     print(round(sim.evaluate(x, 2 * x)["mae"], 2))
        ['loss', 'mae'] 2.0
        0.0
        """
        self._check_open("compile")
        if run_eagerly:
            raise ValidationError(
                "A simulator runs compiled functions; for looking at values within a "
                "step, make it with jit_compile=False and probe them",
                attr="run_eagerly",
            )
        if jit_compile != "auto" and jit_compile != self.jit_compile:
            raise ValidationError(
                f"The simulator was made with jit_compile={self.jit_compile} (got "
                f"{jit_compile!r})",
                attr="jit_compile",
            )
        self._keras.compile(optimizer, loss, metrics, loss_weights, weighted_metrics)

    @doing("train", ())
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        n_steps: int | None = None,
        stateful: bool = False,
        truncation: int | None = None,
        recompute: int | None = None,
        validation_rates: bool | None = None,
        workers: Any = None,
    ) -> keras.callbacks.History:
        """Train, with the arguments of `keras.Model.fit`.

        Training is the same as with `train`: each minibatch starts from the initial
        state, and the state of the simulation does not change, unless ``stateful`` is
        True. See `compile` for an example.

        Parameters
        ----------
        x : dict or ndarray or list or iterable or int, optional
            Values of input Nodes, shape ``(n_items, n_steps, node.size_out)``: by Node,
            label or name; one array; a list in the order of the Nodes. A
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator gives tuples of
            x, y and, if there are any, weights of the items, one minibatch at a time.
            None, or a number of steps, if nothing is fed.
        y : dict or ndarray or list, optional
            Targets, by Probe, label or name, as x.
        batch_size : int, optional
            Must be the simulator's ``minibatch_size``, or be left out. Items that do
            not fill the last minibatch count, too.
        epochs : int
            Number of the last epoch.
        verbose : "auto" or int
            What to print: 0 nothing, 1 a progress bar, 2 a line for each epoch.
        callbacks : list of keras.callbacks.Callback, optional
            Objects to call.
        validation_split : float
            Fraction of the items, at the end, to evaluate after each epoch.
        validation_data : tuple or iterable, optional
            Data to evaluate after each epoch: ``(x, y)``, ``(x, y, sample_weight)``, or
            minibatches of these.
        shuffle : bool
            Whether items are divided into different minibatches in each epoch. Whole
            minibatches of a `keras.utils.PyDataset` are shuffled.
        class_weight : dict of {int: float}, optional
            Weights of items in the loss, by the number of their class; 1 for classes
            that are not given. Targets are class numbers, or one-hot.
        sample_weight : ndarray or dict or list, optional
            Weights of items in the loss, shape ``(n_items,)``, or of their time steps,
            shape ``(n_items, n_steps)``; for all targets, or by Probe, label or name.
        initial_epoch : int
            Number of epochs that were trained before.
        steps_per_epoch : int, optional
            Minibatches in each epoch; the next epoch continues after them.
        validation_steps : int, optional
            Minibatches to evaluate: the same ones, the first, after each epoch.
        validation_batch_size : int, optional
            As ``batch_size``.
        validation_freq : int or list of int
            Evaluate after every such number of epochs, or after these epochs.
        n_steps : int, optional
            Number of time steps, if nothing is fed.
        stateful : bool
            Whether this is part of the simulation: it starts from the current state,
            each minibatch continues where the previous one ended, and the simulation
            continues from there, in state and time. Probes record nothing, and random
            inputs are those of training. All minibatches must be complete.
        truncation, recompute, validation_rates, workers : optional
            As for `train`.

        Returns
        -------
        keras.callbacks.History
            ``history.history`` has a number for each epoch: ``"loss"``, the losses of
            several probes (``"<probe>_loss"``), metrics, and with validation the same
            with ``"val_"`` before the name.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If `compile` was not called before, or an argument is of the wrong kind.
        SimulationError
            If a loss or gradient is not finite.
        """
        from nengo_dl.training.keras_data import validation_of

        face = self._keras
        face.check_batch_size(batch_size)
        face.check_batch_size(validation_batch_size, "validation_batch_size")
        return face.fit(
            x,
            y,
            n_steps=n_steps,
            epochs=epochs,
            initial_epoch=initial_epoch,
            verbose=verbose,
            callbacks=callbacks,
            validation=validation_of(validation_data),
            validation_split=validation_split,
            validation_freq=validation_freq,
            validation_steps=validation_steps,
            shuffle=shuffle,
            steps_per_epoch=steps_per_epoch,
            truncation=truncation,
            recompute=recompute,
            validation_rates=validation_rates,
            sample_weight=sample_weight,
            class_weight=class_weight,
            stateful=stateful,
            workers=workers,
        )

    @doing("evaluate")
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 0,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        n_steps: int | None = None,
        stateful: bool = False,
        rates: bool | None = None,
        workers: Any = None,
    ) -> dict[str, float]:
        """Measure loss and metrics, as the network is simulated (with spikes).

        With ``stateful=True``, this is part of the simulation, as in `fit`. See
        `compile` for an example.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks, n_steps, stateful
            As for `fit`.
        steps : int, optional
            Number of minibatches.
        rates : bool, optional
            Whether spiking neurons output the rates that training uses, or spikes.
            Default: rates for data of one time step, in which spikes say nothing (a
            message says so), else spikes.
        workers : Workers, optional
            Processes that evaluate together, each with some of the items. All return
            the means over all items. Parameters and callbacks are those of the first
            process.

        Returns
        -------
        dict of {str: float}
            Means over all items.
        """
        self._keras.check_batch_size(batch_size)
        return self._keras.evaluate(
            *(x, y, n_steps, verbose, steps, callbacks, sample_weight, stateful),
            *(rates, workers),
        )

    @doing("predict")
    def predict(
        self,
        x: Any = None,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Any = None,
        n_steps: int | None = None,
        stateful: bool = False,
        rates: bool | None = None,
        workers: Any = None,
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return the data of probes for any number of items, from the initial state.

        Neither the state of the simulation nor probe data changes. With
        ``stateful=True``, this is part of the simulation, as in `fit`, with spikes.

        Parameters
        ----------
        x, batch_size, verbose, callbacks, n_steps, stateful
            As for `fit`.
        steps : int, optional
            Number of minibatches.
        rates : bool, optional
            As for `evaluate`.
        workers : Workers, optional
            Processes that predict together, each for some of the items. All return the
            outputs for all items, in the order of the data.

        Returns
        -------
        dict of {Probe: ndarray, shape (n_items, n_steps, size)}
            All time steps, whatever the ``sample_every`` of a Probe.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     node = nengo.Node([0])
        ...     probe = nengo.Probe(node)
        >>> with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        ...     found = sim.predict(np.ones((6, 3, 1)))
        >>> found[probe].shape
        (6, 3, 1)
        """
        self._keras.check_batch_size(batch_size)
        return self._keras.predict(
            *(x, n_steps, verbose, steps, callbacks, stateful, rates, "predict"),
            workers,
        )

    @doing("predict")
    def predict_on_batch(
        self,
        x: Any = None,
        n_steps: int | None = None,
        rates: bool | None = None,
        workers: Any = None,
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return what probes show for one minibatch; see `predict`."""
        return self._keras.predict(
            *(x, n_steps, 0, None, None, False, rates, "predict_on_batch", workers)
        )

    @doing("train", ())
    def train_on_batch(
        self,
        x: Any = None,
        y: Any = None,
        n_steps: int | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        workers: Any = None,
    ) -> dict[str, float]:
        """Update the parameters once; see `compile` for an example of `fit`.

        Parameters
        ----------
        x, y, n_steps, sample_weight, class_weight, workers
            As for `fit`: one minibatch. (With workers, each call compares what they
            have, which takes several times the sum of an update of `fit`.)

        Returns
        -------
        dict of {str: float}
            Loss and metrics before the update.
        """
        return self._keras.train_on_batch(
            x, y, n_steps, sample_weight, class_weight, workers
        )

    @doing("evaluate")
    def test_on_batch(
        self,
        x: Any = None,
        y: Any = None,
        n_steps: int | None = None,
        sample_weight: Any = None,
        rates: bool | None = None,
        workers: Any = None,
    ) -> dict[str, float]:
        """Measure loss and metrics of one minibatch; see `evaluate`."""
        return self._keras.test_on_batch(x, y, n_steps, sample_weight, rates, workers)

    @property
    def _keras(self) -> KerasTraining:
        if self._keras_training is None:
            from nengo_dl.training.keras_face import KerasTraining

            self._keras_training = KerasTraining(self._get_training())
        return self._keras_training
