"""Runs many time steps at once, stage by stage, so that gradients are cheap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nengo_dl.builders.value_store import ValueStore
from nengo_dl.program.scan import Product, scan
from nengo_dl.program.schedule import Kind, Schedule
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf

__all__ = ["run_schedule", "run_segments"]


def run_schedule(
    schedule: Schedule,
    constants: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    frames: Sequence[tf.Tensor],
    n_steps: int,
    outputs: Sequence[int],
    recompute: bool = True,
    loops_apart: bool = False,
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Simulate some steps.

    Parameters
    ----------
    schedule : Schedule
        The program.
    constants : sequence of tf.Tensor, shapes (1, size)
        Values of the program's constant blocks.
    state : sequence of tf.Tensor, shapes (minibatch, size)
        State before the first step.
    frames : sequence of tf.Tensor, shapes (n_steps or 1, minibatch or 1, size)
        Values of the input blocks; one step only for blocks that do not move.
    n_steps : int
        Number of steps.
    outputs : sequence of int
        Which of the program's outputs are wanted.
    recompute : bool
        See `scan`.
    loops_apart : bool
        Whether XLA compiles loops by themselves.

    Returns
    -------
    state : list of tf.Tensor, shapes (minibatch, size)
        State after the last step.
    outputs : list of tf.Tensor, shapes (n_steps, minibatch, size)
        Outputs of all steps.
    """
    run = _Run(schedule, constants, state, frames, n_steps, outputs, loops_apart)
    return run.execute(recompute)


