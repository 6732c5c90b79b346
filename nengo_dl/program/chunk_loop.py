"""The simulation loop: many steps in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from nengo_dl.builders.base import Arranged
from nengo_dl.builders.shapes import reshape
from nengo_dl.program.carry import Carried
from nengo_dl.program.lease import Lease
from nengo_dl.program.output_stores import OutputStore, find_stores
from nengo_dl.program.pool import programs
from nengo_dl.program.step import StepProgram
from nengo_dl.program.variables import Variables
from nengo_dl.support.lazy_imports import tf

__all__ = ["ChunkFunction", "LoopShape", "make_chunk_function"]


@dataclass(frozen=True)
class LoopShape:
    """What a compiled loop has room for.

    Attributes
    ----------
    capacity : int
        Most steps that one call can simulate.
    slots : tuple of int
        For each output, how many values can be kept.
    clocks : tuple of int
        For each output, which row of the slot table says where its values go.
    """

    capacity: int
    slots: tuple[int, ...]
    clocks: tuple[int, ...]


class ChunkFunction:
    """Simulates chunks of steps, with the variables of one simulator.

    Parameters
    ----------
    lease : Lease
        The compiled loop.
    stores : sequence of OutputStore
        What it returns.
    shapes : sequence of tuple of int
        Shapes of the outputs in a step, without the batch axis.
    """

    def __init__(
        self,
        lease: Lease,
        stores: Sequence[OutputStore],
        shapes: Sequence[tuple[int, ...]],
    ):
        self.lease = lease
        self._stores = stores
        self._shapes = shapes
        self._last_slots: tuple[np.ndarray, tf.Tensor] | None = None

    def __call__(
        self,
        n_steps: int,
        frames: Sequence[np.ndarray],
        slots: np.ndarray,
        arranged: Sequence[Arranged] = (),
    ) -> list[np.ndarray]:
        """Advance the state variables, if all steps go well.

        Parameters
        ----------
        n_steps : int
            How many steps.
        frames : sequence of ndarray, shapes (capacity, minibatch, size)
            Values of the input blocks.
        slots : (n_clocks, capacity) ndarray of int32
            The position at which the outputs of each step are stored (a later step
            overwrites an earlier one at the same position). If groups are hoisted, a
            last row has the end of each step's segment.
        arranged : sequence of tf.Tensor or tuple of tf.Tensor
            See `make_chunk_function`.

        Returns
        -------
        list of ndarray, shapes (n_slots, minibatch, size)
            The outputs.
        """
        stored = self.lease(
            tf.constant(n_steps, tf.int32),
            *(tf.convert_to_tensor(frame) for frame in frames),
            self._slots_tensor(slots),
            *tf.nest.flatten(arranged),
        )
        results: dict[int, np.ndarray] = {}
        for store, values in zip(self._stores, stored, strict=True):
            for number, part in store.split(values.numpy()):
                results[number] = part.reshape((*part.shape[:2], *self._shapes[number]))
        return [results[number] for number in range(len(self._shapes))]

    def _slots_tensor(self, slots: np.ndarray) -> tf.Tensor:
        """Return a tensor, which is kept in case that the next call is the same."""
        if self._last_slots is not None and self._last_slots[0] is slots:
            return self._last_slots[1]
        tensor = tf.convert_to_tensor(slots)
        self._last_slots = None if slots.flags.writeable else (slots, tensor)
        return tensor


@dataclass(frozen=True)
class _Steps:
    """What is computed by a loop; see `make_chunk_function`."""

    program: StepProgram
    shape: LoopShape
    stores: Sequence[OutputStore]
    dtypes: Sequence[np.dtype]
    unroll: int
    jit_compile: bool
    jit_pieces: bool
    twins: Mapping[int, int]
    hoisted: Sequence[int]


#: What goes through a loop: the carried state, and arrays for outputs.
_LoopVars: TypeAlias = "tuple[Any, list[tf.TensorArray]]"


class _Loop:
    """The tensors of one traced loop."""

    def __init__(
        self,
        steps: _Steps,
        variables: Variables,
        frames: Sequence[tf.Tensor],
        slots: tf.Tensor,
        arranged: Mapping[int, Arranged],
    ):
        self.steps = steps
        self.program = steps.program
        self.shape = steps.shape
        self.frames = frames
        self.slots = slots
        self.constants = [tf.convert_to_tensor(v) for v in variables.constants]
        self.state = [tf.convert_to_tensor(v) for v in variables.state]
        self.carried = Carried(
            self.program,
            self.state,
            steps.twins,
            self.shape.capacity,
            steps.jit_compile,
        )
        self.fixed = self.program.read_fixed(self.constants, arranged)
        self.positions = reshape(slots, (-1,))

    def run(self, n_steps: tf.Tensor, variables: Variables) -> list[tf.Tensor]:
        """Simulate, assign the state, and return the outputs."""
        carried = self.carried
        arrays = self._make_arrays()
        loop_vars = carried.pack(tf.constant(0), self.state), arrays
        if self.steps.hoisted:
            loop_vars = tf.while_loop(
                lambda carry, _: carried.step_number(carry) < n_steps,
                lambda carry, arrays: self._segment(n_steps, carry, arrays),
                loop_vars,
                parallel_iterations=1,
            )
        else:
            loop_vars = self._simulate(n_steps, *loop_vars)
        carry, arrays = loop_vars
        results = [array.stack() for array in arrays]
        for variable, value in zip(variables.state, carried.state(carry), strict=True):
            variable.assign(value)
        return results

    def _make_arrays(self) -> list[tf.TensorArray]:
        """Return arrays for the outputs."""
        minibatch = self.program.config.minibatch_size
        return [
            tf.TensorArray(
                self.steps.dtypes[store.outputs[0]],
                size=self.shape.slots[store.outputs[0]],
                element_shape=(minibatch, sum(store.sizes)),
            )
            for store in self.steps.stores
        ]

    def _inputs(self, i: tf.Tensor) -> list[tf.Tensor]:
        return [tf.gather(values, i) for values in self.frames]

    def _one_step(
        self,
        carry: Any,
        arrays: list[tf.TensorArray],
        prepared: Mapping[int, tf.Tensor],
    ) -> _LoopVars:
        i = self.carried.step_number(carry)
        state, values = self.program.step(
            self.constants,
            self.fixed,
            self.carried.state(carry),
            self._inputs(i),
            self.steps.jit_pieces,
            self.steps.hoisted,
            prepared,
        )
        # several outputs can share a clock
        clocks, capacity = self.shape.clocks, self.shape.capacity
        where = {
            clock: tf.gather(self.positions, i + clock * capacity if clock else i)
            for clock in set(clocks)
        }
        arrays = [
            array.write(where[clocks[store.outputs[0]]], store.join(values))
            for array, store in zip(arrays, self.steps.stores, strict=True)
        ]
        return self.carried.pack(i + 1, state), arrays

    def _simulate(
        self,
        end: tf.Tensor,
        carry: Any,
        arrays: list[tf.TensorArray],
        prepared: Mapping[int, tf.Tensor] = MappingProxyType({}),
    ) -> _LoopVars:
        """Simulate until some step: several in a turn, then the rest one by one."""

        def several(n: Any) -> Any:
            def body(carry: Any, arrays: Any) -> Any:
                for _ in range(n):
                    carry, arrays = self._one_step(carry, arrays, prepared)
                return carry, arrays

            return body

        loop_vars = carry, arrays
        for n in dict.fromkeys((self.steps.unroll, 1)):
            loop_vars = tf.while_loop(
                lambda carry, _, n=n: self.carried.step_number(carry) + n <= end,
                several(n),
                loop_vars,
                parallel_iterations=1,
            )
        return loop_vars

    def _segment(
        self, n_steps: tf.Tensor, carry: Any, arrays: list[tf.TensorArray]
    ) -> _LoopVars:
        """Simulate a segment, with what serves all of its steps."""
        i = self.carried.step_number(carry)
        prepared = self.program.prepare(
            self.constants,
            self.fixed,
            self.carried.state(carry),
            self._inputs(i),
            self.steps.hoisted,
        )
        end = tf.minimum(self.slots[-1, i], n_steps)
        return self._simulate(end, carry, arrays, prepared)


def _argument_specs(
    program: StepProgram,
    shape: LoopShape,
    hoisted: Sequence[int],
    arranged: Mapping[int, Arranged],
) -> list[tf.TensorSpec]:
    """Return the types of a compiled loop's arguments; see `ChunkFunction`."""
    minibatch = program.config.minibatch_size
    n_rows = max(shape.clocks, default=0) + 1 + bool(hoisted)
    return [
        tf.TensorSpec((), tf.int32),
        *(
            tf.TensorSpec(
                (shape.capacity, minibatch, block.size), program.dtype_of(block)
            )
            for block in program.input_blocks
        ),
        tf.TensorSpec((n_rows, shape.capacity), tf.int32),
        *(
            tf.TensorSpec(tensor.shape, tensor.dtype)
            for tensor in tf.nest.flatten(list(arranged.values()))
        ),
    ]


