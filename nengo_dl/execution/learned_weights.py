"""Weights that training sets and learning rules then change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.trainability import variable_name
from nengo_dl.program.step import StepProgram

__all__ = ["LearnedWeights", "keep_learned"]


class LearnedWeights:
    """Trained values with which weights start that a learning rule changes.

    Such weights are part of the state, each item of a minibatch has its own. What
    training changes is their initial value, which all items share.

    Parameters
    ----------
    plan : Plan
        Says what is trained and learned.
    step : StepProgram
        Says where signals are, and their initial values.
    device : str or None
        TensorFlow device.

    Attributes
    ----------
    variables : dict of {Signal: tf.Variable}
        Initial values, shapes ``(1, n_values)``.
    """

    def __init__(self, plan: Plan, step: StepProgram, device: str | None):
        layout = step.layout
        self.variables: dict[Signal, tf.Variable] = {}
        self._places: dict[Signal, tuple[int, int, int]] = {}
        for parameter in plan.trainable:
            signal = parameter.signal
            if not parameter.learned or signal not in layout.block_of:
                continue
            block = layout.block_of[signal]
            start, size = block.starts[signal], n_values(signal)
            number = step.state_blocks.index(block)
            self._places[signal] = (number, start, start + size)
            values = step.initial_values([block])[0][:, start : start + size]
            with tf.device(device):
                self.variables[signal] = tf.Variable(
                    values, name=variable_name(parameter)
                )
        self._original = self.values()
        self._shown = self.values()

    def values(self) -> list[np.ndarray]:
        """Return the initial values, shapes (1, n_values)."""
        return [variable.numpy() for variable in self.variables.values()]

    def assign(self, values: Sequence[np.ndarray]) -> None:
        """Replace the initial values, in the order of `variables`."""
        for variable, value in zip(self.variables.values(), values, strict=True):
            variable.assign(value)
        self._shown = self.values()

    def reset(self) -> None:
        """Return to the values that Nengo built."""
        self.assign(self._original)

    def follow(self, values: Mapping[Signal, np.ndarray]) -> None:
        """Take over values that were set from outside, where all items share them."""
        for signal, value in values.items():
            if signal in self.variables:
                rows = np.reshape(value, (-1, n_values(signal)))
                if (rows == rows[:1]).all():
                    self.variables[signal].assign(rows[:1])
        self._shown = self.values()

    def changed(self) -> dict[Signal, np.ndarray]:
        """Return what training changed since the last call."""
        before, self._shown = self._shown, self.values()
        return {
            signal: new
            for signal, old, new in zip(self.variables, before, self._shown)
            if not np.array_equal(old, new)
        }

    def put(self, state: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return a state, shapes (minibatch, size), with these initial values."""
        state = list(state)
        for (number, start, end), value in zip(self._places.values(), self.values()):
            state[number] = np.array(state[number])
            state[number][:, start:end] = value
        return state

    def put_tensors(
        self, state: Sequence[tf.Tensor], values: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Return a state with given initial values, to which gradients flow."""
        state = list(state)
        for (number, start, end), value in zip(self._places.values(), values):
            old = state[number]
            rows = tf.broadcast_to(value, (old.shape[0], end - start))
            state[number] = tf.concat([old[:, :start], rows, old[:, end:]], axis=1)
        return state


def keep_learned(
    plan: Plan,
    blocks: Sequence[Block],
    start: Sequence[np.ndarray],
    before: Sequence[np.ndarray],
) -> None:
    """Put weights that learning rules changed into the state of a new start."""
    for block, new, old in zip(blocks, start, before, strict=True):
        for signal in block.signals:
            if signal in plan.learned:
                first = block.starts[signal]
                where = slice(first, first + n_values(signal))
                new[:, where] = old[:, where]
