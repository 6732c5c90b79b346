"""What passes must not make is refused, with the names of what is wrong."""

import dataclasses

import nengo
import numpy as np
import pytest
from nengo.builder import Model
from nengo.builder.operator import Copy, ElementwiseInc, Reset, SimPyFunc
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.blocks import Piece, ReadPlan, Transfer, WritePlan
from nengo_dl.compiler.inputs import Argument, HostSplit, split_inputs
from nengo_dl.compiler.simplify import simplify
from nengo_dl.compiler.traits import find_roles
from nengo_dl.compiler.verify import verify_simplified, verify_split
from nengo_dl.compiler.verify_layout import verify_layout
from tests.compiler.programs import (
    Callback,
    Delay,
    builder_of,
    compile_operators,
)

# Split


@pytest.fixture
def operators():
    with nengo.Network() as net:
        wave = nengo.Node(np.sin)
        node = nengo.Node(size_in=1)
        nengo.Connection(wave, node, synapse=0.01)
        nengo.Probe(node)
    model = Model(dt=0.001)
    model.build(net)
    return list(model.operators)


def split(operators):
    return split_inputs(operators, lambda op: False)


def test_a_right_split_passes(operators):
    verify_split(operators, split(operators))


def test_operators_that_the_split_loses_are_named(operators):
    found = split(operators)
    lost = found.device.pop()
    with pytest.raises(BuildError, match=f"split leaves out {type(lost).__name__}"):
        verify_split(operators, found)


def test_operators_that_run_on_both_sides_are_named(operators):
    found = split(operators)
    found.device.append(next(op for op in found.host if isinstance(op, SimPyFunc)))
    with pytest.raises(BuildError, match=r"places SimPyFunc.* on device and host"):
        verify_split(operators, found)


def test_host_operators_cannot_read_what_the_device_computes():
    x, y = Signal(np.zeros(1), name="x"), Signal(np.zeros(1), name="y")
    op = Callback(x, y, tag="early")
    with pytest.raises(BuildError, match=r"'early' is to run ahead .* reads 'x'"):
        verify_split([op], HostSplit([], [op], [y]))


def test_functions_run_ahead_on_inputs_only():
    x, y = Signal(np.zeros(1), name="x"), Signal(np.zeros(1), name="y")
    op, writer = Callback(x, y, tag="early"), Reset(x)
    split = HostSplit([], [op], [y], arguments={op: Argument(x)})
    verify_split([op], split)
    split.device.append(writer)
    with pytest.raises(BuildError, match=r"'early' is to run ahead .* reads 'x'"):
        verify_split([op, writer], split)


def test_the_device_cannot_write_inputs():
    x, y = Signal(np.zeros(1), name="x"), Signal(np.zeros(1), name="y")
    op = Copy(x, y, tag="late")
    with pytest.raises(BuildError, match="Copy 'late' on the device writes 'y'"):
        verify_split([op], HostSplit([op], [], [y]))


# Simplify


def chain():
    """Return operators of which each reads what the one before it writes."""
    a, x, y, z = (Signal(np.ones(2), name=name) for name in "axyz")
    return [
        Reset(x, tag="reset"),
        ElementwiseInc(a, a, x, tag="product"),
        Reset(y, tag="other"),
        ElementwiseInc(a, x, y, tag="reader"),
        Delay(y, z),
    ], z


def check_simplified(operators, left, aliases=None, kept=()):
    roles = find_roles(operators, (), kept, builder_of)
    verify_simplified(operators, left, aliases or Aliases(), roles, kept, builder_of)


def test_right_simplifications_pass():
    operators, z = chain()
    roles = find_roles(operators, (), [z], builder_of)
    left, aliases, _ = simplify(operators, roles, [z], builder_of)
    assert len(left) < len(operators)
    verify_simplified(operators, left, aliases, roles, [z], builder_of)


def test_a_writer_that_was_removed_is_named_with_its_reader():
    operators, _ = chain()
    left = [op for op in operators if op.tag != "product"]
    words = "'reader' reads 'x', which was written by ElementwiseInc 'product', but"
    with pytest.raises(BuildError, match=words):
        check_simplified(operators, left)


