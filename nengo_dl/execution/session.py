"""Runs a plan in chunks of steps: compiled, or with NumPy steps."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.builders.base import BuildConfig
from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.plan import Plan
from nengo_dl.execution import chunk_buffers as chunks
from nengo_dl.execution.compiled_executor import CompiledLoop
from nengo_dl.execution.numpy_executor import Interpreter
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.single_steps import SingleSteps
from nengo_dl.execution.sources import InputFeeds
from nengo_dl.execution.state import Storage
from nengo_dl.profiling.profiler import annotate
from nengo_dl.program.placement import Placement
from nengo_dl.program.step import StepProgram

__all__ = ["Chunk", "Engine"]

#: A call should not take longer than this (in seconds), so that a run can be watched
#: and interrupted.
_CHUNK_SECONDS = 0.5

#: Runs whose NumPy steps would take less than this (in seconds) are not worth a call of
#: the compiled loop.
_SHORT_RUN = 5e-4

#: Measured cost (in seconds) of a callback in a graph loop, and of a compiled piece.
_CALLBACK_SECONDS = 1.5e-4
_PIECE_SECONDS = 3e-5


@dataclass(frozen=True)
class Chunk:
    """What some steps gave.

    Attributes
    ----------
    n_steps : int
        Number of steps.
    outputs : list of ndarray, shapes (n_kept, minibatch, size)
        Values of the outputs at the steps that their sampling period keeps.
    """

    n_steps: int
    outputs: list[np.ndarray]


class Engine:
    """Runs a plan, and knows how many steps it has run.

    Parameters
    ----------
    plan : Plan
        What to run.
    placement : Placement
        Where to run it.
    dtype : numpy.dtype
        Floating point type of the simulation.
    unroll : int
        Steps in the body of the loop.
    fixed_inputs : mapping of {Signal: ndarray}
        Values of constant signals that a run can replace.

    Attributes
    ----------
    n_steps : int
        Number of the current time step.
    step : StepProgram
        Kernels of the device's part.
    kernel_seconds : float
        How long it took to make them.
    host : HostOperators
        NumPy steps.
    sources : InputFeeds
        Values of inputs.
    interpreter : Interpreter
        NumPy steps.
    storage : Storage
        Constants and state.
    loop : CompiledLoop
        Compiled steps.
    """

    def __init__(
        self,
        plan: Plan,
        placement: Placement,
        dtype: np.dtype,
        unroll: int,
        fixed_inputs: Mapping[Signal, np.ndarray],
    ):
        self.plan = plan
        self.placement = placement
        self.host = HostOperators(plan, placement.minibatch_size)
        self.sources = InputFeeds(plan.split.host, self.host)
        began = time.perf_counter()
        config = BuildConfig(
            plan.dt,
            dtype,
            placement.minibatch_size,
            self.host,
            processor=placement.processor,
        )
        self.step = StepProgram(plan.layout, config, plan.labels)
        self.kernel_seconds = time.perf_counter() - began
        self.n_steps = 0
        self.interpreter = Interpreter(plan, self.step, self.host)
        self.storage = Storage(
            plan, self.step, self.host, self.interpreter, placement, fixed_inputs
        )
        self.loop = CompiledLoop(
            self.step,
            self.host,
            self.sources.restless,
            self.storage,
            plan.sampling,
            placement,
            unroll,
        )
        self._seconds_per_step = 0.0
        self._single_steps: SingleSteps | None = None

    # -- where the simulation is

    def reset(self, seed: int) -> None:
        """Return to the initial state and to the start of all random streams."""
        self.host.reset(seed)
        self.sources.restart()
        self.interpreter.reset()
        self.n_steps = 0
        self.storage.reset_state()

    def jump(self, n_steps: int, item_seeds: Sequence[int]) -> None:
        """Go to a time step, and to the start of the random streams of other seeds.

        Parameters, and the state of the device, stay as they are.

        Parameters
        ----------
        n_steps : int
            Number of steps that count as simulated.
        item_seeds : sequence of int
            Seed of each item of the minibatch.
        """
        state = self.storage.state_values()
        self.host.reset(item_seeds)
        self.sources.restart()
        self.interpreter.reset()
        self.n_steps = n_steps
        self.storage.set_state_values(state)

    def soft_reset(self) -> None:
        """Return to the initial state and to time 0; random streams go on."""
        self.n_steps = 0
        self.sources.reset()
        self.sources.reset_state()
        self.storage.reset_state()

    # -- running

    def run(
        self,
        n_steps: int,
        feeds: Mapping[Signal, np.ndarray],
        compiled: bool = False,
    ) -> Iterator[Chunk]:
        """Simulate; state and step counter are consistent whenever a chunk is given.

        After an error or an interrupt, the engine is where the last chunk ended.

        Parameters
        ----------
        n_steps : int
            Number of steps.
        feeds : mapping of {Signal: ndarray}
            Values that replace those of input signals, shape
            ``(n_steps, 1 or minibatch, size)``.
        compiled : bool
            Use the compiled loop in any case.

        Yields
        ------
        Chunk
            Results of some of the steps.
        """
        interprets = not compiled and self.interprets(n_steps)
        run = self._run_interpreted if interprets else self._run_compiled
        if self.plan.settings.stateful:
            yield from run(n_steps, feeds)
            return
        before = [np.array(values) for values in self.storage.state_values()]
        try:
            self._start_anew(before)
            yield from run(n_steps, feeds)
        finally:
            self.storage.set_state_values(before)

    def run_one(self) -> list[np.ndarray] | None:
        """Simulate one step without feeds, if there is a faster way than `run`.

        Returns
        -------
        list of ndarray, shapes (0 or 1, 1, size)
            The outputs. None, and nothing is done, if `run` has to be used.

        Raises
        ------
        SimulationError
            If a function of the model fails. Nothing has changed then.
        """
        if not self._has_single_steps:
            return None
        self.storage.move_state_to_host()
        (item,) = self.interpreter.prepare()
        steps = self._single_steps
        if steps is None or steps.item is not item:
            steps = SingleSteps(
                self.host,
                self.sources.sources,
                item,
                self.storage.fixed_inputs,
                self.plan.sampling,
            )
            self._single_steps = steps
        outputs = steps.advance(self.n_steps)
        if outputs is not None:
            self.n_steps += 1
        return outputs

    @functools.cached_property
    def _has_single_steps(self) -> bool:
        return (
            self.step.config.minibatch_size == 1
            and self.plan.settings.stateful
            and self.interprets(1)
        )

    def _start_anew(self, before: Sequence[np.ndarray]) -> None:
        """Return to the start of the simulation; parameters stay as they are.

        Parameters that learning rules change are part of the state, but what was loaded
        into them is where learning starts.
        """
        self.soft_reset()
        start = [np.array(values) for values in self.storage.initial_state]
        for block, new, old in zip(self.step.state_blocks, start, before, strict=True):
            for signal in block.signals:
                if signal in self.plan.learned:
                    first = block.starts[signal]
                    where = slice(first, first + n_values(signal))
                    new[:, where] = old[:, where]
        self.storage.set_state_values(start)

    def interprets(self, n_steps: int) -> bool:
        """Whether a run of this length uses NumPy steps instead of a compiled loop."""
        if not self.placement.chooses:
            return False
        seconds = self.interpreter.estimated_seconds
        if self.step.has_callbacks:
            pays = seconds < sum(
                _CALLBACK_SECONDS if is_callback else _PIECE_SECONDS
                for _, is_callback in self.step.segments
            )
        else:
            pays = n_steps * seconds < _SHORT_RUN
        return pays and self.interpreter.available

    def _run_interpreted(self, n_steps, feeds):
        self.storage.move_state_to_host()
        host = self.host
        done = 0
        while done < n_steps:
            count = min(n_steps - done, self._steps_per_chunk(chunks.MOST_STEPS))
            began = time.perf_counter()
            values, made, error = self.sources.make(self.n_steps, count, feeds)
            values = self._with_feeds(values, feeds, done, made)
            host.start_chunk(self.n_steps, self._rows(feeds, done, made))
            before = self.interpreter.copy_state()
            try:
                outputs = self.interpreter.run(
                    self.n_steps, made, values, self.plan.sampling
                )
            except BaseException:
                self.interpreter.restore_state(before)
                raise
            self._advance(made, began)
            done += made
            if made:
                yield Chunk(made, outputs)
            if error is not None:
                raise error

    def _run_compiled(self, n_steps, feeds):
        self.loop.prepare()
        end = self.n_steps + n_steps
        first = self.n_steps
        batch = self._prepare(first, first, end, feeds)
        with contextlib.ExitStack() as stack:
            pool = None
            while True:
                frames, slots, count, error = batch
                if count:
                    rows = self._rows(feeds, self.n_steps - first, count)
                    self.host.start_chunk(self.n_steps, rows)
                    began, timed = time.perf_counter(), self.loop.is_compiled
                    job = None
                    last = error is not None or self.n_steps + count >= end
                    if last or self.step.has_callbacks:
                        # Python code of the model never runs in two threads at once
                        results = self.loop.run(count, frames, slots)
                    else:
                        # the device's loop runs in another thread, so that user code
                        # stays in this one while it makes the inputs that follow
                        pool = pool or stack.enter_context(ThreadPoolExecutor(1))
                        job = pool.submit(self.loop.run, count, frames, slots)
                    if not last:
                        try:
                            following = self.n_steps + count
                            batch = self._prepare(first, following, end, feeds)
                        except BaseException as problem:
                            # the chunk that is under way counts nevertheless
                            batch = [], None, 0, problem
                    if job is not None:
                        results = job.result()
                    outputs = self.loop.buffers.kept(results, self.n_steps, count)
                    self._advance(count, began, timed)
                    yield Chunk(count, outputs)
                if error is not None:
                    raise error
                if self.n_steps >= end:
                    return

    def _prepare(self, first, now, end, feeds):
        """Return frames, slots and number of steps of the next call."""
        capacity = self.loop.buffers.shape.capacity
        count = min(end - now, self._steps_per_chunk(capacity))
        with annotate("inputs of a chunk (Python)"):
            values, made, error = self.sources.make(now, count, feeds)
            values = self._with_feeds(values, feeds, now - first, made)
            frames, slots = self.loop.inputs(values, now, made)
        return frames, slots, made, error

    def _rows(self, feeds, start, count):
        return {signal: rows[start : start + count] for signal, rows in feeds.items()}

    def _with_feeds(self, values, feeds, start, count):
        """Put feeds and constant inputs in the place of what the host produces."""
        result = {
            signal: np.asarray(value)[None, None]
            for signal, value in self.storage.fixed_inputs.items()
        }
        result.update(values)
        result.update(self._rows(feeds, start, count))
        return result

    def _advance(self, n_steps: int, began: float, timed: bool = True) -> None:
        self.n_steps += n_steps
        self.sources.consume(n_steps)
        if n_steps and timed:
            self._seconds_per_step = (time.perf_counter() - began) / n_steps

    def _steps_per_chunk(self, most: int) -> int:
        seconds = self._seconds_per_step or self.interpreter.estimated_seconds
        return max(1, min(most, int(_CHUNK_SECONDS / seconds))) if seconds else most
