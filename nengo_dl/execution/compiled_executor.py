"""Chunks of steps in the compiled loop, which is made when it is first called."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.builders.base import Arranged
from nengo_dl.compiler.sampling import Sampling
from nengo_dl.execution.chunk_buffers import ChunkBuffers
from nengo_dl.execution.numpy_executor import estimate_seconds
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.state import StateStore
from nengo_dl.program.arranged import ArrangedOperands
from nengo_dl.program.chunk_loop import ChunkFunction, make_chunk_function
from nengo_dl.program.failures import describe_failure
from nengo_dl.program.hoisting import Hoisted, find_hoisted, segment_ends
from nengo_dl.program.placement import Placement
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
from nengo_dl.support.garbage import rare_collections
from nengo_dl.support.lazy_imports import tf

__all__ = ["CompiledExecutor"]


class CompiledExecutor:
    """Steps on the device, as many in one call as the buffers hold.

    Parameters
    ----------
    step : StepProgram
        What to run.
    host : HostOperators
        Runs callbacks.
    restless : set of Signal
        Inputs that change in each step.
    store : StateStore
        Has the variables that the loop reads and assigns.
    sampling : sequence of Sampling
        For each output, which steps are kept.
    placement : Placement
        Where it runs, and whether XLA compiles it, or what lies between callbacks.
    unroll : int
        Steps in the body of the loop.
    most_steps : int
        Most steps of one call.
    step_seconds : float
        Estimated time of a step, in seconds; 0 if it is not known.

    Attributes
    ----------
    compile_seconds : float or None
        How long tracing and compiling took, when it is done.
    """

    def __init__(
        self,
        step: StepProgram,
        host: HostOperators,
        restless: set[Signal],
        store: StateStore,
        sampling: Sequence[Sampling],
        placement: Placement,
        unroll: int = 1,
        most_steps: int = tuning.MOST_STEPS,
        step_seconds: float = 0.0,
    ):
        self.step = step
        self.host = host
        self.restless = restless
        self.store = store
        self.placement = placement
        self.unroll = unroll
        self._sampling = sampling
        self._most_steps = most_steps
        self._step_seconds = step_seconds
        self.compile_seconds: float | None = None
        self._compiled: ChunkFunction | None = None
        self._compiling_since = 0.0
        self._own_labels = False

    @property
    def is_warm(self) -> bool:
        """Whether the next call will not have to compile."""
        return self._compiled is not None and self.compile_seconds is not None

    @property
    def most_steps(self) -> int:
        """Most steps of one call."""
        return self.buffers.shape.capacity

    @property
    def runs_beside(self) -> bool:
        """Whether no Python runs in a step; it never does in two threads at once."""
        return not self.step.has_callbacks

    @functools.cached_property
    def hoisted(self) -> Hoisted:
        """What is computed once for as long as inputs stay the same."""
        return find_hoisted(self.step, self.restless)

    @functools.cached_property
    def buffers(self) -> ChunkBuffers:
        """Arrays of inputs and outputs."""
        seconds = self._step_seconds
        # what each call computes once makes longer calls worth it, not shorter ones
        for number in self.hoisted.groups:
            ops = self.step.layout.groups[number].group.ops
            seconds -= estimate_seconds(ops) * self.step.config.minibatch_size
        return ChunkBuffers(self.step, self._sampling, self._most_steps, seconds)

    @functools.cached_property
    def _operands(self) -> ArrangedOperands:
        return ArrangedOperands(self.step, self.store.variables.constants)

    def _arranged(self) -> Mapping[int, Arranged]:
        """Return the parameters that calls need not arrange; on GPUs, they do."""
        return self._operands.tensors() if self.placement.on_cpu else {}

    def prepare(self) -> None:
        """Put the state where the loop expects it."""
        moved = self.store.move_state_to(self.store.variables)
        if moved is not None:
            self._check_twins(moved)

    @functools.cached_property
    def _twins(self) -> dict[int, int]:
        """State that need not be carried, as it equals other state."""
        twins = self.step.twins
        return twins if _are_equal(self.store.initial_state, twins) else {}

    def _check_twins(self, state: Sequence[np.ndarray]) -> None:
        """Carry all state if some differs that would be equal after every step."""
        if not _are_equal(state, self._twins):
            self._twins = {}
            self.close()

    def show_labels(self) -> None:
        """From now on, use a program whose operations have the labels of this one."""
        self._own_labels = True
        if self._compiled is not None:
            labels = tuple(self.step.labels)
            if self._compiled.lease.labels != labels:
                self.close()

    def close(self) -> None:
        """Give the compiled program back; the next run takes it again."""
        self.__dict__.pop("_operands", None)  # memory
        if self._compiled is not None:
            self._compiled.lease.close()
            self._compiled = None
            self.compile_seconds = None

    def pack(
        self, values: Mapping[Signal, np.ndarray], first: int, n_steps: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Return what `run` takes, for some steps.

        Parameters
        ----------
        values : mapping of {Signal: ndarray of shape (n_steps or 1, ...)}
            Values of input signals.
        first : int
            Number of the step before the first one.
        n_steps : int
            How many steps.

        Returns
        -------
        list of ndarray, shapes (capacity, minibatch, size)
            Values of the input blocks.
        ndarray of int32, shape (n_rows, capacity)
            Where the outputs of each step go; see `make_chunk_function`.
        """
        frames = self.buffers.frames(values, n_steps)
        slots = self.buffers.slots(first, n_steps)
        if self.hoisted.groups:
            ends = segment_ends(self.hoisted, frames, n_steps)
            ends = np.pad(ends, (0, self.buffers.shape.capacity - n_steps))
            slots = np.vstack([slots, ends.astype(slots.dtype)])
        return frames, slots

    def run(
        self,
        first: int,
        n_steps: int,
        inputs: tuple[Sequence[np.ndarray], np.ndarray],
    ) -> list[np.ndarray]:
        """Simulate some steps; see `Executor`.

        Raises
        ------
        SimulationError
            If TensorFlow fails, or a function of the model.
        """
        results = self._call(n_steps, *inputs)
        return self.buffers.kept(results, first, n_steps)

    def _call(
        self, n_steps: int, frames: Sequence[np.ndarray], slots: np.ndarray
    ) -> list[np.ndarray]:
        """Return the outputs of a call, shapes (n_slots, minibatch, size)."""
        try:
            with tf.device(self.placement.device):
                function = self._function()
                arranged = list(self._arranged().values())
                if self.compile_seconds is None:
                    # XLA compiles in the first call; one without steps measures it
                    if not function.lease.is_compiled:
                        function(0, frames, slots, arranged)
                    self.compile_seconds = time.perf_counter() - self._compiling_since
                return function(n_steps, frames, slots, arranged)
        except tf.errors.OpError as error:
            original, self.host.error = self.host.error, None
            if original is not None:
                raise original from original.__cause__ or error
            raise SimulationError(describe_failure(error)) from error

    def _function(self) -> ChunkFunction:
        if self._compiled is None:
            self._compiling_since = time.perf_counter()
            callbacks = self.step.has_callbacks
            whole = self.placement.compiles(callbacks)
            with rare_collections():
                self._compiled = make_chunk_function(
                    self.step,
                    self.store.variables,
                    self.buffers.shape,
                    min(self.unroll, tuning.MOST_UNROLLED) if whole else self.unroll,
                    jit_compile=whole,
                    jit_pieces=self.placement.uses_xla and callbacks,
                    twins=self._twins,
                    hoisted=self.hoisted.groups,
                    device=self.placement.device,
                    own_labels=self._own_labels,
                    arranged=self._arranged(),
                )
        return self._compiled


def _are_equal(state: Sequence[np.ndarray], twins: Mapping[int, int]) -> bool:
    """Return whether state equals its twins."""
    return all(np.array_equal(state[i], state[twin]) for i, twin in twins.items())
