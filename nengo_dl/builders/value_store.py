"""The values of all signals while one time step is traced.

Nothing here is a variable: reading gives a tensor, writing defines a new one. XLA turns
the result into kernels that never store what is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nengo_dl.builders.shapes import broadcast, columns, reshape
from nengo_dl.compiler.blocks import Block, Piece, ReadPlan, Transfer, WritePlan
from nengo_dl.compiler.traits import Role
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["ValueStore", "block_dtype", "read_constant"]


def block_dtype(block: Block, dtype: np.dtype) -> np.dtype:
    """Return the type of a block's elements in a simulation of a given precision.

    Parameters
    ----------
    block : Block
        Storage of some signals.
    dtype : numpy.dtype
        Floating point type of the simulation.
    """
    return np.dtype(dtype) if block.kind == "f" else block.signals[0].dtype


class ValueStore:
    """Values of the blocks at one moment of a step.

    Parameters
    ----------
    blocks : sequence of Block
        Storage of the program.
    dtype : numpy.dtype
        Floating point type of the simulation.
    minibatch_size : int
        Length of the batch axis of all state.
    start : mapping of {int: tf.Tensor}
        Values at the start of the step, shape ``(1 or minibatch, size)``, of the blocks
        that are not temporary.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        dtype: np.dtype,
        minibatch_size: int,
        start: Mapping[int, tf.Tensor],
    ):
        self.blocks = blocks
        self.dtype = dtype
        self.minibatch_size = minibatch_size
        self.start = dict(start)
        self.current: dict[int, tf.Tensor] = dict(start)
        self.next: dict[int, tf.Tensor] = {}
        # which elements of partly updated blocks keep what they hold after increments
        self.kept: dict[int, tf.Tensor] = {}
        self._pending: dict[int, list[tuple[Transfer, tf.Tensor]]] = {}

    # -- reading

    def read(self, plan: ReadPlan) -> tf.Tensor:
        """Return an operand with its value after all sets and increments so far."""
        for piece in plan.pieces:
            self._settle(piece.block)
        return self._read(plan, self.current)

    def read_previous(self, plan: ReadPlan) -> tf.Tensor:
        """Return an operand with its value at the start of the step."""
        return self._read(plan, self.start)

    def read_final(self, plan: ReadPlan) -> tf.Tensor:
        """Return an operand as it is after the step, updates included."""
        final = {
            piece.block: self._final(piece.block)
            for piece in plan.pieces
            if piece.block in self.next
        }
        if not final:
            return self.read(plan)
        for piece in plan.pieces:
            self._settle(piece.block)
        return self._read(plan, {**self.current, **final})

    def value_of(self, number: int) -> tf.Tensor:
        """Return a whole block after all sets and increments so far."""
        self._settle(number)
        if number in self.current:
            return self.current[number]
        return self._zeros(self.blocks[number].size, self.blocks[number])

    def next_state(self, numbers: Sequence[int]) -> list[tf.Tensor]:
        """Return what state blocks hold at the start of the next step."""
        result = []
        for number in numbers:
            shape = (self.minibatch_size, self.blocks[number].size)
            result.append(broadcast(self._final(number), shape))
        return result

    def _final(self, number: int) -> tf.Tensor:
        self._settle(number)
        if number in self.kept:
            return tf.where(self.kept[number], self.current[number], self.next[number])
        return self.next.get(number, self.current.get(number))

    def _read(self, plan: ReadPlan, values: Mapping[int, tf.Tensor]) -> tf.Tensor:
        if not plan.pieces:
            return tf.zeros((1, *plan.shape), dtype=self.dtype)
        return _read(plan, self._values(plan, values))

    def _values(
        self, plan: ReadPlan, values: Mapping[int, tf.Tensor]
    ) -> dict[int, tf.Tensor]:
        return {
            piece.block: values[piece.block]
            if piece.block in values
            else self._zeros(self.blocks[piece.block].size, self.blocks[piece.block])
            for piece in plan.pieces
        }

    def _zeros(self, size: int, block: Block) -> tf.Tensor:
        return tf.zeros((1, size), dtype=block_dtype(block, self.dtype))

    def is_zero(self, plan: ReadPlan) -> bool:
        """Whether nothing was written to an operand, which then consists of zeros."""
        return not any(
            piece.block in self.current or piece.block in self._pending
            for piece in plan.pieces
        )

    # -- writing

    def set(self, plan: WritePlan, value: tf.Tensor) -> None:
        """Define the value of signals in this step, before increments."""
        flat = self._flatten(plan, value)
        for transfer in plan.transfers:
            block = self.blocks[transfer.block]
            if block.role is Role.TEMPORARY:
                # temporaries start as zeros, so setting a part of one is adding to it
                self._pending.setdefault(block.number, []).append((transfer, flat))
            else:
                self.current[block.number] = self._replaced(
                    transfer, flat, self.current[block.number]
                )

    def inc(self, plan: WritePlan, value: tf.Tensor) -> None:
        """Add to the value of signals in this step."""
        flat = self._flatten(plan, value)
        for transfer in plan.transfers:
            self._pending.setdefault(transfer.block, []).append((transfer, flat))

    def update(self, plan: WritePlan, value: tf.Tensor) -> None:
        """Define the value of signals at the start of the next step."""
        flat = self._flatten(plan, value)
        for transfer in plan.transfers:
            number = transfer.block
            if transfer.mask is None:
                self.next[number] = self._expand(transfer, flat)
                self.kept.pop(number, None)
            elif number not in self.next:
                # increments of the other elements may still come
                self.next[number] = self._expand(transfer, flat)
                self.kept[number] = tf.constant(~transfer.mask[None])
            else:
                self.next[number] = self._replaced(transfer, flat, self.next[number])
                if number in self.kept:
                    self.kept[number] &= tf.constant(~transfer.mask[None])

    def _flatten(self, plan: WritePlan, value: tf.Tensor) -> tf.Tensor:
        size = int(np.prod(value.shape[1:]))
        for transfer in plan.transfers[:1]:  # one type for all signals of an operand
            dtype = block_dtype(self.blocks[transfer.block], self.dtype)
            value = tf.cast(value, dtype)
        return reshape(value, (value.shape[0], size))

    def _replaced(
        self, transfer: Transfer, flat: tf.Tensor, old: tf.Tensor
    ) -> tf.Tensor:
        block = self.blocks[transfer.block]
        if transfer.mask is None:
            return self._expand(transfer, flat)
        if transfer.length:
            end = transfer.target + transfer.length
            middle = columns(flat, transfer.source, transfer.length)
            before = columns(old, 0, transfer.target)
            after = columns(old, end, block.size - end)
            return _concatenate([before, middle, after])
        expanded = self._expand(transfer, flat)
        return tf.where(tf.constant(transfer.mask[None, : block.size]), expanded, old)

    def _expand(self, transfer: Transfer, flat: tf.Tensor) -> tf.Tensor:
        """Return the part of a result that goes to a block, zero where nothing goes."""
        block = self.blocks[transfer.block]
        if transfer.index is not None:
            size = int(flat.shape[1])
            if (transfer.index == size).any():
                flat = tf.pad(flat, ((0, 0), (0, 1)))
            terms = [_elements(flat, column) for column in transfer.index.T]
            return tf.add_n(terms) if len(terms) > 1 else terms[0]
        if transfer.segments is not None:
            source, target = transfer.segments
            if len(source) != flat.shape[1] or (np.diff(source) != 1).any():
                flat = tf.gather(flat, _index(source), axis=1)
            sums = tf.math.unsorted_segment_sum(
                tf.transpose(flat), _index(target), block.size
            )
            return tf.transpose(sums)
        middle = columns(flat, transfer.source, transfer.length)
        after = block.size - transfer.target - transfer.length
        if transfer.target or after:
            return tf.pad(middle, ((0, 0), (transfer.target, after)))
        return middle

    def _settle(self, number: int) -> None:
        """Add the increments that wait for a block to its value."""
        waiting = self._pending.pop(number, None)
        if not waiting:
            return
        block = self.blocks[number]
        terms = [self.current[number]] if number in self.current else []
        slices = []
        for transfer, flat in waiting:
            whole = transfer.length == block.size
            if whole or transfer.index is not None or transfer.segments is not None:
                terms.append(self._expand(transfer, flat))
            else:
                slices.append((transfer, flat))
        terms.extend(self._join_slices(block, slices))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        self.current[number] = total

    def _join_slices(
        self, block: Block, slices: Sequence[tuple[Transfer, tf.Tensor]]
    ) -> list[tf.Tensor]:
        """Tile a block with slices that do not overlap: one copy, not many sums."""
        layers: list[list[tuple[Transfer, tf.Tensor]]] = []
        for transfer, flat in slices:
            for layer in layers:
                if all(
                    transfer.target >= other.target + other.length
                    or other.target >= transfer.target + transfer.length
                    for other, _ in layer
                ):
                    layer.append((transfer, flat))
                    break
            else:
                layers.append([(transfer, flat)])
        results = []
        for layer in layers:
            parts, end = [], 0
            for transfer, flat in sorted(layer, key=lambda item: item[0].target):
                if transfer.target > end:
                    parts.append(self._zeros(transfer.target - end, block))
                parts.append(columns(flat, transfer.source, transfer.length))
                end = transfer.target + transfer.length
            if end < block.size:
                parts.append(self._zeros(block.size - end, block))
            results.append(_concatenate(parts))
        return results

    # -- handing the store over to another function

    def export(self) -> dict[str, dict[int, list[tf.Tensor]]]:
        """Return all values that were computed in this step, as a nest of tensors."""
        for number in list(self._pending):
            self._settle(number)
        return {
            "current": {
                number: value
                for number, value in self.current.items()
                if value is not self.start.get(number)
            },
            "next": dict(self.next),
            "kept": dict(self.kept),
        }

    def restore(self, values: Mapping[str, Mapping[int, tf.Tensor]]) -> None:
        """Take over what another store exported."""
        self.current.update(values["current"])
        self.next.update(values["next"])
        self.kept = dict(values["kept"])


