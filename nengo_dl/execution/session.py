"""Runs a plan in chunks of steps: compiled, or with NumPy steps."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.compiler.plan import Plan
from nengo_dl.execution.executor import Chunk, Executor, ExecutorChoice
from nengo_dl.execution.feeds import rows_of, with_feeds
from nengo_dl.execution.learned_weights import keep_learned
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.single_steps import SingleSteps
from nengo_dl.execution.sources import Sources
from nengo_dl.execution.state import StateStore
from nengo_dl.execution.user_code import has_user_code
from nengo_dl.profiling.profiler import annotate
from nengo_dl.program.placement import Placement
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
from nengo_dl.support.interrupts import DeferredInterrupt

__all__ = ["Session"]


class Session:
    """One running simulation of a plan: its values, its time, its random streams.

    Made by `open_session`, of parts that fit each other.

    Parameters
    ----------
    plan : Plan
        What to run.
    placement : Placement
        Where to run it.
    step : StepProgram
        Kernels of the device's part.
    host : HostOperators
        NumPy steps.
    sources : Sources
        Values of inputs.
    store : StateStore
        Constants and state.
    executors : ExecutorChoice
        What advances the simulation.
    shows_state : bool
        Whether code of the user may read state and data in the middle of a run. The
        first chunk then has one step, in which that is found out; if it does, all have.

    Attributes
    ----------
    n_steps : int
        Number of the current time step.
    last_outputs : list of ndarray
        Outputs of the last call of `run_one`.
    is_apart : bool
        Whether what runs is left behind at its end; see `nengo_dl.execution.apart`.
    steps_apart : int or None
        Number of steps of the last run of that kind, while its time is shown.
    """

    def __init__(
        self,
        plan: Plan,
        placement: Placement,
        step: StepProgram,
        host: HostOperators,
        sources: Sources,
        store: StateStore,
        executors: ExecutorChoice,
        shows_state: bool = False,
    ):
        self.plan = plan
        self.placement = placement
        self.step = step
        self.host = host
        self.sources = sources
        self.store = store
        self.executors = executors
        self.compiled = executors.compiled
        self.numpy = executors.numpy
        self.n_steps = 0
        self.last_outputs: list[np.ndarray] = []
        self._seconds_per_step = 0.0
        self._single_steps: SingleSteps | None = None
        self._executor: Executor | None = None  # while it runs in this thread
        self._is_watched = False
        self.steps_apart: int | None = None
        self.is_apart = False
        self._watches_first = shows_state and has_user_code(plan)
        store.before_reading = self.note_reading

    @property
    def shown_steps(self) -> int:
        """Number of the time step, as code of the user sees it.

        What runs ahead of the device, or in the middle of a chunk, sees the number of
        steps before its own, as in Nengo's simulator.
        """
        now = self.host.now
        if now is not None:
            return now
        return self.n_steps if self.steps_apart is None else self.steps_apart

    def note_reading(self, of_data: bool = False) -> None:
        """Note that state (or probe data) is read; it may be in the middle of a run.

        Raises
        ------
        SimulationError
            If what code of the user is to see is not known on the host.
        """
        now = self.host.now
        if now is None:
            return
        self._is_watched = True
        live = self._executor is self.numpy and not of_data
        if now != self.n_steps and not live:
            raise SimulationError(
                f"Code of the model read the state of the simulation in step {now + 1},"
                " while it ran ahead of the device or in the middle of compiled steps. "
                "Read it in the first step of a simulation, too: then all steps are "
                "simulated one by one"
            )

    # -- where the simulation is

    def reset(self, seed: int | None, keeps_learned: bool = False) -> None:
        """Return to time 0 and to the initial state.

        Parameters
        ----------
        seed : int or None
            Seed from which random streams start. With None, they go on.
        keeps_learned : bool
            Keep what learning rules changed, and the moving averages of layers.
        """
        if seed is None:
            if keeps_learned:
                self.start_anew(self.store.state_values())
            else:
                self.soft_reset()
            return
        state = None
        if keeps_learned:
            self.start_anew(self.store.state_values())
            state = self.store.state_values()
        self.host.reset(seed)
        self.sources.restart()
        self.n_steps = 0
        self.come_back()
        self.store.restart(seed, state)

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
        state = self.store.state_values()
        self.host.reset(item_seeds)
        self.sources.restart()
        self.n_steps = n_steps
        self.store.set_state_values(state)
        self.come_back()

    def go_on_from(self, n_steps: int, state: Sequence[np.ndarray]) -> None:
        """Go to a state and a time step that were reached elsewhere.

        Parameters
        ----------
        n_steps : int
            Number of steps that count as simulated.
        state : sequence of ndarray, shapes (minibatch, size)
            Values of the state blocks.
        """
        self.sources.reset()
        self.n_steps = n_steps
        self.store.set_state_values(state)

    def soft_reset(self) -> None:
        """Return to the initial state and to time 0; random streams go on."""
        self.n_steps = 0
        self.come_back()
        self.store.take_changes()
        self.sources.reset()
        self.sources.reset_state()
        self.store.reset_state()

    # -- running

    def run(
        self,
        n_steps: int,
        feeds: Mapping[Signal, np.ndarray],
        compiled: bool = False,
    ) -> Generator[Chunk, None, None]:
        """Simulate; state and step counter are consistent whenever a chunk is given.

        After an error or an interrupt, the session is where the last chunk ended.

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
        self.store.take_changes()
        yield from self._run(self._choose(n_steps, compiled), n_steps, feeds)

    def come_back(self) -> None:
        """Show the time of the simulation again, after a run apart from it."""
        self.steps_apart = None

    def _choose(self, n_steps: int, compiled: bool) -> Executor:
        choice = self.executors
        if compiled:
            return choice.compiled
        if self._is_watched and choice.may_choose and choice.numpy.available:
            return choice.numpy
        return choice.choose(n_steps, self.n_steps)

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
        # without calls that change nothing: this is what `Simulator.step` waits for
        store = self.store
        if store.followers:
            store.take_changes()
        if store.home is not self.numpy:
            self.numpy.prepare()
        (item,) = self.numpy.items()
        steps = self._single_steps
        if steps is None or steps.item is not item:
            steps = SingleSteps(
                self.host,
                self.sources.sources,
                item,
                self.store.fixed_inputs,
                self.plan.sampling,
            )
            self._single_steps = steps
        before = self.n_steps
        try:
            outputs = steps.advance(before)
            if outputs is not None:
                self.last_outputs = outputs
                self.n_steps = before + 1
        except BaseException:
            with DeferredInterrupt():
                if self.n_steps == before:
                    steps.undo(before)
            raise
        return outputs

    @functools.cached_property
    def _has_single_steps(self) -> bool:
        return self.placement.minibatch_size == 1 and self.executors.uses_numpy(1)

    def start_anew(self, before: Sequence[np.ndarray]) -> None:
        """Return to the start of the simulation; parameters stay as they are.

        Parameters that learning rules change are part of the state, but what was loaded
        into them is where learning starts.
        """
        self.soft_reset()
        start = [
            # Nengo's own steps may compute in a higher precision than the device
            np.array(values, dtype=np.result_type(values, old))
            for values, old in zip(self.store.state_values(), before, strict=True)
        ]
        keep_learned(self.plan, self.step.state_blocks, start, before)
        self.store.set_state_values(start)

    def _run(
        self, executor: Executor, n_steps: int, feeds: Mapping[Signal, np.ndarray]
    ) -> Generator[Chunk, None, None]:
        executor.prepare()
        first, end = self.n_steps, self.n_steps + n_steps
        batch = self._make(executor, first, first, end, feeds)
        with contextlib.ExitStack() as stack:
            pool = None
            while True:
                inputs, count, error = batch
                last = error is not None or self.n_steps + count >= end
                beside = executor.runs_beside and not (last or self._is_watched)
                if count:
                    rows = rows_of(feeds, self.n_steps - first, count)
                    self.host.start_chunk(self.n_steps, rows)
                    timed = executor.is_warm and not self._watches_first
                    began, self._watches_first = time.perf_counter(), False
                    if beside:
                        # the device's loop runs in another thread, so that user code
                        # stays in this one while it makes the inputs that follow
                        pool = pool or stack.enter_context(ThreadPoolExecutor(1))
                        job = pool.submit(executor.run, self.n_steps, count, inputs)
                        try:
                            following = self.n_steps + count
                            batch = self._make(executor, first, following, end, feeds)
                        except BaseException as problem:
                            # the chunk that is under way counts nevertheless
                            batch = None, 0, problem
                        outputs = job.result()
                    else:
                        outputs = self._run_here(executor, count, inputs)
                    self._advance(count, began, timed)
                    yield Chunk(count, outputs)
                if error is not None:
                    raise error
                if self.n_steps >= end:
                    return
                if not beside:
                    batch = self._make(executor, first, self.n_steps, end, feeds)

    def _run_here(
        self, executor: Executor, count: int, inputs: Any
    ) -> list[np.ndarray]:
        """Simulate some steps; after an error, random streams start them again."""
        streams = self.host.copy_streams()
        self._executor = executor
        try:
            return executor.run(self.n_steps, count, inputs)
        except BaseException:
            self.host.restore_streams(streams)
            raise
        finally:
            self._executor = None

    def _make(
        self,
        executor: Executor,
        first: int,
        now: int,
        end: int,
        feeds: Mapping[Signal, np.ndarray],
    ) -> tuple[Any, int, BaseException | None]:
        """Return inputs and number of steps of the next call, and what went wrong."""
        count = min(end - now, self._steps_per_chunk(executor.most_steps))
        with annotate("inputs of a chunk (Python)"):
            rows = rows_of(feeds, now - first, count)
            values, made, error = self.sources.make(
                now, count, rows, self.store.fixed_inputs
            )
            fed = rows_of(feeds, now - first, made)
            values = with_feeds(values, fed, self.store.fixed_inputs)
            inputs = executor.pack(values, now, made)
        return inputs, made, error

    def _advance(self, n_steps: int, began: float, timed: bool = True) -> None:
        self.n_steps += n_steps
        self.sources.consume(n_steps)
        if n_steps and timed:
            self._seconds_per_step = (time.perf_counter() - began) / n_steps

    def _steps_per_chunk(self, most: int) -> int:
        if self._watches_first or self._is_watched:
            return 1
        seconds = self._seconds_per_step or self.numpy.estimated_seconds
        fit = tuning.CHUNK_SECONDS / seconds if seconds else most
        return max(1, min(most, int(fit)))
