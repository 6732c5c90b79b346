"""The simulator: checks arguments, keeps probe data, and delegates the rest."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nengo
import numpy as np
import tensorflow as tf
from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.cache import get_default_decoder_cache
from nengo.exceptions import ReadonlyError, SimulatorClosed, ValidationError
from nengo.utils.numpy import is_array_like, is_number, maxint
from nengo.utils.progress import ProgressBar

from nengo_dl.building.builder import FastBuilder
from nengo_dl.config import NetworkSettings
from nengo_dl.execution.session import Engine
from nengo_dl.inspection.data import ProbeHistory, SimulationData
from nengo_dl.inspection.signals import SignalValues
from nengo_dl.inspection.spike_rates import SpikeRates, measure_rates
from nengo_dl.inspection.summary import Summary, summarize
from nengo_dl.parameters.arguments import ONE_OBJECT, by_label, nengo_arguments
from nengo_dl.parameters.continuation import Continuation
from nengo_dl.parameters.freezing import Frozen, freeze
from nengo_dl.parameters.loading import LoadReport, load_parameters
from nengo_dl.parameters.saving import Extra, save_parameters
from nengo_dl.parameters.trainable import (
    TrainableParameters,
    find_trainable_parameters,
)
from nengo_dl.parameters.training_state import TrainingState
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.profiling.profiler import check_profile, recorded
from nengo_dl.program.pipeline import compile_model
from nengo_dl.support.arguments import (
    check_device,
    check_dtype,
    check_extra_feeds,
    check_feeds,
    check_positive,
    check_seconds,
    check_seed,
    temporary_values,
)
from nengo_dl.support.garbage import rare_collections
from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.progress import track
from nengo_dl.tensor_node import TensorNode
from nengo_dl.tensorboard.board import Board, check_folder
from nengo_dl.tensorboard.step_graph import step_graph
from nengo_dl.training.face import Training
from nengo_dl.training.gradient_checks import GradientReport
from nengo_dl.training.history import TrainingHistory
from nengo_dl.training.summaries import find_summaries

__all__ = ["Simulator"]

logger = logging.getLogger(__name__)


class Simulator:
    """Simulate a network with TensorFlow; a drop-in for `nengo.Simulator`.

    Parameters
    ----------
    network : nengo.Network or None
        Network to build and simulate. With None, ``model`` must be given.
    dt : float
        Length of a time step, in seconds.
    seed : int, optional
        Seed of all random processes of the simulation. Default: the network's seed plus
        one if it has a seed, else random.
    model : nengo.builder.Model, optional
        Model that was built before (``network`` is built into it if given, and its
        ``dt`` is used).
    dtype : tf.DType or str or numpy.dtype, optional
        Precision of the computations: ``tf.float32`` or ``tf.float64``. Data is shown
        in the precision in which Nengo built the model (see ``nengo.rc``). Default:
        what the network is configured with (see `nengo_dl.configure_settings`), else
        ``tf.float32``.
    device : str, optional
        TensorFlow device, such as ``"/cpu:0"`` or ``"/gpu:0"``. Default: TensorFlow's
        choice.
    unroll_simulation : int, optional
        Number of time steps in the body of the simulation loop. Never changes results.
        It pays only without XLA (``jit_compile=False``); XLA's loops are unrolled four
        times at most, since more would take minutes to compile. Default: what the
        network is configured with, else 1.
    minibatch_size : int, optional
        Number of inputs that are simulated in parallel. Default: one, and no batch axis
        in the data.
    tensorboard : str or os.PathLike, optional
        Folder for data that TensorBoard can show; each simulator writes to its own
        ``run_N`` in it: the graph of a time step, and what `train` is asked to record.
    progress_bar : bool or nengo.utils.progress.ProgressBar
        Whether to show progress of building and running.
    jit_compile : bool, optional
        Whether to compile with XLA. By default everything is compiled that can be,
        except where the call of a compiled function would take longer than the steps
        themselves with NumPy: single steps and runs of a few, and small networks that
        call Python in each step. These run Nengo's own operators, in the precision in
        which Nengo built the model. Convolutional networks without state are trained
        without XLA on CPUs, which is faster. False runs TensorFlow's graphs without
        XLA. None stands for what the network is configured with, if it is.
    optimize : bool
        Accepted because `nengo.Simulator` has it. Operators are always merged here.

    Attributes
    ----------
    data : SimulationData
        Probe data, and parameters of objects.
    model : nengo.builder.Model
        What Nengo built.
    seed : int
        Seed of random processes.
    closed : bool
        Whether the simulator was closed.
    minibatch_size : int or None
        As given.

    Raises
    ------
    ValidationError
        If an argument is of the wrong kind or there is nothing to simulate.
    BuildError
        If the network cannot be built.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     node = nengo.Node([0.5])
    ...     probe = nengo.Probe(node)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run_steps(3)
    >>> sim.data[probe]
    array([[0.5],
           [0.5],
           [0.5]])
    """

    def __init__(
        self,
        network: nengo.Network | None,
        dt: float = 0.001,
        seed: int | None = None,
        model: Model | None = None,
        dtype: Any = None,
        device: str | None = None,
        unroll_simulation: int | None = None,
        minibatch_size: int | None = None,
        tensorboard: str | os.PathLike | None = None,
        progress_bar: bool | ProgressBar = True,
        jit_compile: bool | None = None,
        optimize: bool = True,
    ):
        self.closed = True  # until everything below has gone well
        if network is None and model is None:
            raise ValidationError(
                "Pass a network, or a model that was built before; got None for both",
                attr="network",
                obj=self,
            )
        if network is not None and not isinstance(network, nengo.Network):
            raise ValidationError(
                f"Must be a nengo.Network (got {type(network).__name__})",
                attr="network",
                obj=self,
            )
        if jit_compile is not None and not isinstance(jit_compile, (bool, np.bool_)):
            raise ValidationError(
                f"Must be None, True or False (got {jit_compile!r})",
                attr="jit_compile",
                obj=self,
            )
        toplevel = getattr(model, "toplevel", None)
        settings = NetworkSettings.of(network if toplevel is None else toplevel)
        self.dtype = check_dtype(settings.dtype if dtype is None else dtype, self)
        self.device = check_device(device, self)
        self.unroll_simulation = check_positive(
            settings.unroll_simulation
            if unroll_simulation is None
            else unroll_simulation,
            "unroll_simulation",
            self,
        )
        if minibatch_size is not None:
            minibatch_size = check_positive(minibatch_size, "minibatch_size", self)
        self.minibatch_size = minibatch_size
        self.tensorboard = check_folder(tensorboard, self)
        self.progress_bar = progress_bar
        self.jit_compile = settings.jit_compile if jit_compile is None else jit_compile
        self.optimize = optimize
        settings = dataclasses.replace(settings, jit_compile=self.jit_compile)

        if model is None:
            model = Model(
                dt=check_seconds(dt, "dt", self),
                label=f"{network}, dt={dt:f}",
                decoder_cache=get_default_decoder_cache(),
                builder=FastBuilder(compiled=self.jit_compile is not False),
            )
        elif not isinstance(model, Model):
            raise ValidationError(
                f"Must be a nengo.builder.Model (got {type(model).__name__})",
                attr="model",
                obj=self,
            )
        self.model = model
        if seed is None:
            if network is not None and network.seed is not None:
                seed = network.seed + 1
            else:
                seed = np.random.randint(maxint)
        self.seed = check_seed(seed, self)

        with (
            rare_collections(),
            track(progress_bar, "Building", "Build") as tracker,
        ):
            if network is not None:
                self.model.build(network, progress=tracker.next_stage("Building"))
            with tracker.next_stage("Compiling", "Compilation"):
                self._compile(settings)
        self._board: Board | None = None
        if self.tensorboard is not None:
            self._board = Board(self.tensorboard)
            self._board.graph(step_graph(self._program.step, self.model))
        self.closed = False
        self.reset(seed=seed)

    def _compile(self, settings: NetworkSettings) -> None:
        model = self.model
        self._input_signals = self._find_input_nodes()
        fixed = {
            signal: signal.initial_value
            for node, signal in self._input_signals.items()
            if is_array_like(node.output)
        }
        self._program = compile_model(
            model, self.dtype, self.minibatch_size or 1, list(fixed), settings
        )
        if not model.operators:
            raise ValidationError(
                "The model has no operators, so there is nothing to simulate",
                attr="model",
                obj=self,
            )
        periods = [
            1.0 if probe.sample_every is None else probe.sample_every / model.dt
            for probe in model.probes
        ]
        self._engine = Engine(
            self._program,
            periods,
            self.device,
            self.unroll_simulation,
            self.jit_compile,
            fixed,
        )
        self._histories = {
            probe: ProbeHistory(
                model.sig[probe]["in"].shape,
                model.sig[probe]["in"].dtype,
                self.minibatch_size is not None,
                only_last,
            )
            for probe, only_last in zip(
                model.probes, self._program.only_last, strict=True
            )
        }
        self._parameters = ParameterValues(
            self._engine, model, self.minibatch_size is not None
        )
        self.data = SimulationData(self._parameters, self._histories)
        self.signals: SignalValues | None = SignalValues(
            self._engine, model, self.minibatch_size is not None
        )

    def _find_input_nodes(self) -> dict[nengo.Node, Signal]:
        """Return the nodes whose output can be replaced, with their signals."""
        network = self.model.toplevel
        if network is None:
            return {}
        return {
            node: self.model.sig[node]["out"]
            for node in network.all_nodes
            if node.size_in == 0
            and node.output is not None
            and not isinstance(node, TensorNode)
            and self.model.sig[node].get("out") is not None
        }

    # -- properties

    @property
    def dt(self) -> float:
        """Length of a time step, in seconds."""
        return self.model.dt

    @dt.setter
    def dt(self, value: float) -> None:
        raise ReadonlyError(attr="dt", obj=self)

    @property
    def n_steps(self) -> int:
        """Number of time steps simulated since the last reset."""
        return self._engine.n_steps

    @n_steps.setter
    def n_steps(self, value: int) -> None:
        raise ReadonlyError(attr="n_steps", obj=self)

    @property
    def time(self) -> float:
        """Simulated time since the last reset, in seconds."""
        return self._engine.n_steps * self.model.dt

    @time.setter
    def time(self, value: float) -> None:
        raise ReadonlyError(attr="time", obj=self)

    @property
    def step_order(self) -> list[Operator]:
        """The model's operators in the order of Nengo's reference simulator."""
        return self._program.order

    # -- running

    def step(self, **kwargs: Any) -> None:
        """Simulate one time step.

        Parameters
        ----------
        **kwargs
            See `run_steps`. The progress bar is off by default.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(lambda t: t))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.step()
        ...     print(sim.n_steps, sim.data[probe])
        1 [[0.001]]
        """
        if not kwargs:
            self._check_open("run")
            outputs = self._engine.run_one()
            if outputs is not None:
                self._record(outputs)
                return
        kwargs.setdefault("progress_bar", False)
        self.run_steps(1, **kwargs)

    def run(self, time_in_seconds: float, **kwargs: Any) -> None:
        """Simulate for some time.

        Parameters
        ----------
        time_in_seconds : float
            Simulated time; rounded to the nearest number of time steps.
        **kwargs
            See `run_steps`.

        Raises
        ------
        ValidationError
            If the time is negative.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(lambda t: t))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run(0.005)
        ...     sim.run(0.005)  # goes on
        ...     print(sim.data[probe].shape)
        (10, 1)
        """
        if not is_number(time_in_seconds) or not 0 <= time_in_seconds < np.inf:
            raise ValidationError(
                f"Must be a positive number of seconds, or 0 (got {time_in_seconds!r})",
                attr="time_in_seconds",
                obj=self,
            )
        n_steps = int(np.round(float(time_in_seconds) / self.dt))
        if n_steps == 0:
            self._check_open("run")
            warnings.warn(
                f"{time_in_seconds} results in running for 0 timesteps. Simulator "
                f"still at time {self.time}.",
                stacklevel=2,
            )
            return
        logger.info(
            "Running %s for %f seconds, or %d steps",
            self.model.label,
            time_in_seconds,
            n_steps,
        )
        self.run_steps(n_steps, **kwargs)

    def run_steps(
        self,
        n_steps: int,
        input_feeds: Mapping[nengo.Node, np.ndarray] | None = None,
        profile: bool | Mapping[str, Any] = False,
        progress_bar: bool | ProgressBar | None = None,
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None = None,
    ) -> None:
        """Simulate some time steps: exactly as many as asked for.

        Parameters
        ----------
        n_steps : int
            Number of time steps.
        input_feeds : dict of {Node: ndarray}, optional
            Values that replace the output of input Nodes (those without input), of
            shape ``(minibatch_size, n_steps, node.size_out)``. A first axis of length 1
            stands for all items of the minibatch.
        profile : bool or dict
            Record what the run does and how long it takes, in a Chrome trace named
            ``nengo_dl_profile.json_-1``, or ``profile["path"]``; with ``"table"``:
            True, also print where the time went. Other entries are options of
            `tf.profiler.experimental.ProfilerOptions`. The compiled loop is used, also
            for few steps, and runs slower while it is recorded.
        progress_bar : bool or nengo.utils.progress.ProgressBar, optional
            Whether to show progress. Default: as given to the simulator.
        extra_feeds : dict of {reference of tf.Variable: ndarray}, optional
            Values that variables have during this run only; the keys are
            ``variable.ref()``, since variables cannot be keys of a dict.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an argument is of the wrong kind or shape.
        SimulationError
            If a function of the model fails or returns something unusable. The
            simulator then is at the end of the last chunk of steps that went well, and
            can be used further.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     node = nengo.Node([0])
        ...     probe = nengo.Probe(node)
        >>> feeds = {node: np.arange(6).reshape(2, 3, 1)}  # items, steps, size
        >>> with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        ...     sim.run_steps(3, input_feeds=feeds)
        ...     print(sim.data[probe][..., 0])
        [[0. 1. 2.]
         [3. 4. 5.]]
        """
        self._check_open("run")
        n_steps = check_positive(n_steps, "n_steps", self, least=0)
        feeds = check_feeds(
            input_feeds, self._input_signals, n_steps, self.minibatch_size or 1, self
        )
        given, profile = profile, check_profile(profile, self)
        if extra_feeds is not None:
            with temporary_values(check_extra_feeds(extra_feeds, self)):
                return self.run_steps(n_steps, input_feeds, given, progress_bar)
        if n_steps == 0:
            warnings.warn(
                f"Running for 0 timesteps. Simulator still at time {self.time}.",
                stacklevel=2,
            )
            return
        if not self._program.settings.stateful:
            self.clear_probes()
        if progress_bar is None:
            progress_bar = self.progress_bar
        if profile is None:
            self._run(n_steps, feeds, progress_bar)
        else:
            with recorded(profile, self._program.step.labels):
                self._run(n_steps, feeds, progress_bar, compiled=True)

    def _run(self, n_steps, feeds, progress_bar, compiled=False) -> None:
        if progress_bar is False and n_steps == 1:
            # too short for an interrupt to be worth handling
            for chunk in self._engine.run(1, feeds, compiled):
                self._record(chunk.outputs)
            return
        with contextlib.ExitStack() as stack:
            advance = None
            if progress_bar is not False:
                bar = track(progress_bar, "Simulating", "Simulation", n_steps)
                advance = stack.enter_context(bar).total_progress.step
            interrupt = stack.enter_context(DeferredInterrupt())
            # closed in any case, so that what a run puts back at its end is put back
            chunks = stack.enter_context(
                contextlib.closing(self._engine.run(n_steps, feeds, compiled))
            )
            for chunk in chunks:
                self._record(chunk.outputs)
                if advance is not None:
                    advance(chunk.n_steps)
                interrupt.check()

    def _record(self, outputs: Sequence[np.ndarray]) -> None:
        for history, values in zip(self._histories.values(), outputs, strict=True):
            history.append(values)

    # -- training

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
            than ``"mse"`` and None, whatever they expect after the axis of items. One
            array is enough if there is one Probe.
        optimizer : keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer or str
            Optimizer, or the name of one in Keras. Its state is kept for further calls
            with the same object (or name).
        n_epochs : int
            Number of passes through the data.
        objective : "mse" or callable or None or str or dict
            What is minimized: ``"mse"``, the mean squared error without targets that
            are NaN; a function ``f(output, target)`` of tensors of shape ``(minibatch,
            n_steps, size)``; a Keras loss or the name of one; None, where targets are
            the gradients of the loss with respect to outputs. A dict gives one for each
            Probe, or tuple of Probes (whose function gets tuples of tensors). Values
            that are not scalar are averaged; those of several Probes are summed.
        shuffle : bool
            Whether items are divided into different minibatches in each epoch.
        truncation : int, optional
            Backpropagate through this many time steps only, and update parameters after
            each such part of a minibatch; state is handed on from part to part.
        summaries : list, optional
            What to record for TensorBoard after each update: histograms of the weights
            of a Connection, the encoders of an Ensemble, the biases of Neurons;
            ``"loss"`` for losses and metrics; what a function without arguments writes
            with `tf.summary`. Needs the simulator's ``tensorboard``.
        profile : bool or dict
            Record a profile, as in `run_steps`.
        extra_feeds : dict of {tf.Variable.ref(): ndarray}, optional
            Values that variables have during this call only.
        validation : tuple of (inputs, targets), or iterable, optional
            Data to evaluate after each epoch, as the network is simulated (with
            spikes).
        metrics : dict of {str: callable}, optional
            What else to measure, in the forms of objectives.
        callbacks : list of keras.callbacks.Callback, optional
            Objects to call between minibatches and epochs. What
            `keras.callbacks.ModelCheckpoint` saves are files for `load_params`, with
            the ending ``.npz`` in place of that of Keras.
        recompute : int, optional
            Keep intermediate results for this many time steps only, and compute the
            rest again for the gradients: less memory, the same result.
        progress_bar : bool or nengo.utils.progress.ProgressBar, optional
            Whether to show progress. Default: as given to the simulator.

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
            If a loss or gradient is not finite; parameters then are those before the
            bad update.

        Notes
        -----
        Probes show every time step here, whatever their ``sample_every``. A last
        minibatch that is not full is left out, with a warning.

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
        self._check_open("train")
        recorder = find_summaries(
            summaries, self._board, self.model, self.data.get_params, self
        )
        with recorded(check_profile(profile, self), self._program.step.labels):
            return self._get_training().train(
                inputs,
                targets,
                optimizer,
                n_epochs,
                objective,
                shuffle,
                truncation,
                extra_feeds,
                validation,
                metrics,
                callbacks,
                recompute,
                self.progress_bar if progress_bar is None else progress_bar,
                recorder,
            )

    def loss(
        self,
        inputs: Any,
        targets: Any = None,
        objective: Any = "mse",
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None = None,
        training: bool = False,
    ) -> float:
        """Compute a loss; nothing is changed.

        Parameters
        ----------
        inputs, targets, objective, extra_feeds
            As for `train`.
        training : bool
            Whether neurons behave as in training, or as in simulation (with spikes).

        Returns
        -------
        float
            Mean over the minibatches.

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
        self._check_open("compute a loss")
        return self._get_training().loss(
            inputs, targets, objective, extra_feeds, training
        )

    def check_gradients(
        self,
        outputs: Any = None,
        atol: float = 1e-5,
        rtol: float = 1e-3,
        inputs: Any = None,
    ) -> GradientReport:
        """Compare the gradients that `train` uses with differences of outputs.

        Gradients with respect to inputs and trainable parameters are compared, from the
        initial state and with neurons as in training. Nothing is changed.

        Parameters
        ----------
        outputs : Probe or list of Probe, optional
            Whose gradients. Default: those of all probes.
        atol, rtol : float
            Tolerated is ``atol + rtol * abs(numeric)`` for each entry, and what the
            rounding of outputs may cause in the precision of the simulation.
        inputs : dict of {Node: ndarray} or int, optional
            Values of input Nodes, as for `train`, or a number of time steps for random
            values. Default: five steps.

        Returns
        -------
        GradientReport
            The entry with the largest error, in multiples of what is tolerated.

        Raises
        ------
        SimulationError
            If an entry differs more; the worst one is named.

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
        self._check_open("check gradients")
        return self._get_training().check_gradients(outputs, atol, rtol, inputs)

    @property
    def trainable_variables(self) -> list[tf.Variable]:
        """Variables that `train` changes; each holds parameters of one or more objects.

        Their shapes are ``(1, n_values)``, their names those of the objects.
        """
        return self._engine.storage.trained_variables

    @property
    def trainable_parameters(self) -> TrainableParameters:
        """What `train` changes, with names and shapes; printed, it is a table."""
        return find_trainable_parameters(self._parameters)

    def _get_training(self) -> Training:
        if self._training is None:
            self._training = Training(
                self._engine, self.model, self._input_signals, self.seed, self
            )
        return self._training

    # -- state

    def reset(self, seed: int | None = None) -> None:
        """Return to the state in which the simulator was made.

        Parameters
        ----------
        seed : int, optional
            New seed of random processes; it stays the simulator's seed.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(nengo.processes.WhiteNoise()))
        >>> with nengo_dl.Simulator(net, seed=1, progress_bar=False) as sim:
        ...     sim.run_steps(5)
        ...     first = sim.data[probe].copy()
        ...     sim.reset()
        ...     sim.run_steps(5)
        ...     print(np.array_equal(first, sim.data[probe]))
        True
        """
        self._check_open("reset")
        if seed is not None:
            self.seed = check_seed(seed, self)
        self._engine.storage.reset_parameters()
        self._engine.reset(self.seed)
        self._parameters.forget()
        self._training: Training | None = None
        self.clear_probes()

    def soft_reset(
        self, include_trainable: bool = False, include_probes: bool = False
    ) -> None:
        """Reset the internal state and the time; random streams and parameters go on.

        Parameters
        ----------
        include_trainable : bool
            Also undo what training changed.
        include_probes : bool
            Also clear probe data.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(lambda t: t))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run_steps(5)
        ...     sim.soft_reset()
        ...     print(sim.n_steps, len(sim.data[probe]))
        ...     sim.soft_reset(include_probes=True)
        ...     print(len(sim.data[probe]))
        0 5
        0
        """
        self._check_open("reset")
        if include_trainable:
            self._engine.storage.reset_parameters()
            self._parameters.forget()
        self._engine.soft_reset()
        if include_probes:
            self.clear_probes()

    def clear_probes(self) -> None:
        """Forget all probe data.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node([1]))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run_steps(5)
        ...     sim.clear_probes()
        ...     print(sim.n_steps, len(sim.data[probe]))
        5 0
        """
        for history in self._histories.values():
            history.clear()

    def trange(
        self, sample_every: float | None = None, dt: float | None = None
    ) -> np.ndarray:
        """Return the times of probed data; the first is ``dt``, not 0.

        Parameters
        ----------
        sample_every : float, optional
            Sampling period of a probe, in seconds. Default: every time step.
        dt : float, optional
            Deprecated name of ``sample_every``.

        Returns
        -------
        (n_samples,) ndarray
            Times in seconds.

        Raises
        ------
        ValidationError
            If both arguments are given.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node([1]), sample_every=0.002)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run_steps(4)
        ...     print(sim.trange(), sim.trange(sample_every=0.002))
        [0.001 0.002 0.003 0.004] [0.002 0.004]
        """
        if dt is not None:
            if sample_every is not None:
                raise ValidationError(
                    "Cannot specify both `dt` and `sample_every`. "
                    "Use `sample_every` only.",
                    attr="dt",
                    obj=self,
                )
            warnings.warn(
                "`dt` is deprecated. Use `sample_every` instead.",
                DeprecationWarning,
                stacklevel=2,
            )
            sample_every = dt
        if sample_every is None:
            period = 1.0
        else:
            period = check_seconds(sample_every, "sample_every", self) / self.dt
        steps = np.arange(1, self.n_steps + 1)
        return self.dt * steps[steps % period < 1]

    # -- parameters

    def save_params(
        self,
        path: str | os.PathLike,
        include_global: bool = True,
        include_local: bool = False,
    ) -> Path:
        """Save parameters in a file that NumPy can read.

        Parameters
        ----------
        path : str or os.PathLike
            File name; ``.npz`` is appended if it is missing. A file that exists is
            replaced as a whole, or not at all if something goes wrong.
        include_global : bool
            Save parameters: encoders, gains, biases and weights, those that learning
            rules changed too (for each item of the minibatch), and what an optimizer
            needs to continue.
        include_local : bool
            Save the state of the simulation, for each item of the minibatch: voltages,
            filters and the like, the time and the random streams. A simulation that
            loads parameters and state goes on as if it had not been interrupted.
            Probe data is not saved, nor what functions of Nodes keep.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If there is nothing to save, or the path is none.
        OSError
            If the file cannot be written.

        Notes
        -----
        Entries are named after the objects of the network, such as
        ``net.networks[0].ensembles[1].bias``; see `nengo_dl.parameters.saving`.

        Examples
        --------
        >>> import tempfile
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         path = sim.save_params(f"{folder}/params")
        ...     with np.load(path) as file:
        ...         print(file["net.ensembles[0].bias"].shape)
        (10,)
        """
        self._check_open("save parameters")
        return save_parameters(
            self._parameters, path, include_global, include_local, self._extras()
        )

    def load_params(
        self,
        path: str | os.PathLike,
        include_global: bool = True,
        include_local: bool = False,
        objects: Iterable[Any] | Mapping[Any, str] | None = None,
        item: int | None = None,
    ) -> LoadReport:
        """Load what `save_params` saved: all that is asked for, or nothing.

        Parameters
        ----------
        path : str or os.PathLike
            File name, with or without ``.npz``.
        include_global : bool
            Load parameters.
        include_local : bool
            Load the state of the simulation, saved with the same minibatch size, and
            go on from the time at which it was saved.
        objects : list of objects, or dict of {object: str}, optional
            Load only the parameters of these Ensembles, Connections, Probes and
            Networks; the rest of the file does not matter then. A dict gives the names
            that they have in the file, such as ``{ens: "net.ensembles[3]"}``.
        item : int, optional
            Use what the file says for this item of its minibatch, for all items here.

        Returns
        -------
        LoadReport
            Which entries were loaded, and which were not.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If the file is damaged or does not fit the network. Nothing is changed.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         path = sim.save_params(f"{folder}/params")
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         report = sim.load_params(path)
        >>> report.skipped
        {}
        """
        self._check_open("load parameters")
        return load_parameters(
            self._parameters,
            path,
            include_global,
            include_local,
            objects,
            item,
            self._extras(),
        )

    def _extras(self) -> dict[str, Extra]:
        """Return what is saved with parameters, by the prefix of its entries."""
        return {
            "optimizer": TrainingState(
                self._parameters,
                None if self._training is None else self._training.trainer,
                lambda: self._get_training().trainer,
            )
        }

    def freeze_params(self, objs: Any, item: int = 0) -> Frozen:
        """Store current parameters in the definitions of the user's objects.

        The network then gives the same output in other simulators, such as
        `nengo.Simulator`, if they are made with the same seed.

        Parameters
        ----------
        objs : Network or Ensemble or Connection or Probe, or list of them
            Parts of the simulated network; they are changed in place.
        item : int
            Which item of a minibatch to take learned values from.

        Returns
        -------
        Frozen
            ``frozen.undo()`` restores what the objects were defined with.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        TypeError
            If something is no such object.
        ValidationError
            If an object is not part of the simulated network, or has no parameters.

        Notes
        -----
        Ensembles get encoders, gains, biases and, if they had none, the seed with which
        they were built (it decides in which state neurons start). Connections get a
        solver that returns their weights, or a transform that holds them. Of a network,
        probes get solvers too, so that they decode as they did. Neuron types, synapses,
        learning rules and random processes stay as they are.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     frozen = sim.freeze_params(net)
        >>> type(ensemble.bias).__name__, ensemble.bias.shape
        ('ndarray', (10,))
        >>> frozen.undo()
        >>> ensemble.bias is None
        True
        """
        self._check_open("freeze parameters")
        return freeze(self._parameters, objs, item)

    def get_nengo_params(
        self, nengo_objs: Any, as_dict: bool = False, item: int = 0
    ) -> dict[str, Any] | list[dict[str, Any]] | dict[str, dict[str, Any]]:
        """Return current parameters as arguments for new Nengo objects.

        Parameters
        ----------
        nengo_objs : Ensemble or Neurons or Connection, or list of them
            Objects of the simulated network.
        as_dict : bool
            Return a dict with the objects' labels as keys instead of a list.
        item : int
            Which item of a minibatch to take learned values from.

        Returns
        -------
        dict or list of dict or dict of {str: dict}
            For one object, keyword arguments for a new one with the same parameters
            (its sizes, radius, neuron type and synapse are given as always). For
            several objects, a list of such dicts, or a dict with their labels.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an object has no parameters or is not part of the network, or labels are
            not unique.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     params = sim.get_nengo_params(ensemble)
        >>> sorted(params)
        ['bias', 'encoders', 'gain', 'normalize_encoders']
        >>> with nengo.Network():
        ...     same = nengo.Ensemble(10, 1, **params)
        """
        self._check_open("get parameters")
        if not isinstance(nengo_objs, Iterable) or isinstance(nengo_objs, ONE_OBJECT):
            return nengo_arguments(self._parameters, [nengo_objs], item)[0]
        nengo_objs = list(nengo_objs)
        arguments = nengo_arguments(self._parameters, nengo_objs, item)
        return by_label(nengo_objs, arguments) if as_dict else arguments

    # -- inspection

    def summary(self) -> Summary:
        """Describe what became of the network; print the result to read it.

        Returns
        -------
        Summary
            Numbers of objects and of operators after each pass, groups of operators,
            parameters and their sizes, time of compilation, and what keeps the loop
            from being compiled as a whole. Notebooks show it as HTML.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     probe = nengo.Probe(nengo.Ensemble(10, 1))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     text = str(sim.summary())
        """
        return summarize(self._engine, self.model, self._parameters)

    def spike_rates(
        self,
        ensembles: Iterable[nengo.Ensemble] | nengo.Ensemble | None = None,
        start: float = 0.0,
        saturation: float = 0.9,
    ) -> SpikeRates:
        """Measure how fast neurons fired, from what their probes recorded.

        Parameters
        ----------
        ensembles : Ensemble or list of Ensemble, optional
            Which ensembles. Default: all of which ``ens.neurons`` is probed.
        start : float
            Time to leave out at the beginning, in seconds.
        saturation : float
            Share of the largest possible rate (the inverse of the refractory period)
            from which on a neuron counts as saturated.

        Returns
        -------
        SpikeRates
            For each ensemble, the rates, and which neurons were dead (silent all the
            time, for all items of a minibatch) or saturated. Print it for a table;
            ``plot()`` draws histograms.

        Raises
        ------
        ValidationError
            If no neurons are probed, or nothing was recorded.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1, label="ens")
        ...     _ = nengo.Probe(ensemble.neurons)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run(0.1)
        ...     rates = sim.spike_rates()
        >>> print(rates)
        Firing rates in Hz, over 0.1 s
          ensemble  neurons  mean  median  largest     dead  saturated
          ens            10  65.0     0.0    240.0  6 (60%)     0 (0%)
        """
        return measure_rates(
            self.model, self._histories, self.n_steps, ensembles, start, saturation
        )

    # -- life cycle

    def close(self) -> None:
        """Free what the simulation holds; data stays readable.

        Any further `run`, `step` or `reset` raises `nengo.exceptions.SimulatorClosed`.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node([1]))
        >>> sim = nengo_dl.Simulator(net, progress_bar=False)
        >>> sim.run_steps(2)
        >>> sim.close()
        >>> sim.data[probe].shape
        (2, 1)
        """
        self.closed = True
        self.signals = None
        if self._board is not None:
            self._board.close()

    def _check_open(self, action: str) -> None:
        if self.closed:
            raise SimulatorClosed(f"Cannot {action}: the simulator is closed")

    def __enter__(self) -> Simulator:
        if self.closed:
            raise SimulatorClosed("Cannot re-open: the simulator is closed")
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        """Warn if the simulator was not closed."""
        if not getattr(self, "closed", True):
            warnings.warn(
                f"Simulator with model={self.model} was deallocated while open. "
                "Close it with sim.close(), or use it in a with statement.",
                ResourceWarning,
                stacklevel=2,
            )

    def __getstate__(self) -> dict[str, Any]:
        if self._board is not None:
            self._board.flush()
        return {
            "arguments": {
                "model": self.model,
                "dtype": self.dtype.name,
                "device": self.device,
                "unroll_simulation": self.unroll_simulation,
                "minibatch_size": self.minibatch_size,
                "tensorboard": self.tensorboard,
                "progress_bar": self.progress_bar,
                "jit_compile": self.jit_compile,
                "optimize": self.optimize,
                "seed": self.seed,
            },
            "engine": self._engine.storage.save(),
            "continuation": Continuation(self._parameters).save(),
            "parameters": self._parameters.save(),
            "extras": {name: extra.save() for name, extra in self._extras().items()},
            "histories": list(self._histories.values()),
            "closed": self.closed,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(network=None, **state["arguments"])  # type: ignore[misc]
        self._engine.storage.load(state["engine"])
        Continuation(self._parameters).load(state["continuation"])
        self._parameters.load(state["parameters"])
        for name, extra in self._extras().items():
            extra.load(state["extras"][name])
        self._histories.update(zip(self._histories, state["histories"], strict=True))
        if state["closed"]:
            self.close()
