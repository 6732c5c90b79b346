"""A time step, and a loop over steps, as functions of named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.shapes import reshape
from nengo_dl.compiler.blocks import Block
from nengo_dl.exporting.inputs import InputSignal
from nengo_dl.exporting.interface import Entry
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf

__all__ = ["NEXT", "N_STEPS", "Functions", "OneStep", "StepOfTensors"]

#: What the names of the state after a step begin with.
NEXT = "next_"

#: Name of the number of steps, where no input has it as length.
N_STEPS = "n_steps"

#: From state and inputs to the next state and outputs.
OneStep: TypeAlias = (
    "Callable[[Sequence[tf.Tensor], Sequence[tf.Tensor]], "
    "tuple[Sequence[tf.Tensor], Sequence[tf.Tensor]]]"
)


@dataclass(frozen=True)
class Functions:
    """The names and shapes of what a step takes and returns, in order.

    Attributes
    ----------
    inputs, outputs, state : tuple of Entry
        Of one step.
    n_steps : int or None
        Number of steps of a run; None: any.
    """

    inputs: tuple[Entry, ...]
    outputs: tuple[Entry, ...]
    state: tuple[Entry, ...]
    n_steps: int | None

    @property
    def needs_count(self) -> bool:
        """Whether a run has to be told its number of steps."""
        return not self.inputs and self.n_steps is None

    def step_specs(self) -> dict[str, tf.TensorSpec]:
        """Return what a step takes."""
        return {
            entry.name: tf.TensorSpec(entry.shape, entry.dtype, name=entry.name)
            for entry in (*self.state, *self.inputs)
        }

    def run_specs(self) -> dict[str, tf.TensorSpec]:
        """Return what a run takes."""
        specs = self.step_specs()
        for entry in self.inputs:
            shape = (entry.shape[0], self.n_steps, *entry.shape[1:])
            specs[entry.name] = tf.TensorSpec(shape, entry.dtype, name=entry.name)
        if self.needs_count:
            specs[N_STEPS] = tf.TensorSpec((), tf.int32, name=N_STEPS)
        return specs

    def step(
        self, one_step: OneStep, values: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return the next state and the outputs of a step, by name."""
        state, outputs = one_step(
            [values[entry.name] for entry in self.state],
            [values[entry.name] for entry in self.inputs],
        )
        return self._named(state, outputs)

    def run(
        self, one_step: OneStep, values: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return the state after a run and the outputs of all steps, by name.

        Inputs and outputs have the shape ``(minibatch, n_steps, ...)``.
        """
        rows = [_swapped(values[entry.name]) for entry in self.inputs]
        if self.n_steps is not None:
            n_steps = tf.constant(self.n_steps)
        else:
            n_steps = tf.shape(rows[0])[0] if rows else values[N_STEPS]
        arrays = [
            tf.TensorArray(entry.dtype, size=n_steps, element_shape=entry.shape)
            for entry in self.outputs
        ]

        def body(i: tf.Tensor, state: Any, arrays: Any) -> Any:
            state, outputs = one_step(state, [tf.gather(row, i) for row in rows])
            arrays = [
                array.write(i, value)
                for array, value in zip(arrays, outputs, strict=True)
            ]
            return i + 1, list(state), arrays

        _, state, arrays = tf.while_loop(
            lambda i, *_: i < n_steps,
            body,
            (tf.constant(0), [values[entry.name] for entry in self.state], arrays),
            parallel_iterations=1,
        )
        return self._named(state, [_swapped(array.stack()) for array in arrays])

    def _named(
        self, state: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        named = {
            NEXT + entry.name: value
            for entry, value in zip(self.state, state, strict=True)
        }
        named.update(
            (entry.name, value)
            for entry, value in zip(self.outputs, outputs, strict=True)
        )
        return named


def _swapped(value: tf.Tensor) -> tf.Tensor:
    """Return a tensor with its first two axes exchanged."""
    return tf.transpose(value, (1, 0, *range(2, value.shape.rank)))


class StepOfTensors:
    """Computes a time step from state and from inputs as the user knows them.

    Parameters
    ----------
    step : StepProgram
        The step of a simulation.
    blocks : sequence of Block
        Input blocks of which something is read.
    fed, kept : sequence of InputSignal
        Inputs that are given, and those that keep their values.
    clock : tuple of Signal or None
        The signals with step and time.
    shapes : sequence of tuple of int
        Shapes of the outputs, without the batch axis.

    Attributes
    ----------
    program : StepProgram
        The same step, in kernels that other runtimes know: for CPUs, and without
        variables besides its arguments.
    counts : bool
        Whether the number of steps so far is the last part of the state, since
        something depends on time.
    time_dtype : tf.DType
        In which precision times are computed.
    """

    def __init__(
        self,
        step: StepProgram,
        blocks: Sequence[Block],
        fed: Sequence[InputSignal],
        kept: Sequence[InputSignal],
        clock: tuple[Signal, Signal] | None,
        shapes: Sequence[tuple[int, ...]],
    ):
        config = step.config
        self.program = StepProgram(
            step.layout,
            BuildConfig(config.dt, config.dtype, config.minibatch_size, portable=True),
            step.labels,
        )
        self._used = {id(block) for block in blocks}
        self._places = {entry.signal: n for n, entry in enumerate(fed)}
        self._kept = {
            entry.signal: np.reshape(entry.default, (1, -1))
            for entry in kept
            if entry.default is not None
        }
        self._clock, self._shapes = clock, shapes
        self.time_dtype = tf.float64
        signals = {signal for block in blocks for signal in block.signals}
        self.counts = clock is not None and not signals.isdisjoint(clock)

    def __call__(
        self,
        constants: Sequence[tf.Tensor],
        fixed: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        inputs: Sequence[tf.Tensor],
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Compute one step.

        Parameters
        ----------
        constants, fixed
            As for `StepProgram.step`.
        state : sequence of tf.Tensor
            Values of the state blocks, and the number of steps before this one, if
            that counts.
        inputs : sequence of tf.Tensor, shapes (minibatch, size)
            Values of what is fed.

        Returns
        -------
        state, outputs : list of tf.Tensor
            State after the step, and what probes show in it.
        """
        n_steps, state = None, list(state)
        if self.counts:
            n_steps = state.pop() + 1
        frame = [
            self._value(block, inputs, n_steps) for block in self.program.input_blocks
        ]
        state, outputs = self.program.step(constants, fixed, state, frame)
        outputs = [
            reshape(value, (self.program.config.minibatch_size, *shape))
            for value, shape in zip(outputs, self._shapes, strict=True)
        ]
        return ([*state, n_steps] if self.counts else state), outputs

    def _value(
        self, block: Block, inputs: Sequence[tf.Tensor], n_steps: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the values of an input block, shape (minibatch, size)."""
        minibatch, dtype = self.program.config.minibatch_size, self._dtype(block)
        if id(block) not in self._used:  # nothing depends on it
            return tf.zeros((minibatch, block.size), dtype)
        parts = []
        for signal in block.signals:
            size = max(signal.size, 1)
            if signal in self._places:
                parts.append(inputs[self._places[signal]])
            elif signal in self._kept:
                value = np.repeat(self._kept[signal], minibatch, axis=0)
                parts.append(tf.constant(value, dtype))
            else:
                parts.append(tf.fill((minibatch, size), self._time(signal, n_steps)))
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)

    def _dtype(self, block: Block) -> np.dtype:
        return self.program.dtype_of(block)

    def _time(self, signal: Signal, n_steps: tf.Tensor | None) -> tf.Tensor:
        """Return the number of the step, or its time as Nengo computes it."""
        block = self.program.layout.block_of[signal]
        if self._clock is None or n_steps is None:
            raise AssertionError(f"nothing gives {signal} its values")
        if signal is self._clock[0]:
            return tf.cast(n_steps, self._dtype(block))
        time = tf.cast(n_steps, self.time_dtype) * self.program.config.dt
        return tf.cast(time, self._dtype(block))

    def output_dtypes(self) -> list[np.dtype]:
        """Return the types of the outputs."""
        blocks = self.program.layout.blocks
        return [
            np.result_type(*(self._dtype(blocks[p.block]) for p in plan.pieces))
            if plan.pieces
            else np.dtype(self.program.config.dtype)
            for plan in self.program.layout.outputs
        ]
