"""What a loop over time carries from step to step: state, and the step number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nengo_dl.builders.shapes import columns, reshape
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["Carried"]


class Carried:
    """Packs state and step number into the variables of a loop, and back.

    Parameters
    ----------
    program : StepProgram
        What the loop runs.
    state : sequence of tf.Tensor, shapes (minibatch, size)
        State at the beginning, whose shapes and types count.
    twins : mapping of {int: int}
        Positions of state that equals other state, and is not carried.
    n_steps : int
        Most steps that the loop takes.
    merge_counter : bool
        Whether the step number may be kept as the last value of some small state.
    """

    def __init__(
        self,
        program: StepProgram,
        state: Sequence[tf.Tensor],
        twins: Mapping[int, int],
        n_steps: int,
        merge_counter: bool,
    ):
        self._minibatch = program.config.minibatch_size
        self._state_shapes = program.state_shapes
        self._shapes = [value.shape for value in state]
        self._twins = twins
        self._positions = [i for i in range(len(state)) if i not in twins]
        self._host: int | None = None
        small = [
            (int(self._shapes[p][1]), number)
            for number, p in enumerate(self._positions)
            if len(self._state_shapes[p]) == 1
            and state[p].dtype.is_floating
            and n_steps < 1 / np.finfo(state[p].dtype.as_numpy_dtype).eps
            and 0 < self._minibatch * self._shapes[p][1] <= tuning.SMALL_STATE
        ]
        if merge_counter and small:
            _, self._host = min(small)

    def pack(self, i: tf.Tensor, state: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the loop's variables for step ``i`` and the state before it."""
        values = [
            reshape(state[p], (self._minibatch, *self._state_shapes[p]))
            for p in self._positions
        ]
        if self._host is None:
            return [i, *values]
        value = values[self._host]
        counter = tf.cast(tf.fill((self._minibatch, 1), i), value.dtype)
        values[self._host] = tf.concat([value, counter], axis=1)
        return values

    def step_number(self, variables: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the number of the step that comes next, an int32 scalar."""
        if self._host is None:
            return variables[0]
        return tf.cast(variables[self._host][0, -1], tf.int32)

    def state(self, variables: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return all state, shapes ``(minibatch, size)``."""
        if self._host is None:
            values = list(variables[1:])
        else:
            values = list(variables)
            value = values[self._host]
            values[self._host] = columns(value, 0, value.shape[1] - 1)
        known = dict(zip(self._positions, values, strict=True))
        return [
            reshape(known[self._twins.get(p, p)], shape)
            for p, shape in enumerate(self._shapes)
        ]
