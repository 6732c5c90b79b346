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

from nengo_dl.compiler.traits import Role
from nengo_dl.program.step import StepProgram

__all__ = ["Kind", "Phase", "Schedule"]


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


class Schedule:
    """A program whose groups are divided by when they can be computed.

    Parameters
    ----------
    program : StepProgram
        The program of one step.
    moving : sequence of bool
        For each input block, whether its values differ between steps.
    segmented : bool
        Whether the steps are divided into segments, see `run_segments`.

    Attributes
    ----------
    phases : list of Phase
        All groups, in the order in which they are computed.
    read, written : list of set of int
        Blocks that each group reads and writes.
    """

    def __init__(
        self, program: StepProgram, moving: Sequence[bool], segmented: bool = False
    ):
        self.program = program
        self.segmented = segmented
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

        They are for convolutions, but not for loops. Products of a type that XLA does
        not know how to multiply are so much faster that loops are compiled by
        themselves, unless they are divided into segments.
        """
        if not self.loop_groups:
            return any(kernel.avoids_xla for kernel in self.program.kernels)
        return not self.segmented and self.multiplies_apart

    @property
    def multiplies_apart(self) -> bool:
        """Whether products of another type, which are slow in XLA, are in no loop."""
        kernels = self.program.kernels
        return any(
            kernels[n].is_mixed and kernels[n].avoids_xla
            for phase in self.phases
            if phase.kind is not Kind.LOOP
            for n in phase.groups
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
