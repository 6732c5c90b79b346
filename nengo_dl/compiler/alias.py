"""Remove copies by letting the destination of a copy stand for its source.

Nengo's networks are full of passthrough nodes: signals that are reset to zero and then
filled, slice by slice, with copies of others. As values never change after they were
read, such a signal needs no memory: whoever reads it can read the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from nengo.builder.operator import Copy, Operator, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler.ir import elements, n_values
from nengo_dl.compiler.traits import Role

__all__ = ["Aliases", "copied_elements", "find_aliases"]


@dataclass(frozen=True)
class Runs:
    """Elements of base signals as runs of consecutive positions.

    Attributes
    ----------
    bases : (n_runs,) ndarray of int64
        Index into `Aliases.bases` for each run.
    starts, lengths : (n_runs,) ndarray of int64
        First position in the base, and number of elements.
    """

    bases: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def size(self) -> int:
        """Total number of elements."""
        return int(self.lengths.sum())

    def positions(self) -> np.ndarray:
        """Return the position in its base of each element."""
        ends = np.cumsum(self.lengths)
        return np.arange(self.size) + np.repeat(
            self.starts - (ends - self.lengths), self.lengths
        )

    def element_bases(self) -> np.ndarray:
        """Return the index of the base of each element."""
        return np.repeat(self.bases, self.lengths)


def to_runs(bases: np.ndarray, positions: np.ndarray) -> Runs:
    """Join neighbouring elements into runs.

    Parameters
    ----------
    bases, positions : (n,) ndarray of int64
        Base index and position of each element.
    """
    if not len(positions):
        empty = np.zeros(0, dtype=np.int64)
        return Runs(empty, empty, empty)
    breaks = (np.diff(positions) != 1) | (np.diff(bases) != 0)
    firsts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    lengths = np.diff(np.concatenate([firsts, [len(positions)]]))
    return Runs(bases[firsts], positions[firsts], lengths)


def concatenate_runs(parts: Sequence[Runs]) -> Runs:
    """Join runs end to end, merging those that continue each other."""
    if len(parts) == 1:
        return parts[0]
    bases = np.concatenate([p.bases for p in parts])
    starts = np.concatenate([p.starts for p in parts])
    lengths = np.concatenate([p.lengths for p in parts])
    if len(bases) > 1:
        joins = (bases[1:] == bases[:-1]) & (starts[1:] == starts[:-1] + lengths[:-1])
        firsts = np.concatenate([[0], np.flatnonzero(~joins) + 1])
        bases, starts = bases[firsts], starts[firsts]
        lengths = np.add.reduceat(lengths, firsts)
    return Runs(bases, starts, lengths)


@dataclass
class Aliases:
    """Where the elements of signals are really to be found.

    Attributes
    ----------
    bases : list of Signal
        Base signals, numbered.
    """

    bases: list[Signal] = field(default_factory=list)
    _index: dict[Signal, int] = field(default_factory=dict)
    _resolved: dict[Signal, Runs] = field(default_factory=dict)
    _sources: dict[Signal, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def index(self, base: Signal) -> int:
        """Return the number of a base signal."""
        number = self._index.get(base)
        if number is None:
            number = self._index[base] = len(self.bases)
            self.bases.append(base)
        return number

    def __contains__(self, base: Signal) -> bool:
        return base in self._sources

    def add(
        self,
        base: Signal,
        sources: Sequence[Signal],
        numbers: np.ndarray,
        positions: np.ndarray,
    ) -> None:
        """Record that each element of a base is to be read somewhere else.

        Parameters
        ----------
        base : Signal
            A base signal.
        sources : sequence of Signal
            Base signals that it is read from; those that are aliases themselves have
            been added before.
        numbers, positions : (base.size,) ndarray of int64
            For each element, which of the sources holds it, and where.
        """
        base_ids = np.zeros(len(numbers), dtype=np.int64)
        final = positions.copy()
        by_source = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers[by_source], np.arange(len(sources) + 1))
        for number, source in enumerate(sources):
            mine = by_source[ends[number] : ends[number + 1]]
            if source in self._sources:
                ids, targets = self._sources[source]
                base_ids[mine] = ids[positions[mine]]
                final[mine] = targets[positions[mine]]
            else:
                base_ids[mine] = self.index(source)
        self._sources[base] = (base_ids, final)

    def whole(self, signal: Signal) -> tuple[int, int, int] | None:
        """Return where a signal lies if it is one run of its base, as nearly all are.

        Parameters
        ----------
        signal : Signal
            A base or a view.

        Returns
        -------
        tuple of int or None
            Number of the base, first position, and length. None if the signal is read
            elsewhere, or is no single run.
        """
        base = signal.base
        if base in self._sources:
            return None
        if signal is base:
            return self.index(base), 0, n_values(base)
        initial = signal.initial_value
        if not isinstance(initial, np.ndarray) or not initial.flags.c_contiguous:
            return None
        return self.index(base), signal.elemoffset, initial.size

    def resolve(self, signal: Signal) -> Runs:
        """Return the elements that hold the values of a signal, in C order."""
        run = self.whole(signal)
        if run is not None:  # not kept: half a kilobyte for each signal
            return Runs(*np.array(run, dtype=np.int64)[:, None])
        if signal not in self._resolved:
            self._resolved[signal] = self._resolve(signal)
        return self._resolved[signal]

    def resolve_all(self, signals: Iterable[Signal]) -> Runs:
        """Return the elements of signals one after the other, in the longest runs.

        Parameters
        ----------
        signals : iterable of Signal
            Bases or views.
        """
        parts: list[Runs] = []
        runs: list[tuple[int, int, int]] = []
        for signal in signals:
            run = self.whole(signal)
            if run is not None:
                runs.append(run)
                continue
            parts += [_as_runs(runs), self.resolve(signal)]
            runs = []
        return concatenate_runs([*parts, _as_runs(runs)])

    def holders(self, signal: Signal) -> list[int]:
        """Return the numbers of the bases that hold a signal, once for each run."""
        run = self.whole(signal)
        return self.resolve(signal).bases.tolist() if run is None else [run[0]]

    def forget_resolved(self) -> None:
        """Free what `resolve` keeps.

        To be called when the passes of the compiler have asked for all of them.
        """
        self._resolved.clear()

    def _resolve(self, signal: Signal) -> Runs:
        base, where = signal.base, elements(signal)
        if base in self._sources:
            base_ids, positions = self._sources[base]
            return to_runs(base_ids[where], positions[where])
        return to_runs(np.full(len(where), self.index(base)), where)


def _as_runs(runs: Sequence[tuple[int, int, int]]) -> Runs:
    return Runs(*np.array(runs, dtype=np.int64).reshape(-1, 3).T)


def copied_elements(op: Copy) -> tuple[np.ndarray, np.ndarray]:
    """Return which elements of the bases a copy reads and writes.

    Parameters
    ----------
    op : Copy
        Copy with or without slices on either side.

    Returns
    -------
    source, destination : (n,) ndarray of int64
        Positions in ``op.src.base`` and ``op.dst.base``, broadcast to equal length.
    """
    source = elements(op.src).reshape(op.src.shape)
    destination = elements(op.dst).reshape(op.dst.shape)
    if op.src_slice is not None:
        source = source[op.src_slice]
    if op.dst_slice is not None:
        destination = destination[op.dst_slice]
    source = np.broadcast_to(source, destination.shape)
    return source.reshape(-1), destination.reshape(-1)


def find_aliases(
    operators: Sequence[Operator], roles: Mapping[Signal, Role]
) -> tuple[list[Operator], Aliases]:
    """Drop copies whose destination can be read at their source.

    A temporary signal becomes an alias when each of its elements is the copy of exactly
    one other element: set by a copy, or reset to zero and incremented by one copy.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    roles : mapping of {Signal: Role}
        Result of `traits.find_roles`.

    Returns
    -------
    operators : list of Operator
        The operators that are left.
    aliases : Aliases
        Where to read the signals whose copies are gone.
    """
    writers: dict[Signal, list[Operator]] = {}
    for op in operators:
        for signal in (*op.sets, *op.incs, *op.updates):
            writers.setdefault(signal.base, []).append(op)

    sources: dict[Signal, tuple[list[Signal], np.ndarray, np.ndarray]] = {}
    for base, ops in writers.items():
        if roles[base] is Role.TEMPORARY:
            found = _single_sources(base, ops)
            if found is not None:
                sources[base] = found

    aliases = Aliases()
    for base in list(sources):
        _follow(base, sources, aliases)
    kept = [
        op
        for op in operators
        if not (isinstance(op, (Copy, Reset)) and _target(op).base in sources)
    ]
    return kept, aliases


def _target(op: Copy | Reset) -> Signal:
    return op.dst


def _single_sources(
    base: Signal, ops: Sequence[Operator]
) -> tuple[list[Signal], np.ndarray, np.ndarray] | None:
    """Return source bases, and per element source number and position; None if none."""
    copies = [op for op in ops if type(op) is Copy]
    resets = [op for op in ops if type(op) is Reset and op.value == 0]
    if not copies or len(copies) + len(resets) < len(ops):
        return None
    if base.sparse or any(
        op.src.dtype != base.dtype or op.src.base is base or op.src.sparse
        for op in copies
    ):
        return None
    source_bases: list[Signal] = []
    numbers = np.full(base.size, -1)
    positions = np.zeros(base.size, dtype=np.int64)
    for op in copies:
        source, destination = copied_elements(op)
        if (numbers[destination] >= 0).any() or len(np.unique(destination)) < len(
            destination
        ):
            return None
        source_bases.append(op.src.base)
        numbers[destination] = len(source_bases) - 1
        positions[destination] = source
    if (numbers < 0).any():
        return None
    return source_bases, numbers, positions


def _follow(
    base: Signal,
    sources: dict[Signal, tuple[list[Signal], np.ndarray, np.ndarray]],
    aliases: Aliases,
) -> None:
    """Record where a base is to be read, following chains of aliases to their ends.

    Copies cannot form a cycle of elements, but bases can copy slices of each other; the
    base at which such a circle closes stays a signal of its own.
    """
    stack = [base]
    entered: set[Signal] = set()
    while stack:
        current = stack[-1]
        if current in aliases or current not in sources:
            stack.pop()
            continue
        source_bases, numbers, positions = sources[current]
        if current not in entered:
            entered.add(current)
            waiting = [s for s in source_bases if s in sources and s not in aliases]
            # what was entered and is not known yet leads here
            for other in entered.intersection(waiting):
                del sources[other]
            stack.extend(s for s in waiting if s in sources)
            continue
        aliases.add(current, source_bases, numbers, positions)
        stack.pop()