def read_constant(plan: ReadPlan, values: Mapping[int, tf.Tensor]) -> tf.Tensor:
    """Read an operand from blocks that do not change during a run."""
    return _read(plan, values)


def _read(plan: ReadPlan, values: Mapping[int, tf.Tensor]) -> tf.Tensor:
    if _is_chosen(plan, values):
        flat = _choose(plan, values)
    else:
        parts = [_read_piece(piece, values[piece.block]) for piece in plan.pieces]
        flat = _concatenate(parts)
        if plan.order is not None:
            flat = tf.gather(flat, _index(plan.order), axis=1)
    return reshape(flat, (flat.shape[0], *plan.shape))


def _is_chosen(plan: ReadPlan, values: Mapping[int, tf.Tensor]) -> bool:
    """Return whether to look for each element in all blocks: that is one kernel.

    Otherwise each piece is a kernel, and their concatenation another.
    """
    pieces = plan.pieces
    blocks = {piece.block for piece in pieces}
    if len(pieces) == 1 or any(values[number].shape[0] != 1 for number in blocks):
        return False
    n_read = sum(piece.length for piece in pieces)
    n_worth = tuning.GATHERED_ELEMENTS * len(pieces)
    if plan.order is not None:
        n_worth += n_read // 4  # all of that is copied before it is put in order
    elif len(pieces) <= 2 * len(blocks) or all(p.index is None for p in pieces):
        return False
    # of computed blocks, the kernel computes again what it reads
    return len(blocks) * int(np.prod(plan.shape)) <= min(n_read, n_worth)


