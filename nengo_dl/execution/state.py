"""The values of constants and state, and where they currently are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.ir import elements, n_values
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.traits import Role
from nengo_dl.execution.lasting_state import LastingState, NodeStreams
from nengo_dl.execution.learned_weights import LearnedWeights
from nengo_dl.execution.state_homes import ArraysHome, StateHome
from nengo_dl.program.placement import Placement
from nengo_dl.program.step import StepProgram
from nengo_dl.program.variables import Variables
from nengo_dl.support.forks import tensorflow_runs
from nengo_dl.support.lazy_imports import tf

__all__ = ["StateStore"]


class StateStore:
    """Constants and state of a simulation, wherever they are.

    Constants are variables of the device, made when something first needs them. State
    has one home at a time: there too, or the arrays that NumPy steps work on, or arrays
    that nothing has used yet (after a reset, say). Whoever keeps something that was
    made of constants compares `version` with the one that it knows.

    Parameters
    ----------
    plan : Plan
        What is simulated.
    step : StepProgram
        Says where signals are, and their initial values.
    placement : Placement
        Where variables are.
    fixed_inputs : mapping of {Signal: ndarray}
        Values of constant signals that a run can replace.

    Attributes
    ----------
    fixed_inputs : dict of {Signal: ndarray}
        As given.
    learned : LearnedWeights
        With which values weights start that a learning rule changes.
    lasting : LastingState
        State that training carries on.
    streams : NodeStreams
        Random generators of TensorNodes.
    home : StateHome
        Where the state is.
    version : int
        Grows whenever constants are replaced; see `replaced_since`.
    """

    def __init__(
        self,
        plan: Plan,
        step: StepProgram,
        placement: Placement,
        fixed_inputs: Mapping[Signal, np.ndarray],
    ):
        self.plan = plan
        self.step = step
        self.placement = placement
        self.fixed_inputs = dict(fixed_inputs)
        self.learned = LearnedWeights(plan, step, placement.device)
        self._variables: Variables | None = None
        #: those who show parameters elsewhere; see `TrainedParameters`
        self.followers: list[Any] = []
        #: called before the state is read for somebody else
        self.before_reading: Callable[[], None] = lambda: None
        self.version = 0
        self._replaced: dict[Block, int] = {}
        self._uniform: tuple[int, dict[int, float]] | None = None
        minibatch = step.config.minibatch_size
        self._initial_state = [
            np.repeat(values, minibatch, axis=0)
            for values in step.initial_values(step.state_blocks)
        ]
        self.home: StateHome = ArraysHome(self._initial_state)
        self.lasting = LastingState(plan, step, self._initial_state)
        self.streams = NodeStreams(plan, step)

    @property
    def variables(self) -> Variables:
        """Constants and state on the device; made when first asked for."""
        if self._variables is None:
            self._variables = Variables(self.plan, self.step, self.placement.device)
            tensorflow_runs()
        return self._variables

    @property
    def trained_variables(self) -> list[tf.Variable]:
        """Everything that training changes."""
        constants = zip(
            self.variables.constants, self.step.constant_blocks, strict=True
        )
        found = [v for v, block in constants if block.trainable and block.size]
        return [*found, *self.learned.variables.values()]

    # -- state

    def state_values(self) -> list[np.ndarray]:
        """Return the current values of the state blocks, shapes (minibatch, size)."""
        return self.home.read_state()

    def set_state_values(self, values: Sequence[np.ndarray]) -> None:
        """Replace the values of the state blocks."""
        self.home = ArraysHome([np.asarray(value) for value in values])

    def move_state_to(self, home: StateHome) -> list[np.ndarray] | None:
        """Let the state live in another place, from which it is read from now on.

        Parameters
        ----------
        home : StateHome
            The place, such as `variables`.

        Returns
        -------
        list of ndarray, shapes (minibatch, size), or None
            The values that were written there. None if they were there already.
        """
        if self.home is home:
            return None
        values = self.state_values()
        home.write_state(values)
        self.home = home
        return values

    @property
    def initial_state(self) -> list[np.ndarray]:
        """Values of the state blocks after a reset, shapes (minibatch, size)."""
        return self.lasting.put(self.learned.put(self._initial_state))

    @property
    def training_state(self) -> list[np.ndarray]:
        """Values of the state blocks with which a minibatch of training begins."""
        return self.lasting.put_for_training(self.initial_state)

    def reset_state(self) -> None:
        """Return to the initial state; random streams go on."""
        initial = self.initial_state
        if self.streams:
            initial = self.streams.carry(initial, self.state_values())
        self.set_state_values(initial)

    def restart(self, seed: int, state: Sequence[np.ndarray] | None = None) -> None:
        """Return to the initial state, and to the start of random streams.

        Parameters
        ----------
        seed : int
            Seed of the streams of TensorNodes.
        state : sequence of ndarray, optional
            What to return to in place of the initial state, but for the streams.
        """
        self._initial_state = self.streams.seed(self._initial_state, seed)
        if state is None:
            self.lasting.begin(self._initial_state)
            self.set_state_values(self.initial_state)
        else:
            self.set_state_values(self.streams.carry(state, self._initial_state))

    def restore_state(self, before: Sequence[np.ndarray]) -> None:
        """Return to a state of before; random streams go on."""
        self.set_state_values(self.streams.carry(before, self.state_values()))

    def keep_state(self, state: Sequence[np.ndarray]) -> None:
        """Take over what lasts from a state after training."""
        self.lasting.keep_of_training(state)
        self.set_state_values(self.lasting.put(self.state_values()))

    # -- constants and parameters

    def uniform_constants(self) -> dict[int, float]:
        """Return the constants that are 0 or 1 everywhere, such as gains and biases.

        Returns
        -------
        dict of {int: float}
            Values, by position in ``step.constant_blocks``; only of blocks of
            floating point numbers that are not trained.
        """
        if self._uniform is None or self._uniform[0] != self.version:
            found: dict[int, float] = {}
            for number, block in enumerate(self.step.constant_blocks):
                dtype = self.step.dtype_of(block)
                if block.trainable or not block.size or dtype.kind != "f":
                    continue
                values = self._constant_values(block)
                if values[0, 0] in (0, 1) and (values == values[0, 0]).all():
                    found[number] = float(values[0, 0])
            self._uniform = self.version, found
        return self._uniform[1]

    def reset_parameters(self) -> None:
        """Return to the initial values of all constants, and forget trained ones."""
        self.learned.reset()
        if self.lasting.carried:
            self.lasting.reset()
            self.set_state_values(self.lasting.put(self.state_values()))
        if self._variables is not None:
            blocks = self.step.constant_blocks
            values = self.step.initial_values(blocks)
            self._set_constants(dict(zip(blocks, values, strict=True)))
        self._show()

    def take_changes(self) -> None:
        """Take over the parameters that somebody has changed elsewhere."""
        for follower in self.followers:
            changed = follower.changed()
            if changed:
                self._replace(changed)

    def _show(self) -> None:
        """Show all parameters to those who follow them."""
        for follower in self.followers:
            follower.push()

    def publish_trained(self) -> None:
        """Show what training changed to whatever else holds it."""
        changed = self.learned.changed()
        if changed:
            self.set_values(changed)
        self._count(block for block in self.step.constant_blocks if block.trainable)
        self._show()

    def _set_constants(self, values: Mapping[Block, np.ndarray]) -> None:
        variables = self.variables.constants
        for block, value in values.items():
            variable = variables[self.step.constant_blocks.index(block)]
            dtype = variable.dtype.as_numpy_dtype
            variable.assign(np.asarray(value, dtype=dtype))
        self._count(values)

    def _count(self, blocks: Iterable[Block]) -> None:
        """Count a new version, in which constants were replaced."""
        self.version += 1
        self._replaced.update(dict.fromkeys(blocks, self.version))

    def replaced_since(
        self, version: int
    ) -> Iterator[tuple[Signal, Callable[[], np.ndarray]]]:
        """Yield the constants that were replaced after some version.

        Parameters
        ----------
        version : int
            0: all that were ever replaced.

        Yields
        ------
        signal : Signal
            A base signal.
        read : callable
            Returns its current value, shape (n_values,); the stored values of sparse
            signals.
        """
        for block, number in self._replaced.items():
            if number > version:
                for signal in block.signals:
                    yield signal, functools.partial(self._constant_value, block, signal)

    def _constant_value(self, block: Block, signal: Signal) -> np.ndarray:
        start = block.starts[signal]
        return self._constant_values(block)[0, start : start + n_values(signal)]

    def _constant_values(self, block: Block) -> np.ndarray:
        """Return the values of a block of constants, shape (1, size), not to write to.

        Those on the CPU are not copied.
        """
        if self._variables is None:
            return self.step.initial_values([block])[0]
        index = self.step.constant_blocks.index(block)
        tensor = self._variables.constants[index].read_value()
        if self.placement.on_cpu:
            return np.asarray(memoryview(tensor))
        return tensor.numpy()

    # -- values of signals

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
        self.take_changes()
        given = {
            s: self.fixed_inputs[s.base] for s in signals if s.base in self.fixed_inputs
        }
        blocks = {self._block_of(s.base) for s in signals if s not in given}
        state_blocks = self.step.state_blocks
        values = {b: self._constant_values(b) for b in blocks - set(state_blocks)}
        if len(values) < len(blocks):
            self.before_reading()
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
        self.take_changes()
        self._replace(values)

    def _replace(self, values: Mapping[Signal, np.ndarray]) -> None:
        blocks = {signal: self._block_of(signal) for signal in values}
        step = self.step
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
            number = step.state_blocks.index(block)
            # Nengo's own steps may compute in a higher precision than the device
            dtype = np.result_type(state[number], rows)
            state[number] = state[number].astype(dtype, copy=False)
            state[number][:, where] = rows
        if constants:
            self._set_constants(constants)
        if state is not None:
            self.set_state_values(state)
            self.learned.follow(values)
            self.lasting.keep(state)
        self._show()

    def _block_of(self, base: Signal) -> Block:
        """Return the block of a constant or state signal, or raise KeyError."""
        block = self.step.layout.block_of.get(base)
        if block is None or block.role not in (Role.CONSTANT, Role.STATE):
            raise KeyError(base)
        return block
