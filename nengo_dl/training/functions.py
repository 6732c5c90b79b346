"""The compiled functions of training: losses of a minibatch, gradients, an update."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import nengo
from nengo.builder import Model
from nengo.exceptions import SimulationError

from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.program.failures import describe_failure
from nengo_dl.program.lease import Lease
from nengo_dl.program.pool import programs
from nengo_dl.program.schedule import Schedule
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.computation import Computation
from nengo_dl.training.function_signatures import (
    facts_of_terms,
    facts_of_update,
    shapes_of,
    variables_of_update,
)
from nengo_dl.training.halves import HalfMakers, Halves
from nengo_dl.training.inputs import Part
from nengo_dl.training.loss_gradients import differentiate
from nengo_dl.training.memory import choose_segment, measure_step, training_limit
from nengo_dl.training.messages import N_FLAGS
from nengo_dl.training.programs import TrainingPrograms
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
    ) -> dict[str, Any] | None:
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
            finite) and "ok" (whether all are, and the loss). None: of several
            processes that train, none has a minibatch.

        Raises
        ------
        SimulationError
            If TensorFlow fails, or a function of the model.
        """
        given = (state, part.pieces, part.targets, part.weights, running)
        function = self._function(computation, part, given)
        try:
            with tf.device(self.session.placement.device):
                if isinstance(function, Halves):
                    weight, dtype = part.minibatch.weight, self._dtype
                    return function.call(
                        *(given, running, computation.messages, weight, dtype)
                    )
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
            computation = self._with_segment(computation, minibatch, moving)
            make = self._lease if not _is_shared(computation) else self._halves
            with tf.device(self.session.placement.device):
                lease = make(computation, minibatch, moving, key, starts, given)
            self._functions[key] = _Function(lease, computation.update)
        return self._functions[key].lease

    def _with_segment(self, computation, minibatch, moving) -> Computation:
        """Return a computation whose gradients fit into the memory that there is."""
        if computation.update is None or computation.segment is not None:
            return computation
        placement, settings = self.session.placement, self.session.plan.settings
        program = self.programs.step(computation.training, computation.layers_train)
        terms = (*computation.terms, *computation.metrics.values())
        probes = {probe for term in terms for probe in term.probes}
        segment = choose_segment(
            minibatch.n_steps,
            measure_step(
                Schedule(program, moving), [self.probes.index(p) for p in probes]
            ),
            training_limit(settings.training_memory, placement),
        )
        return dataclasses.replace(computation, segment=segment)

    def _lease(self, computation, minibatch, moving, key, starts, given) -> Lease:
        """Return the function of a computation."""
        function = self._make_function(computation, minibatch, moving, starts, given)
        return self._lease_of("training", function, computation, key, starts, given)

    def _lease_of(self, kind, function, computation, key, starts, given) -> Lease:
        store = self.session.store
        # TensorFlow warns of functions that are defined repeatedly, not of these
        facts = self._facts(computation, key, starts, given)
        step = self.programs.step(computation.training, computation.layers_train)
        return programs.lease(
            lambda: function.get_concrete_function(*tf.nest.flatten(given)),
            (kind, self.session.placement),
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

    @property
    def _dtype(self) -> tf.DType:
        """Of losses, and of what processes that train together send."""
        return tf.as_dtype(self.session.step.config.dtype)

    def _halves(self, computation, minibatch, moving, key, starts, given) -> Halves:
        """Return the two functions of an update of several processes."""
        schedule, forward = self._forward_of(computation, minibatch, moving, starts)
        placement, running = self.session.placement, given[-1]
        variables = self.session.store.trained_variables
        makers = HalfMakers(
            *(computation, forward, variables, self._dtype),
            *(self.programs.compiles(schedule), placement.compiles(False)),
        )
        given = (given, tf.zeros(N_FLAGS, self._dtype))
        kind = "gradients of one of several processes"
        first = makers.first(given)
        lease = self._lease_of(kind, first, computation, key, starts, given)
        sent = tf.zeros(makers.packing.size(running, variables), self._dtype)
        second = makers.second(running)
        update = programs.lease(
            lambda: second.get_concrete_function(*tf.nest.flatten((sent, running))),
            ("update of several processes", placement),
        )
        return Halves(lease, update)

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

    def _forward_of(self, computation, minibatch, moving, starts):
        """Return a schedule, and the function that runs it; see `_make_forward`."""
        schedule = Schedule(
            self.programs.step(computation.training, computation.layers_train),
            moving,
            computation.segment is not None,
        )
        self.programs.warn_of_slow_products(schedule)
        return schedule, self._make_forward(computation, schedule, minibatch, starts)

    def _make_function(self, computation, minibatch, moving, starts, given):
        schedule, forward = self._forward_of(computation, minibatch, moving, starts)
        jit = self.programs.compiles(schedule)
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
            state, losses, measured, gradients, seen = differentiate(
                computation, forward, state, pieces, compared, variables, tf.add_n
            )
            total = tf.add_n(losses)
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


def _is_shared(computation: Computation) -> bool:
    """Whether it is an update of several processes."""
    return computation.update is not None and computation.messages is not None
