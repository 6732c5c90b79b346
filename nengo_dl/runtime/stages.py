"""Many time steps at once, in the form that is cheapest to differentiate.

Most of a network need not wait for the step before. Whatever keeps no state and lies on
no feedback path can be computed for all steps together, as one large batch: the
products between the layers of a feed-forward network, whose neurons and synapses are
then loops of their own. An input product of fifty steps becomes one matrix product, and
a network without any state has no loop at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import tensorflow as tf

from nengo_dl.compiler.traits import Role
from nengo_dl.runtime.scan import Product, scan
from nengo_dl.runtime.step import StepProgram

__all__ = ["Kind", "Phase", "Stages"]


class Kind(Enum):
    """How the groups of a phase are computed."""

    #: once: they depend on parameters and on inputs that stay the same
    ONCE = "once"
    #: for all steps together
    BATCH = "batch"
    #: step by step
    LOOP = "loop"


@dataclass(frozen=True)
class Phase:
    """Groups that are computed together.

    Attributes
    ----------
    kind : Kind
        How.
    groups : list of int
        Which, in order.
    """

    kind: Kind
    groups: list[int]


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
    phases : list of Phase
        All groups, in the order in which they are computed.
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
        #: state that some group changes
        self.looped = {b for b in self._writers if self._is_state(b)}
        self.phases = self._divide()

    @property
    def loop_groups(self) -> list[int]:
        """Groups that are computed step by step."""
        return [n for p in self.phases if p.kind is Kind.LOOP for n in p.groups]

    @property
    def avoids_xla(self) -> bool:
        """Whether TensorFlow's own kernels are faster on CPUs than XLA.

        They are for convolutions, but not for loops.
        """
        return not self.loop_groups and any(
            kernel.avoids_xla for kernel in self.program.kernels
        )

    # -- analysis

    def _is_state(self, block: int) -> bool:
        return self._blocks[block].role is Role.STATE

    def _is_free(self, number: int) -> bool:
        """Whether a group neither keeps state nor calls Python."""
        bound = self.program.layout.groups[number]
        kernel = self.program.kernels[number]
        if kernel.is_callback or kernel.is_stepwise:
            return False
        if any(self._is_state(b) for b in self.written[number]):
            return False
        return kernel.ignores_state or not (bound.previous or bound.updates)

    def _divide(self) -> list[Phase]:
        """Assign groups to phases: alternately batches (even) and loops (odd)."""
        components = _components(self.predecessors)
        once = self._still_blocks()
        phase_of: dict[int, int] = {}
        for members in components:
            before = {
                p for n in members for p in self.predecessors[n] if p not in members
            }
            is_loop = len(members) > 1 or not self._is_free(members[0])
            if not is_loop and members[0] in once:
                phase_of[members[0]] = -1
                continue
            latest = max((phase_of[p] for p in before), default=0)
            latest = max(latest, 0)
            # a batch can follow a batch in one phase, and a loop a loop
            same_kind = latest % 2 == int(is_loop)
            for member in members:
                phase_of[member] = latest if same_kind else latest + 1
        if self._needs_one_loop(phase_of):
            phase_of = {n: min(found, 1) for n, found in phase_of.items()}
        phases = []
        for number in sorted(set(phase_of.values())):
            kind = Kind.ONCE if number < 0 else (Kind.BATCH, Kind.LOOP)[number % 2]
            groups = sorted(n for n, found in phase_of.items() if found == number)
            phases.append(Phase(kind, groups))
        return phases

    def _needs_one_loop(self, phase_of: Mapping[int, int]) -> bool:
        """Whether loops cannot be separated.

        Functions in Python may depend on each other's calls, and an output may show
        state of one loop together with what is computed later.
        """
        if any(kernel.is_callback for kernel in self.program.kernels):
            return True
        for plan in self.program.layout.outputs:
            blocks = {piece.block for piece in plan.pieces}
            phases = [
                max((phase_of[n] for n in self._writers.get(b, ())), default=-1)
                for b in blocks
            ]
            shown = {phase for b, phase in zip(blocks, phases) if b in self.looped}
            if shown and (len(shown) > 1 or max(phases) > max(shown)):
                return True
        return False

    @cached_property
    def predecessors(self) -> list[set[int]]:
        """For each group, those whose results it needs, in this step or a later one."""
        return [
            {
                writer
                for block in self.read[number] | self._partly(number)
                for writer in self._writers.get(block, ())
                if writer != number
            }
            for number in range(len(self.read))
        ]

    def _partly(self, number: int) -> set[int]:
        """Return the state that a group writes, which all its writers share."""
        return {block for block in self.written[number] if self._is_state(block)}

    def _still_blocks(self) -> set[int]:
        """Return the groups that depend on nothing that differs between steps."""
        moving = {
            block.number
            for block, moves in zip(self.program.input_blocks, self.moving, strict=True)
            if moves
        }
        moving |= self.looped
        groups = set(range(len(self.read)))
        changed = True
        while changed:
            kept = {n for n in groups if self._is_free(n) and not self.read[n] & moving}
            changed = kept != groups
            groups = kept
            moving |= {
                block
                for n in range(len(self.read))
                if n not in groups
                for block in self.written[n]
            }
        return groups

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

        def segment(invariants, state, items, multiply):
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
        for number, value in zip(self.state_numbers, state, strict=True):
            if number not in stages.looped:
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
        by_number = dict(zip(self.state_numbers, self.state, strict=True))
        results: list[tf.Tensor | None] = [None] * len(self.wanted)
        phases = self.stages.phases
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
            found |= self.stages.read[number] | self.stages.written[number]
        return found

    def _read_in_loop(self, groups: Sequence[int]) -> set[int]:
        """Return the blocks that groups need for what was not read before the loop."""
        found: set[int] = set()
        for number in groups:
            bound = self.layout.groups[number]
            found |= self.stages.written[number]
            for plan in (*bound.reads, *bound.previous):
                if id(plan) not in self.fixed:
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

    def _loop(self, groups, later, by_number, results, recompute):
        """Run a loop; leave what later phases need in `moving`."""
        states = sorted(
            {b for n in groups for b in self.stages.written[n] if b in by_number}
        )
        # outputs of state are read at a certain moment of a step
        in_loop = [
            result is None and any(piece.block in states for piece in plan.pieces)
            for plan, result in zip(self.wanted, results, strict=True)
        ]
        reads = self._read_in_loop(groups)
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
        exported = self._exported(groups, later, in_loop)
        products = {
            number: product
            for number in groups
            if (product := self._product(number, fixed_plans)) is not None
        }
        places = {number: place for place, number in enumerate(products)}

        def step(invariants, state, items, multiply):
            fixed = dict(zip(fixed_plans, invariants[: len(fixed_plans)], strict=True))
            start = dict(zip(still, invariants[len(fixed_plans) :], strict=True))
            start.update(zip(moving, items, strict=True))
            start.update(zip(states, state, strict=True))
            store = self.program.store(start)
            for number in groups:
                if number in products:
                    bound = self.layout.groups[number]
                    result = multiply(places[number], store.read(bound.reads[1]))
                    store.inc(bound.incs[0], result)
                else:
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
            return store.next_state(states), outputs

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
        last, found = scan(
            step,
            [
                *(self.fixed[key] for key in fixed_plans),
                *(self.still[n] for n in still),
            ],
            [by_number[n] for n in states],
            sequences,
            self.n_steps,
            shapes,
            recompute,
            list(products.values()),
        )
        by_number.update(zip(states, last, strict=True))
        found = list(found)
        for i, looped in enumerate(in_loop):
            if looped:
                results[i] = found.pop(0)
        for number, value in zip(exported, found, strict=True):
            self.moving[number] = self._all_steps(value)

    def _product(self, number, fixed_plans) -> Product | None:
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

    def _exported(self, groups, later, in_loop) -> list[int]:
        """Return the blocks of a loop that later phases or outputs read."""
        written = {block for n in groups for block in self.stages.written[n]}
        needed = self._needed(later)
        for plan, looped in zip(self.wanted, in_loop, strict=True):
            if not looped:
                needed |= {piece.block for piece in plan.pieces}
        return sorted(written & needed)

    def _dtype(self, number: int) -> tf.DType:
        return tf.as_dtype(self.program.dtype_of(self.layout.blocks[number]))


def _components(predecessors: Sequence[set[int]]) -> list[list[int]]:
    """Return groups that depend on each other, each after those it depends on.

    Tarjan's algorithm, without recursion.
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    on_stack: set[int] = set()
    for root in range(len(predecessors)):
        if root in index:
            continue
        work = [(root, iter(sorted(predecessors[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(sorted(predecessors[other]))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == index[node]:
                    members = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        members.append(member)
                        if member == node:
                            break
                    found.append(sorted(members))
    return found
