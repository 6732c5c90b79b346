"""Many time steps at once, in the form that is cheapest to differentiate.

Most of a network need not wait for the step before: whatever depends on inputs and
parameters only can be computed for all steps together, as one large batch, and so can
whatever nothing in later steps depends on. What is left in between is the loop. An
input product of fifty steps is then one matrix product, and a network without any state
has no loop at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import tensorflow as tf

from nengo_dl.builders.signals import ValueStore
from nengo_dl.compiler.layout import ReadPlan
from nengo_dl.compiler.traits import Role
from nengo_dl.runtime.scan import scan
from nengo_dl.runtime.step import StepProgram

__all__ = ["Stage", "Stages"]


class Stage(IntEnum):
    """When a group is computed."""

    #: once: it depends on parameters and on inputs that stay the same
    ONCE = 0
    #: for all steps together, before the loop
    BEFORE = 1
    #: in each step
    LOOP = 2
    #: for all steps together, after the loop
    AFTER = 3


class Stages:
    """A program whose groups are divided by when they can be computed.

    Parameters
    ----------
    program : StepProgram
        The program of one step.
    moving : sequence of bool
        For each input block, whether its values differ between steps.

    Attributes
    ----------
    stage_of : list of Stage
        Stage of each group.
    groups : dict of {Stage: list of int}
        Groups of each stage.
    read, written : list of set of int
        Blocks that each group reads and writes.
    """

    def __init__(self, program: StepProgram, moving: Sequence[bool]):
        self.program = program
        self.moving = list(moving)
        layout = program.layout
        self._blocks = layout.blocks
        self._writers: dict[int, list[int]] = {}
        self.written: list[set[int]] = []
        self.read: list[set[int]] = []
        for number, bound in enumerate(layout.groups):
            kernel = program.kernels[number]
            writes = [*bound.sets, *bound.incs, *bound.updates]
            written = {t.block for plan in writes for t in plan.transfers}
            plans = list(bound.reads)
            if kernel.ignores_state:
                written = {b for b in written if not self._is_state(b)}
            else:
                plans += bound.previous
            self.written.append(written)
            self.read.append({piece.block for plan in plans for piece in plan.pieces})
            for block in written:
                self._writers.setdefault(block, []).append(number)
        self.stage_of = self._divide()
        self.groups = {
            stage: [n for n, found in enumerate(self.stage_of) if found is stage]
            for stage in Stage
        }
        self.has_loop = bool(self.groups[Stage.LOOP])

    # -- analysis

    def _is_state(self, block: int) -> bool:
        return self._blocks[block].role is Role.STATE

    def _is_free(self, number: int) -> bool:
        """Whether a group neither keeps state nor calls Python."""
        bound = self.program.layout.groups[number]
        kernel = self.program.kernels[number]
        if kernel.is_callback or any(self._is_state(b) for b in self.written[number]):
            return False
        return kernel.ignores_state or not (bound.previous or bound.updates)

    def stage_of_block(self, block: int, stages: Sequence[Stage]) -> Stage:
        """Return when a block has its final value, given the stages of groups."""
        role = self._blocks[block].role
        if role is Role.INPUT:
            index = [b.number for b in self.program.input_blocks].index(block)
            return Stage.BEFORE if self.moving[index] else Stage.ONCE
        writers = self._writers.get(block, ())
        if role is Role.STATE:
            return Stage.LOOP if writers else Stage.ONCE
        return max((stages[n] for n in writers), default=Stage.ONCE)

    def _divide(self) -> list[Stage]:
        count = len(self.program.layout.groups)
        stages = [
            Stage.ONCE if self._is_free(number) else Stage.LOOP
            for number in range(count)
        ]
        changed = True
        while changed:
            changed = False
            for number in range(count):
                reads = self.read[number]
                found = max(
                    (self.stage_of_block(block, stages) for block in reads),
                    default=Stage.ONCE,
                )
                if found > stages[number]:
                    stages[number] = found
                    changed = True
        after = {
            n for n in range(count) if stages[n] is Stage.LOOP and self._is_free(n)
        }
        changed = True
        while changed:
            looped = [
                n for n in range(count) if stages[n] is Stage.LOOP and n not in after
            ]
            needed = set().union(*(self.read[n] for n in looped)) if looped else set()
            kept = {n for n in after if not self.written[n] & needed}
            changed = kept != after
            after = kept
        return [Stage.AFTER if n in after else stages[n] for n in range(count)]

    # -- execution

    def run(
        self,
        constants: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        frames: Sequence[tf.Tensor],
        n_steps: int,
        outputs: Sequence[int],
        recompute: bool = True,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Simulate some steps.

        Parameters
        ----------
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

        Returns
        -------
        state : list of tf.Tensor, shapes (minibatch, size)
            State after the last step.
        outputs : list of tf.Tensor, shapes (n_steps, minibatch, size)
            Outputs of all steps.
        """
        run = _Run(self, constants, state, frames, n_steps, outputs)
        return run.execute(recompute)

    def run_segments(
        self,
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
        constants, state, frames, n_steps, outputs
            As in `run`.
        length : int
            Number of steps of a segment; it divides ``n_steps``. A derivative computes
            each segment once more, and needs memory for one segment at a time.

        Returns
        -------
        state, outputs
            As of `run`.
        """
        minibatch = self.program.config.minibatch_size
        count = n_steps // length
        moving = [f for f, moves in zip(frames, self.moving, strict=True) if moves]
        still = [f for f, moves in zip(frames, self.moving, strict=True) if not moves]

        def segment(invariants, state, items):
            given = iter(invariants[len(constants) :])
            items = iter(items)
            parts = [next(items) if moves else next(given) for moves in self.moving]
            return self.run(invariants[: len(constants)], state, parts, length, outputs)

        plans = [self.program.layout.outputs[i] for i in outputs]
        shapes = [
            (
                tf.as_dtype(self.program.dtype_of(self._blocks[p.pieces[0].block])),
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

    def __init__(self, stages, constants, state, frames, n_steps, outputs):
        self.stages = stages
        self.program: StepProgram = stages.program
        self.layout = self.program.layout
        self.minibatch = self.program.config.minibatch_size
        self.n_steps = n_steps
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
        self.looped = [
            number
            for number in self.state_numbers
            if stages.stage_of_block(number, stages.stage_of) is Stage.LOOP
        ]
        for number, value in zip(self.state_numbers, state, strict=True):
            if number not in self.looped:
                self.still[number] = value
        for block, value, moves in zip(
            program.input_blocks, frames, stages.moving, strict=True
        ):
            if moves:
                self.moving[block.number] = self._all_steps(value)
            else:
                self.still[block.number] = value[0]

    def _all_steps(self, value: tf.Tensor) -> tf.Tensor:
        """Flatten ``(n_steps, batch or 1, size)`` into the batch of all steps."""
        shape = (self.n_steps, self.minibatch, value.shape[-1])
        return tf.reshape(tf.broadcast_to(value, shape), (-1, shape[-1]))

    def execute(self, recompute):
        """Run all stages; see `Stages.run`."""
        groups = self.stages.groups
        self.still.update(self._compute(groups[Stage.ONCE], self.still))
        if groups[Stage.BEFORE]:
            start = {**self._spread(self._needed(Stage.BEFORE)), **self.moving}
            found = self._compute(groups[Stage.BEFORE], start)
            rows = self.n_steps * self.minibatch
            self.moving.update(
                (number, tf.broadcast_to(value, (rows, value.shape[1])))
                for number, value in found.items()
            )
        state, results = self._loop(recompute)
        missing = [i for i, value in enumerate(results) if value is None]
        if missing:
            plans = [self.wanted[i] for i in missing]
            blocks = {piece.block for plan in plans for piece in plan.pieces}
            start = {**self._spread(self._needed(Stage.AFTER) | blocks), **self.moving}
            store = self._store(start)
            for number in groups[Stage.AFTER]:
                self.program.run_group(number, store, self.fixed)
            for i, plan in zip(missing, plans, strict=True):
                value = store.read(plan)
                size = int(value.shape[-1])
                rows = tf.broadcast_to(value, (self.n_steps * self.minibatch, size))
                results[i] = tf.reshape(rows, (self.n_steps, self.minibatch, size))
        return state, results

    def _needed(self, stage: Stage) -> set[int]:
        """Return the blocks that groups of a stage read or add to."""
        found: set[int] = set()
        for number in self.stages.groups[stage]:
            found |= self.stages.read[number] | self.stages.written[number]
        return found

    def _spread(self, blocks: set[int]) -> dict[int, tf.Tensor]:
        """Repeat values that stay the same, unless all items share them."""
        spread = {}
        for number in blocks & set(self.still):
            value = self.still[number]
            shared = value.shape[0] == 1
            spread[number] = value if shared else self._all_steps(value[None])
        return spread

    def _store(self, start: Mapping[int, tf.Tensor]) -> ValueStore:
        return ValueStore(
            self.layout.blocks, self.program.config.dtype, self.minibatch, start
        )

    def _compute(self, numbers, start) -> dict[int, tf.Tensor]:
        """Run groups; return the values of the blocks that they changed."""
        store = self._store(start)
        for number in numbers:
            self.program.run_group(number, store, self.fixed)
        return dict(store.export()["current"])

    def _loop(self, recompute):
        """Run the loop; leave what later stages need in `moving`."""
        groups = self.stages.groups[Stage.LOOP]
        in_loop = [self._is_looped(plan) for plan in self.wanted]
        if not groups:
            return self.state, [None] * len(self.wanted)

        reads = self._needed(Stage.LOOP)
        for plan, looped in zip(self.wanted, in_loop, strict=True):
            if looped:
                reads |= {piece.block for piece in plan.pieces}
        still = sorted(reads & set(self.still) - set(self.moving))
        moving = sorted(reads & set(self.moving))
        fixed_plans = [
            id(plan)
            for number in groups
            for plan in self.layout.groups[number].reads
            if id(plan) in self.fixed
        ]
        fixed_plans = list(dict.fromkeys(fixed_plans))
        exported = self._exported(groups, in_loop)

        def step(invariants, state, items):
            fixed = dict(zip(fixed_plans, invariants[: len(fixed_plans)], strict=True))
            start = dict(zip(still, invariants[len(fixed_plans) :], strict=True))
            start.update(zip(moving, items, strict=True))
            start.update(zip(self.looped, state, strict=True))
            store = self._store(start)
            for number in groups:
                self.program.run_group(number, store, fixed)
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
            return store.next_state(self.looped), outputs

        shapes = [
            (self._dtype(plan.pieces[0].block), (self.minibatch, *plan.shape))
            for plan, looped in zip(self.wanted, in_loop, strict=True)
            if looped
        ]
        shapes += [
            (self._dtype(n), (self.minibatch, self.layout.blocks[n].size))
            for n in exported
        ]
        sequences = [
            tf.reshape(self.moving[n], (self.n_steps, -1, self.layout.blocks[n].size))
            for n in moving
        ]
        by_number = dict(zip(self.state_numbers, self.state, strict=True))
        last, found = scan(
            step,
            [
                *(self.fixed[key] for key in fixed_plans),
                *(self.still[n] for n in still),
            ],
            [by_number[n] for n in self.looped],
            sequences,
            self.n_steps,
            shapes,
            recompute,
        )
        by_number.update(zip(self.looped, last, strict=True))
        found = list(found)
        results = [found.pop(0) if looped else None for looped in in_loop]
        for number, value in zip(exported, found, strict=True):
            self.moving[number] = self._all_steps(value)
        return [by_number[n] for n in self.state_numbers], results

    def _is_looped(self, plan: ReadPlan) -> bool:
        """Whether an output shows state, which changes within a step."""
        return any(piece.block in self.looped for piece in plan.pieces)

    def _exported(self, groups, in_loop) -> list[int]:
        """Return the blocks of the loop that later stages or outputs read."""
        written = set(self.looped)
        for number in groups:
            written |= self.stages.written[number]
        later = self._needed(Stage.AFTER)
        for plan, looped in zip(self.wanted, in_loop, strict=True):
            if not looped:
                later |= {piece.block for piece in plan.pieces}
        return sorted(written & later)

    def _dtype(self, number: int) -> tf.DType:
        return tf.as_dtype(self.program.dtype_of(self.layout.blocks[number]))
