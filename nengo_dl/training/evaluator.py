"""What minibatches give while parameters stay: losses, metrics, outputs of probes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model

from nengo_dl.execution.session import Session
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.agreement import facts_of_data
from nengo_dl.training.averages import Averages
from nengo_dl.training.computation import Computation
from nengo_dl.training.course import Course
from nengo_dl.training.data import ArrayData, StreamData
from nengo_dl.training.functions import TrainingFunctions
from nengo_dl.training.inputs import Part, TrainingInputs
from nengo_dl.training.single_steps import SingleSteps
from nengo_dl.training.team import Team
from nengo_dl.training.terms import Term

__all__ = ["Evaluator"]


class Evaluator:
    """Runs minibatches from the state of a session; its state and streams stay.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    seed : int
        Seed of random inputs.

    Attributes
    ----------
    inputs : TrainingInputs
        Makes tensors of minibatches.
    functions : TrainingFunctions
        Compute losses of minibatches, and updates.
    """

    def __init__(self, session: Session, model: Model, seed: int):
        self.session = session
        self.model = model
        self.seed = seed
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
        self._state: list[tf.Tensor] = []
        self._version: int | None = None
        self._single_steps = SingleSteps(self.functions.programs)

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

    def evaluate(
        self,
        data: ArrayData | StreamData,
        terms: Sequence[Term],
        metrics: Mapping[str, Term],
        training: bool = False,
        rates: bool | None = False,
        callbacks: Any = None,
        stateful: bool = False,
        method: str = "loss",
        team: Team | None = None,
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
        callbacks : KerasCallbacks or None
            Objects to call.
        stateful : bool
            Whether this is a part of the simulation, which goes on.
        method : str
            The method of the simulator that asks, for messages.
        team : Team, optional
            Processes among which the data was divided. The result is that of all.
        """

        def facts() -> dict[str, str]:
            return {
                **_facts(data, rates, training),
                "the objectives": str([(t.name, len(t.probes)) for t in terms]),
                "the metrics": str(list(metrics)),
            }

        team = Team() if team is None else team
        self.session.store.take_changes()
        with self._together(team):
            team.begin(method, facts, self.state, callbacks=callbacks)
            return self._measure(
                *(data, terms, metrics, team, training),
                *(rates, callbacks, stateful, method),
            )

    def _measure(
        self,
        data,
        terms,
        metrics,
        team,
        training=False,
        rates=False,
        callbacks=None,
        stateful=False,
        method="train",
    ) -> dict[str, float]:
        """Do what `evaluate` does, in processes that have begun together.

        Long because it is the order in which everything happens in an evaluation.
        """
        found = Averages(metrics)
        starts: dict[str, list[tf.Tensor]] = {}
        course, prepared = self._prepare(data, stateful)
        rates = False if stateful else rates
        if callbacks is not None:
            self._tell(callbacks, callbacks.begin_test)
        team.agree()
        state = list(self.state)
        with contextlib.closing(prepared), self._going_on(course):
            for number, parts in enumerate(team.observed(prepared, data.in_memory)):
                if callbacks is not None:
                    callbacks.begin_test_batch(number)
                minibatch = parts[0].minibatch
                if not number:
                    for name, term in metrics.items():
                        if term.running is not None:
                            self._running(name, term, parts[0], found.variables)
                    starts = dict(found.variables)
                if not minibatch.weight:  # other processes have all items
                    continue
                if rates is None:
                    rates = self._single_steps.use_rates(minibatch.n_steps, method)
                elif method == "loss" and not (training or found.losses):
                    self._single_steps.warn_of_spikes(minibatch.n_steps)
                computation = Computation(
                    terms, metrics, training=training or rates, layers_train=training
                )
                results = list(
                    self._steps(parts, computation, state, found.variables, course)
                )
                found.add(results, minibatch.n_items)
                if callbacks is not None:
                    callbacks.end_test_batch(number, found.running)
        values = team.means(found, metrics, starts, len(terms))
        if callbacks is not None:
            self._tell(callbacks, callbacks.end_test, values)
        team.agree()
        return values

    def predict(
        self,
        data: ArrayData | StreamData,
        callbacks: Any,
        stateful: bool = False,
        rates: bool | None = None,
        method: str = "predict",
        team: Team | None = None,
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return what all probes show, for each item from the initial state.

        Parameters
        ----------
        data : ArrayData or StreamData
            Inputs.
        callbacks : KerasCallbacks
            Objects to call.
        stateful : bool
            Whether this is a part of the simulation, which goes on.
        rates : bool or None
            Whether neurons show their rates, as in training. None: if the data has one
            step.
        method : str
            The method of the simulator that asks, for messages.
        team : Team, optional
            Processes among which the data was divided. The result is that of all.
        """
        team = Team() if team is None else team
        self.session.store.take_changes()
        with self._together(team):
            team.begin(
                *(method, lambda: _facts(data, rates), self.state),
                callbacks=callbacks,
            )
            shown, counts = self._show(data, callbacks, stateful, rates, method, team)
            outputs = team.outputs(self.probes, shown, counts)
            self._tell(callbacks, callbacks.end_predict)
            team.agree()
        return outputs

    def _show(self, data, callbacks, stateful, rates, method, team):
        """Return what each probe shows for minibatches with items, and their sizes."""
        shown: list[list[np.ndarray]] = [[] for _ in self.probes]
        counts = []
        course, prepared = self._prepare(data, stateful)
        self._tell(callbacks, callbacks.begin_predict)
        team.agree()
        state = list(self.state)
        with contextlib.closing(prepared), self._going_on(course):
            for number, parts in enumerate(team.observed(prepared, data.in_memory)):
                callbacks.begin_predict_batch(number)
                minibatch = parts[0].minibatch
                counts.append(minibatch.n_items if minibatch.weight else 0)
                if not minibatch.weight:  # other processes have all items
                    continue
                if rates is None:
                    rates = not stateful and self._single_steps.use_rates(
                        minibatch.n_steps, method
                    )
                computation = Computation(
                    (), training=rates, layers_train=False, shows=True
                )
                (result,) = self._steps(parts, computation, state, {}, course)
                outputs = [value.numpy() for value in result["shown"]]
                for values, output in zip(shown, outputs, strict=True):
                    values.append(output)
                callbacks.end_predict_batch(number, outputs)
        return shown, counts

    @contextlib.contextmanager
    def _together(self, team: Team) -> Iterator[None]:
        """Let random inputs be those of the items of this process."""
        self.inputs.host.first_item = team.share.rank * self.minibatch
        try:
            yield
        finally:
            self.inputs.host.first_item = 0

    def _prepare(self, data: ArrayData | StreamData, stateful: bool):
        """Return the simulation that goes on, if it does, and minibatches."""
        course = Course(self.session) if stateful else None
        prepared = self.inputs.prepare(
            data.epoch(None),
            self.observing_rng(),
            in_memory=data.in_memory,
            course=course,
        )
        return course, prepared

    @contextlib.contextmanager
    def _going_on(self, course: Course | None) -> Iterator[None]:
        """Let the simulation be, at the end, where the last minibatch ended."""
        try:
            yield
        finally:
            if course is not None:
                course.finish()

    def publish(self) -> None:
        """Show trained values to whatever else holds them."""
        store = self.session.store
        if store.lasting.carried:
            store.keep_state([value.numpy() for value in self.state])
        store.publish_trained()

    def _steps(
        self,
        parts: Sequence[Part],
        computation: Computation,
        start: list[tf.Tensor],
        variables: dict[str, list[tf.Tensor]],
        course: Course | None = None,
    ) -> Iterator[dict]:
        """Run one minibatch, in parts if gradients are truncated.

        The losses in the results are masked where a term waits for the last part. What
        lasts of the state at the end is where the next minibatch starts; so are the
        variables of metrics.
        """
        state: Sequence[tf.Tensor] = start
        if course is not None:
            n_items = parts[0].minibatch.n_items
            course.check_whole(n_items, self.minibatch)
            state = list(course.state)
            for number in self.session.store.lasting.carried:
                state[number] = start[number]
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
            self.inputs.start_chunk(part.minibatch, part.n_before + part.start)
            running = {
                name: self._running(name, term, part, variables)
                for name, term in now.metrics.items()
                if term.running is not None
            }
            result = self.functions.run(now, state, part, running)
            if result is None:  # no process has a minibatch any more
                return
            variables.update(result["running"])
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
        if course is not None:
            course.advance(sum(part.minibatch.n_steps for part in parts), state)

    def _running(self, name, term, part, variables) -> list[tf.Tensor]:
        """Return the variables of a metric that counts over minibatches."""
        if name not in variables:
            (probe,) = term.probes
            minibatch = part.minibatch
            n_steps = 1 if probe in self.only_last else minibatch.n_steps
            shape = minibatch.n_items, n_steps, self.model.sig[probe]["in"].size
            start = term.running.start(shape, minibatch.targets.get(probe))
            variables[name] = start
        return variables[name]

    def _tell(self, callbacks: Any, method: Callable, *args: Any) -> Any:
        """Call a method of callbacks, which may see parameters and change them."""
        if not callbacks.sees_parameters:
            return method(*args)
        self.publish()
        result = method(*args)
        self.session.store.take_changes()
        return result

    def _tell_of_batch(self, callbacks: Any, method: Callable, *args: Any) -> Any:
        """Call a method of callbacks, with parameters only where they look at them."""
        if not callbacks.sees_batches:
            return method(*args)
        return self._tell(callbacks, method, *args)


def _facts(data: Any, rates: bool | None, training: bool = False) -> dict[str, str]:
    """Return what processes that evaluate together must agree about."""
    return {
        "the data": facts_of_data(data),
        "whether neurons show rates": f"rates={rates}, training={training}",
    }
