"""The arrays that go to the device and come back for a chunk of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.sampling import Sampling
from nengo_dl.program.chunk_loop import LoopShape
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning

__all__ = ["ChunkBuffers"]


class ChunkBuffers:
    """Shapes and contents of a chunk's inputs and outputs.

    Parameters
    ----------
    step : StepProgram
        The step.
    sampling : sequence of Sampling
        For each output, which steps are kept.
    most_steps : int
        Most steps of one call.
    step_seconds : float
        Estimated time of a step, in seconds; 0 or less if it is not known.

    Attributes
    ----------
    shape : LoopShape
        What one call of the compiled loop has room for.
    clocks : list of Sampling
        The different rules; outputs that share one share their slots.
    """

    _last_slots = 0, np.zeros((0, 0), dtype=np.int32)

    def __init__(
        self,
        step: StepProgram,
        sampling: Sequence[Sampling],
        most_steps: int = tuning.MOST_STEPS,
        step_seconds: float = 0.0,
    ):
        self.step = step
        self.most_steps = most_steps
        self.step_seconds = step_seconds
        self.sampling = list(sampling)
        self.clocks = sorted(set(self.sampling)) or [Sampling()]
        self.shape = self._loop_shape()

    def _loop_shape(self) -> LoopShape:
        blocks = self.step.input_blocks
        sizes = [int(np.prod(plan.shape)) for plan in self.step.layout.outputs]
        per_step = sum(block.size for block in blocks) + sum(
            size / sampling.period
            for size, sampling in zip(sizes, self.sampling, strict=True)
            if not sampling.only_last
        )
        itemsize = 8 * self.step.config.minibatch_size
        n_bytes = max(per_step * itemsize, 1)
        fit = tuning.CHUNK_BYTES / n_bytes
        if self.step_seconds > 0:
            # each call copies whole buffers, also one of a single step
            long = tuning.WORTH_A_CALL_SECONDS / self.step_seconds
            fit = min(fit, max(tuning.SMALL_CHUNK_BYTES / n_bytes, long))
        capacity = int(np.clip(fit, 1, self.most_steps))
        return LoopShape(
            capacity,
            tuple(sampling.room(capacity) for sampling in self.sampling),
            tuple(self.clocks.index(sampling) for sampling in self.sampling),
        )

    def frames(
        self, values: Mapping[Signal, np.ndarray], n_steps: int
    ) -> list[np.ndarray]:
        """Return the inputs of a chunk.

        Parameters
        ----------
        values : mapping of {Signal: ndarray of shape (n_steps or 1, ...)}
            Values of input signals; a single row stands for all steps.
        n_steps : int
            How many steps.

        Returns
        -------
        list of ndarray, shapes (capacity, minibatch, size)
            One for each input block.
        """
        return [self._frame(block, values, n_steps) for block in self.step.input_blocks]

    def _frame(
        self, block: Block, values: Mapping[Signal, np.ndarray], n_steps: int
    ) -> np.ndarray:
        shape = (self.shape.capacity, self.step.config.minibatch_size, block.size)
        frame = np.zeros(shape, dtype=self.step.dtype_of(block))
        for signal in block.signals:
            rows = values[signal]
            if not len(rows):  # the first step failed already
                continue
            rows = rows.reshape(len(rows), -1, max(signal.size, 1))
            start = block.starts[signal]
            n = len(rows) if len(rows) > 1 else n_steps
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
            Positions; a later step replaces an earlier one that is not to be kept. The
            same array, which is read-only, if the positions are those of the last call.
        """
        if any(clock.period > 1 for clock in self.clocks):
            return self._slots(now, n_steps)  # depend on the time
        last, slots = self._last_slots
        if n_steps != last:
            slots = self._slots(now, n_steps)
            self._last_slots = n_steps, slots
        return slots

    def _slots(self, now: int, n_steps: int) -> np.ndarray:
        slots = np.zeros((len(self.clocks), self.shape.capacity), dtype=np.int32)
        for row, clock in zip(slots, self.clocks, strict=True):
            row[:n_steps] = clock.slots(now, n_steps)
        slots.flags.writeable = False
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
        n_kept = {clock: clock.n_kept(now, n_steps) for clock in self.clocks}
        parts = [
            values[: n_kept[clock]]
            for values, clock in zip(results, self.sampling, strict=True)
        ]
        # a view would keep all of a buffer that is mostly empty
        return [
            part.copy() if 2 * len(part) < len(values) else part
            for part, values in zip(parts, results, strict=True)
        ]