def make_chunk_function(
    program: StepProgram,
    variables: Variables,
    shape: LoopShape,
    unroll: int,
    jit_compile: bool,
    jit_pieces: bool,
    twins: Mapping[int, int] = MappingProxyType({}),
    hoisted: Sequence[int] = (),
    device: str | None = None,
    own_labels: bool = False,
    arranged: Mapping[int, Arranged] = MappingProxyType({}),
) -> ChunkFunction:
    """Compile a loop over the steps of a program, or take one that was compiled.

    The number of steps is an argument of the compiled function, so that one function
    serves every run that fits its capacity.

    Parameters
    ----------
    program : StepProgram
        The step.
    variables : Variables
        Parameters and state; the compiled function refers to them, which costs much
        less in each call than passing them would.
    shape : LoopShape
        Room for inputs and outputs.
    unroll : int
        Number of steps in the loop's body. The remainder runs step by step: exactly as
        many steps are simulated as asked for.
    jit_compile : bool
        Compile the whole loop with XLA.
    jit_pieces : bool
        Compile what lies between callbacks with XLA.
    twins : mapping of {int: int}
        Positions of state that equals other state, before and after every step, and
        need not be carried from step to step.
    hoisted : sequence of int
        Groups that are computed once for each segment, see `hoisting`.
    device : str or None
        TensorFlow device on which the variables are.
    own_labels : bool
        Whether operations must have the program's own labels, not those of another one
        that is equal otherwise.
    arranged : mapping of {int: tf.Tensor or tuple of tf.Tensor}
        Constant operands that each call is given as they are used, such as these, by
        position in ``program.fixed_operands``.

    Returns
    -------
    ChunkFunction
        To be called for each chunk.
    """
    outputs = program.layout.outputs
    dtypes = [
        np.result_type(
            *(program.dtype_of(program.layout.blocks[p.block]) for p in plan.pieces)
        )
        for plan in outputs
    ]

    stores = find_stores(
        list(zip(dtypes, shape.clocks, strict=True)),
        [plan.shape for plan in outputs],
    )

    steps = _Steps(
        program, shape, stores, dtypes, unroll, jit_compile, jit_pieces, twins, hoisted
    )

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run(n_steps: Any, *tensors: Any) -> Any:
        n_frames = len(program.input_blocks)
        frames, slots = tensors[:n_frames], tensors[n_frames]
        operands = tf.nest.pack_sequence_as(
            list(arranged.values()), tensors[n_frames + 1 :]
        )
        by_number = dict(zip(arranged, operands, strict=True))
        loop = _Loop(steps, variables, frames, slots, by_number)
        return loop.run(n_steps, variables)

    specs = _argument_specs(program, shape, hoisted, arranged)
    lease = programs.lease(
        lambda: run.get_concrete_function(*specs),
        (
            "chunk loop",
            device,
            (jit_compile, jit_pieces, unroll),
            shape,
            tuple(twins.items()),
            tuple(hoisted),
            tuple(arranged),
        ),
        program.labels,
        own_labels,
        program.signature,
        [*variables.constants, *variables.state, *program.shared_variables],
    )
    return ChunkFunction(lease, stores, [plan.shape for plan in outputs])
