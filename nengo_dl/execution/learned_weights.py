"""Weights that training sets and learning rules then change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.trainability import variable_name
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf

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
    signals : tuple of Signal
        Base signals of the weights.
    """

    def __init__(self, plan: Plan, step: StepProgram, device: str | None):
        layout = step.layout
        self._device = device
        self._names: dict[Signal, str] = {}
        self._places: dict[Signal, tuple[int, int, int]] = {}
        #: until there are variables
        self._arrays: list[np.ndarray] = []
        self._variables: dict[Signal, tf.Variable] | None = None
        for parameter in plan.trainable:
            signal = parameter.signal
            if not parameter.learned or signal not in layout.block_of:
                continue
            block = layout.block_of[signal]
            start, size = block.starts[signal], n_values(signal)
            number = step.state_blocks.index(block)
            self._places[signal] = (number, start, start + size)
            self._names[signal] = variable_name(parameter)
            values = step.initial_values([block])[0]
            self._arrays.append(values[:, start : start + size])
        self.signals = tuple(self._places)
        self._original = self.values()
        self._shown = self.values()

    @property
    def variables(self) -> dict[Signal, tf.Variable]:
        """Initial values on the device, shapes (1, n_values); made when asked for."""
        if self._variables is None:
            with tf.device(self._device):
                self._variables = {
                    signal: tf.Variable(values, name=self._names[signal])
                    for signal, values in zip(self.signals, self._arrays, strict=True)
                }
        return self._variables

    def values(self) -> list[np.ndarray]:
        """Return the initial values, shapes (1, n_values)."""
        if self._variables is None:
            return list(self._arrays)
        return [variable.numpy() for variable in self._variables.values()]

    def assign(self, values: Sequence[np.ndarray]) -> None:
        """Replace the initial values, in the order of `signals`."""
        for number, value in enumerate(values):
            self._assign(number, value)
        self._shown = self.values()

    def _assign(self, number: int, value: np.ndarray) -> None:
        if self._variables is None:
            old = self._arrays[number]
            self._arrays[number] = np.array(value, dtype=old.dtype).reshape(old.shape)
        else:
            self._variables[self.signals[number]].assign(value)

    def reset(self) -> None:
        """Return to the values that Nengo built."""
        self.assign(self._original)

    def follow(self, values: Mapping[Signal, np.ndarray]) -> None:
        """Take over values that were set from outside, where all items share them."""
        for number, signal in enumerate(self.signals):
            if signal in values:
                rows = np.reshape(values[signal], (-1, n_values(signal)))
                if (rows == rows[:1]).all():
                    self._assign(number, rows[:1])
        self._shown = self.values()

    def changed(self) -> dict[Signal, np.ndarray]:
        """Return what training changed since the last call."""
        before, self._shown = self._shown, self.values()
        return {
            signal: new
            for signal, old, new in zip(self.signals, before, self._shown)
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
