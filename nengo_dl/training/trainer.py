"""Training and evaluation: what happens with minibatches, epochs and parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np
import tensorflow as tf
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.compiler.trainability import name_of_parameter
from nengo_dl.execution.session import Session
from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.averages import Averages
from nengo_dl.training.computation import Computation
from nengo_dl.training.data import ArrayData, StreamData
from nengo_dl.training.delays import Reach, delay_warning, find_reach
from nengo_dl.training.finite_checks import not_finite
from nengo_dl.training.first_look import currents, idle_neurons
from nengo_dl.training.functions import TrainingFunctions
from nengo_dl.training.gradient_paths import check_paths
from nengo_dl.training.history import TrainingHistory
from nengo_dl.training.inputs import Part, TrainingInputs
from nengo_dl.training.optimizers import Optimizers
from nengo_dl.training.summaries import TrainingSummaries
from nengo_dl.training.terms import Term
from nengo_dl.training.trained_parameters import TrainedParameters

__all__ = ["Trainer", "TrainingOptions"]


@dataclass
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    n_epochs : int
        Number of passes through the data.
    shuffle : bool
        Whether each epoch has an order of its own.
    truncation : int or None
        Number of steps after which parameters are updated and gradients end.
    segment : int or None
        Number of steps whose intermediate results are kept at once.
    metrics : dict of {str: Term}
        What to measure besides the loss.
    validation : ArrayData or StreamData or None
        Data to measure the loss with after each epoch.
    validation_rates : bool or None
        Whether validation uses the rates that training uses, or spikes; None: rates for
        data of one step.
    callbacks : KerasCallbacks or None
        Objects whose methods are called between minibatches and epochs.
    first_epoch : int
        Number of the first epoch; those before count towards ``n_epochs``.
    finalizes : bool
        Whether the optimizer may replace trained values at the end, such as by their
        averages.
    validated : callable
        Whether an epoch ends with validation.
    summaries : TrainingSummaries or None
        Records losses and parameters after each update.
    report : callable
        Called with epoch, number of epochs and loss after each minibatch.
    """

    n_epochs: int = 1
    shuffle: bool = True
    truncation: int | None = None
    segment: int | None = None
    metrics: Mapping[str, Term] = field(default_factory=dict)
    validation: ArrayData | StreamData | None = None
    validation_rates: bool | None = None
    callbacks: Any = None
    summaries: TrainingSummaries | None = None
    first_epoch: int = 0
    finalizes: bool = True
    validated: Callable[[int], bool] = lambda epoch: True
    report: Callable[[int, int, float], None] = lambda epoch, n_epochs, loss: None


