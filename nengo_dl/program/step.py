"""One time step as a pure function of tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from nengo_dl.builders.base import Arranged, OpBuilder
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.kernels import computed_after
from nengo_dl.builders.shapes import broadcast
from nengo_dl.builders.value_store import ValueStore, block_dtype, read_constant
from nengo_dl.compiler.layout import Layout
from nengo_dl.compiler.signature import Signature, sign_plan
from nengo_dl.compiler.sparse import coo
from nengo_dl.compiler.traits import Role
from nengo_dl.program.fixed_operands import find_fixed_operands
from nengo_dl.program.graph_key import encode_tensor
from nengo_dl.program.segments import split_at_callbacks
from nengo_dl.program.state_forms import find_overwritten, find_state_shapes, find_twins
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["StepProgram"]


class StepProgram:
    """The compiled form of a model: ``step(constants, state, frame)``.

    Parameters
    ----------
    layout : Layout
        Result of the compiler.
    config : BuildConfig
        Properties of the simulation.
    labels : sequence of str, optional
        Names of the groups, for whatever TensorFlow shows of them.

    Attributes
    ----------
    constant_blocks, state_blocks, input_blocks : list of Block
        The storage that the arguments of `step` stand for, in their order.
    fixed_operands : list of FixedOperand
        Operands that are constant; `read_fixed` reads them in this order.
    fixed_plans : list of ReadPlan
        Their plans.
    """

    def __init__(
        self,
        layout: Layout,
        config: BuildConfig,
        labels: Sequence[str] | None = None,
    ):
        self.layout = layout
        self.config = config
        by_role = {role: [b for b in layout.blocks if b.role is role] for role in Role}
        self.constant_blocks = by_role[Role.CONSTANT]
        self.state_blocks = by_role[Role.STATE]
        self.input_blocks = by_role[Role.INPUT]
        self.labels = (
            [bound.group.builder.__name__.lstrip("_") for bound in layout.groups]
            if labels is None
            else list(labels)
        )
        self.segments = split_at_callbacks(layout.groups)
        constant = {block.number for block in self.constant_blocks}
        self.fixed_operands = find_fixed_operands(layout, constant)
        self.fixed_plans = [operand.plan for operand in self.fixed_operands]

    @functools.cached_property
    def kernels(self) -> list[OpBuilder]:
        """The builders of the layout's groups; made when something is compiled."""
        groups = [bound.group for bound in self.layout.groups]
        kernels = [group.builder.build(group.ops, self.config) for group in groups]
        for operand in self.fixed_operands:
            kernels[operand.group].constant_reads |= {operand.index}
        return kernels

    @functools.cached_property
    def has_callbacks(self) -> bool:
        """Whether a step calls Python."""
        return any(bound.group.is_callback for bound in self.layout.groups)

    @functools.cached_property
    def twins(self) -> dict[int, int]:
        """State blocks that equal another one after every step, by their positions."""
        return find_twins(self.layout, self.kernels, self.state_blocks)

    @functools.cached_property
    def state_shapes(self) -> list[tuple[int, ...]]:
        """Shapes, without the batch axis, in which a loop is best given the state."""
        return find_state_shapes(self.layout, self.state_blocks)

    @functools.cached_property
    def _overwritten(self) -> dict[int, int]:
        """See `find_overwritten`."""
        return find_overwritten(
            self.layout, self.state_blocks, self.state_shapes, self.config
        )

    @property
    def shared_variables(self) -> list[tf.Variable]:
        """Parameters of builders that are no literals, in a fixed order."""
        return [v for kernel in self.kernels for v in kernel.shared_variables]

    @functools.cached_property
    def signature(self) -> Signature | None:
        """Equal for steps that one program serves; None if that cannot be known.

        Steps that call Python have none, nor do those of training, whose behaviour is
        set by more than their operators.
        """
        config = self.config
        if self.has_callbacks:
            return None
        facts = (
            config.dt,
            np.dtype(config.dtype).str,
            config.minibatch_size,
            config.processor,
            config.shared_parameters,
            config.jit_compile,
            config.training is not None,
            config.product_dtype,
            tuning.in_use(),
        )
        return sign_plan(self.layout, self.kernels, facts, encode_tensor)

    def dtype_of(self, block: Any) -> np.dtype:
        """Return the type of a block's elements."""
        return block_dtype(block, self.config.dtype)

    def initial_values(self, blocks: Sequence) -> list[np.ndarray]:
        """Return the initial values of blocks, each of shape ``(1, size)``."""
        result = []
        for block in blocks:
            values = np.zeros((1, block.size), dtype=self.dtype_of(block))
            for signal in block.signals:
                initial = signal.initial_value
                data = coo(initial)[2] if signal.sparse else initial
                start = block.starts[signal]
                values[0, start : start + np.size(data)] = np.ravel(data)
            result.append(values)
        return result

    def read_fixed(
        self,
        constants: Sequence[tf.Tensor],
        arranged: Mapping[int, Arranged] = MappingProxyType({}),
    ) -> list[Arranged]:
        """Read and arrange the constant operands; to be done once, before the loop.

        Parameters
        ----------
        constants : sequence of tf.Tensor
            As for `step`.
        arranged : mapping of {int: tf.Tensor or tuple of tf.Tensor}
            Those that are arranged already, by position in `fixed_operands`.
        """
        values = {
            block.number: value
            for block, value in zip(self.constant_blocks, constants, strict=True)
        }
        return [
            arranged[number]
            if number in arranged
            else self.kernels[operand.group].arrange(
                operand.index, read_constant(operand.plan, values)
            )
            for number, operand in enumerate(self.fixed_operands)
        ]

    def prepare(
        self,
        constants: Sequence[tf.Tensor],
        fixed: Sequence[Arranged],
        state: Sequence[tf.Tensor],
        frame: Sequence[tf.Tensor],
        groups: Sequence[int],
    ) -> dict[int, tf.Tensor]:
        """Compute groups whose results serve several steps.

        Parameters
        ----------
        constants, fixed, state, frame
            As for `step`.
        groups : sequence of int
            Numbers of groups that keep no state, in order.

        Returns
        -------
        dict of {int: tf.Tensor}
            Values of the blocks that the groups set or add to.
        """
        start = self._start(constants, state, frame)
        return self.compute(groups, start, self._by_plan(fixed))

    def compute(
        self,
        groups: Sequence[int],
        start: Mapping[int, tf.Tensor],
        fixed: Mapping[int, Arranged],
    ) -> dict[int, tf.Tensor]:
        """Compute groups, given the values of all blocks that they need.

        Parameters
        ----------
        groups : sequence of int
            Numbers of the groups, in order.
        start : mapping of {int: tf.Tensor}
            Values of blocks, by number.
        fixed : mapping of {int: tf.Tensor}
            As for `run_group`.

        Returns
        -------
        dict of {int: tf.Tensor}
            Values of the blocks that the groups set or add to.
        """
        store = self.store(start)
        for number in groups:
            self.run_group(number, store, fixed)
        return dict(store.export()["current"])

    def store(self, start: Mapping[int, tf.Tensor]) -> ValueStore:
        """Return a store of values of the program's blocks."""
        return ValueStore(
            self.layout.blocks, self.config.dtype, self.config.minibatch_size, start
        )

    def _start(self, constants: Any, state: Any, frame: Any) -> dict[int, tf.Tensor]:
        return {
            block.number: value
            for blocks, values in (
                (self.constant_blocks, constants),
                (self.state_blocks, state),
                (self.input_blocks, frame),
            )
            for block, value in zip(blocks, values, strict=True)
        }

    def _by_plan(self, fixed: Sequence[Arranged]) -> dict[int, Arranged]:
        return {
            id(plan): value for plan, value in zip(self.fixed_plans, fixed, strict=True)
        }

    def step(
        self,
        constants: Sequence[tf.Tensor],
        fixed: Sequence[Arranged],
        state: Sequence[tf.Tensor],
        frame: Sequence[tf.Tensor],
        jit_pieces: bool = False,
        done: Collection[int] = (),
        prepared: Mapping[int, tf.Tensor] = MappingProxyType({}),
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Compute one time step.

        Parameters
        ----------
        constants : sequence of tf.Tensor, shapes (1, size)
            Values of `constant_blocks`.
        fixed : sequence of tf.Tensor or tuple of tf.Tensor
            Result of `read_fixed`.
        state : sequence of tf.Tensor, shapes (minibatch, size)
            Values of `state_blocks`.
        frame : sequence of tf.Tensor, shapes (minibatch, size)
            Values of `input_blocks` for this step.
        jit_pieces : bool
            Compile what lies between callbacks with XLA (for loops that cannot be
            compiled as a whole).
        done : collection of int
            Groups that were computed by `prepare` already.
        prepared : mapping of {int: tf.Tensor}
            Its result.

        Returns
        -------
        state : list of tf.Tensor, shapes (minibatch, size)
            State after the step.
        outputs : list of tf.Tensor, shapes (minibatch, size)
            The signals that were asked for.
        """
        store = self.store({**self._start(constants, state, frame), **prepared})
        fixed_values = self._by_plan(fixed)
        numbers = [block.number for block in self.state_blocks]

        def finish(store: ValueStore) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            with tf.name_scope("probes"):
                outputs = [
                    broadcast(
                        store.read_final(plan) if updated else store.read(plan),
                        (self.config.minibatch_size, *plan.shape),
                    )
                    for plan, updated in zip(
                        self.layout.outputs, self.layout.after_updates, strict=True
                    )
                ]
            with tf.name_scope("next_state"):
                state = store.next_state(numbers)
                for i, block in self._overwritten.items():
                    state[i] = computed_after(state[i], store.value_of(block))
                return state, outputs

        last = len(self.segments) - 1
        for number, (segment, is_callback) in enumerate(self.segments):
            if is_callback or not jit_pieces:
                for index in segment:
                    if index not in done:
                        self.run_group(index, store, fixed_values)
                if number == last:
                    return finish(store)
                continue
            result = self._run_compiled(
                segment, store, fixed_values, finish if number == last else None
            )
            if number == last:
                return result
            store.restore(result)
        return finish(store)

    def run_group(
        self, index: int, store: ValueStore, fixed: Mapping[int, Arranged]
    ) -> None:
        """Compute one group: read its operands from a store, and write its results.

        Parameters
        ----------
        index : int
            Number of the group.
        store : ValueStore
            Values of signals.
        fixed : mapping of {int: tf.Tensor}
            Operands that were read before, by the identity of their plan.
        """
        bound = self.layout.groups[index]
        if self.kernels[index].adds_products and any(
            store.is_zero(plan) for plan in bound.reads if id(plan) not in fixed
        ):
            return
        with tf.name_scope(self.labels[index]):
            reads = [
                fixed[id(plan)] if id(plan) in fixed else store.read(plan)
                for plan in bound.reads
            ]
            previous = [
                store.read_previous(plan)
                for plan in bound.previous
                if not self.kernels[index].ignores_state
            ]
            writes = self.kernels[index].step(reads, previous)
            for plan, value in zip(bound.sets, writes.sets, strict=True):
                if value is not None:
                    store.set(plan, value)
            for plan, value in zip(bound.incs, writes.incs, strict=True):
                store.inc(plan, value)
            for plan, value in zip(bound.updates, writes.updates, strict=True):
                store.update(plan, value)

    def _run_compiled(
        self,
        segment: Sequence[int],
        store: ValueStore,
        fixed: Mapping[int, Arranged],
        finish: Callable | None,
    ) -> Any:
        """Run groups inside a function of its own that XLA compiles."""
        used = {
            id(plan): fixed[id(plan)]
            for index in segment
            for plan in self.layout.groups[index].reads
            if id(plan) in fixed
        }

        @tf.function(jit_compile=True, autograph=False)
        def piece(start: Any, values: Any, fixed_values: Any) -> Any:
            inner = ValueStore(store.blocks, store.dtype, store.minibatch_size, start)
            inner.restore(values)
            for index in segment:
                self.run_group(index, inner, fixed_values)
            return inner.export() if finish is None else finish(inner)

        return piece(store.start, store.export(), used)