def _choose(plan: ReadPlan, values: Mapping[int, tf.Tensor]) -> tf.Tensor:
    """Return elements of several blocks, one gather of each block."""
    owners = np.repeat(
        [piece.block for piece in plan.pieces],
        [len(piece.positions) for piece in plan.pieces],
    )
    positions = np.concatenate([piece.positions for piece in plan.pieces])
    if plan.order is not None:
        owners, positions = owners[plan.order], positions[plan.order]
    result = None
    for number in dict.fromkeys(piece.block for piece in plan.pieces):
        mine = owners == number
        part = tf.gather(values[number], _index(np.where(mine, positions, 0)), axis=1)
        result = part if result is None else tf.where(mine, part, result)
    return result


def _read_piece(piece: Piece, value: tf.Tensor) -> tf.Tensor:
    if piece.index is not None:
        part = columns(value, piece.start, piece.length)
        rows = reshape(part, (value.shape[0], -1, piece.row))
        rows = _elements(rows, piece.index)
        return reshape(rows, (value.shape[0], piece.row * len(piece.index)))
    if piece.step == 1:
        return columns(value, piece.start, piece.length)
    end = piece.start + piece.step * (piece.length - 1) + 1
    return value[:, piece.start : end : piece.step]


def _elements(value: tf.Tensor, positions: np.ndarray) -> tf.Tensor:
    """Return elements along the second axis: a slice where they lie evenly spaced."""
    steps = np.diff(positions)
    if len(steps) and steps[0] > 0 and (steps == steps[0]).all():
        if steps[0] == 1:
            return columns(value, int(positions[0]), len(positions))
        return value[:, positions[0] : positions[-1] + 1 : steps[0]]
    ends = np.flatnonzero(steps != 1) + 1
    if (
        len(ends) < tuning.FEW_SLICES
        and value.shape.rank > 2
        and value.shape[2] >= tuning.LONG_ROW
    ):
        runs = np.split(positions, ends)
        return tf.concat(
            [columns(value, int(run[0]), len(run)) for run in runs], axis=1
        )
    return tf.gather(value, _index(positions), axis=1)


def _concatenate(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    parts = [part for part in parts if part.shape[1]]
    if len(parts) == 1:
        return parts[0]
    batch = max(int(part.shape[0]) for part in parts)
    return tf.concat(
        [broadcast(part, (batch, part.shape[1])) for part in parts], axis=1
    )


def _index(positions: np.ndarray) -> tf.Tensor:
    if positions.size <= tuning.LONGEST_LITERAL:
        return tf.constant(positions, dtype=tf.int32)
    with tf.init_scope():
        return tf.constant(positions, dtype=tf.int32)