def run_segments(
    schedule: Schedule,
    constants: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    frames: Sequence[tf.Tensor],
    n_steps: int,
    outputs: Sequence[int],
    length: int,
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Simulate in segments, of which only the first state is kept.

    Parameters
    ----------
    schedule, constants, state, frames, n_steps, outputs
        As in `run_schedule`.
    length : int
        Number of steps of a segment. A derivative computes each segment once more, and
        needs memory for one segment at a time. Steps that are left over come first.

    Returns
    -------
    state, outputs
        As of `run_schedule`.
    """
    program = schedule.program
    minibatch = program.config.minibatch_size
    count, rest = divmod(n_steps, length)
    if rest:
        pairs = list(zip(frames, schedule.moving, strict=True))
        parts = [[f[:rest] if moves else f for f, moves in pairs]]
        parts += [[f[rest:] if moves else f for f, moves in pairs]]
        given = (schedule, constants)
        state, first = run_schedule(*given, state, parts[0], rest, outputs)
        state, later = run_segments(
            *given, state, parts[1], n_steps - rest, outputs, length
        )
        return state, [tf.concat(p, axis=0) for p in zip(first, later, strict=True)]
    moving = [f for f, moves in zip(frames, schedule.moving, strict=True) if moves]
    still = [f for f, moves in zip(frames, schedule.moving, strict=True) if not moves]

    def segment(invariants: Any, state: Any, items: Any, multiply: Any) -> Any:
        given = iter(invariants[len(constants) :])
        items = iter(items)
        parts = [next(items) if moves else next(given) for moves in schedule.moving]
        return run_schedule(
            schedule, invariants[: len(constants)], state, parts, length, outputs
        )

    plans = [program.layout.outputs[i] for i in outputs]
    shapes = [
        (
            tf.as_dtype(program.dtype_of(program.layout.blocks[p.pieces[0].block])),
            (length, minibatch, *p.shape),
        )
        for p in plans
    ]
    state, found = scan(
        segment,
        [*constants, *still],
        state,
        [tf.reshape(f, (count, length, *f.shape[1:])) for f in moving],
        count,
        shapes,
    )
    return state, [tf.reshape(f, (n_steps, *f.shape[2:])) for f in found]


class _Run:
    """The tensors of one traced simulation."""

    def __init__(
        self,
        schedule: Any,
        constants: Any,
        state: Any,
        frames: Any,
        n_steps: Any,
        outputs: Any,
        loops_apart: bool,
    ):
        self.schedule = schedule
        self.program: StepProgram = schedule.program
        self.layout = self.program.layout
        self.minibatch = self.program.config.minibatch_size
        self.n_steps = n_steps
        self.loops_apart = loops_apart
        self.wanted = [self.layout.outputs[i] for i in outputs]
        self.updated = [self.layout.after_updates[i] for i in outputs]
        program = self.program
        fixed = program.read_fixed(constants)
        self.fixed = {
            id(plan): value
            for plan, value in zip(program.fixed_plans, fixed, strict=True)
        }
        #: values that are the same in all steps, shape (1 or minibatch, size)
        self.still: dict[int, tf.Tensor] = {
            block.number: value
            for block, value in zip(program.constant_blocks, constants, strict=True)
        }
        #: values of all steps, shape (n_steps * (1 or minibatch), size)
        self.moving: dict[int, tf.Tensor] = {}
        self.state_numbers = [block.number for block in program.state_blocks]
        self.state = list(state)
        for number, value in zip(self.state_numbers, state, strict=True):
            if number not in schedule.looped:
                self.still[number] = value
        for block, value, moves in zip(
            program.input_blocks, frames, schedule.moving, strict=True
        ):
            if moves:
                self.moving[block.number] = self._all_steps(value)
            else:
                self.still[block.number] = value[0]

    def _all_steps(self, value: tf.Tensor) -> tf.Tensor:
        """Flatten ``(n_steps, batch or 1, size)`` into the batch of all steps."""
        shape = (self.n_steps, self.minibatch, value.shape[-1])
        return tf.reshape(tf.broadcast_to(value, shape), (-1, shape[-1]))

    def _by_step(self, number: int) -> tf.Tensor:
        """Return what a block has in all steps, shape ``(n_steps, rows, size)``."""
        shape = (self.n_steps, -1, self.layout.blocks[number].size)
        return tf.reshape(self.moving[number], shape)

    def execute(self, recompute: Any) -> Any:
        """Run all schedule; see `run_schedule`."""
        by_number = dict(zip(self.state_numbers, self.state, strict=True))
        results: list[tf.Tensor | None] = [None] * len(self.wanted)
        phases = self.schedule.phases
        for number, phase in enumerate(phases):
            if phase.kind is Kind.ONCE:
                self.still.update(
                    self.program.compute(phase.groups, self.still, self.fixed)
                )
            elif phase.kind is Kind.BATCH:
                needed = self._needed(phase.groups)
                start = {**self._spread(needed), **self.moving}
                found = self.program.compute(phase.groups, start, self.fixed)
                rows = self.n_steps * self.minibatch
                self.moving.update(
                    (block, tf.broadcast_to(value, (rows, value.shape[1])))
                    for block, value in found.items()
                )
            else:
                later = [n for p in phases[number + 1 :] for n in p.groups]
                self._loop(phase.groups, later, by_number, results, recompute)
        for i, plan in enumerate(self.wanted):
            if results[i] is None:
                blocks = {piece.block for piece in plan.pieces}
                store = self.program.store({**self._spread(blocks), **self.moving})
                value = store.read(plan)
                size = int(value.shape[-1])
                rows = tf.broadcast_to(value, (self.n_steps * self.minibatch, size))
                results[i] = tf.reshape(rows, (self.n_steps, self.minibatch, size))
        return [by_number[n] for n in self.state_numbers], results

    def _needed(self, groups: Sequence[int]) -> set[int]:
        """Return the blocks that groups read or add to."""
        found: set[int] = set()
        for number in groups:
            found |= self.schedule.read[number] | self.schedule.written[number]
        return found

    def _read_in_loop(self, groups: Sequence[int], in_loop: Sequence[bool]) -> set[int]:
        """Return the blocks that groups and outputs in a loop need.

        Without those of which the operands were read before the loop.
        """
        found: set[int] = set()
        for number in groups:
            bound = self.layout.groups[number]
            found |= self.schedule.written[number]
            for plan in (*bound.reads, *bound.previous):
                if id(plan) not in self.fixed:
                    found |= {piece.block for piece in plan.pieces}
        for plan, looped in zip(self.wanted, in_loop, strict=True):
            if looped:
                found |= {piece.block for piece in plan.pieces}
        return found

    def _spread(self, blocks: set[int]) -> dict[int, tf.Tensor]:
        """Repeat values that stay the same, unless all items share them."""
        spread = {}
        for number in blocks & set(self.still):
            value = self.still[number]
            shared = value.shape[0] == 1
            spread[number] = value if shared else self._all_steps(value[None])
        return spread

    def _loop(
        self, groups: Any, later: Any, by_number: Any, results: Any, recompute: Any
    ) -> Any:
        """Run a loop; leave what later phases need in `moving`."""
        states = sorted(
            {b for n in groups for b in self.schedule.written[n] if b in by_number}
        )
        in_loop = self._read_at_steps(states, results)
        reads = self._read_in_loop(groups, in_loop)
        still = sorted(reads & set(self.still) - set(self.moving))
        moving = sorted(reads & set(self.moving))
        fixed_plans = self._fixed_plans(groups)
        exported = self._exported(groups, later, in_loop)
        products = self._products(groups, fixed_plans)
        places = {number: place for place, number in enumerate(products)}

        def step(invariants: Any, state: Any, items: Any, multiply: Any) -> Any:
            fixed = dict(zip(fixed_plans, invariants[: len(fixed_plans)], strict=True))
            start = dict(zip(still, invariants[len(fixed_plans) :], strict=True))
            start.update(zip(moving, items, strict=True))
            start.update(zip(states, state, strict=True))
            store = self.program.store(start)
            for number in groups:
                if number in places:
                    bound = self.layout.groups[number]
                    result = multiply(places[number], store.read(bound.reads[1]))
                    store.inc(bound.incs[0], result)
                else:
                    self.program.run_group(number, store, fixed)
            outputs = self._loop_outputs(store, in_loop, exported)
            return store.next_state(states), outputs

        last, found = self._scan(
            step,
            [
                *(self.fixed[key] for key in fixed_plans),
                *(self.still[n] for n in still),
            ],
            [by_number[n] for n in states],
            [self._by_step(n) for n in moving],
            self._loop_shapes(in_loop, exported),
            recompute,
            list(products.values()),
        )
        by_number.update(zip(states, last, strict=True))
        for i, looped in enumerate(in_loop):
            if looped:
                results[i] = found.pop(0)
        for number, value in zip(exported, found, strict=True):
            self.moving[number] = self._all_steps(value)

    def _scan(self, step: Any, *given: Any) -> Any:
        """Run a loop, compiled by itself if that is wanted."""
        *tensors, shapes, recompute, products = given

        def run(invariants: Any, state: Any, items: Any) -> Any:
            sequences = invariants, state, items, self.n_steps, shapes
            return scan(step, *sequences, recompute, products)

        if self.loops_apart and self.n_steps > 1:
            run = tf.function(run, jit_compile=True, autograph=False)
        return run(*tensors)

    def _read_at_steps(self, states: Any, results: Any) -> list[bool]:
        """Return which outputs a loop reads: those of state, at a moment of a step."""
        return [
            result is None and any(piece.block in states for piece in plan.pieces)
            for plan, result in zip(self.wanted, results, strict=True)
        ]

    def _fixed_plans(self, groups: Sequence[int]) -> list[int]:
        """Return the identities of operands that were read before, each once."""
        found = [
            id(plan)
            for number in groups
            for plan in self.layout.groups[number].reads
            if id(plan) in self.fixed
        ]
        return list(dict.fromkeys(found))

    def _loop_outputs(
        self, store: ValueStore, in_loop: Sequence[bool], exported: Sequence[int]
    ) -> list[tf.Tensor]:
        """Return what a step in a loop gives: outputs, and blocks for later phases."""
        outputs = []
        for plan, updated, looped in zip(
            self.wanted, self.updated, in_loop, strict=True
        ):
            if looped:
                value = store.read_final(plan) if updated else store.read(plan)
                shape = (self.minibatch, *plan.shape)
                outputs.append(tf.broadcast_to(value, shape))
        for number in exported:
            size = self.layout.blocks[number].size
            outputs.append(
                tf.broadcast_to(store.value_of(number), (self.minibatch, size))
            )
        return outputs

    def _loop_shapes(
        self, in_loop: Sequence[bool], exported: Sequence[int]
    ) -> list[tuple[tf.DType, tuple[int, ...]]]:
        """Return types and shapes of what a step in a loop gives."""
        shapes = [
            (self._dtype(plan.pieces[0].block), (self.minibatch, *plan.shape))
            for plan, looped in zip(self.wanted, in_loop, strict=True)
            if looped
        ]
        shapes += [
            (self._dtype(n), (self.minibatch, self.layout.blocks[n].size))
            for n in exported
        ]
        return shapes

    def _products(
        self, groups: Sequence[int], fixed_plans: Sequence[int]
    ) -> dict[int, Product]:
        """Return what groups multiply, by their numbers; see `_product`."""
        return {
            number: product
            for number in groups
            if (product := self._product(number, fixed_plans)) is not None
        }

    def _product(self, number: Any, fixed_plans: Any) -> Product | None:
        """Return what a group multiplies, if that is a constant and something else."""
        kernel, bound = self.program.kernels[number], self.layout.groups[number]
        if not kernel.is_product:
            return None
        constant, operand = bound.reads
        if id(constant) not in fixed_plans or id(operand) in fixed_plans:
            return None
        return Product(
            lambda a, x: kernel.step((a, x), ()).incs[0],
            fixed_plans.index(id(constant)),
            (self.minibatch, *operand.shape),
            (self.minibatch, *bound.group.incs[0].shape),
            tf.as_dtype(self.program.config.dtype),
        )

    def _exported(self, groups: Any, later: Any, in_loop: Any) -> list[int]:
        """Return the blocks of a loop that later phases or outputs read."""
        written = {block for n in groups for block in self.schedule.written[n]}
        needed = self._needed(later)
        for plan, looped in zip(self.wanted, in_loop, strict=True):
            if not looped:
                needed |= {piece.block for piece in plan.pieces}
        return sorted(written & needed)

    def _dtype(self, number: int) -> tf.DType:
        return tf.as_dtype(self.program.dtype_of(self.layout.blocks[number]))
