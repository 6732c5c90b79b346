"""The compiled functions of training: losses of a minibatch, gradients, an update."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import nengo
import tensorflow as tf
from nengo.builder import Model
from nengo.exceptions import SimulationError

from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.program.failures import describe_failure
from nengo_dl.program.lease import Lease
from nengo_dl.program.pool import programs
from nengo_dl.program.schedule import Schedule
from nengo_dl.training.computation import Computation
from nengo_dl.training.function_signatures import (
    facts_of_terms,
    facts_of_update,
    shapes_of,
    variables_of_update,
)
from nengo_dl.training.inputs import Part
from nengo_dl.training.programs import TrainingPrograms
from nengo_dl.training.terms import check_dependence
from nengo_dl.training.trained_parameters import TrainedParameters
from nengo_dl.training.updates import Update

__all__ = ["TrainingFunctions"]

#: Number of compiled functions that are kept.
_MOST_FUNCTIONS = 32


class TrainingFunctions:
    """Makes and keeps one function for each kind of minibatch and computation.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    host : HostOperators
        NumPy steps during training.
    probes : sequence of Probe
        In the order of the outputs of a step.
    only_last : collection of Probe
        Probes whose last step alone is seen by objectives.

    Attributes
    ----------
    programs : TrainingPrograms
        Programs of a step.
    """

    def __init__(
        self,
        session: Session,
        model: Model,
        host: HostOperators,
        probes: Sequence[nengo.Probe],
        only_last: Collection[nengo.Probe],
    ):
        self.session = session
        self.host = host
        self.probes = probes
        self.only_last = only_last
        self.programs = TrainingPrograms(session, model, host, probes, only_last)
        self._functions: dict[Any, _Function] = {}
        self._own_labels = False

    def show_labels(self) -> None:
        """From now on, use programs whose operations have the labels of this one."""
        if not self._own_labels:
            self._own_labels = True
            self.close()

    def close(self) -> None:
        """Give the compiled functions back."""
        for function in self._functions.values():
            function.lease.close()
        self._functions.clear()

    def run(
        self,
        computation: Computation,
        state: Sequence[tf.Tensor],
        part: Part,
        running: Mapping[str, Sequence[tf.Tensor]],
    ) -> dict[str, Any]:
        """Compute something for some steps of a minibatch.

        Parameters
        ----------
        computation : Computation
            What to compute.
        state : sequence of tf.Tensor, shapes (minibatch, size)
            State before the first step.
        part : Part
            The steps.
        running : mapping of {str: sequence of tf.Tensor}
            Variables of the metrics that count over minibatches.

        Returns
        -------
        dict
            Tensors: "state" after the last step, "losses", "metrics" (a dict),
            "running" (the variables after this minibatch), and, if there is an update,
            "fine" (for each variable, whether its gradient and its new value are
            finite) and "ok" (whether all are, and the loss).

        Raises
        ------
        SimulationError
            If TensorFlow fails, or a function of the model.
        """
        given = (state, part.pieces, part.targets, part.weights, running)
        function = self._function(computation, part, given)
        try:
            with tf.device(self.session.placement.device):
                # side by side: in lists and dicts, tensors take 0.1 ms longer
                return function.call_structured(*tf.nest.flatten(given))
        except tf.errors.OpError as error:
            original, self.host.error = self.host.error, None
            if original is not None:
                raise original from error
            raise SimulationError(describe_failure(error)) from error

    def _function(self, computation, part, given):
        store = self.session.store
        minibatch = part.minibatch
        moving = tuple(any(p.shape[0] > 1 for p in parts) for parts in part.pieces)
        starts = part.start == 0 and bool(store.learned.variables)
        targets = tuple(
            (probe, array.shape, array.dtype.str)
            for arrays in (minibatch.targets, minibatch.weights)
            for probe, array in arrays.items()
        )
        key = (
            computation.key,
            minibatch.n_steps,
            minibatch.n_items,
            moving,
            tuple(tuple(p.shape for p in parts) for parts in part.pieces),
            targets,
            starts,
            tuple(store.uniform_constants().items()),
        )
        known = self._functions.get(key)
        if known is not None and not known.serves(computation.update):
            self._functions.pop(key).lease.close()
        if key not in self._functions:
            while len(self._functions) >= _MOST_FUNCTIONS:
                self._functions.pop(next(iter(self._functions))).lease.close()
            function = self._make_function(
                computation, minibatch, moving, starts, given
            )
            # TensorFlow warns of functions that are defined repeatedly, not of these
            facts = self._facts(computation, key, starts, given)
            step = self.programs.step(computation.training, computation.layers_train)
            with tf.device(self.session.placement.device):
                lease = programs.lease(
                    lambda: function.get_concrete_function(*tf.nest.flatten(given)),
                    ("training", self.session.placement),
                    self.session.step.labels,
                    self._own_labels,
                    step.signature if facts else None,
                    [
                        *store.variables.constants,
                        *store.learned.variables.values(),
                        *variables_of_update(computation.update),
                        *step.shared_variables,
                    ],
                    facts,
                )
            self._functions[key] = _Function(lease, computation.update)
        return self._functions[key].lease

    def _facts(self, computation, key, starts, given) -> tuple[object, ...]:
        """Return what a function depends on besides the step; nothing if unknown."""
        terms = facts_of_terms(computation.terms, computation.metrics, self.probes)
        update = facts_of_update(computation.update)
        if terms is None or update is None:
            return ()
        layout = self.session.step.layout
        learned = [p.signal for p in self.session.plan.trainable if p.learned]
        places = [
            (layout.block_of[s].number, layout.block_of[s].starts[s], s.size)
            for s in learned
            if s in layout.block_of
        ]
        _, n_steps, n_items, moving, *_, uniform = key
        return (
            terms,
            update,
            (computation.segment, computation.training, computation.layers_train),
            (computation.reached, computation.shows),
            (n_steps, n_items, moving, starts, uniform, places),
            [probe in self.only_last for probe in self.probes],
            shapes_of(given),
        )

    def _make_function(self, computation, minibatch, moving, starts, given):
        schedule = Schedule(
            self.programs.step(computation.training, computation.layers_train), moving
        )
        jit = self.programs.compiles(schedule)
        forward = self._make_forward(computation, schedule, minibatch, starts)
        update = computation.update
        variables = self.session.store.trained_variables
        structure = tf.nest.map_structure(lambda tensor: None, given)

        @tf.function(jit_compile=jit, autograph=False)
        def call(*tensors):
            state, pieces, *compared = tf.nest.pack_sequence_as(structure, tensors)
            if update is None:
                state, losses, measured, shown = forward(state, pieces, compared)
                return {
                    "state": state,
                    "losses": tf.stack(losses) if losses else tf.zeros(0),
                    **measured,
                    "shown": shown if computation.shows else [],
                }
            with tf.GradientTape() as tape:
                tape.watch(variables)
                shown: dict[nengo.Probe, tf.Tensor] = {}
                state, losses, measured, _ = forward(
                    state, pieces, compared, tape.watch, shown
                )
                total = tf.add_n(losses)
                scaled = update.scale_loss(total)
            gradients, for_shown, seen = _gradients(
                tape, scaled, variables, update.parameters, shown
            )
            check_dependence(computation.terms, for_shown)
            fine, ok = update(total, gradients, jit, computation.reached)
            update.parameters.follow(seen)
            return {
                "state": state,
                "losses": tf.stack(losses),
                **measured,
                "fine": fine,
                "ok": ok,
            }

        return call

    def _make_forward(self, computation, schedule, minibatch, starts):
        """Return a function that returns state, losses, metrics and outputs.

        Long because it is one traced function, and what it closes over.
        """
        n_steps, n_items = minibatch.n_steps, minibatch.n_items
        store = self.session.store
        uniform = {} if self.programs.compiles(schedule) else store.uniform_constants()
        terms, metrics = computation.terms, computation.metrics
        used = [*terms, *metrics.values()]
        probes = list(dict.fromkeys(probe for term in used for probe in term.probes))
        if computation.shows:
            probes = list(self.probes)
        numbers = [self.probes.index(probe) for probe in probes]

        def forward(state, pieces, compared, watch=None, seen=None):
            if starts:
                learned = store.learned.variables.values()
                state = store.learned.put_tensors(
                    state, [tf.convert_to_tensor(v) for v in learned]
                )
            state, values = self.programs.simulate(
                schedule,
                self.programs.constants(uniform),
                state,
                pieces,
                n_steps,
                numbers,
                computation.update is not None,
                computation.segment,
            )
            # objectives do not see what only fills a minibatch up
            if n_items < self.session.placement.minibatch_size:
                values = [value[:n_items] for value in values]
            if watch is not None:
                watch(values)
                seen.update(zip(probes, values, strict=True))
            shown = dict(zip(probes, values, strict=True))
            targets, weights, running = compared

            def seen_by(term):
                numbers = [self.probes.index(probe) for probe in term.probes]
                return [
                    [shown[probe] for probe in term.probes],
                    [targets.get(number) for number in numbers],
                    [weights.get(number) for number in numbers],
                ]

            losses = [term(*seen_by(term)) for term in terms]
            measured = {"metrics": {}, "running": {}}
            for name, term in metrics.items():
                if term.running is None:
                    value = term(*seen_by(term))
                else:
                    variables, value = term.update(running[name], *seen_by(term))
                    measured["running"][name] = variables
                measured["metrics"][name] = value
            return state, losses, measured, values

        return forward


class _Function:
    """A compiled function, with the variables of the optimizer that it updates.

    Optimizers with equal options share it: each lends its own variables.
    """

    def __init__(self, lease: Lease, update: Update | None):
        self.lease = lease
        self.variables = [] if update is None else update.variables

    def serves(self, update: Update | None) -> bool:
        """Exchange the variables for those of an optimizer; return whether it can."""
        if update is None or update.variables is self.variables:
            return True
        if not self.lease.exchange(self.variables, update.variables):
            return False
        self.variables = update.variables
        return True


def _gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[tf.Variable],
    parameters: TrainedParameters,
    shown: Mapping[nengo.Probe, tf.Tensor],
) -> tuple[list[tf.Tensor], dict[nengo.Probe, Any], Mapping[int, Any]]:
    """Return gradients of parameters and of what probes show.

    Objectives may use the variables of parameters themselves. Their gradients are
    added; the third result is which these are.
    """
    seen = parameters.accessed(tape.watched_variables())
    by_name = [variable.value for variable in seen.values()]
    found = tape.gradient(loss, [*variables, *by_name, *shown.values()])
    count = len(variables) + len(by_name)
    gradients = parameters.added(
        [
            tf.zeros_like(variable)
            if gradient is None
            else tf.convert_to_tensor(gradient)
            for variable, gradient in zip([*variables, *by_name], found)
        ],
        seen,
    )
    return gradients, dict(zip(shown, found[count:], strict=True)), seen
