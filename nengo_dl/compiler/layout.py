"""Decide in which block each signal lives, and how groups read and write the blocks.

A block is a flat vector (with a batch axis at run time) that holds base signals one
after the other. Signals that the same groups write live together, in the order in which
those groups hold their operators, so that a group's result *is* a block and most reads
are slices of one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import Aliases, Runs, concatenate_runs
from nengo_dl.compiler.ir import Group, Operand, n_values
from nengo_dl.compiler.plan import bases_written
from nengo_dl.compiler.traits import Role

__all__ = [
    "Block",
    "BoundGroup",
    "Layout",
    "Piece",
    "ReadPlan",
    "Transfer",
    "WritePlan",
    "lay_out",
]


@dataclass(eq=False)
class Block:
    """Base signals that are stored one after the other.

    Attributes
    ----------
    number : int
        Position in `Layout.blocks`.
    role : Role
        Common to all signals of the block.
    kind : str
        NumPy kind of the elements: ``"f"``, ``"i"``, ``"u"`` or ``"b"``.
    trainable : bool
        Whether training changes the values of the signals.
    signals : list of Signal
        Base signals in order.
    starts : dict of {Signal: int}
        First element of each signal.
    size : int
        Number of elements, without the batch axis.
    """

    number: int
    role: Role
    kind: str
    trainable: bool = False
    signals: list[Signal] = field(default_factory=list)
    starts: dict[Signal, int] = field(default_factory=dict)
    size: int = 0

    def add(self, signal: Signal) -> None:
        """Append a base signal."""
        self.signals.append(signal)
        self.starts[signal] = self.size
        self.size += n_values(signal)


@dataclass(frozen=True, eq=False)
class Piece:
    """Elements of one block, read as a slice, a strided slice, rows, or one by one.

    Attributes
    ----------
    block : int
        Block number.
    start, length, step : int
        The slice, if ``index`` is None.
    row : int
        Length of the rows that ``index`` counts (1: single elements).
    index : (n,) ndarray or None
        Rows to gather.
    """

    block: int
    start: int = 0
    length: int = 0
    step: int = 1
    row: int = 1
    index: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ReadPlan:
    """How an operand is put together from blocks.

    Attributes
    ----------
    pieces : tuple of Piece
        Read one after the other and concatenated.
    order : (n,) ndarray or None
        If not None, which elements of the concatenated pieces form the operand.
    shape : tuple of int
        Shape of the operand, without the batch axis.
    """

    pieces: tuple[Piece, ...]
    order: np.ndarray | None
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Transfer:
    """Elements of a group's result that go to one block.

    Exactly one of three forms: a slice of the result for a slice of the block, a table
    (``index``) with the sources of each element of the block, or (``segments``) pairs
    of a source and a target.

    Attributes
    ----------
    block : int
        Block number.
    source, target, length : int
        The slices' first elements and common length.
    index : (block size, n_terms) ndarray or None
        For each element of the block, which elements of the result are added to it;
        the result's size stands for none.
    segments : (2, n) ndarray or None
        Positions in the result, and in the block.
    mask : (block size,) ndarray of bool or None
        Which elements of the block are written; None means all.
    """

    block: int
    source: int = 0
    target: int = 0
    length: int = 0
    index: np.ndarray | None = None
    segments: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class WritePlan:
    """Where the result of a group goes."""

    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, eq=False)
class BoundGroup:
    """A group whose operands were laid out, each list in the group's order."""

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
        Result of `plan.plan`.
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
        group = _order_members(group, placer, aliases)
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
    binder = _Binder(placer.block_of, aliases, placer.blocks)
    bound = tuple(
        BoundGroup(
            group,
            tuple(binder.read(operand) for operand in group.reads),
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
            numbers = aliases.resolve(signal).bases
            found.extend(aliases.bases[n] for n in numbers.tolist())
        else:
            found.append(signal.base)
    return found


def _order_members(group: Group, placer: _Placer, aliases: Aliases) -> Group:
    """Sort a group's operators by where their largest placed operand lies.

    The order of the stack is free; this one turns the most expensive read or write
    into a slice.
    """
    if group.is_callback or len(group.ops) == 1:
        return group
    operands = (*group.reads, *group.sets, *group.incs, *group.updates)
    best: tuple[int, list[tuple[int, int]]] | None = None
    for operand in operands:
        keys = _positions(operand, placer, aliases)
        if keys is not None and (best is None or operand.size > best[0]):
            best = (operand.size, keys)
    if best is None:
        return group
    order = sorted(range(len(group.ops)), key=best[1].__getitem__)

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


def _positions(
    operand: Operand, placer: _Placer, aliases: Aliases
) -> list[tuple[int, int]] | None:
    keys = []
    for signal in operand.signals:
        runs = aliases.resolve(signal)
        if not len(runs.bases):
            return None
        base = aliases.bases[int(runs.bases[0])]
        block = placer.block_of.get(base)
        if block is None:
            return None
        keys.append((block.number, block.starts[base] + int(runs.starts[0])))
    return keys


class _Binder:
    """Turn operands into plans for reading and writing blocks."""

    def __init__(
        self,
        block_of: Mapping[Signal, Block],
        aliases: Aliases,
        blocks: Sequence[Block],
    ):
        self.aliases = aliases
        self.blocks = blocks
        # arrays over base numbers, so that runs are located without a Python loop
        numbers = [
            block_of[base].number if base in block_of else -1 for base in aliases.bases
        ]
        starts = [
            block_of[base].starts[base] if base in block_of else 0
            for base in aliases.bases
        ]
        self._numbers = np.array(numbers, dtype=np.int64)
        self._starts = np.array(starts, dtype=np.int64)

    def locate(self, operand: Operand) -> Runs:
        """Return runs whose "bases" are block numbers."""
        runs = concatenate_runs([self.aliases.resolve(s) for s in operand.signals])
        located = Runs(
            self._numbers[runs.bases],
            self._starts[runs.bases] + runs.starts,
            runs.lengths,
        )
        kept = located.lengths > 0
        located = Runs(located.bases[kept], located.starts[kept], located.lengths[kept])
        return concatenate_runs([located, _EMPTY])

    def read(self, operand: Operand) -> ReadPlan:
        """Return how to put an operand together."""
        runs = self.locate(operand)
        changes = np.flatnonzero(np.diff(runs.bases)) + 1
        parts = [
            Runs(b, s, n)
            for b, s, n in zip(
                np.split(runs.bases, changes),
                np.split(runs.starts, changes),
                np.split(runs.lengths, changes),
                strict=True,
            )
            if len(b)
        ]
        if len(parts) <= _MOST_PIECES:
            pieces = tuple(self._piece(part) for part in parts)
            return ReadPlan(pieces, None, operand.shape)
        # many switches between blocks: read each block's elements once, then reorder
        numbers = np.unique(runs.bases)
        order = np.zeros(runs.size, dtype=np.int64)
        owners, positions = runs.element_bases(), runs.positions()
        pieces_list, offset = [], 0
        for number in numbers.tolist():
            mine = owners == number
            low, high = int(positions[mine].min()), int(positions[mine].max()) + 1
            pieces_list.append(Piece(number, low, high - low))
            order[mine] = positions[mine] - low + offset
            offset += high - low
        return ReadPlan(tuple(pieces_list), order, operand.shape)

    def _piece(self, runs: Runs) -> Piece:
        number = int(runs.bases[0])
        if len(runs.starts) == 1:
            return Piece(number, int(runs.starts[0]), int(runs.lengths[0]))
        steps = np.unique(np.diff(runs.starts))
        single = bool((runs.lengths == 1).all())
        if single and len(steps) == 1 and steps[0] > 0:
            start, step = int(runs.starts[0]), int(steps[0])
            return Piece(number, start, len(runs.starts), step)
        # rows: the longest length that divides all runs, their starts and the block
        row = int(np.gcd.reduce(np.concatenate([runs.lengths, runs.starts])))
        row = int(np.gcd(row, self.blocks[number].size))
        positions = runs.positions()
        if row > 1:
            return Piece(number, row=row, index=positions[::row] // row)
        return Piece(number, index=positions)

    def write(self, operand: Operand) -> WritePlan:
        """Return how to distribute a result over blocks."""
        runs = self.locate(operand)
        firsts = np.cumsum(runs.lengths) - runs.lengths
        transfers = []
        for number in dict.fromkeys(runs.bases.tolist()):
            mine = runs.bases == number
            transfers += self._transfers(
                self.blocks[number],
                firsts[mine],
                runs.starts[mine],
                runs.lengths[mine],
                operand.size,
            )
        return WritePlan(tuple(transfers))

    @staticmethod
    def _slice(block: Block, source: int, target: int, length: int) -> Transfer:
        mask = None if length == block.size else np.zeros(block.size, dtype=bool)
        if mask is not None:
            mask[target : target + length] = True
        return Transfer(block.number, int(source), int(target), int(length), mask=mask)

    def _transfers(
        self,
        block: Block,
        sources: np.ndarray,
        targets: np.ndarray,
        lengths: np.ndarray,
        result_size: int,
    ) -> list[Transfer]:
        slices = zip(sources, targets, lengths, strict=True)
        if len(sources) == 1:
            return [self._slice(block, *part) for part in slices]
        number = np.zeros(len(sources), dtype=np.int64)
        source = Runs(number, sources, lengths).positions()
        target = Runs(number, targets, lengths).positions()
        counts = np.bincount(target, minlength=block.size)
        n_terms = int(counts.max())
        mask = None if (counts > 0).all() else counts > 0
        if n_terms > 1 and block.size > _SMALL:
            if len(sources) <= _MOST_PIECES:
                return [self._slice(block, *part) for part in slices]
            segments = np.stack([source, target])
            return [Transfer(block.number, segments=segments, mask=mask)]
        # sort is stable: terms are added in the order of the operators
        by_target = np.argsort(target, kind="stable")
        table = np.full((block.size, n_terms), result_size, dtype=np.int64)
        column = np.arange(len(target)) - np.repeat(np.cumsum(counts) - counts, counts)
        table[target[by_target], column] = source[by_target]
        return [Transfer(block.number, index=table, mask=mask)]


_EMPTY = Runs(*(np.zeros(0, dtype=np.int64) for _ in range(3)))

#: Beyond this many switches between blocks, one gather is cheaper than a concatenation.
_MOST_PIECES = 16

#: Several terms for an element are added through a table of sources in blocks up to
#: this size; measured in a compiled loop, a segment sum is two to three times faster
#: above. A sum of a few slices is faster still.
_SMALL = 64