def test_a_probe_whose_signal_is_no_longer_written_is_found():
    operators, _ = chain()
    probed = operators[3].incs[0]
    left = [op for op in operators if op.tag != "reader"]
    with pytest.raises(BuildError, match="A probe reads 'y'"):
        check_simplified(operators, left[:2], kept=[probed])


def test_an_alias_that_is_still_written_is_named():
    x, y = Signal(np.ones(2), name="x"), Signal(np.ones(2), name="y")
    copy = Copy(x, y, tag="copy")
    aliases = Aliases()
    aliases.add(y, [x], np.zeros(2, dtype=int), np.arange(2))
    with pytest.raises(BuildError, match="'copy' writes 'y', which others read else"):
        check_simplified([copy], [copy], aliases)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda ops: [*ops, ops[1]], "doubled ElementwiseInc 'product'"),
        (lambda ops: [*ops, Reset(ops[0].dst, tag="new")], "brought in Reset 'new'"),
    ],
    ids=["doubled", "new"],
)
def test_simplifying_only_removes(change, words):
    operators, _ = chain()
    with pytest.raises(BuildError, match=words):
        check_simplified(operators, change(operators))


# Layout


@pytest.fixture
def layout():
    operators, z = chain()
    return compile_operators(operators, [z])[1]


def with_plan(layout, kind, plan):
    """Return a layout in which the first group with such plans has another one."""
    groups = list(layout.groups)
    number = next(i for i, bound in enumerate(groups) if getattr(bound, kind))
    plans = (plan, *getattr(groups[number], kind)[1:])
    groups[number] = dataclasses.replace(groups[number], **{kind: plans})
    return dataclasses.replace(layout, groups=tuple(groups))


def test_right_layouts_pass(layout):
    verify_layout(layout)


def test_signals_that_overlap_are_named(layout):
    block = layout.blocks[0]
    block.starts[block.signals[0]] = 1
    with pytest.raises(BuildError, match="at 1 of block 0, where 0 is the first free"):
        verify_layout(layout)


def test_blocks_with_holes_are_found(layout):
    layout.blocks[-1].size += 3
    with pytest.raises(BuildError, match="has 5 places for 2 values"):
        verify_layout(layout)


@pytest.mark.parametrize(
    "plan, words",
    [
        (ReadPlan((Piece(0, 0, 99),), None, (99,)), "reads elements 0 to 98 of block"),
        (ReadPlan((Piece(0, 0, 1),), None, (2,)), "reads 1 elements for an operand"),
        (
            ReadPlan((Piece(0, 0, 1),), np.array([0, 7]), (2,)),
            "puts together elements that it does not read",
        ),
        (
            ReadPlan((Piece(0, index=np.array([0, 40])),), None, (2,)),
            "reads elements 0 to 40 of block 0",
        ),
    ],
    ids=["beyond", "too few", "order", "gather"],
)
def test_reads_of_what_is_not_there_are_found(layout, plan, words):
    with pytest.raises(BuildError, match=words):
        verify_layout(with_plan(layout, "reads", plan))


@pytest.mark.parametrize(
    "transfer",
    [
        Transfer(0, 0, 1, 99),
        Transfer(0, index=np.full((2, 1), 50)),
        Transfer(0, segments=np.array([[0], [77]])),
    ],
    ids=["slice", "table", "segments"],
)
def test_writes_to_what_is_not_there_are_found(layout, transfer):
    numbers = [b.number for b in layout.blocks if b.role.value == "temporary"]
    transfer = dataclasses.replace(transfer, block=numbers[0])
    with pytest.raises(BuildError, match=r"incs elements of block .* do not exist"):
        verify_layout(with_plan(layout, "incs", WritePlan((transfer,))))


def test_writes_to_constants_are_found(layout):
    numbers = [b.number for b in layout.blocks if b.role.value == "constant"]
    plan = WritePlan((Transfer(numbers[0], 0, 0, 2),))
    with pytest.raises(BuildError, match="incs 'a', which is constant"):
        verify_layout(with_plan(layout, "incs", plan))


def test_elements_that_two_groups_set_are_found():
    x, y = Signal(np.zeros(2), name="x"), Signal(np.zeros(2), name="y")
    _, layout = compile_operators([Callback(x, y, tag="one")], [y])
    twice = dataclasses.replace(layout, groups=layout.groups * 2)
    with pytest.raises(BuildError, match=r"both set elements from 0 to 2 .*'y'"):
        verify_layout(twice)
