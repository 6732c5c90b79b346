"""A simulator as a function of tensors, for Keras models that contain it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.program.schedule import Schedule
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.data import Minibatch
from nengo_dl.training.gradient_paths import with_gradient
from nengo_dl.training.trainer import Trainer

__all__ = ["SimulatorFunction"]


class SimulatorFunction:
    """Computes what probes show; gradients flow to inputs and parameters.

    Each call starts from the initial state, and nothing is changed.

    Parameters
    ----------
    trainer : Trainer
        Trains the simulator's parameters.
    signals : mapping of {Node: Signal}
        The nodes that can be fed.
    """

    def __init__(self, trainer: Trainer, signals: Mapping[nengo.Node, Signal]):
        self.trainer = trainer
        self.signals = signals
        self.dtype = trainer.session.step.config.dtype.name
        self.minibatch = trainer.minibatch

    def reached(self) -> list[bool]:
        """Return which trained parameters influence a probe."""
        plan, model = self.trainer.session.plan, self.trainer.model
        shown = [model.sig[probe]["in"].base for probe in model.probes]
        found = with_gradient(plan.split.device, shown)
        return [piece.signal.base in found for piece in self.trainer.parameters.pieces]

    def output_shapes(self, n_steps: int) -> list[tuple[int, int, int]]:
        """Return the shapes of what all probes show."""
        trainer = self.trainer
        return [
            (
                self.minibatch,
                1 if probe in trainer.only_last else n_steps,
                trainer.model.sig[probe]["in"].size,
            )
            for probe in trainer.probes
        ]

    def with_batch(self, value: Any) -> Any:
        """Return a value with the size of the minibatch, where a trace lacks it.

        ``export`` leaves it open, whatever ``batch_shape`` the model's inputs have.
        """
        if not isinstance(value, tf.Tensor) or value.shape.rank != 3:
            return value
        _, *others = value.shape
        is_open = value.shape[0] is None
        return tf.ensure_shape(value, (self.minibatch, *others)) if is_open else value

    def check(self, inputs: Mapping[nengo.Node, Any]) -> None:
        """Raise if inputs do not have the shape of a minibatch."""
        for node, value in inputs.items():
            shape = tuple(value.shape)
            known = (self.minibatch, node.size_out)
            if len(shape) != 3 or (shape[0], shape[2]) != known or shape[1] is None:
                raise ValidationError(
                    f"The input for {node} must have shape (minibatch, n_steps, size) "
                    f"= ({known[0]}, n_steps, {known[1]}) (got {shape}); give the size "
                    "of the minibatch: keras.Input(batch_shape=...)",
                    attr="inputs",
                )
        lengths = sorted({int(value.shape[1]) for value in inputs.values()})
        if len(lengths) != 1:
            raise ValidationError(
                f"Inputs must have the same number of steps, at least one (got "
                f"{lengths})",
                attr="inputs",
            )
        if self.trainer.session.step.has_callbacks:
            raise ValidationError(
                "A network that calls Python in each time step cannot be part of a "
                "Keras model",
                attr="network",
            )

        signals = {self.signals[node] for node in inputs}
        if self.trainer.inputs.feeds.depend_on(signals):
            raise ValidationError(
                "A network with functions in Python on connections from the inputs of "
                "a Keras model cannot be part of it: its inputs are tensors there; use "
                "a TensorNode for the function",
                attr="network",
            )

    def __call__(
        self, inputs: Mapping[nengo.Node, tf.Tensor], training: bool
    ) -> list[tf.Tensor]:
        """Return what all probes show, shapes (minibatch, n_steps, size).

        Parameters
        ----------
        inputs : mapping of {Node: tf.Tensor, shape (minibatch, n_steps, size)}
            Values of nodes; the others have those that they have in simulations.
        training : bool
            Whether neurons are those of training (rates, or surrogate gradients).
        """
        trainer, functions = self.trainer, self.trainer.functions
        fed = {self.signals[node]: value for node, value in inputs.items()}
        n_steps = int(next(iter(fed.values())).shape[1])
        with tf.init_scope():
            program = functions.programs.step(training)
            pieces = self._pieces(fed, n_steps, program)
            schedule = Schedule(
                program, tuple(any(p.shape[0] > 1 for p in parts) for parts in pieces)
            )
            state = list(trainer.state)
        for parts, block in zip(pieces, program.input_blocks, strict=True):
            for number, signal in enumerate(block.signals):
                if signal in fed:
                    value = tf.cast(fed[signal], parts[number].dtype)
                    parts[number] = tf.transpose(value, (1, 0, 2))
        constants, state = self._values(state)
        outputs = list(range(len(trainer.probes)))
        _, values = functions.programs.simulate(
            schedule, constants, state, pieces, n_steps, outputs, True
        )
        return values

    def _pieces(self, fed, n_steps, program):
        """Return the values of all inputs, zeros for those that are fed."""
        minibatch = Minibatch(
            {
                signal: np.zeros((n_steps, self.minibatch, max(signal.size, 1)))
                for signal in fed
            },
            {},
            n_steps,
            self.minibatch,
            False,
            np.arange(self.minibatch),
        )
        inputs = self.trainer.inputs
        made = inputs.host_inputs(minibatch, self.trainer.observing_rng())
        return inputs.pieces(minibatch, made, 0, n_steps, program)

    def _values(self, state):
        """Return constants and state, with trained parameters as they are now."""
        parameters, store = self.trainer.parameters, self.trainer.session.store
        joined = parameters.join([v.value for v in parameters.variables])
        now = {
            id(block): value
            for block, value in zip(parameters.blocks, joined, strict=True)
        }
        constants = [
            now[id(variable)] if id(variable) in now else tf.convert_to_tensor(variable)
            for variable in store.variables.constants
        ]
        learned = [now[id(v)] for v in store.learned.variables.values()]
        return constants, store.learned.put_tensors(state, learned)
