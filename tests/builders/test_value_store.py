"""The value store against its mirror in NumPy, and whole steps against nengo's own."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from nengo.builder.operator import Copy, Reset
from nengo.builder.signal import Signal

from nengo_dl.builders import BuildConfig
from nengo_dl.builders.registry import find_builder
from nengo_dl.builders.value_store import ValueStore, block_dtype
from nengo_dl.compiler.blocks import Block, Piece, ReadPlan
from nengo_dl.compiler.dependencies import dependencies
from nengo_dl.compiler.layout import lay_out
from nengo_dl.compiler.planners import plan
from nengo_dl.compiler.simplify import simplify
from nengo_dl.compiler.traits import Role, find_roles
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
from tests.compiler.programs import (
    Callback,
    Delay,
    NumpyStore,
    compile_operators,
    core_steps,
    generated_programs,
)

BATCH = 3
small_limits = pytest.mark.parametrize("limit", [None, 1])


def set_limits(patch, limit):
    """Choose the forms of large programs for small ones."""
    if limit is not None:
        patch.setattr(tuning, "MOST_PIECES", limit)
        patch.setattr(tuning, "SMALL_SUMMED_BLOCK", limit)


class Mirrored:
    """A value store with one NumPy store for each item of the minibatch."""

    def __init__(self, blocks):
        rng = np.random.RandomState(0)
        start = {}
        for block in blocks:
            if block.role is not Role.TEMPORARY:
                n_items = 1 if block.role is Role.CONSTANT else BATCH
                values = rng.randint(-4, 5, size=(n_items, block.size))
                start[block.number] = values.astype(block_dtype(block, np.float64))
        self.blocks = blocks
        self.store = ValueStore(
            blocks, np.float64, BATCH, {n: tf.constant(v) for n, v in start.items()}
        )
        self.items = [
            NumpyStore(blocks, {n: v[i % len(v)] for n, v in start.items()})
            for i in range(BATCH)
        ]

    def check(self, kind, plan):
        """Compare one way to read an operand; return its values for all items."""
        found = getattr(self.store, kind)(plan).numpy()
        assert found.shape[0] in (1, BATCH) and found.shape[1:] == plan.shape
        expected = np.stack([getattr(item, kind)(plan) for item in self.items])
        np.testing.assert_array_equal(np.broadcast_to(found, expected.shape), expected)
        return found

    def write(self, kind, plan, values):
        getattr(self.store, kind)(plan, tf.constant(values))
        for i, item in enumerate(self.items):
            getattr(item, kind)(plan, values[i % len(values)])

    def hand_over(self):
        """Continue in another store, as after a part that is compiled on its own."""
        other = ValueStore(self.blocks, np.float64, BATCH, self.store.start)
        other.restore(self.store.export())
        self.store = other

    def check_state(self):
        numbers = [b.number for b in self.blocks if b.role is Role.STATE]
        final = [item.final() for item in self.items]
        for number, values in zip(numbers, self.store.next_state(numbers), strict=True):
            expected = np.stack([values[number] for values in final])
            assert values.shape == expected.shape
            np.testing.assert_array_equal(values, expected)


def run_mirrored(layout):
    mirrored = Mirrored(layout.blocks)
    for number, bound in enumerate(layout.groups):
        group = bound.group
        reads = [mirrored.check("read", plan) for plan in bound.reads]
        previous = [mirrored.check("read_previous", plan) for plan in bound.previous]
        n_items = max((len(v) for v in (*reads, *previous)), default=1)
        results = [
            group.builder.step(
                group.ops,
                [values[i % len(values)] for values in reads],
                [values[i % len(values)] for values in previous],
            )
            for i in range(n_items)
        ]
        for kind, write in (("sets", "set"), ("incs", "inc"), ("updates", "update")):
            for position, write_plan in enumerate(getattr(bound, kind)):
                value = np.stack([getattr(r, kind)[position] for r in results])
                operand = getattr(group, kind)[position]
                dtype = operand.signals[0].dtype
                mirrored.write(write, write_plan, value.astype(dtype))
        if number % 2:
            mirrored.hand_over()
    for output, updated in zip(layout.outputs, layout.after_updates, strict=True):
        mirrored.check("read_final" if updated else "read", output)
    mirrored.check_state()


@small_limits
@settings(max_examples=15, deadline=None)
@given(program=generated_programs())
def test_store_equals_its_mirror(limit, program):
    with pytest.MonkeyPatch.context() as patch:
        set_limits(patch, limit)
        _, layout = compile_operators(
            program.operators, program.outputs, program.inputs
        )
        run_mirrored(layout)


def test_increments_after_an_update_of_another_part_count():
    x, y, z = (Signal(np.arange(n, dtype=float), name="s") for n in (2, 4, 2))
    operators = [Delay(x, y[:2]), Callback(x, z), Copy(z, y[2:], inc=True)]
    _, layout = compile_operators(operators, [y])
    run_mirrored(layout)


def alternating(in_order):
    """Return blocks, their values, and a plan that reads them in turns."""
    blocks = [Block(number, Role.STATE, "f", size=60) for number in range(2)]
    index = np.array([7, 3, 21])
    pieces = [
        piece
        for start in (0, 4, 9)
        for piece in (Piece(0, start, 50, index=index), Piece(1, 40 - start, 2))
    ]
    if in_order:
        pieces = [Piece(0, 5, 50), Piece(1, 2, 55)]
        plan = ReadPlan(tuple(pieces), np.array([3, 104, 0, 50, 49]), (5,))
    else:
        plan = ReadPlan(tuple(pieces), None, (15,))
    values = np.random.RandomState(0).normal(size=(2, 60))
    values[:, 0] = np.nan  # where nothing is read
    return blocks, values, plan


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("n_items", [1, 3])
def test_blocks_that_are_read_in_turns_are_not_concatenated(in_order, n_items):
    blocks, values, plan = alternating(in_order)
    start = {n: np.repeat(row[None], n_items, axis=0) for n, row in enumerate(values)}

    @tf.function
    def read():
        tensors = {n: tf.constant(rows) for n, rows in start.items()}
        return ValueStore(blocks, np.float64, n_items, tensors).read(plan)

    parts = [values[piece.block][piece.positions] for piece in plan.pieces]
    expected = np.concatenate(parts)
    expected = expected if plan.order is None else expected[plan.order]
    np.testing.assert_array_equal(read(), np.tile(expected, (n_items, 1)))
    operations = {op.type for op in read.get_concrete_function().graph.get_operations()}
    assert ("ConcatV2" in operations) == (n_items > 1)


def run_step_program(operators, outputs, inputs, n_steps=3):
    """Run operators with their real builders; return outputs and state by step."""
    roles = find_roles(operators, inputs, outputs, find_builder)
    left, aliases, _ = simplify(operators, roles, outputs, find_builder)
    groups = plan(left, dependencies(left, aliases, find_builder), find_builder)
    states = [base for base, role in roles.items() if role is Role.STATE]
    layout = lay_out(groups, roles, aliases, outputs, states)
    program = StepProgram(layout, BuildConfig(0.001, np.dtype(np.float64)))
    constants = [
        tf.constant(v) for v in program.initial_values(program.constant_blocks)
    ]
    state = [tf.constant(v) for v in program.initial_values(program.state_blocks)]
    frame = [tf.constant(v) for v in program.initial_values(program.input_blocks)]
    fixed = program.read_fixed(constants)
    recorded = []
    for _ in range(n_steps):
        state, values = program.step(constants, fixed, state, frame)
        found = [value.numpy()[0] for value in values]
        for base in states:
            block = layout.block_of[base]
            row = state[program.state_blocks.index(block)].numpy()[0]
            found.append(row[block.starts[base] :][: base.size])
        recorded.append(found)
    return states, recorded


@small_limits
@settings(max_examples=15, deadline=None)
@given(program=generated_programs(basic=True))
def test_steps_of_basic_operators_equal_core(limit, program):
    with pytest.MonkeyPatch.context() as patch:
        set_limits(patch, limit)
        states, found = run_step_program(
            program.operators, program.outputs, program.inputs
        )
    expected = core_steps(program.operators, len(found), [*program.outputs, *states])
    for row, wanted_row in zip(found, expected, strict=True):
        for value, wanted in zip(row, wanted_row, strict=True):
            np.testing.assert_allclose(
                np.ravel(value), np.ravel(wanted), rtol=1e-12, atol=1e-12
            )


def test_operands_without_elements_are_read_and_written():
    empty, y = Signal(np.zeros(0), name="empty"), Signal(np.zeros(0), name="y")
    _, found = run_step_program([Reset(y), Copy(empty, y, inc=True)], [y], [])
    assert found[0][0].shape == (0,)
