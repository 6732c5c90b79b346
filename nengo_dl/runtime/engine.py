"""Runs a program: keeps its state, and moves data to and from the device in chunks."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.compiler.ir import elements, n_values
from nengo_dl.compiler.layout import Block
from nengo_dl.compiler.traits import Role
from nengo_dl.runtime import chunks
from nengo_dl.runtime.chunks import ChunkBuffers
from nengo_dl.runtime.hoisting import Hoisted, find_hoisted, segment_ends
from nengo_dl.runtime.interpreter import Interpreter
from nengo_dl.runtime.lasting import LastingState
from nengo_dl.runtime.learned import LearnedWeights
from nengo_dl.runtime.loop import make_chunk_function
from nengo_dl.runtime.pipeline import Program
from nengo_dl.runtime.profiling import annotate
from nengo_dl.runtime.single_steps import SingleSteps
from nengo_dl.runtime.variables import Variables

__all__ = ["Chunk", "Engine"]

#: A call should not take longer than this (in seconds), so that a run can be watched
#: and interrupted.
_CHUNK_SECONDS = 0.5

#: Runs whose NumPy steps would take less than this (in seconds) are not worth a call of
#: the compiled loop.
_SHORT_RUN = 5e-4

#: XLA gains nothing from an unrolled loop, and its compile time explodes: fifty steps
#: of a network of two ensembles took more than ten minutes.
_MOST_UNROLLED = 4

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
    """State of a running simulation.

    Parameters
    ----------
    program : Program
        What to run.
    periods : sequence of float
        For each output, after how many steps a value is kept (1: all).
    device : str or None
        TensorFlow device.
    unroll : int
        Steps in the body of the loop.
    jit_compile : bool or None
        Compile with XLA: always, never, or where it pays (None).
    fixed_inputs : mapping of {Signal: ndarray}
        Values of constant signals that a run can replace.
    """

    def __init__(
        self,
        program: Program,
        periods: Sequence[float],
        device: str | None,
        unroll: int,
        jit_compile: bool | None,
        fixed_inputs: Mapping[Signal, np.ndarray],
    ):
        self.program = program
        self.periods = list(periods)
        self.device = device
        self.unroll = unroll
        self.jit_compile = jit_compile
        self.fixed_inputs = dict(fixed_inputs)
        self.n_steps = 0
        self.interpreter = Interpreter(program)
        self._minibatch = program.step.config.minibatch_size
        self._compiled: Callable[..., list[tf.Tensor]] | None = None
        self._variables: Variables | None = None
        self._uniform: dict[int, float] | None = None
        # the state while it is neither in variables nor on the host
        self._state: list[np.ndarray] | None = None
        self._state_on_host = False
        self._initial_state = [
            np.repeat(values, self._minibatch, axis=0)
            for values in program.step.initial_values(program.step.state_blocks)
        ]
        self.learned = LearnedWeights(program, device)
        self.lasting = LastingState(program)
        self.buffers = ChunkBuffers(program.step, self.periods, program.only_last)
        self._seconds_per_step = 0.0
        self._just_compiled = False
        self._single_steps: SingleSteps | None = None
        self._twins = program.step.twins
        self._check_twins(self._initial_state)
        self._compiling_since = 0.0
        #: how long tracing and compiling the loop took, when it is done
        self.compile_seconds: float | None = None

    # -- state

    def reset(self, seed: int) -> None:
        """Return to the initial state and to the start of all random streams."""
        self.program.host.reset(seed)
        self.program.feeds.restart()
        self.interpreter.reset()
        self.n_steps = 0
        self.reset_state()

    def reset_state(self) -> None:
        """Return to the initial state; random streams go on."""
        self.set_state_values(self.initial_state)

    def reset_parameters(self) -> None:
        """Return to the initial values of all constants, and forget trained ones."""
        self.learned.reset()
        if self.lasting.numbers:
            self.lasting.reset()
            self.set_state_values(self.lasting.put(self.state_values()))
        if self._variables is not None:
            blocks = self.program.step.constant_blocks
            values = self.program.step.initial_values(blocks)
            self._set_constants(dict(zip(blocks, values, strict=True)))

    def state_values(self) -> list[np.ndarray]:
        """Return the current values of the state blocks, shapes (minibatch, size)."""
        if self._state_on_host:
            return self.interpreter.read_state()
        if self._state is not None:
            return self._state
        return self._device_variables().read_state()

    def set_state_values(self, values: Sequence[np.ndarray]) -> None:
        """Replace the values of the state blocks."""
        self._state_on_host = False
        self._state = [np.asarray(value) for value in values]

    def keep_state(self, state: Sequence[np.ndarray]) -> None:
        """Take over what lasts from a state after training."""
        self.lasting.keep(state)
        self.set_state_values(self.lasting.put(self.state_values()))

    @property
    def variables(self) -> Variables:
        """Parameters and state on the device; made when first asked for."""
        return self._device_variables()

    @property
    def initial_state(self) -> list[np.ndarray]:
        """Values of the state blocks after a reset, shapes (minibatch, size)."""
        return self.lasting.put(self.learned.put(self._initial_state))

    def _device_variables(self) -> Variables:
        if self._variables is None:
            self._variables = Variables(self.program, self.device)
        return self._variables

    def _move_state_to_device(self) -> None:
        if self._state_on_host or self._state is not None:
            values = self.state_values()
            self._device_variables().assign_state(values)
            self._check_twins(values)
            self._state, self._state_on_host = None, False

    def _check_twins(self, state: Sequence[np.ndarray]) -> None:
        """Carry all state if some differs that would be equal after every step."""
        if not all(
            np.array_equal(state[i], state[twin]) for i, twin in self._twins.items()
        ):
            self._twins = {}
            self._compiled = None

    def _move_state_to_host(self) -> None:
        if not self._state_on_host:
            self.interpreter.write_state(self.state_values())
            self._state, self._state_on_host = None, True

    def save(self) -> dict[str, object]:
        """Return the values of all variables."""
        constants = None
        if self._variables is not None:
            constants = [variable.numpy() for variable in self._variables.constants]
        return {
            "state": self.state_values(),
            "constants": constants,
            "learned": self.learned.values(),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Restore what an engine of the same program saved."""
        if saved["constants"] is not None:
            self._set_constants(
                dict(
                    zip(
                        self.program.step.constant_blocks,
                        saved["constants"],
                        strict=True,
                    )
                )
            )
        self.learned.assign(saved["learned"])
        self.set_state_values(saved["state"])
        self.lasting.keep(saved["state"])

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
        state = self.state_values()
        self.program.host.reset(item_seeds)
        self.program.feeds.restart()
        self.interpreter.reset()
        self.n_steps = n_steps
        self.set_state_values(state)

    def soft_reset(self) -> None:
        """Return to the initial state and to time 0; random streams go on."""
        self.n_steps = 0
        self.program.feeds.reset()
        self.program.feeds.reset_state()
        self.reset_state()

    def value_of(self, signal: Signal) -> tuple[np.ndarray, bool]:
        """Return the value of one signal; see `values_of`."""
        return self.values_of([signal])[0]

    def values_of(self, signals: Sequence[Signal]) -> list[tuple[np.ndarray, bool]]:
        """Return the values of constants and state, reading each block once.

        Parameters
        ----------
        signals : sequence of Signal
            Base signals or views.

        Returns
        -------
        list of (ndarray, bool)
            For each signal its current value, of shape (1 or minibatch, *signal.shape)
            (the stored values of sparse signals: (1, n_values)), and whether all items
            of the minibatch share it.

        Raises
        ------
        KeyError
            If a signal is neither constant nor state.
        """
        given = {
            s: self.fixed_inputs[s.base] for s in signals if s.base in self.fixed_inputs
        }
        blocks = {self._block_of(s.base) for s in signals if s not in given}
        state_blocks = self.program.step.state_blocks
        values = {b: self._constant_values(b) for b in blocks - set(state_blocks)}
        if len(values) < len(blocks):
            values.update(zip(state_blocks, self.state_values(), strict=True))
        result = []
        for signal in signals:
            base = signal.base
            if signal in given:
                found = np.reshape(given[signal], (1, -1))[:, elements(signal)]
                result.append((found.reshape(1, *signal.shape), True))
                continue
            block = self._block_of(base)
            start = block.starts[base]
            found = values[block][:, start : start + n_values(base)]
            if signal is not base:
                found = found[:, elements(signal)]
            if not signal.sparse:
                found = found.reshape(len(found), *signal.shape)
            result.append((found, block.role is Role.CONSTANT))
        return result

    def _block_of(self, base: Signal) -> Block:
        """Return the block of a constant or state signal, or raise KeyError."""
        block = self.program.step.layout.block_of.get(base)
        if block is None or block.role not in (Role.CONSTANT, Role.STATE):
            raise KeyError(base)
        return block

    def _constant_values(self, block: Block) -> np.ndarray:
        """Return the values of a block of constants, shape (1, size), not to write to.

        Those on the CPU are not copied.
        """
        if self._variables is None:
            return self.program.step.initial_values([block])[0]
        index = self.program.step.constant_blocks.index(block)
        tensor = self._variables.constants[index].read_value()
        if "CPU" in tensor.device:
            return np.asarray(memoryview(tensor))
        return tensor.numpy()

    def set_value(self, signal: Signal, value: np.ndarray) -> None:
        """Replace the value of one signal; see `set_values`."""
        self.set_values({signal: value})

    def set_values(self, values: Mapping[Signal, np.ndarray]) -> None:
        """Replace the values of constants and state: of all signals, or of none.

        Parameters
        ----------
        values : mapping of {Signal: ndarray}
            For each base signal its new value, of shape (*signal.shape) or (minibatch,
            *signal.shape); only state can differ between the items of a minibatch. Of
            sparse signals, the stored values.

        Raises
        ------
        KeyError
            If a signal is neither constant nor state.
        """
        blocks = {signal: self._block_of(signal) for signal in values}
        step = self.program.step
        constants: dict[Block, np.ndarray] = {}
        state = None
        for signal, block in blocks.items():
            size = n_values(signal)
            where = slice(block.starts[signal], block.starts[signal] + size)
            rows = np.reshape(values[signal], (-1, size) if size else (1, 0))
            if block.role is Role.CONSTANT:
                if size == block.size:  # without reading and copying what was there
                    constants[block] = rows
                    continue
                if block not in constants:
                    constants[block] = np.array(self._constant_values(block))
                constants[block][:, where] = rows
                continue
            if state is None:
                state = [np.array(v) for v in self.state_values()]
            state[step.state_blocks.index(block)][:, where] = rows
        if constants:
            self._set_constants(constants)
        if state is not None:
            self.set_state_values(state)
            self.learned.follow(values)
            self.lasting.keep(state)

    def uniform_constants(self) -> dict[int, float]:
        """Return the constants that are 0 or 1 everywhere, such as gains and biases.

        Returns
        -------
        dict of {int: float}
            Values, by position in ``program.step.constant_blocks``; only of blocks of
            floating point numbers that are not trained.
        """
        if self._uniform is None:
            self._uniform = {}
            for number, block in enumerate(self.program.step.constant_blocks):
                dtype = self.program.step.dtype_of(block)
                if block.trainable or not block.size or dtype.kind != "f":
                    continue
                values = self._constant_values(block)
                if values[0, 0] in (0, 1) and (values == values[0, 0]).all():
                    self._uniform[number] = float(values[0, 0])
        return self._uniform

    def _set_constants(self, values: Mapping[Block, np.ndarray]) -> None:
        self._uniform = None
        variables = self._device_variables().constants
        for block, value in values.items():
            variable = variables[self.program.step.constant_blocks.index(block)]
            dtype = variable.dtype.as_numpy_dtype
            variable.assign(np.asarray(value, dtype=dtype))
        self.publish_constants(list(values))

    def publish_trained(self) -> None:
        """Show what training changed to whatever else holds it."""
        changed = self.learned.changed()
        if changed:
            self.set_values(changed)
        blocks = self.program.step.constant_blocks
        self.publish_constants([block for block in blocks if block.trainable])

    def publish_constants(self, blocks: Sequence[Block]) -> None:
        """Show the current values of constants to operators that run on the host.

        To be called when variables of constants were assigned.
        """
        self.interpreter.reset()
        for block in blocks:
            for signal in block.signals:
                read = functools.partial(self._constant_value, block, signal)
                self.program.host.set_constant(signal, read)

    def _constant_value(self, block: Block, signal: Signal) -> np.ndarray:
        start = block.starts[signal]
        return self._constant_values(block)[0, start : start + n_values(signal)]

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
        if self.program.settings.stateful:
            yield from run(n_steps, feeds)
            return
        before = [np.array(values) for values in self.state_values()]
        try:
            self._start_anew(before)
            yield from run(n_steps, feeds)
        finally:
            self.set_state_values(before)

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
        self._move_state_to_host()
        (item,) = self.interpreter.prepare()
        steps = self._single_steps
        if steps is None or steps.item is not item:
            steps = SingleSteps(self.program, item, self.fixed_inputs, self.periods)
            self._single_steps = steps
        outputs = steps.advance(self.n_steps)
        if outputs is not None:
            self.n_steps += 1
        return outputs

    @functools.cached_property
    def _has_single_steps(self) -> bool:
        return (
            self._minibatch == 1
            and self.program.settings.stateful
            and self.interprets(1)
        )

    def _start_anew(self, before: Sequence[np.ndarray]) -> None:
        """Return to the start of the simulation; parameters stay as they are.

        Parameters that learning rules change are part of the state, but what was loaded
        into them is where learning starts.
        """
        self.soft_reset()
        start = [np.array(values) for values in self.initial_state]
        for block, new, old in zip(
            self.program.step.state_blocks, start, before, strict=True
        ):
            for signal in block.signals:
                if signal in self.program.learned:
                    first = block.starts[signal]
                    where = slice(first, first + n_values(signal))
                    new[:, where] = old[:, where]
        self.set_state_values(start)

    def interprets(self, n_steps: int) -> bool:
        """Whether a run of this length uses NumPy steps instead of a compiled loop."""
        if self.jit_compile is not None or not self.on_cpu:
            return False
        seconds = self.interpreter.estimated_seconds
        if self.program.step.has_callbacks:
            pays = seconds < sum(
                _CALLBACK_SECONDS if is_callback else _PIECE_SECONDS
                for _, is_callback in self.program.step.segments
            )
        else:
            pays = n_steps * seconds < _SHORT_RUN
        return pays and self.interpreter.available

    @functools.cached_property
    def hoisted(self) -> Hoisted:
        """What the compiled loop computes once for as long as inputs stay the same."""
        return find_hoisted(self.program.step, self.program.feeds.restless)

    @functools.cached_property
    def on_cpu(self) -> bool:
        """Whether programs run on a CPU."""
        if self.device is not None:
            return "cpu" in self.device.lower()
        return not tf.config.list_logical_devices("GPU")

    def _run_interpreted(self, n_steps, feeds):
        self._move_state_to_host()
        host = self.program.host
        done = 0
        while done < n_steps:
            count = min(n_steps - done, self._steps_per_chunk(chunks.MOST_STEPS))
            began = time.perf_counter()
            values, made, error = self.program.feeds.make(self.n_steps, count, feeds)
            values = self._with_feeds(values, feeds, done, made)
            host.start_chunk(self.n_steps, self._rows(feeds, done, made))
            before = self.interpreter.copy_state()
            try:
                outputs = self.interpreter.run(self.n_steps, made, values, self.periods)
            except BaseException:
                self.interpreter.restore_state(before)
                raise
            outputs = [
                values[-1:].copy() if last else values
                for values, last in zip(outputs, self.program.only_last, strict=True)
            ]
            self._advance(made, began)
            done += made
            if made:
                yield Chunk(made, outputs)
            if error is not None:
                raise error

    def _run_compiled(self, n_steps, feeds):
        self._move_state_to_device()
        end = self.n_steps + n_steps
        first = self.n_steps
        batch = self._prepare(first, first, end, feeds)
        with contextlib.ExitStack() as stack:
            pool = None
            while True:
                frames, slots, count, error = batch
                if count:
                    rows = self._rows(feeds, self.n_steps - first, count)
                    self.program.host.start_chunk(self.n_steps, rows)
                    began = time.perf_counter()
                    job = None
                    last = error is not None or self.n_steps + count >= end
                    if last or self.program.step.has_callbacks:
                        # Python code of the model never runs in two threads at once
                        results = self._call(count, frames, slots)
                    else:
                        # the device's loop runs in another thread, so that user code
                        # stays in this one while it makes the inputs that follow
                        pool = pool or stack.enter_context(ThreadPoolExecutor(1))
                        job = pool.submit(self._call, count, frames, slots)
                    if not last:
                        try:
                            following = self.n_steps + count
                            batch = self._prepare(first, following, end, feeds)
                        except BaseException as problem:
                            # the chunk that is under way counts nevertheless
                            batch = [], None, 0, problem
                    if job is not None:
                        results = job.result()
                    outputs = self.buffers.kept(results, self.n_steps, count)
                    self._advance(count, began)
                    yield Chunk(count, outputs)
                if error is not None:
                    raise error
                if self.n_steps >= end:
                    return

    def _prepare(self, first, now, end, feeds):
        """Return frames, slots and number of steps of the next call."""
        capacity = self.buffers.shape.capacity
        count = min(end - now, self._steps_per_chunk(capacity))
        with annotate("inputs of a chunk (Python)"):
            values, made, error = self.program.feeds.make(now, count, feeds)
            values = self._with_feeds(values, feeds, now - first, made)
            frames = self.buffers.frames(values)
            slots = self.buffers.slots(now, made)
            if self.hoisted.groups:
                ends = segment_ends(self.hoisted, frames, made)
                ends = np.pad(ends, (0, capacity - made)).astype(slots.dtype)
                slots = np.vstack([slots, ends])
        return frames, slots, made, error

    def _call(self, count, frames, slots) -> list[np.ndarray]:
        try:
            with tf.device(self.device):
                function = self._function()
                if self.compile_seconds is None:
                    # XLA compiles in the first call; one without steps measures it
                    function(0, frames, slots)
                    self.compile_seconds = time.perf_counter() - self._compiling_since
                return function(count, frames, slots)
        except tf.errors.OpError as error:
            original, self.program.host.error = self.program.host.error, None
            if original is not None:
                raise original from original.__cause__ or error
            raise SimulationError(f"TensorFlow failed: {error.message}") from error

    def _rows(self, feeds, start, count):
        return {signal: rows[start : start + count] for signal, rows in feeds.items()}

    def _with_feeds(self, values, feeds, start, count):
        """Put feeds and constant inputs in the place of what the host produces."""
        result = {
            signal: np.asarray(value)[None, None]
            for signal, value in self.fixed_inputs.items()
        }
        result.update(values)
        result.update(self._rows(feeds, start, count))
        return result

    def _advance(self, n_steps: int, began: float) -> None:
        self.n_steps += n_steps
        self.program.feeds.consume(n_steps)
        if n_steps and not self._just_compiled:
            self._seconds_per_step = (time.perf_counter() - began) / n_steps
        self._just_compiled = False

    def _steps_per_chunk(self, most: int) -> int:
        seconds = self._seconds_per_step or self.interpreter.estimated_seconds
        return max(1, min(most, int(_CHUNK_SECONDS / seconds))) if seconds else most

    def _function(self):
        if self._compiled is None:
            self._just_compiled = True
            self._compiling_since = time.perf_counter()
            callbacks = self.program.step.has_callbacks
            jit = self.jit_compile is not False
            self._compiled = make_chunk_function(
                self.program.step,
                self._device_variables(),
                self.buffers.shape,
                min(self.unroll, _MOST_UNROLLED)
                if jit and not callbacks
                else self.unroll,
                jit_compile=jit and not callbacks,
                jit_pieces=jit and callbacks,
                twins=self._twins,
                hoisted=self.hoisted.groups,
            )
        return self._compiled
