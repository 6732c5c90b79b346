"""Say how groups read and write the blocks in which their operands lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import Aliases, Runs, concatenate_runs
from nengo_dl.compiler.blocks import Block, Piece, ReadPlan, Transfer, WritePlan
from nengo_dl.compiler.ir import Operand
from nengo_dl.support import tuning

__all__ = ["Binder"]


_EMPTY = Runs(*(np.zeros(0, dtype=np.int64) for _ in range(3)))


class Binder:
    """Turns operands into plans for reading and writing blocks.

    Parameters
    ----------
    block_of : mapping of {Signal: Block}
        Where base signals lie.
    aliases : Aliases
        Signals that are read elsewhere.
    blocks : sequence of Block
        By their numbers.
    """

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
        runs = self.aliases.resolve_all(operand.signals)
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
        if len(parts) <= tuning.MOST_PIECES or _are_whole(parts):
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
        # rows: the longest length that divides all runs and their distances
        start, end = int(runs.starts.min()), int((runs.starts + runs.lengths).max())
        row = int(np.gcd.reduce(np.concatenate([runs.lengths, runs.starts - start])))
        # of the whole block, if they are as long; it need not be cut
        size = self.blocks[number].size
        if start % row == 0 and size % row == 0:
            start, end = 0, size
        positions = runs.positions() - start
        return Piece(number, start, end - start, row=row, index=positions[::row] // row)

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
        if n_terms > 1 and block.size > tuning.SMALL_SUMMED_BLOCK:
            if len(sources) <= tuning.MOST_PIECES:
                return [self._slice(block, *part) for part in slices]
            segments = np.stack([source, target])
            return [Transfer(block.number, segments=segments, mask=mask)]
        # sort is stable: terms are added in the order of the operators
        by_target = np.argsort(target, kind="stable")
        table = np.full((block.size, n_terms), result_size, dtype=np.int64)
        column = np.arange(len(target)) - np.repeat(np.cumsum(counts) - counts, counts)
        table[target[by_target], column] = source[by_target]
        return [Transfer(block.number, index=table, mask=mask)]


def _are_whole(parts: Sequence[Runs]) -> bool:
    """Return whether parts are one slice of each of their blocks."""
    numbers = {int(part.bases[0]) for part in parts}
    return len(numbers) == len(parts) and all(len(part.starts) == 1 for part in parts)
