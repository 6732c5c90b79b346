"""Decide in which block each signal lives.

A block is a flat vector (with a batch axis at run time) that holds base signals one
after the other. Signals that the same groups write live together, in the order in which
those groups hold their operators, so that a group's result *is* a block and most reads
are slices of one.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.binding import Binder
from nengo_dl.compiler.blocks import Block, ReadPlan, WritePlan
from nengo_dl.compiler.dependencies import bases_written
from nengo_dl.compiler.ir import Group, Operand, n_values
from nengo_dl.compiler.traits import Role
from nengo_dl.support import tuning

__all__ = ["BoundGroup", "Layout", "lay_out"]


@dataclass(frozen=True, eq=False)
class BoundGroup:
    """A group whose operands were laid out, each list in the group's order.

    Its reads are those of `Group.operands_read`.
    """

    group: Group
    reads: tuple[ReadPlan, ...]
    previous: tuple[ReadPlan, ...]
    sets: tuple[WritePlan, ...]
    incs: tuple[WritePlan, ...]
    updates: tuple[WritePlan, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """The program: groups in order, with the storage of all signals.

    Attributes
    ----------
    groups : tuple of BoundGroup
        Groups in the order in which they run.
    blocks : tuple of Block
        All storage.
    outputs : tuple of ReadPlan
        How to read the signals that were asked for (the probed ones).
    after_updates : tuple of bool
        For each output, whether it shows the value after the step's updates: an alias
        stands for a copy that was made before them.
    block_of : dict of {Signal: Block}
        The block of each base signal that is not an alias.
    aliases : Aliases
        Where to find signals that have no storage of their own.
    """

    groups: tuple[BoundGroup, ...]
    blocks: tuple[Block, ...]
    outputs: tuple[ReadPlan, ...]
    after_updates: tuple[bool, ...]
    block_of: Mapping[Signal, Block]
    aliases: Aliases


class _Placer:
    """Assign bases to blocks; the order of calls is the order within a block."""

    def __init__(
        self, roles: Mapping[Signal, Role], trainable: Collection[Signal] = ()
    ):
        self.roles = roles
        self.trainable = frozenset(trainable)
        self.blocks: list[Block] = []
        self.block_of: dict[Signal, Block] = {}
        self._by_key: dict[object, Block] = {}

    def place(self, base: Signal, key: object) -> None:
        if base in self.block_of:
            return
        kind = base.dtype.kind
        trainable = base in self.trainable
        dtype = base.dtype if kind != "f" else None
        full_key = (self.roles[base], kind, dtype, trainable, key)
        block = self._by_key.get(full_key)
        if block is None:
            block = Block(len(self.blocks), self.roles[base], kind, trainable)
            self._by_key[full_key] = block
            self.blocks.append(block)
        block.add(base)
        self.block_of[base] = block


def lay_out(
    groups: Sequence[Group],
    roles: Mapping[Signal, Role],
    aliases: Aliases,
    outputs: Sequence[Signal],
    extra: Collection[Signal] = (),
    trainable: Collection[Signal] = (),
) -> Layout:
    """Place all signals into blocks and bind the groups' operands to them.

    Parameters
    ----------
    groups : sequence of Group
        Result of `planners.plan`.
    roles : mapping of {Signal: Role}
        Role of each base signal.
    aliases : Aliases
        Signals that are read elsewhere.
    outputs : sequence of Signal
        Signals to read at the end of each step.
    extra : collection of Signal
        Base signals that need storage although no group touches them.
    trainable : collection of Signal
        Base signals that training changes; they share no block with others.

    Returns
    -------
    Layout
        The program.
    """
    placer = _Placer(roles, trainable)
    writers = bases_written(groups)
    ordered = []
    for number, group in enumerate(groups):
        group = _order_members(group, placer, aliases, writers)
        ordered.append(group)
        for kind in ("sets", "incs", "updates"):
            for operand in getattr(group, kind):
                for signal in operand.signals:
                    placer.place(signal.base, frozenset(writers[signal.base]))
        for position, operand in enumerate(group.reads):
            for base in _bases(operand, aliases):
                role = roles[base]
                if role is Role.INPUT and group.is_callback:
                    placer.place(base, "input")
                elif role in (Role.CONSTANT, Role.INPUT):
                    # inputs that others read apart, too: training computes once what
                    # depends on those that stay the same in all steps
                    placer.place(base, ("read", number, position))
    for signal in (*outputs, *extra):
        for base in _bases(Operand((signal,), False), aliases):
            placer.place(base, "rest")
    # temporaries that are read but never written are zero
    for group in ordered:
        for operand in (*group.reads, *group.previous):
            for base in _bases(operand, aliases):
                placer.place(base, "rest")

    for base in placer.block_of:
        aliases.index(base)
    binder = Binder(placer.block_of, aliases, placer.blocks)
    bound = tuple(
        BoundGroup(
            group,
            tuple(binder.read(operand) for operand in group.operands_read),
            tuple(binder.read(operand) for operand in group.previous),
            tuple(binder.write(operand) for operand in group.sets),
            tuple(binder.write(operand) for operand in group.incs),
            tuple(binder.write(operand) for operand in group.updates),
        )
        for group in ordered
    )
    return Layout(
        bound,
        tuple(placer.blocks),
        tuple(binder.read(Operand((signal,), True)) for signal in outputs),
        tuple(signal.base not in aliases for signal in outputs),
        placer.block_of,
        aliases,
    )


def _bases(operand: Operand, aliases: Aliases) -> list[Signal]:
    """Return the base signals that hold an operand, in order."""
    found: list[Signal] = []
    for signal in operand.signals:
        if signal.base in aliases:
            found.extend(aliases.bases[n] for n in aliases.holders(signal))
        else:
            found.append(signal.base)
    return found


def _order_members(
    group: Group,
    placer: _Placer,
    aliases: Aliases,
    writers: Mapping[Signal, Collection[Hashable]],
) -> Group:
    """Sort a group's operators by where their largest placed operand lies.

    The order of the stack is free; this one turns the most expensive read or write
    into a slice. If there are a few sizes, each of many operators, they are sorted by
    size before: others then read the results as rows of equal length.
    """
    if group.is_callback or len(group.ops) == 1:
        return group
    operands = (*group.reads, *group.sets, *group.incs, *group.updates)
    best: tuple[Operand, Sequence[tuple[int, int]]] | None = None
    for operand in operands:
        keys = _positions(operand, placer, aliases)
        if keys is not None and (best is None or operand.size > best[0].size):
            best = (operand, keys)
    if best is None:
        best = (operands[-1], _by_writers(operands[-1], writers))
        if not _has_few_sizes(operands[-1]):
            return group
    operand, places = best
    sizes = [0] * len(places)
    if _has_few_sizes(operand):
        sizes = [n_values(signal) for signal in operand.signals]
    order = sorted(range(len(group.ops)), key=lambda i: (sizes[i], *places[i]))

    def sort(kind: tuple[Operand, ...]) -> tuple[Operand, ...]:
        return tuple(
            Operand(tuple(operand.signals[i] for i in order), operand.flat)
            for operand in kind
        )

    return Group(
        group.builder,
        tuple(group.ops[i] for i in order),
        sort(group.reads),
        sort(group.previous),
        sort(group.sets),
        sort(group.incs),
        sort(group.updates),
    )


def _has_few_sizes(operand: Operand) -> bool:
    """Return whether signals are of a few different sizes, many of each."""
    if not operand.flat or len(operand.signals) <= tuning.MOST_ALIKE:
        return False
    n_sizes = len({n_values(signal) for signal in operand.signals})
    return 1 < n_sizes <= len(operand.signals) / tuning.MOST_ALIKE


def _by_writers(
    operand: Operand, writers: Mapping[Signal, Collection[Hashable]]
) -> list[tuple[int, int]]:
    """Return a number for each signal, the same for those that will share a block."""
    ranks: dict[Hashable, int] = {}
    return [
        (ranks.setdefault(frozenset(writers.get(s.base, ())), len(ranks)), 0)
        for s in operand.signals
    ]


def _positions(
    operand: Operand, placer: _Placer, aliases: Aliases
) -> list[tuple[int, int]] | None:
    keys = []
    for signal in operand.signals:
        run = aliases.whole(signal)
        if run is None:
            runs = aliases.resolve(signal)
            if not len(runs.bases):
                return None
            run = int(runs.bases[0]), int(runs.starts[0]), int(runs.lengths[0])
        base = aliases.bases[run[0]]
        block = placer.block_of.get(base)
        if block is None:
            return None
        keys.append((block.number, block.starts[base] + run[1]))
    return keys
