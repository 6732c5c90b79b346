"""Runs steps with Nengo's own NumPy operators instead of a compiled loop.

A call of a compiled function costs about a hundred microseconds, and a callback from
within one as much again: more than a whole step of a small network takes in NumPy.
So single steps, very short runs, and small networks that call Python in each step run
here, on the same operators, state and random streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import DotInc
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.runtime.host import describe
from nengo_dl.runtime.pipeline import Program

__all__ = ["Interpreter"]

#: Rough cost, in seconds, of one NumPy operator, of one neuron, and of one weight.
_PER_OPERATOR = 2e-6
_PER_NEURON = 2e-8
_PER_WEIGHT = 3e-10


class Interpreter:
    """NumPy execution of a program's device part, item by item.

    Parameters
    ----------
    program : Program
        What to run.
    """

    def __init__(self, program: Program):
        self.program = program
        self._steps: list | None = None
        self._available: bool | None = None

    @property
    def available(self) -> bool:
        """Whether all operators have a NumPy step."""
        if self._available is None:
            try:
                self._prepare()
                self._available = True
            except NotImplementedError:
                self._available = False
        return self._available

    @property
    def estimated_seconds(self) -> float:
        """Estimated time of one step, in seconds."""
        total = 0.0
        for op in self.program.host_order:
            total += _PER_OPERATOR
            if isinstance(op, SimNeurons):
                total += _PER_NEURON * op.J.size
            elif isinstance(op, DotInc):
                total += _PER_WEIGHT * op.A.size
            else:
                total += 1e-9 * sum(s.size for s in op.all_signals)
        return total * self.program.step.config.minibatch_size

    def reset(self) -> None:
        """Forget all step functions: the host made new ones."""
        self._steps = None

    def _prepare(self) -> list:
        if self._steps is None:
            host = self.program.host
            steps = []
            for item in range(host.minibatch_size):
                signals = host.signals[item]
                item_steps = [
                    (op, host.step_function(op, item)) for op in self.program.host_order
                ]
                for signal in self._all_inputs():
                    if signal not in signals:
                        signals.init(signal)
                steps.append(item_steps)
            self._steps = steps
        return self._steps

    def _all_inputs(self) -> list[Signal]:
        return [
            signal
            for block in self.program.step.input_blocks
            for signal in block.signals
        ]

    def read_state(self) -> list[np.ndarray]:
        """Return the state, one array of shape (minibatch, size) for each block."""
        step, host = self.program.step, self.program.host
        result = []
        for block in step.state_blocks:
            values = np.empty(
                (host.minibatch_size, block.size), dtype=block.signals[0].dtype
            )
            for row, signals in zip(values, host.signals, strict=True):
                for signal in block.signals:
                    start = block.starts[signal]
                    row[start : start + signal.size] = signals[signal].ravel()
            result.append(values.astype(step.dtype_of(block), copy=False))
        return result

    def write_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the state, one array of shape (minibatch, size) for each block."""
        self._prepare()
        for block, rows in zip(self.program.step.state_blocks, values, strict=True):
            for row, signals in zip(rows, self.program.host.signals, strict=True):
                for signal in block.signals:
                    start = block.starts[signal]
                    live = signals[signal]
                    live[...] = row[start : start + signal.size].reshape(live.shape)

    def run(
        self,
        first: int,
        n_steps: int,
        values: Mapping[Signal, np.ndarray],
        periods: Sequence[float],
    ) -> list[np.ndarray]:
        """Run some steps.

        Parameters
        ----------
        first : int
            Number of the step before the first one.
        n_steps : int
            How many steps.
        values : mapping of {Signal: ndarray}
            Values of the inputs, shape ``(n_steps or 1, 1 or minibatch, ...)``.
        periods : sequence of float
            For each output, after how many steps its value is kept.

        Returns
        -------
        list of ndarray, shapes (n_kept, minibatch, size)
            The outputs.
        """
        host = self.program.host
        steps = self._prepare()
        probes = self.program.output_signals
        kept: list[list[np.ndarray]] = [[] for _ in probes]
        inputs = [s for s in self._all_inputs() if s in values]
        overrides = host.overrides
        every_step = [i for i, period in enumerate(periods) if period <= 1]
        sampled = [(i, period) for i, period in enumerate(periods) if period > 1]
        with np.errstate(invalid="raise", divide="ignore"):
            for n in range(n_steps):
                number = first + n + 1
                host.set_time(number)
                for item, item_steps in enumerate(steps):
                    signals = host.signals[item]
                    for signal in inputs:
                        rows = values[signal]
                        row = rows[n if len(rows) > 1 else 0]
                        signals[signal][...] = (
                            row[item if row.ndim and len(row) > 1 else 0].reshape(
                                signal.shape
                            )
                            if row.ndim
                            else row
                        )
                    for op, step in item_steps:
                        if overrides and op.sets and op.sets[0] in overrides:
                            rows = overrides[op.sets[0]][n]
                            signals[op.sets[0]][...] = rows[min(item, len(rows) - 1)]
                            continue
                        try:
                            step()
                        except Exception as error:
                            raise SimulationError(
                                f"{describe(op)} failed: {error}"
                            ) from error
                due = every_step + [i for i, p in sampled if number % p < 1]
                for i in due:
                    kept[i].append(
                        np.stack([s[probes[i]].ravel() for s in host.signals])
                    )
        return [
            np.stack(rows) if rows else np.zeros((0, host.minibatch_size, probe.size))
            for rows, probe in zip(kept, probes, strict=True)
        ]
