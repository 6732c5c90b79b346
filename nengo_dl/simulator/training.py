"""Training, losses, and checks of gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from nengo.utils.progress import ProgressBar

from nengo_dl.parameters.trainable import (
    TrainableParameters,
    find_trainable_parameters,
)
from nengo_dl.profiling.profiler import check_profile, recorded
from nengo_dl.simulator.base import SimulatorBase, doing
from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.support.other_names import arguments_of, raise_unknown
from nengo_dl.support.surroundings import check_surroundings
from nengo_dl.tensor_node import mark_trained

if TYPE_CHECKING:  # simulators that are not trained start sooner without it
    from nengo_dl.training.face import Training
    from nengo_dl.training.gradient_checks import GradientReport
    from nengo_dl.training.history import TrainingHistory

__all__ = ["TrainingFace"]


class TrainingFace(SimulatorBase):
    """Methods that train parameters, or measure what training would do."""

    @doing("train", ())
    def train(
        self,
        inputs: Any,
        targets: Any = None,
        optimizer: Any = None,
        n_epochs: int = 1,
        objective: Any = "mse",
        shuffle: bool = True,
        truncation: int | None = None,
        summaries: Any = None,
        profile: bool | Mapping[str, Any] = False,
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None = None,
        validation: Any = None,
        metrics: Mapping[str, Any] | None = None,
        callbacks: Any = None,
        recompute: int | None = None,
        progress_bar: bool | ProgressBar | None = None,
        validation_rates: bool | None = None,
        workers: Any = None,
        **unknown: Any,
    ) -> TrainingHistory:
        """Optimize the trainable parameters by gradient descent.

        Each minibatch starts from the initial state of the network. The state of the
        simulation, its probe data and its random streams stay as they are. Spiking
        neurons are trained with their rates, unless settings say otherwise (see
        `nengo_dl.configure_settings`).

        Parameters
        ----------
        inputs : dict of {Node: ndarray}, or ndarray, or int, or iterable
            Values of input Nodes, shape ``(n_items, n_steps, node.size_out)``. One
            array is enough if there is one input Node; a number of time steps if none
            is fed. An iterable, such as a `tf.data.Dataset`, or a function that returns
            a generator, gives pairs of inputs and targets, one minibatch at a time.
        targets : dict of {Probe: ndarray}, or ndarray
            Target outputs, shape ``(n_items, n_steps, size)``; for objectives other
            than ``"mse"`` and None, the axes after the axis of items may differ. One
            array is enough if there is one Probe.
        optimizer : keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer or str
            Optimizer, or the name of one in Keras. Its state is kept for further calls
            with the same object (or name).
        n_epochs : int
            Number of passes through the data.
        objective : "mse" or callable or None or str or dict
            What to minimize: ``"mse"``, the mean squared error, which is zero where
            targets are NaN; a function ``f(output, target)`` of tensors of shape
            ``(minibatch, n_steps, size)``; a Keras loss or the name of one; or None if
            targets are the gradients of the loss with respect to outputs. A dict gives
            one for each Probe, or tuple of Probes (whose function gets tuples of
            tensors). Values that are not scalar are averaged; those of several Probes
            are summed.
        shuffle : bool
            Whether items are divided into different minibatches in each epoch.
        truncation : int, optional
            Backpropagate through this many time steps only, and update parameters after
            each such part of a minibatch; state is carried over from part to part.
        summaries : list, optional
            What to record for TensorBoard after each update: histograms of the weights
            of a Connection, the encoders of an Ensemble, the biases of Neurons;
            ``"loss"`` for losses and metrics; the value of a `tf.Variable`; what a
            function without arguments writes with `tf.summary`. Needs the simulator's
            ``tensorboard``.
        profile : bool or dict
            Record a profile, as in `run_steps`.
        extra_feeds : dict of {tf.Variable.ref(): ndarray}, optional
            Values that variables have during this call only.
        validation : tuple of (inputs, targets), or iterable, optional
            Data to evaluate after each epoch.
        metrics : dict of {str: callable}, optional
            Further measures, in the same forms as objectives.
        callbacks : list of keras.callbacks.Callback, optional
            Objects to call between minibatches and epochs. Their ``model`` is
            `keras_model`, so `keras.callbacks.ModelCheckpoint` saves weights
            (``save_weights_only=True``) in Keras's files.
        recompute : int, optional
            Keep intermediate results for this many time steps only, and compute the
            rest again for the gradients: less memory, the same result. Default: keep
            all, or as many as fit into the memory (see ``training_memory`` in
            `nengo_dl.configure_settings`).
        progress_bar : bool or nengo.utils.progress.ProgressBar, optional
            Whether to show progress. Default: as given to the simulator.
        validation_rates : bool, optional
            Whether validation uses the rates that neurons are trained with, or their
            spikes; layers always behave as in simulations. Default: rates if the data
            has one time step, in which spikes say nothing, else spikes.
        workers : Workers, optional
            Processes that train together, each with ``minibatch_size`` items of every
            minibatch; see `nengo_dl.Workers`. All of them call this.
        **unknown
            Other arguments are an error. For arguments of Keras, the message says what
            to use instead.

        Returns
        -------
        TrainingHistory
            Losses and metrics of all epochs.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an argument is of the wrong kind or shape, or nothing can be trained.
        SimulationError
            If no objective has a gradient; if a loss or gradient is not finite (the
            parameters are then those before this update); or inside of a graph or the
            scope of a strategy.

        Notes
        -----
        Probes show every time step here, whatever their ``sample_every``. If the last
        minibatch of arrays is not full, it is left out, with a warning. If the last
        minibatch of an iterable is not full, it is used.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     node, out = nengo.Node([0]), nengo.Node(size_in=1)
        ...     connection = nengo.Connection(node, out, transform=0, synapse=None)
        ...     probe = nengo.Probe(out)
        >>> x = np.linspace(-1, 1, 8).reshape(8, 1, 1)  # items, steps, size
        >>> with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        ...     history = sim.train({node: x}, {probe: 2 * x}, "sgd", n_epochs=500)
        ...     print(sim.data[connection].weights.round(2))
        2.0
        >>> history.n_epochs
        500
        """
        from nengo_dl.training.recipe import TrainingRecipe
        from nengo_dl.training.summaries import find_summaries

        raise_unknown("train", unknown, arguments_of(TrainingFace.train))
        check_surroundings("train")
        recorder = None
        if getattr(workers, "rank", 0) == 0:  # the first worker's
            recorder = find_summaries(
                summaries, self._board, self.model, self.data.get_params
            )
        mark_trained(self.model)
        options = check_profile(profile)
        if options is not None:
            self._get_training().trainer.functions.show_labels()
        with recorded(options, self._session.step.labels):
            return self._get_training().train(
                inputs,
                targets,
                TrainingRecipe(optimizer, objective, metrics, truncation, recompute),
                n_epochs,
                shuffle,
                extra_feeds,
                validation,
                callbacks,
                self.progress_bar if progress_bar is None else progress_bar,
                recorder,
                validation_rates,
                workers,
            )

    @doing("compute a loss")
    def loss(
        self,
        inputs: Any,
        targets: Any = None,
        objective: Any = "mse",
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None = None,
        training: bool = False,
        workers: Any = None,
        **unknown: Any,
    ) -> float:
        """Compute a loss; nothing is changed.

        Parameters
        ----------
        inputs, targets, objective, extra_feeds
            As for `train`.
        training : bool
            Whether neurons behave as in training, or as in simulation (with spikes).
        workers : Workers, optional
            Processes that compute it together, as in `train`. All return the same.
        **unknown
            Other arguments are an error, as in `train`.

        Returns
        -------
        float
            Mean over all items.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an argument is of the wrong kind or shape.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     node = nengo.Node([0])
        ...     probe = nengo.Probe(node)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.loss({node: np.ones((1, 5, 1))}, {probe: np.zeros((1, 5, 1))})
        1.0
        """
        raise_unknown("loss", unknown, arguments_of(TrainingFace.loss))
        check_surroundings("compute a loss")
        return self._get_training().loss(
            inputs, targets, objective, extra_feeds, training, workers
        )

    @doing("check gradients")
    def check_gradients(
        self,
        outputs: Any = None,
        *others: Any,
        atol: float | None = None,
        rtol: float | None = None,
        inputs: Any = None,
    ) -> GradientReport:
        """Compare the gradients that `train` uses with differences of outputs.

        Gradients with respect to inputs and trainable parameters are compared, from the
        initial state and with neurons as in training. Nothing is changed.

        Parameters
        ----------
        outputs : Probe or str or list of these, optional
            Probes or their labels, whose gradients are checked. Default: all probes.
        *others
            ``atol`` and ``rtol`` by position. Inputs may come first, too:
            ``check_gradients(inputs, outputs)``.
        atol, rtol : float, optional
            Tolerance for each entry: ``atol + rtol * abs(numeric)``, plus the possible
            effect of rounding of the outputs. Default: 1e-5 and 1e-3.
        inputs : dict of {Node: ndarray} or int, optional
            Values of input Nodes, as for `train`, or a number of time steps for random
            values. Default: five steps.

        Returns
        -------
        GradientReport
            The entry with the largest error, in multiples of the tolerance.

        Raises
        ------
        SimulationError
            If an entry differs more (the message names the worst one), or if an output
            or gradient is not finite.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     node = nengo.Node([0.5])
        ...     ensemble = nengo.Ensemble(10, 1, neuron_type=nengo.Sigmoid())
        ...     _ = nengo.Connection(node, ensemble, synapse=None)
        ...     probe = nengo.Probe(ensemble)
        >>> with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        ...     _ = sim.check_gradients([probe])
        """
        check_surroundings("check gradients")
        from nengo_dl.training.gradient_arguments import gradient_arguments

        inputs, outputs, atol, rtol = gradient_arguments(
            (outputs, *others), inputs, atol, rtol
        )
        return self._get_training().check_gradients(outputs, atol, rtol, inputs)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """What `train` changes, as Keras variables: one for each parameter.

        They have the shapes and names of `trainable_parameters`. Assigned values are
        used from the next run, training or access to data on.
        """
        return list(self._get_training().trainer.parameters.variables)

    @property
    def trainable_parameters(self) -> TrainableParameters:
        """What `train` changes, with names and shapes; printed, it is a table."""
        return find_trainable_parameters(self._parameters)

    def _get_training(self) -> Training:
        from nengo_dl.training.face import Training

        if self._training is None:
            self._training = Training(
                self._session, self.model, self._input_signals, self.seed, self
            )
        return self._training
