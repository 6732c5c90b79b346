"""Training and evaluation: what happens with minibatches, epochs and parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nengo
import numpy as np
import tensorflow as tf
from nengo.builder import Model
from nengo.builder.operator import Operator, SimPyFunc, TimeUpdate
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError, ValidationError

from nengo_dl.builders.base import NeuronTraining
from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.compiler.trainability import name_of_parameter
from nengo_dl.config import Settings
from nengo_dl.runtime.engine import Engine
from nengo_dl.runtime.feeds import InputFeeds
from nengo_dl.runtime.gradient_paths import check_paths
from nengo_dl.runtime.history import TrainingHistory
from nengo_dl.runtime.host import HostOperators
from nengo_dl.runtime.interrupts import DeferredInterrupt
from nengo_dl.runtime.objectives import Term, first_line
from nengo_dl.runtime.optimizers import Optimizers
from nengo_dl.runtime.stages import Stages
from nengo_dl.runtime.step import StepProgram
from nengo_dl.runtime.summaries import TrainingSummaries
from nengo_dl.runtime.training_data import ArrayData, Minibatch, StreamData

__all__ = ["Trainer", "TrainingOptions", "neuron_training"]

#: Number of compiled functions that are kept.
_MOST_FUNCTIONS = 32


@dataclasses.dataclass
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
    callbacks : sequence
        Objects whose methods are called between minibatches and epochs.
    summaries : TrainingSummaries or None
        Records losses and parameters after each update.
    report : callable
        Called with epoch, number of epochs and loss after each minibatch.
    """

    n_epochs: int = 1
    shuffle: bool = True
    truncation: int | None = None
    segment: int | None = None
    metrics: Mapping[str, Term] = dataclasses.field(default_factory=dict)
    validation: ArrayData | StreamData | None = None
    callbacks: Any = None
    summaries: TrainingSummaries | None = None
    report: Callable[[int, int, float], None] = lambda epoch, n_epochs, loss: None


@dataclasses.dataclass(frozen=True)
class _Part:
    """Steps of a minibatch after which parameters are updated.

    Attributes
    ----------
    minibatch : Minibatch
        These steps.
    start : int
        The first of them.
    is_last : bool
        Whether the minibatch ends with them.
    pieces : list of list of tf.Tensor
        Values of all inputs, by block and signal.
    targets : dict of {int: tf.Tensor}
        By number of the probe.
    """

    minibatch: Minibatch
    start: int
    is_last: bool
    pieces: list[list[tf.Tensor]]
    targets: dict[int, tf.Tensor]


def neuron_training(model: Model) -> Callable[[Operator], NeuronTraining]:
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
                frozen = settings.value(node, "trainable") is False
                known[model.sig[node]["out"]] = NeuronTraining(frozen=frozen)
    default = NeuronTraining()
    return lambda op: known.get(op.sets[0], default)


