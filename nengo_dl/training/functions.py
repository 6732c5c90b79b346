"""The compiled functions of training: losses of a minibatch, gradients, an update."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
import tensorflow as tf
from nengo.builder import Model
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.builders.base import NeuronTraining
from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.config import Settings
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.program.failures import describe_failure
from nengo_dl.program.lease import Lease
from nengo_dl.program.pool import programs
from nengo_dl.program.rollout import run_schedule, run_segments
from nengo_dl.program.schedule import Schedule
from nengo_dl.program.step import StepProgram
from nengo_dl.training.function_signatures import (
    facts_of_terms,
    facts_of_update,
    shapes_of,
    variables_of_update,
)
from nengo_dl.training.inputs import Part
from nengo_dl.training.terms import Term, check_dependence
from nengo_dl.training.updates import Update

__all__ = ["Computation", "TrainingFunctions"]

#: Number of compiled functions that are kept.
_MOST_FUNCTIONS = 32


@dataclasses.dataclass(frozen=True)
class Computation:
    """What to compute for minibatches.

    Attributes
    ----------
    terms : sequence of Term
        Their sum is the loss.
    metrics : mapping of {str: Term}
        What to measure besides.
    update : Update or None
        Updates the trained variables. None: there is no update.
    segment : int or None
        Number of steps whose intermediate results are kept at once.
    training : bool
        Whether the network is the one of training (neurons with gradients, layers in
        training mode), not the one of simulations.
    reached : tuple of bool
        Which of the trained parameters have a gradient.
    layers_train : bool
        False keeps layers as they are in simulations, where ``training`` is True.
    shows : bool
        Whether to return what all probes show.
    """

    terms: Sequence[Term]
    metrics: Mapping[str, Term] = dataclasses.field(default_factory=dict)
    update: Update | None = None
    segment: int | None = None
    training: bool = False
    reached: tuple[bool, ...] = ()
    layers_train: bool = True
    shows: bool = False

    def without(self, probes: Collection[nengo.Probe]) -> Computation:
        """Return what is left without the terms and metrics that see some probes."""
        terms = [t for t in self.terms if probes.isdisjoint(t.probes)]
        return dataclasses.replace(
            self,
            terms=terms,
            metrics={
                name: term
                for name, term in self.metrics.items()
                if probes.isdisjoint(term.probes)
            },
            update=self.update if terms else None,
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for what one compiled function can compute."""
        return (
            tuple((term.probes, term.key) for term in self.terms),
            tuple((name, t.probes, t.key) for name, t in self.metrics.items()),
            None if self.update is None else self.update.key,
            self.segment,
            self.training,
            self.reached,
            self.layers_train,
            self.shows,
        )


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
        self.model = model
        self.host = host
        self.probes = probes
        self.only_last = only_last
        self._programs: dict[Any, StepProgram] = {}
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

    def program(
        self,
        training: bool,
        layers_train: bool = True,
        dtype: np.dtype | None = None,
    ) -> StepProgram:
        """Return the program of a step.

        Parameters
        ----------
        training : bool
            Whether it is the one of training, or the one that is simulated.
        layers_train : bool
            See `Computation`.
        dtype : numpy.dtype, optional
            Precision. Default: that of the simulation.
        """
        key = (training, layers_train, dtype)
        if key not in self._programs:
            step = self.session.step
            how = _neuron_training(self.model, layers_train) if training else None
            config = dataclasses.replace(
                step.config,
                host=self.host,
                training=how,
                dtype=step.config.dtype if dtype is None else dtype,
            )
            self._programs[key] = StepProgram(step.layout, config, step.labels)
        return self._programs[key]

    @functools.cached_property
    def rates_replace_spikes(self) -> bool:
        """Whether training uses the rates of neurons that spike in simulations."""
        how = _neuron_training(self.model)
        return any(
            isinstance(op, SimNeurons)
            and op.neurons.spiking
            and how(op).surrogate is None
            for op in self.session.plan.split.device
        )

    def compiles(self, schedule: Schedule) -> bool:
        """Return whether XLA compiles functions that run some schedule."""
        return self.session.placement.compiles(
            schedule.program.has_callbacks, schedule.avoids_xla
        )

    def simulate(
        self,
        schedule: Schedule,
        constants: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        pieces: Sequence[Sequence[tf.Tensor]],
        n_steps: int,
        outputs: Sequence[int],
        differentiable: bool,
        segment: int | None = None,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the state after some steps, and outputs (minibatch, n_steps, size).

        Of probes that keep no history, outputs are those of the last step.
        """
        frames = [_frame(parts) for parts in pieces]
        loop_kernels = [schedule.program.kernels[n] for n in schedule.loop_groups]
        recompute = differentiable and not any(
            kernel.is_callback or not kernel.is_repeatable for kernel in loop_kernels
        )
        if segment is not None and recompute and segment < n_steps:
            state, values = run_segments(
                schedule, constants, state, frames, n_steps, outputs, segment
            )
        else:
            state, values = run_schedule(
                schedule, constants, state, frames, n_steps, outputs, recompute
            )
        values = [
            value[-1:] if self.probes[number] in self.only_last else value
            for number, value in zip(outputs, values, strict=True)
        ]
        return state, [tf.transpose(value, (1, 0, 2)) for value in values]

    def run(
        self, computation: Computation, state: Sequence[tf.Tensor], part: Part
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

        Returns
        -------
        dict
            Tensors: "state" after the last step, "losses", "metrics" (a dict), and, if
            there is an update, "fine" (for each variable, whether its gradient and its
            new value are finite) and "ok" (whether all are, and the loss).

        Raises
        ------
        SimulationError
            If TensorFlow fails, or a function of the model.
        """
        given = (state, part.pieces, part.targets)
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
            for probe, array in minibatch.targets.items()
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
            step = self.program(computation.training, computation.layers_train)
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
            self.program(computation.training, computation.layers_train), moving
        )
        jit = self.compiles(schedule)
        forward = self._make_forward(computation, schedule, minibatch, starts)
        update = computation.update
        variables = self.session.store.trained_variables
        structure = tf.nest.map_structure(lambda tensor: None, given)

        @tf.function(jit_compile=jit, autograph=False)
        def call(*tensors):
            state, pieces, targets = tf.nest.pack_sequence_as(structure, tensors)
            if update is None:
                state, losses, measured, shown = forward(state, pieces, targets)
                return {
                    "state": state,
                    "losses": tf.stack(losses) if losses else tf.zeros(0),
                    "metrics": measured,
                    "shown": shown if computation.shows else [],
                }
            with tf.GradientTape() as tape:
                tape.watch(variables)
                shown: dict[nengo.Probe, tf.Tensor] = {}
                state, losses, measured, _ = forward(
                    state, pieces, targets, tape.watch, shown
                )
                total = tf.add_n(losses)
                scaled = update.scale_loss(total)
            parameters = update.parameters
            seen = parameters.accessed(tape.watched_variables())
            by_name = [variable.value for variable in seen.values()]
            found = tape.gradient(scaled, [*variables, *by_name, *shown.values()])
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
            for_shown = dict(zip(shown, found[count:], strict=True))
            check_dependence(computation.terms, for_shown)
            fine, ok = update(total, gradients, jit, computation.reached)
            parameters.follow(seen)
            return {
                "state": state,
                "losses": tf.stack(losses),
                "metrics": measured,
                "fine": fine,
                "ok": ok,
            }

        return call

    def _make_forward(self, computation, schedule, minibatch, starts):
        """Return a function that returns state, losses, metrics and outputs."""
        n_steps, n_items = minibatch.n_steps, minibatch.n_items
        store = self.session.store
        uniform = {} if self.compiles(schedule) else store.uniform_constants()
        terms, metrics = computation.terms, computation.metrics
        used = [*terms, *metrics.values()]
        probes = list(dict.fromkeys(probe for term in used for probe in term.probes))
        if computation.shows:
            probes = list(self.probes)
        numbers = [self.probes.index(probe) for probe in probes]

        def forward(state, pieces, targets, watch=None, seen=None):
            if starts:
                learned = store.learned.variables.values()
                state = store.learned.put_tensors(
                    state, [tf.convert_to_tensor(v) for v in learned]
                )
            state, values = self.simulate(
                schedule,
                self._constants(uniform),
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
            wanted = {probe: targets.get(self.probes.index(probe)) for probe in probes}

            def value_of(term):
                return term(
                    [shown[p] for p in term.probes], [wanted[p] for p in term.probes]
                )

            losses = [value_of(term) for term in terms]
            measured = {name: value_of(term) for name, term in metrics.items()}
            return state, losses, measured, values

        return forward

    def _constants(self, uniform: Mapping[int, float]) -> list[tf.Tensor]:
        """Return the values of constants; those that are uniform as literals.

        TensorFlow then leaves out products with ones, and sums with zeros.
        """
        return [
            tf.fill(variable.shape, tf.constant(uniform[number], variable.dtype))
            if number in uniform
            else tf.convert_to_tensor(variable)
            for number, variable in enumerate(self.session.store.variables.constants)
        ]


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


def _frame(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Join the values of signals along their last axis."""
    if len(parts) == 1:
        return parts[0]
    n_steps = max(int(part.shape[0]) for part in parts)
    items = max(int(part.shape[1]) for part in parts)
    return tf.concat(
        [tf.broadcast_to(p, (n_steps, items, p.shape[2])) for p in parts], axis=2
    )


def _neuron_training(
    model: Model, layers_train: bool = True
) -> Callable[[Operator], NeuronTraining]:
    """Return a function that tells how the object of an operator is trained."""
    known: dict[Signal, NeuronTraining] = {}
    if model.toplevel is not None:
        settings = Settings(model.toplevel)
        for ens in model.toplevel.all_ensembles:
            how = NeuronTraining(
                settings.value(ens, "lif_smoothing"), settings.value(ens, "surrogate")
            )
            for name in ("out", "rate_out"):
                signal = model.sig[ens.neurons].get(name)
                if signal is not None:
                    known[signal] = how
        for node in model.toplevel.all_nodes:
            if isinstance(model.params.get(node), BuiltTensorNode):
                frozen = settings.value(node, "trainable") is False or not layers_train
                known[model.sig[node]["out"]] = NeuronTraining(frozen=frozen)
    default = NeuronTraining()
    return lambda op: known.get(op.sets[0], default)
