"""The arrays that go to the device and come back for a chunk of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.program.chunk_loop import LoopShape
from nengo_dl.program.step import StepProgram

__all__ = ["MOST_STEPS", "ChunkBuffers"]

#: Bytes of inputs and outputs that one call of the compiled loop may hold.
_CHUNK_BYTES = 2**25

#: Most steps of one call of the compiled loop.
MOST_STEPS = 1024


class ChunkBuffers:
    """Shapes and contents of a chunk's inputs and outputs.

    Parameters
    ----------
    program : StepProgram
        The step.
    periods : sequence of float
        For each output, after how many steps a value is kept (1: all).
    only_last : sequence of bool
        For each output, whether only the last of the values that are kept is wanted.

    Attributes
    ----------
    shape : LoopShape
        What one call of the compiled loop has room for.
    clocks : list of (float, bool)
        Sampling periods, and whether only the last value is wanted; outputs that share
        both share their slots.
    """

    def __init__(
        self, program: StepProgram, periods: Sequence[float], only_last: Sequence[bool]
    ):
        self.program = program
        self.kinds = list(zip(periods, only_last, strict=True))
        self.clocks = sorted(set(self.kinds)) or [(1.0, False)]
        self.shape = self._loop_shape()

    def _loop_shape(self) -> LoopShape:
        blocks = self.program.input_blocks
        sizes = [int(np.prod(plan.shape)) for plan in self.program.layout.outputs]
        per_step = sum(block.size for block in blocks) + sum(
            size / period
            for size, (period, last) in zip(sizes, self.kinds, strict=True)
            if not last
        )
        itemsize = 8 * self.program.config.minibatch_size
        fit = _CHUNK_BYTES / max(per_step * itemsize, 1)
        capacity = int(np.clip(fit, 1, MOST_STEPS))
        return LoopShape(
            capacity,
            tuple(self._room(capacity, *kind) for kind in self.kinds),
            tuple(self.clocks.index(kind) for kind in self.kinds),
        )

    @staticmethod
    def _room(capacity: int, period: float, last: bool) -> int:
        """Return how many slots are needed for a number of steps."""
        if last:
            return 2  # the value that is wanted, and those of steps after it
        return capacity if period <= 1 else int(capacity / period) + 2

    def frames(self, values: Mapping[Signal, np.ndarray]) -> list[np.ndarray]:
        """Return the inputs of a chunk.

        Parameters
        ----------
        values : mapping of {Signal: ndarray of shape (n_steps or 1, ...)}
            Values of input signals; a single row stands for all steps.

        Returns
        -------
        list of ndarray, shapes (capacity, minibatch, size)
            One for each input block.
        """
        return [self._frame(block, values) for block in self.program.input_blocks]

    def _frame(self, block: Block, values: Mapping[Signal, np.ndarray]) -> np.ndarray:
        capacity = self.shape.capacity
        shape = (capacity, self.program.config.minibatch_size, block.size)
        frame = np.zeros(shape, dtype=self.program.dtype_of(block))
        for signal in block.signals:
            rows = values[signal]
            if not len(rows):  # the first step failed already
                continue
            rows = rows.reshape(len(rows), -1, max(signal.size, 1))
            start = block.starts[signal]
            n = len(rows) if len(rows) > 1 else capacity
            frame[:n, :, start : start + signal.size] = rows
        return frame

    def slots(self, now: int, n_steps: int) -> np.ndarray:
        """Return where the outputs of each step go, for each sampling period.

        Parameters
        ----------
        now : int
            Number of the step before the first one.
        n_steps : int
            How many steps.

        Returns
        -------
        (n_clocks, capacity) ndarray of int32
            Positions; a later step replaces an earlier one that is not to be kept.
        """
        steps = np.arange(now + 1, now + n_steps + 1)
        slots = np.zeros((len(self.clocks), self.shape.capacity), dtype=np.int32)
        for row, (period, last) in zip(slots, self.clocks, strict=True):
            kept = steps % period < 1
            if last:
                row[:n_steps] = np.arange(n_steps) > np.max(
                    np.flatnonzero(kept), initial=-1
                )
            else:
                row[:n_steps] = np.cumsum(kept) - kept
        return slots

    def kept(
        self, results: Sequence[np.ndarray], now: int, n_steps: int
    ) -> list[np.ndarray]:
        """Return the part of a chunk's outputs that was written.

        Parameters
        ----------
        results : sequence of ndarray, shapes (n_slots, minibatch, size)
            What the device returned.
        now, n_steps : int
            As for `slots`.
        """
        steps = np.arange(now + 1, now + n_steps + 1)
        n_kept = {
            (period, last): min(int((steps % period < 1).sum()), 1 if last else n_steps)
            for period, last in self.clocks
        }
        parts = [
            values[: n_kept[kind]]
            for values, kind in zip(results, self.kinds, strict=True)
        ]
        # a view would keep all of a buffer that is mostly empty
        return [
            part.copy() if 2 * len(part) < len(values) else part
            for part, values in zip(parts, results, strict=True)
        ]