class Trainer:
    """Trains the parameters of an engine; its state and random streams stay.

    Parameters
    ----------
    engine : Engine
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
    """

    def __init__(self, engine: Engine, model: Model, seed: int, owner: object):
        self.n_updates = 0
        self.engine = engine
        self.model = model
        self.owner = owner
        self.rng = np.random.RandomState(seed)
        self.probes = list(model.probes)
        program = engine.program
        #: probes whose last step alone is seen by objectives
        self.only_last = {
            probe
            for probe, last in zip(self.probes, program.only_last, strict=True)
            if last
        }
        self.minibatch = program.step.config.minibatch_size
        host = program.host
        self.host = HostOperators(
            host.order,
            host.replaced,
            host.on_host,
            host.time_update,
            host.dt,
            host.minibatch_size,
        )
        self.feeds = InputFeeds(program.split.host, self.host)
        self._programs: dict[bool, StepProgram] = {}
        self._functions: dict[Any, Callable] = {}
        self._optimizers: Optimizers | None = None
        self._made: tuple[Any, dict[Signal, np.ndarray]] | None = None
        self._state: list[tf.Tensor] = []
        self._version: int | None = None

    # -- what is trained

    def program(self, training: bool) -> StepProgram:
        """Return the program of a step, for training or as it is simulated."""
        if training not in self._programs:
            step = self.engine.program.step
            config = dataclasses.replace(
                step.config,
                host=self.host,
                training=neuron_training(self.model) if training else None,
            )
            self._programs[training] = StepProgram(step.layout, config, step.labels)
        return self._programs[training]

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that training changes."""
        step = self.engine.program.step
        found = [
            variable
            for variable, block in zip(
                self.engine.storage.variables.constants,
                step.constant_blocks,
                strict=True,
            )
            if block.trainable and block.size
        ]
        found.extend(self.engine.storage.learned.variables.values())
        return found

    @property
    def state(self) -> list[tf.Tensor]:
        """State at the beginning of each minibatch."""
        lasting = self.engine.storage.lasting
        if self._version != lasting.version:
            with tf.init_scope():
                self._state = [
                    tf.constant(v) for v in self.engine.storage.initial_state
                ]
            self._version = lasting.version
        return self._state

    def _keep_state(self, state: Sequence[tf.Tensor]) -> None:
        """Let the next minibatch begin with what only training changes."""
        for number in self.engine.storage.lasting.numbers:
            self._state[number] = state[number]

    @property
    def optimizers(self) -> Optimizers:
        """The optimizers that were used, with what they remember."""
        if self._optimizers is None:
            self._optimizers = Optimizers(self.variables, self.owner)
        return self._optimizers

    def check_parameters(self, terms: Sequence[Term]) -> None:
        """Raise if no parameter can be trained; warn of those without a gradient."""
        probes = {probe for term in terms for probe in term.probes}
        check_paths(
            self.engine.program.split.device,
            [self.model.sig[probe]["in"].base for probe in probes],
            {
                p.signal.base: name_of_parameter(p)
                for p in self.engine.program.trainable
            },
            self.owner,
        )

    # -- training and evaluation

    def train(
        self,
        data: ArrayData | StreamData,
        optimizer: Any,
        terms: Sequence[Term],
        options: TrainingOptions,
    ) -> TrainingHistory:
        """Train; see ``Simulator.train``."""
        self.check_parameters(terms)
        optimizer, apply = self.optimizers.prepare(optimizer)
        history = TrainingHistory()
        callbacks = options.callbacks
        if callbacks is not None:
            callbacks.begin(self, optimizer, data, options)
        try:
            with DeferredInterrupt() as interrupt:
                for epoch in range(options.n_epochs):
                    values = self._epoch(
                        epoch, data, apply, terms, options, history, interrupt
                    )
                    history.add_epoch(values)
                    if options.summaries is not None:
                        options.summaries.after_epoch(self.n_updates, values)
                    if callbacks is not None and callbacks.end_epoch(epoch, values):
                        break
        finally:
            self.publish()
        if callbacks is not None:
            callbacks.end(history)
            self.publish()
        return history

    def _epoch(self, epoch, data, apply, terms, options, history, interrupt):
        callbacks = options.callbacks
        if callbacks is not None:
            callbacks.begin_epoch(epoch)
        losses, metrics = [], {name: [] for name in options.metrics}
        minibatches = data.epoch(self.rng if options.shuffle else None)
        prepared = self._prepared(minibatches, options.truncation)
        for number, minibatch in enumerate(prepared):
            if callbacks is not None:
                callbacks.begin_batch(number)
            batch_losses = []
            for result in self._steps(minibatch, terms, apply, options, True):
                found = result["losses"]
                where = f"epoch {epoch + 1}, minibatch {number + 1}"
                self._check_finite(found, result, terms, where)
                batch_losses.append(found)
                self.n_updates += 1
                if options.summaries is not None:
                    seen = ~np.ma.getmaskarray(found)
                    options.summaries.after_update(
                        self.n_updates,
                        [t for t, is_seen in zip(terms, seen, strict=True) if is_seen],
                        np.asarray(found[seen]),
                    )
                history.batch_losses.append(float(found.sum()))
                for name, value in result["metrics"].items():
                    metrics[name].append(float(value))
            if len(batch_losses) == 1:
                losses.append(batch_losses[0])
            else:
                losses.append(np.ma.mean(np.ma.stack(batch_losses), axis=0))
            loss = float(losses[-1].sum())
            options.report(epoch, options.n_epochs, loss)
            if callbacks is not None and callbacks.end_batch(number, {"loss": loss}):
                break
            interrupt.check()
        if not losses:
            raise ValidationError(
                "There is no minibatch in this epoch; give data that can be iterated "
                "again, such as a function that returns a generator",
                attr="inputs",
                obj=self.owner,
            )
        mean = np.mean(losses, axis=0)
        history.add_probe_losses([term.probes for term in terms], mean)
        values = {"loss": float(mean.sum())}
        values.update((name, float(np.mean(found))) for name, found in metrics.items())
        if options.validation is not None:
            self.publish()
            found = self.evaluate(options.validation, terms, options.metrics)
            values.update((f"val_{name}", value) for name, value in found.items())
        return values

    def evaluate(
        self,
        data: ArrayData | StreamData,
        terms: Sequence[Term],
        metrics: Mapping[str, Term],
        training: bool = False,
    ) -> dict[str, float]:
        """Return the mean loss and metrics over data."""
        options = TrainingOptions(metrics=metrics)
        losses, found = [], {name: [] for name in metrics}
        for minibatch in self._prepared(data.epoch(None), None):
            for result in self._steps(minibatch, terms, None, options, training):
                losses.append(result["losses"])
                for name, value in result["metrics"].items():
                    found[name].append(float(value))
        values = {"loss": float(np.mean(losses, axis=0).sum())}
        values.update((name, float(np.mean(v))) for name, v in found.items())
        return values

    def _check_finite(self, losses, result, terms, where) -> None:
        if bool(result["ok"].numpy()):
            return
        losses = np.ma.filled(losses, 0)
        bad = [term for term, v in zip(terms, losses) if not np.isfinite(v)]
        if bad:
            probes = ", ".join(str(p) for term in bad for p in term.probes)
            value = losses[[np.isfinite(v) for v in losses].index(False)]
            what = f"The loss of {probes} is {value}"
        else:
            names = [
                variable.name
                for variable, fine in zip(
                    self.variables, result["fine"].numpy(), strict=True
                )
                if not fine
            ]
            what = f"The gradient of {', '.join(names)} is not finite, or too large,"
        raise SimulationError(
            f"{what} in {where}. Parameters are as they were before. A smaller "
            "learning rate, or clipping of gradients by the optimizer, may help"
        )

    def publish(self) -> None:
        """Show trained values to whatever else holds them."""
        if self.engine.storage.lasting.numbers:
            self.engine.storage.keep_state([value.numpy() for value in self.state])
        self.engine.storage.publish_trained()

    # -- minibatches

    def _prepared(
        self, minibatches: Iterator[Minibatch], length: int | None
    ) -> Iterator[Any]:
        """Yield minibatches as lists of parts, each of at most ``length`` steps."""
        prepared = (self._parts(minibatch, length) for minibatch in minibatches)
        # functions in Python share their state on the host with what is made ahead
        if self.engine.program.step.has_callbacks:
            return prepared
        return _ahead(prepared)

    def _parts(self, minibatch: Minibatch, length: int | None) -> list[_Part]:
        """Divide a minibatch, make the inputs that are not fed, and make tensors."""
        made = self.host_inputs(minibatch)
        n_steps = minibatch.n_steps
        length = length or n_steps
        parts = []
        for start in range(0, n_steps, length):
            end = min(start + length, n_steps)
            part = minibatch
            if end - start < n_steps:
                part = _cut(minibatch, start, end, self.only_last)
            targets = {
                i: tf.convert_to_tensor(part.targets[probe])
                for i, probe in enumerate(self.probes)
                if probe in part.targets
            }
            pieces = self.pieces(part, made, start, end)
            parts.append(_Part(part, start, end == n_steps, pieces, targets))
        return parts

    def host_inputs(self, minibatch: Minibatch) -> dict[Signal, np.ndarray]:
        """Return the values of inputs that are not fed, shape (steps, items, ...)."""
        key = (minibatch.n_steps, frozenset(minibatch.inputs))
        has_callbacks = self.engine.program.step.has_callbacks
        # drawn in any case: what is random later does not depend on what is kept here
        seed = int(self.rng.randint(2**31 - 1))
        if self._made is not None and self._made[0] == key and not has_callbacks:
            return self._made[1]
        self.host.reset(seed)
        self.feeds.reset()
        values, _, error = self.feeds.make(0, minibatch.n_steps, minibatch.inputs)
        if error is not None:
            raise error
        if not any(_is_random(op) for op in self.engine.program.split.host):
            self._made = (key, values)
        return values

    def _steps(self, parts, terms, apply, options, training) -> Iterator[dict]:
        """Run one minibatch, in parts if gradients are truncated.

        The losses in the results are masked where a term waits for the last part.
        """
        state = self.state
        for part in parts:
            waiting = [
                not part.is_last and not self.only_last.isdisjoint(term.probes)
                for term in terms
            ]
            if any(waiting):
                result = self._run_part(
                    state,
                    part,
                    [t for t, waits in zip(terms, waiting, strict=True) if not waits],
                    None if all(waiting) else apply,
                    self._without_waiting(options),
                    training,
                )
                losses = np.ma.masked_all(
                    len(terms), self.engine.program.step.config.dtype
                )
                losses[~np.array(waiting)] = result["losses"].numpy()
            else:
                result = self._run_part(state, part, terms, apply, options, training)
                losses = result["losses"].numpy()
            state = result["state"]
            if not all(waiting):
                yield {**result, "losses": losses}
        if training and apply is not None:
            self._keep_state(state)

    def _without_waiting(self, options: TrainingOptions) -> TrainingOptions:
        """Return options without the metrics that look at the last step only."""
        metrics = {
            name: term
            for name, term in options.metrics.items()
            if self.only_last.isdisjoint(term.probes)
        }
        return dataclasses.replace(options, metrics=metrics)

    def _run_part(self, state, part, terms, apply, options, training) -> dict[str, Any]:
        self.start_chunk(part.minibatch, part.start)
        given = (state, part.pieces, part.targets)
        first = part.start == 0 and bool(self.engine.storage.learned.variables)
        call = self._function(
            part.minibatch, given, terms, apply, options, training, first
        )
        try:
            with tf.device(self.engine.device):
                return call(*given)
        except tf.errors.OpError as error:
            original, self.host.error = self.host.error, None
            if original is not None:
                raise original from error
            raise SimulationError(f"TensorFlow failed: {first_line(error)}") from error

    def start_chunk(self, minibatch: Minibatch, start: int) -> None:
        """Tell the host at which step the next call starts, and which nodes are fed."""
        n_steps = minibatch.n_steps
        self.host.start_chunk(
            start, {s: _rows(v, n_steps) for s, v in minibatch.inputs.items()}
        )

    def pieces(
        self,
        minibatch: Minibatch,
        made: Mapping[Signal, np.ndarray],
        start: int,
        end: int,
    ) -> list[list[tf.Tensor]]:
        """Return values of all inputs, by block and signal, as tensors."""
        program = self.engine.program.step
        blocks = []
        for block in program.input_blocks:
            dtype = program.dtype_of(block)
            parts = []
            for signal in block.signals:
                size = max(signal.size, 1)
                if signal in minibatch.inputs:
                    rows = minibatch.inputs[signal]
                elif signal in self.engine.storage.fixed_inputs:
                    value = self.engine.storage.fixed_inputs[signal]
                    rows = np.reshape(value, (1, 1, -1))
                else:
                    rows = made[signal]
                    rows = rows.reshape(len(rows), -1, size)
                    rows = rows[start:end] if len(rows) > 1 else rows
                parts.append(tf.convert_to_tensor(rows.astype(dtype, copy=False)))
            blocks.append(parts)
        return blocks

    # -- compiled functions

    def _function(self, minibatch, given, terms, apply, options, training, first):
        pieces = given[1]
        moving = tuple(any(p.shape[0] > 1 for p in parts) for parts in pieces)
        targets = tuple(
            (probe, array.shape, array.dtype.str)
            for probe, array in minibatch.targets.items()
        )
        key = (
            training,
            minibatch.n_steps,
            moving,
            tuple(tuple(p.shape for p in parts) for parts in pieces),
            targets,
            tuple((term.probes, term.key) for term in terms),
            tuple((name, t.probes, t.key) for name, t in options.metrics.items()),
            apply,
            options.segment if training else None,
            first,
            tuple(self.engine.storage.uniform_constants().items()),
        )
        if key not in self._functions:
            while len(self._functions) >= _MOST_FUNCTIONS:
                del self._functions[next(iter(self._functions))]
            function = self._make_function(
                minibatch.n_steps, moving, terms, apply, options, training, first
            )
            # TensorFlow warns of functions that are defined repeatedly, not of these
            with tf.device(self.engine.device):
                self._functions[key] = function.get_concrete_function(*given)
        return self._functions[key]

    def compiles(self, stages: Stages) -> bool:
        """Return whether XLA compiles functions that run some stages."""
        engine = self.engine
        if engine.jit_compile is None and engine.on_cpu and stages.avoids_xla:
            return False
        return engine.jit_compile is not False and not stages.program.has_callbacks

    def simulate(
        self,
        stages: Stages,
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
        loop_kernels = [stages.program.kernels[n] for n in stages.loop_groups]
        recompute = differentiable and not any(
            kernel.is_callback or not kernel.is_repeatable for kernel in loop_kernels
        )
        if segment is not None and recompute and segment < n_steps:
            state, values = stages.run_segments(
                constants, state, frames, n_steps, outputs, segment
            )
        else:
            state, values = stages.run(
                constants, state, frames, n_steps, outputs, recompute
            )
        values = [
            value[-1:] if self.probes[number] in self.only_last else value
            for number, value in zip(outputs, values, strict=True)
        ]
        return state, [tf.transpose(value, (1, 0, 2)) for value in values]

    def _constants(self, uniform: Mapping[int, float]) -> list[tf.Tensor]:
        """Return the values of constants; those that are uniform as literals.

        TensorFlow then leaves out products with ones, and sums with zeros.
        """
        return [
            tf.fill(variable.shape, tf.constant(uniform[number], variable.dtype))
            if number in uniform
            else tf.convert_to_tensor(variable)
            for number, variable in enumerate(self.engine.storage.variables.constants)
        ]

    def _make_function(self, n_steps, moving, terms, apply, options, training, first):
        program = self.program(training)
        stages = Stages(program, moving)
        metrics = options.metrics
        uniform = self.engine.storage.uniform_constants()
        used = [*terms, *metrics.values()]
        probes = list(dict.fromkeys(probe for term in used for probe in term.probes))
        numbers = [self.probes.index(probe) for probe in probes]
        variables = self.variables
        jit = self.compiles(stages)

        def forward(state, pieces, targets):
            engine = self.engine
            if first:
                learned = engine.storage.learned.variables.values()
                state = engine.storage.learned.put_tensors(
                    state, [tf.convert_to_tensor(v) for v in learned]
                )
            state, values = self.simulate(
                stages,
                self._constants({} if jit else uniform),
                state,
                pieces,
                n_steps,
                numbers,
                apply is not None,
                options.segment,
            )
            shown = dict(zip(probes, values, strict=True))
            wanted = {probe: targets.get(self.probes.index(probe)) for probe in probes}

            def value_of(term):
                return term(
                    [shown[p] for p in term.probes], [wanted[p] for p in term.probes]
                )

            losses = [value_of(term) for term in terms]
            measured = {name: value_of(term) for name, term in metrics.items()}
            return state, losses, measured

        @tf.function(jit_compile=jit, autograph=False)
        def call(state, pieces, targets):
            if apply is None:
                state, losses, measured = forward(state, pieces, targets)
                return {
                    "state": state,
                    "losses": tf.stack(losses) if losses else tf.zeros(0),
                    "metrics": measured,
                }
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                state, losses, measured = forward(state, pieces, targets)
                total = tf.add_n(losses)
            gradients = tape.gradient(
                total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
            # a sum that is not finite has a term that is not
            fine = tf.stack(
                [tf.math.is_finite(tf.reduce_sum(tf.abs(g))) for g in gradients]
            )
            ok = tf.math.is_finite(total) & tf.reduce_all(fine)

            fine = tf.cond(ok, lambda: apply(gradients, jit), lambda: fine)
            ok = ok & tf.reduce_all(fine)
            return {
                "state": state,
                "losses": tf.stack(losses),
                "metrics": measured,
                "fine": fine,
                "ok": ok,
            }

        return call


def _ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items that are made one ahead, in another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = object()
        waiting = pool.submit(next, items, done)
        while True:
            item = waiting.result()
            if item is done:
                return
            waiting = pool.submit(next, items, done)
            yield item


def _frame(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Join the values of signals along their last axis."""
    if len(parts) == 1:
        return parts[0]
    n_steps = max(int(part.shape[0]) for part in parts)
    items = max(int(part.shape[1]) for part in parts)
    return tf.concat(
        [tf.broadcast_to(p, (n_steps, items, p.shape[2])) for p in parts], axis=2
    )


def _cut(
    minibatch: Minibatch, start: int, end: int, whole: Collection[nengo.Probe]
) -> Minibatch:
    """Return some steps of a minibatch; the targets of some probes have no steps."""
    n_steps = minibatch.n_steps
    return Minibatch(
        {s: v[start:end] if len(v) > 1 else v for s, v in minibatch.inputs.items()},
        {
            p: v[:, start:end]
            if p not in whole and v.ndim > 1 and v.shape[1] == n_steps
            else v
            for p, v in minibatch.targets.items()
        },
        end - start,
    )


def _rows(values: np.ndarray, n_steps: int) -> np.ndarray:
    return np.broadcast_to(values, (n_steps, *values.shape[1:]))


def _is_random(op: Operator) -> bool:
    """Whether the values of an operator on the host differ between minibatches."""
    if isinstance(op, SimPyFunc | TimeUpdate):
        return False
    return not (isinstance(op, SimProcess) and op.process.seed is not None)


def count_minibatches(data: ArrayData | StreamData, n_epochs: int) -> int | None:
    """Return the number of minibatches of all epochs, if it is known."""
    count = data.n_minibatches
    return None if count is None else count * n_epochs
