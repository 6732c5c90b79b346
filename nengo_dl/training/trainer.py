"""Training: what happens with minibatches, epochs and parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.compiler.trainability import name_of_parameter
from nengo_dl.execution.session import Session
from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.agreement import facts_of_data
from nengo_dl.training.averages import Averages
from nengo_dl.training.computation import Computation
from nengo_dl.training.course import Course
from nengo_dl.training.data import ArrayData, StreamData
from nengo_dl.training.delays import Reach, delay_warning, find_reach
from nengo_dl.training.evaluator import Evaluator
from nengo_dl.training.finite_checks import not_finite
from nengo_dl.training.first_look import currents, idle_neurons
from nengo_dl.training.gradient_paths import check_paths
from nengo_dl.training.history import TrainingHistory
from nengo_dl.training.inputs import Part
from nengo_dl.training.optimizers import Optimizers
from nengo_dl.training.summaries import TrainingSummaries
from nengo_dl.training.team import Team
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
    stateful : bool
        Whether training is a part of the simulation, which goes on: minibatches begin
        where the ones before ended.
    team : Team
        The processes that train together; mostly this one alone.
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
    stateful: bool = False
    team: Team = field(default_factory=Team)
    report: Callable[[int, int, float], None] = lambda epoch, n_epochs, loss: None


class Trainer(Evaluator):
    """Trains the parameters of a session; its state and random streams stay.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    seed : int
        Seed of the order of minibatches, and of random inputs during training.

    Attributes
    ----------
    n_updates : int
        How often parameters were updated, in all calls of `train`.
    """

    def __init__(self, session: Session, model: Model, seed: int):
        super().__init__(session, model, seed)
        self.n_updates = 0
        self.rng = np.random.RandomState(seed)
        self._parameters: TrainedParameters | None = None
        self._optimizers: Optimizers | None = None
        self._looked_at_neurons = False
        self._reach: dict[tuple[nengo.Probe, ...], dict[Signal, Reach]] = {}

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
            self._optimizers = Optimizers(self.parameters)
        return self._optimizers

    def forget_updates(self) -> None:
        """Begin anew with optimizers and the count of updates."""
        self.n_updates = 0
        if self._optimizers is not None:
            self._optimizers.reset()

    def restart_streams(self, seed: int) -> None:
        """Start random streams again."""
        self.seed = seed
        self.rng.seed(seed)

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
        team, callbacks = options.team, options.callbacks
        computation = Computation(
            *(terms, options.metrics, update, options.segment, True, reached),
            messages=team.messages,
        )
        team.begin(
            *("train", lambda: _facts(data, terms, options), self.state),
            *(update, callbacks, data.in_memory),
        )
        self.n_updates = team.take_counts(self.n_updates, self.rng)
        history = TrainingHistory()
        course = Course(self.session) if options.stateful else None
        first_epoch = options.first_epoch
        if callbacks is not None:
            callbacks.model.first_epoch = first_epoch
            told = optimizer, options.n_epochs, data.n_minibatches
            self._tell(callbacks, callbacks.begin, *told)
            # which one it is may have been saved with the weights
            first_epoch = callbacks.model.first_epoch
        team.agree()
        first_epoch = team.first_epoch(first_epoch)
        try:
            with (
                DeferredInterrupt() as team.interrupt,
                self._together(team),
                self._going_on(course),
            ):
                for epoch in range(first_epoch, options.n_epochs):
                    values = self._epoch(
                        epoch, data, computation, options, history, course
                    )
                    history.add_epoch(values)
                    if options.summaries is not None:
                        options.summaries.after_epoch(self.n_updates, values)
                    stop = callbacks is not None and self._tell(
                        callbacks, callbacks.end_epoch, epoch, values
                    )
                    if team.agree(stop):
                        break
        finally:
            self.publish()
        if options.finalizes:
            update.finalize()
        if callbacks is not None:
            self._tell(callbacks, callbacks.end)
        team.agree()
        return history

    def _epoch(self, epoch, data, computation, options, history, course=None):
        """Go through the data once; return losses and metrics.

        Long because it is the order in which everything happens in an epoch.
        """
        callbacks, team = options.callbacks, options.team
        if callbacks is not None:
            self._tell(callbacks, callbacks.begin_epoch, epoch)
        team.agree()
        team.begin_epoch(self.state)
        found = Averages(computation.metrics)
        minibatches = data.epoch(self.rng if options.shuffle else None)
        prepared = self.inputs.prepare(
            minibatches, self.rng, options.truncation, data.in_memory, course
        )
        # closed before anything else: what is made ahead uses the same host
        truncated = options.truncation is not None
        shared = team.minibatches(prepared, truncated)
        with contextlib.closing(prepared):
            for number, parts in enumerate(shared):
                if callbacks is not None:
                    self._tell_of_batch(callbacks, callbacks.begin_batch, number)
                team.agree(of_batch=True)
                if not history.batch_losses and team.is_first:
                    self._look_first(computation.terms, parts[0])
                where = f"epoch {epoch + 1}, minibatch {number + 1}"
                results = self._update(
                    parts,
                    computation,
                    options,
                    history,
                    where,
                    found.variables,
                    course,
                )
                if not results:  # no process has a minibatch
                    break
                loss = found.add(results, team.n_items(results, parts[0]))
                options.report(epoch, options.n_epochs, loss)
                stop = callbacks is not None and self._tell_of_batch(
                    callbacks, callbacks.end_batch, number, found.running
                )
                if team.agree(stop, of_batch=True):
                    break
                team.check_interrupt(results)
        if not found.losses:
            raise ValidationError(
                "There is no minibatch in this epoch; give data that can be iterated "
                "again, such as a function that returns a generator",
                attr="inputs",
            )
        team.average(self.state)
        terms, metrics = computation.terms, computation.metrics
        history.add_probe_losses([term.probes for term in terms], found.of_terms())
        values = found.values()
        if options.validation is not None and options.validated(epoch):
            self.publish()
            self.session.store.take_changes()
            others = self._measure(
                *(options.validation, terms, metrics, team),
                rates=options.validation_rates,
                callbacks=callbacks,
            )
            values.update((f"val_{name}", value) for name, value in others.items())
        return values

    def _update(
        self, parts, computation, options, history, where, variables, course=None
    ) -> list[dict]:
        """Update the parameters for one minibatch; return what was measured."""
        results = []
        steps = self._steps(parts, computation, self.state, variables, course)
        for result in steps:
            if not bool(result["ok"].numpy()):
                variables = self.session.store.trained_variables
                causes = options.team.causes
                raise not_finite(result, computation.terms, variables, where, causes)
            self._record(result["losses"], computation.terms, options, history)
            kept = ("losses", "metrics", "flags")
            results.append({k: result[k] for k in kept if k in result})
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


def _facts(data, terms, options: TrainingOptions) -> dict[str, str]:
    """Return what processes that train together must agree about."""
    return {
        "the data": facts_of_data(data),
        "the validation data": facts_of_data(options.validation),
        "the objectives": str([(term.name, len(term.probes)) for term in terms]),
        "the metrics": str(list(options.metrics)),
        "n_epochs": str(options.n_epochs),
        "shuffle": str(options.shuffle),
        "truncation": str(options.truncation),
    }
