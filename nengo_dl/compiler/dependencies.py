"""Which operators write what others read, and must run before them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.ir import BuilderLookup, Group, bounds

__all__ = ["bases_written", "dependencies"]


# Writers of one base up to which they are compared one by one.
_FEW = 16


class _Writers:
    """The operators that write a base, with the range of elements each may touch."""

    def __init__(self) -> None:
        self.ops: list[tuple[int, int, int]] = []
        self._sorted: tuple[np.ndarray, ...] | None = None

    def add(self, op: int, signal: Signal) -> None:
        self.ops.append((op, *bounds(signal)))

    def overlapping(self, low: int, high: int) -> list[int]:
        """Return the operators that may touch a range, without looking at all."""
        if len(self.ops) <= _FEW:
            return [op for op, first, end in self.ops if first < high and end > low]
        if self._sorted is None:
            ops, lows, highs = np.array(sorted(self.ops, key=lambda op: op[1])).T
            self._sorted = (ops, lows, highs, np.maximum.accumulate(highs))
        ops, lows, highs, reached = self._sorted
        # nothing before the first of these reaches the range
        first = np.searchsorted(reached, low, side="right")
        end = np.searchsorted(lows, high, side="left")
        found: list[int] = ops[first:end][highs[first:end] > low].tolist()
        return found


def dependencies(
    operators: Sequence[Operator], aliases: Aliases, builder_of: BuilderLookup
) -> list[set[int]]:
    """Return, for each operator, the positions of those that must run before it.

    Within a step, each signal is set, then incremented, then read. Updates define the
    value of the next step; as values are never overwritten here, nobody waits for
    readers.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    aliases : Aliases
        Where the values of each signal are.
    builder_of : callable
        Gives the builder of an operator (reads it does not use are ignored).

    Returns
    -------
    list of set of int
        Predecessors of each operator.
    """
    sets: dict[int, _Writers] = defaultdict(_Writers)
    writes: dict[int, _Writers] = defaultdict(_Writers)
    for number, op in enumerate(operators):
        for signal in op.sets:
            index = aliases.index(signal.base)
            sets[index].add(number, signal)
            writes[index].add(number, signal)
        for signal in op.incs:
            writes[aliases.index(signal.base)].add(number, signal)

    before: list[set[int]] = []
    for number, op in enumerate(operators):
        found: set[int] = set()
        for signal in op.incs:
            base = aliases.index(signal.base)
            if base in sets:
                found.update(sets[base].overlapping(*bounds(signal)))
        used = builder_of(op).used_reads(op)
        if used:
            reads = op.reads
            for read in used:
                for base, start, length in _runs(reads[read], aliases):
                    if base in writes:
                        found.update(writes[base].overlapping(start, start + length))
        found.discard(number)
        before.append(found)
    return before


def _runs(signal: Signal, aliases: Aliases) -> Iterable[tuple[int, int, int]]:
    """Return where a signal lies: numbers of bases, first positions, and lengths."""
    run = aliases.whole(signal)
    if run is not None:
        return (run,)
    runs = aliases.resolve(signal)
    columns = (runs.bases.tolist(), runs.starts.tolist(), runs.lengths.tolist())
    return zip(*columns, strict=True)


def bases_written(
    groups: Sequence[Group],
) -> Mapping[Signal, set[tuple[int, str, int]]]:
    """Return, for each base, which operands (group, kind, position) write it."""
    found: dict[Signal, set[tuple[int, str, int]]] = defaultdict(set)
    for number, group in enumerate(groups):
        for kind in ("sets", "incs", "updates"):
            for position, operand in enumerate(getattr(group, kind)):
                for signal in operand.signals:
                    found[signal.base].add((number, kind, position))
    return found