class Trainer:
    """Trains the parameters of a session; its state and random streams stay.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    seed : int
        Seed of the order of minibatches, and of random inputs during training.
    owner : object
        For error messages.

    Attributes
    ----------
    n_updates : int
        How often parameters were updated, in all calls of `train`.
    inputs : TrainingInputs
        Makes tensors of minibatches.
    functions : TrainingFunctions
        Compute losses of minibatches, and updates.
    """

    def __init__(self, session: Session, model: Model, seed: int, owner: object):
        self.n_updates = 0
        self.session = session
        self.model = model
        self.owner = owner
        self.seed = seed
        self.rng = np.random.RandomState(seed)
        self.probes = list(model.probes)
        #: probes whose last step alone is seen by objectives
        self.only_last = {
            probe
            for probe, sampling in zip(self.probes, session.plan.sampling, strict=True)
            if sampling.only_last
        }
        self.minibatch = session.step.config.minibatch_size
        self.inputs = TrainingInputs(session, self.probes, self.only_last)
        self.functions = TrainingFunctions(
            session, model, self.inputs.host, self.probes, self.only_last
        )
        self._parameters: TrainedParameters | None = None
        self._optimizers: Optimizers | None = None
        self._state: list[tf.Tensor] = []
        self._version: int | None = None
        self._said: set[str] = set()
        self._looked_at_neurons = False
        self._reach: dict[tuple[nengo.Probe, ...], dict[Signal, Reach]] = {}

    # -- what is trained

    def observing_rng(self) -> np.random.RandomState:
        """Return a random stream for what observes: training draws from another one.

        It always begins anew, so that losses are compared under equal noise.
        """
        return np.random.RandomState([self.seed, 1])

    @property
    def state(self) -> list[tf.Tensor]:
        """State at the beginning of each minibatch."""
        store = self.session.store
        if self._version != store.lasting.version:
            with tf.init_scope():
                self._state = [tf.constant(v) for v in store.training_state]
            self._version = store.lasting.version
        return self._state

    @property
    def parameters(self) -> TrainedParameters:
        """What is trained, as the user sees it."""
        if self._parameters is None:
            self._parameters = TrainedParameters(self.session, self.model)
        return self._parameters

    @property
    def optimizers(self) -> Optimizers:
        """The optimizers that were used, with what they remember."""
        if self._optimizers is None:
            self._optimizers = Optimizers(self.parameters, self.owner)
        return self._optimizers

    def reset(self, seed: int) -> None:
        """Begin anew: random streams, the count of updates, and optimizers.

        What was compiled stays.
        """
        self.n_updates = 0
        self.seed = seed
        self.rng.seed(seed)
        if self._optimizers is not None:
            self._optimizers.reset()

    def check_parameters(self, terms: Sequence[Term]) -> tuple[bool, ...]:
        """Raise if no parameter can be trained; warn of those without a gradient.

        Returns
        -------
        tuple of bool
            For each of the `parameters`, whether it has a gradient.
        """
        reached = check_paths(
            self.session.plan.split.device,
            self._outputs_of(terms).values(),
            self._parameter_names,
            self.owner,
        )
        return tuple(piece.signal.base in reached for piece in self.parameters.pieces)

    def _look_first(self, terms: Sequence[Term], part: Part) -> None:
        """Warn of what cannot be learned, before the first update."""
        outputs = self._outputs_of(terms)
        key = tuple(outputs)
        if key not in self._reach:
            operators = self.session.plan.split.device
            self._reach[key] = find_reach(operators, outputs.values(), self.model.dt)
        reach = self._reach[key]
        names, n_steps = self._parameter_names, part.minibatch.n_steps
        messages = [delay_warning(reach, names, n_steps, list(outputs), self.model)]
        if not self._looked_at_neurons:
            self._looked_at_neurons = True
            program = self.functions.programs.step(True)
            constants = self.session.store.variables.constants
            with tf.device(self.session.placement.device):
                inputs = currents(
                    program,
                    [tf.convert_to_tensor(constant) for constant in constants],
                    self.state,
                    part,
                )
            messages.append(idle_neurons(inputs, program.config, reach, self.model))
        for message in messages:
            if message is not None:
                warn_user(message)

    def _outputs_of(self, terms: Sequence[Term]) -> dict[nengo.Probe, Signal]:
        """Return what the probes of terms show."""
        probes = dict.fromkeys(probe for term in terms for probe in term.probes)
        return {probe: self.model.sig[probe]["in"].base for probe in probes}

    @property
    def _parameter_names(self) -> dict[Signal, str]:
        trainable = self.session.plan.trainable
        return {p.signal.base: name_of_parameter(p) for p in trainable}

    # -- training and evaluation

    def train(
        self,
        data: ArrayData | StreamData,
        optimizer: Any,
        terms: Sequence[Term],
        options: TrainingOptions,
    ) -> TrainingHistory:
        """Train; see ``Simulator.train``."""
        reached = self.check_parameters(terms)
        self.session.store.take_changes()
        optimizer, update = self.optimizers.prepare(optimizer)
        computation = Computation(
            terms, options.metrics, update, options.segment, True, reached
        )
        history = TrainingHistory()
        callbacks = options.callbacks
        first_epoch = options.first_epoch
        if callbacks is not None:
            callbacks.model.first_epoch = first_epoch
            self._tell(callbacks.begin, optimizer, options.n_epochs, data.n_minibatches)
            # which one it is may have been saved with the weights
            first_epoch = callbacks.model.first_epoch
        try:
            with DeferredInterrupt() as interrupt:
                for epoch in range(first_epoch, options.n_epochs):
                    values = self._epoch(
                        epoch, data, computation, options, history, interrupt
                    )
                    history.add_epoch(values)
                    if options.summaries is not None:
                        options.summaries.after_epoch(self.n_updates, values)
                    if callbacks is not None and self._tell(
                        callbacks.end_epoch, epoch, values
                    ):
                        break
        finally:
            self.publish()
        if options.finalizes:
            update.finalize()
        if callbacks is not None:
            self._tell(callbacks.end)
        return history

    def _tell(self, method: Callable, *args: Any) -> Any:
        """Call a method of callbacks, which see parameters and may change them."""
        self.publish()
        result = method(*args)
        self.session.store.take_changes()
        return result

    def _tell_of_batch(self, callbacks: Any, method: Callable, *args: Any) -> Any:
        """Call a method of callbacks, with parameters only where they look at them."""
        return self._tell(method, *args) if callbacks.sees_batches else method(*args)

    def _epoch(self, epoch, data, computation, options, history, interrupt):
        callbacks = options.callbacks
        if callbacks is not None:
            self._tell(callbacks.begin_epoch, epoch)
        found = Averages(computation.metrics)
        minibatches = data.epoch(self.rng if options.shuffle else None)
        prepared = self.inputs.prepare(
            minibatches, self.rng, options.truncation, data.in_memory
        )
        # closed before anything else: what is made ahead uses the same host
        with contextlib.closing(prepared):
            for number, parts in enumerate(prepared):
                if callbacks is not None:
                    self._tell_of_batch(callbacks, callbacks.begin_batch, number)
                if not history.batch_losses:
                    self._look_first(computation.terms, parts[0])
                where = f"epoch {epoch + 1}, minibatch {number + 1}"
                results = self._update(parts, computation, options, history, where)
                loss = found.add(results, parts[0].minibatch.n_items)
                options.report(epoch, options.n_epochs, loss)
                if callbacks is not None and self._tell_of_batch(
                    callbacks, callbacks.end_batch, number, found.running
                ):
                    break
                interrupt.check()
        if not found.losses:
            raise ValidationError(
                "There is no minibatch in this epoch; give data that can be iterated "
                "again, such as a function that returns a generator",
                attr="inputs",
                obj=self.owner,
            )
        terms, metrics = computation.terms, computation.metrics
        history.add_probe_losses([term.probes for term in terms], found.of_terms())
        values = found.values()
        if options.validation is not None and options.validated(epoch):
            self.publish()
            others = self.evaluate(
                options.validation,
                terms,
                metrics,
                rates=options.validation_rates,
                callbacks=callbacks,
            )
            values.update((f"val_{name}", value) for name, value in others.items())
        return values

    def _update(self, parts, computation, options, history, where) -> list[dict]:
        """Update the parameters for one minibatch; return what was measured."""
        results = []
        for result in self._steps(parts, computation, self.state):
            if not bool(result["ok"].numpy()):
                variables = self.session.store.trained_variables
                raise not_finite(result, computation.terms, variables, where)
            self._record(result["losses"], computation.terms, options, history)
            results.append({k: result[k] for k in ("losses", "metrics")})
        return results

    def _record(self, losses, terms, options, history) -> None:
        """Count an update, and keep its losses."""
        self.n_updates += 1
        if options.summaries is not None:
            seen = ~np.ma.getmaskarray(losses)
            options.summaries.after_update(
                self.n_updates,
                [t for t, is_seen in zip(terms, seen, strict=True) if is_seen],
                np.asarray(losses[seen]),
            )
        history.batch_losses.append(float(losses.sum()))

    def evaluate(
        self,
        data: ArrayData | StreamData,
        terms: Sequence[Term],
        metrics: Mapping[str, Term],
        training: bool = False,
        rates: bool | None = False,
        callbacks: Any = None,
    ) -> dict[str, float]:
        """Return the mean loss and metrics over data.

        Parameters
        ----------
        data : ArrayData or StreamData
            Inputs and targets.
        terms, metrics
            What to measure.
        training : bool
            Whether neurons and layers behave as in training.
        rates : bool or None
            Whether neurons do, and layers do not. None: if the data has one step.
        """
        self.session.store.take_changes()
        found = Averages(metrics)
        state = list(self.state)
        prepared = self.inputs.prepare(
            data.epoch(None), self.observing_rng(), in_memory=data.in_memory
        )
        if callbacks is not None:
            self._tell(callbacks.begin_test)
        with contextlib.closing(prepared):
            for number, parts in enumerate(prepared):
                if callbacks is not None:
                    callbacks.begin_test_batch(number)
                minibatch = parts[0].minibatch
                if rates is None:
                    rates = self._uses_rates(minibatch.n_steps)
                elif not (training or rates or found.losses):
                    self._warn_of_one_spike(minibatch.n_steps)
                computation = Computation(
                    terms, metrics, training=training or rates, layers_train=training
                )
                results = list(self._steps(parts, computation, state))
                found.add(results, minibatch.n_items)
                if callbacks is not None:
                    callbacks.end_test_batch(number, found.running)
        if not found.losses:
            raise ValidationError(
                "There is no minibatch to evaluate; give data that can be iterated "
                "again, such as a function that returns a generator",
                attr="inputs",
                obj=self.owner,
            )
        if callbacks is not None:
            self._tell(callbacks.end_test, found.values())
        return found.values()

    def predict(
        self, data: ArrayData | StreamData, callbacks: Any
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return what all probes show, for each item from the initial state."""
        self.session.store.take_changes()
        state = list(self.state)
        shown: list[list[np.ndarray]] = [[] for _ in self.probes]
        prepared = self.inputs.prepare(
            data.epoch(None), self.observing_rng(), in_memory=data.in_memory
        )
        self._tell(callbacks.begin_predict)
        for number, parts in enumerate(prepared):
            callbacks.begin_predict_batch(number)
            rates = self._uses_rates(parts[0].minibatch.n_steps)
            computation = Computation(
                (), training=rates, layers_train=False, shows=True
            )
            (result,) = self._steps(parts, computation, state)
            outputs = [value.numpy() for value in result["shown"]]
            for values, output in zip(shown, outputs, strict=True):
                values.append(output)
            callbacks.end_predict_batch(number, outputs)
        self._tell(callbacks.end_predict)
        found = zip(self.probes, shown, strict=True)
        return {probe: np.concatenate(values) for probe, values in found}

    def _uses_rates(self, n_steps: int) -> bool:
        """Return whether to validate with rates, and say so once."""
        if n_steps > 1 or not self.functions.programs.rates_replace_spikes:
            return False
        self._say_once(
            "The validation data has one time step, so it is evaluated with the rates "
            "that training uses: a single step of spikes says nothing about them. Pass "
            "validation_rates=False for spikes, True for rates without this message"
        )
        return True

    def _warn_of_one_spike(self, n_steps: int) -> None:
        if n_steps == 1 and self.functions.programs.rates_replace_spikes:
            self._say_once(
                "This is the loss of one time step of spikes, which says little about "
                "the rates that were trained. Use loss(..., training=True) for these, "
                "validation_rates=True in train, or give data of many steps"
            )

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            warn_user(message)

    def publish(self) -> None:
        """Show trained values to whatever else holds them."""
        store = self.session.store
        if store.lasting.carried:
            store.keep_state([value.numpy() for value in self.state])
        store.publish_trained()

    def _steps(
        self, parts: Sequence[Part], computation: Computation, start: list[tf.Tensor]
    ) -> Iterator[dict]:
        """Run one minibatch, in parts if gradients are truncated.

        The losses in the results are masked where a term waits for the last part. What
        lasts of the state at the end is where the next minibatch starts.
        """
        state: Sequence[tf.Tensor] = start
        dtype = self.session.step.config.dtype
        for part in parts:
            waiting = np.array(
                [
                    not part.is_last and not self.only_last.isdisjoint(term.probes)
                    for term in computation.terms
                ],
                dtype=bool,
            )
            now = computation
            if waiting.any():
                now = computation.without(self.only_last)
            self.inputs.start_chunk(part.minibatch, part.start)
            result = self.functions.run(now, state, part)
            losses = result["losses"].numpy()
            if waiting.any():
                all_losses = np.ma.masked_all(len(waiting), dtype)
                all_losses[~waiting] = losses
                losses = all_losses
            state = result["state"]
            if computation.shows or not waiting.all():
                # not the state, which would be kept as long as the results
                measured = {k: v for k, v in result.items() if k != "state"}
                yield {**measured, "losses": losses, "part": part}
        for number in self.session.store.lasting.carried:
            start[number] = state[number]
