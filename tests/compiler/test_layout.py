"""Where signals live, and each form in which groups read and write them."""

import numpy as np
import pytest
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler import layout as layout_module
from nengo_dl.compiler.traits import Role
from nengo_dl.support import tuning
from tests.compiler.programs import (
    Callback,
    Delay,
    Integrate,
    LayoutProgram,
    check_same_values,
    compile_operators,
)


def signal(*shape, name="s", dtype=np.float64):
    rng = np.random.RandomState(sum(shape))
    return Signal(rng.randint(-5, 6, size=shape).astype(dtype), name=name)


def laid_out(operators, outputs=(), inputs=()):
    """Return a layout whose values were compared with those of nengo's steps."""
    return check_same_values(operators, outputs, inputs)


def group_of(layout, kind):
    (bound,) = (b for b in layout.groups if type(b.group.ops[0]) is kind)
    return bound


def state(n):
    """Return a signal that is carried between steps, with its operator."""
    target = signal(n, name="state")
    return target, Delay(signal(n, name="x"), target)


# -- blocks


def test_signals_that_one_group_writes_share_a_block_in_its_order():
    x = [signal(n, name=f"x{n}") for n in (2, 1, 3)]
    y = [signal(n, name=f"y{n}") for n in (2, 1, 3)]
    operators = [Delay(a, b) for a, b in zip(x, y, strict=True)]
    layout = laid_out(operators)
    (bound,) = layout.groups
    block = layout.block_of[y[0]]
    assert block.signals == y and block.role is Role.STATE
    assert block.starts == {y[0]: 0, y[1]: 2, y[2]: 3}
    (transfer,) = bound.updates[0].transfers
    assert (transfer.source, transfer.target, transfer.length) == (0, 0, block.size)
    assert transfer.mask is None and transfer.index is None


def test_outputs_and_state_of_a_group_have_blocks_of_their_own():
    neurons = [Integrate(signal(n), signal(n), signal(n)) for n in (2, 3)]
    layout = laid_out(neurons, [op.sets[0] for op in neurons])
    output, voltage = (layout.block_of[s] for s in neurons[0].sets)
    assert (output.role, voltage.role) == (Role.TEMPORARY, Role.STATE)
    assert output.size == voltage.size == 5


def test_constants_that_a_group_reads_as_one_operand_share_a_block():
    operators = [
        op
        for _ in range(3)
        for y in [signal(2)]
        for op in (Reset(y), DotInc(signal(2, 3), signal(3), y))
    ]
    layout = laid_out(operators, [op.dst for op in operators[::2]])
    bound = group_of(layout, DotInc)
    matrices, vectors = (plan.pieces for plan in bound.reads)
    assert [(p.start, p.length, p.index) for p in matrices] == [(0, 18, None)]
    assert [(p.start, p.length, p.index) for p in vectors] == [(0, 9, None)]
    assert bound.reads[0].shape == (3, 2, 3)


def test_kinds_of_numbers_do_not_share_blocks():
    whole, real = signal(2, dtype=np.int64), signal(2)
    wide, short = signal(2, dtype=np.float32), signal(2, dtype=np.int32)
    operators = [Callback(s, signal(2, dtype=s.dtype)) for s in (whole, real, wide)]
    layout = laid_out(operators, [short])
    assert layout.block_of[whole].kind == layout.block_of[short].kind == "i"
    assert layout.block_of[whole] is not layout.block_of[short]
    assert layout.block_of[real].kind == layout.block_of[wide].kind == "f"


def test_inputs_that_are_read_apart_live_apart():
    a, b, c, unread = (signal(n) for n in (1, 2, 2, 3))
    held = signal(2)
    operators = [Delay(b, signal(2)), Delay(c, signal(2)), Reset(held)]
    operators.append(DotInc(signal(2, 1), a, held))
    layout = laid_out(operators, [unread, held], [a, b, c, unread])
    blocks = [set(x.signals) for x in layout.blocks if x.role is Role.INPUT]
    assert len(blocks) == 3
    assert {b, c} in blocks and {a} in blocks and {unread} in blocks


def test_inputs_of_callbacks_live_in_one_block():
    inputs = [signal(n) for n in (1, 2, 3)]
    operators = [Callback(s, signal(s.size)) for s in inputs]
    layout = laid_out(operators, [], inputs)
    (block,) = (b for b in layout.blocks if b.role is Role.INPUT)
    assert set(block.signals) == set(inputs)


def test_sparse_signals_take_the_room_of_their_entries():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = Signal(sparse.diags([1.0, 2.0], [0, 1], (3, 4)).todia(), name="sparse")
    _, layout = compile_operators([], [signal(2)])
    placer = layout_module._Placer({matrix: Role.CONSTANT})
    placer.place(matrix, "key")
    # the diagonals have 3 entries each, stored in rows of 4
    assert placer.blocks[0].size == matrix.initial_value.tocoo().nnz == 6
    assert layout.blocks[0].size == 2


def test_members_of_a_group_follow_the_order_of_their_largest_operand():
    x = [signal(3, name=f"x{i}") for i in range(4)]
    y = [signal(3, name=f"y{i}") for i in range(4)]
    operators = [Delay(a, b) for a, b in zip(x, y, strict=True)]
    readers = [DotInc(signal(2, 3), y[i], signal(2)) for i in (2, 0, 3, 1)]
    layout = laid_out([*operators, *readers])
    bound = group_of(layout, DotInc)
    assert [op.X for op in bound.group.ops] == y
    ((piece,),) = [bound.reads[1].pieces]
    assert (piece.start, piece.length, piece.step) == (0, 12, 1)


def test_many_operators_of_a_few_sizes_are_sorted_by_size(monkeypatch):
    monkeypatch.setattr(tuning, "MOST_ALIKE", 2)
    sizes = [3, 2, 3, 2, 3, 2, 2, 2]
    x, y = ([signal(n, name=f"{name}{n}") for n in sizes] for name in "xy")
    operators = [Delay(a, b) for a, b in zip(x, y, strict=True)]
    matrices = [signal(2, n) for n in (3, 3, 2, 2)]
    results = [signal(2) for _ in matrices]
    for matrix, number, result in zip(matrices, (4, 0, 5, 1), results, strict=True):
        operators += [Reset(result), DotInc(matrix, y[number], result)]
    layout = laid_out(operators, results)
    assert [s.size for s in layout.block_of[y[0]].signals] == [2] * 5 + [3] * 3
    rows = [
        plan.pieces[0]
        for bound in layout.groups
        if type(bound.group.ops[0]) is DotInc
        for plan in bound.reads[1:]
    ]
    assert {(piece.start, piece.row) for piece in rows} == {(0, 2), (10, 3)}


def test_operators_of_many_sizes_keep_their_order():
    sizes = [*range(20, 0, -1)] * 2
    x, y = ([signal(n) for n in sizes] for _ in "xy")
    layout = laid_out([Delay(a, b) for a, b in zip(x, y, strict=True)])
    assert layout.block_of[y[0]].signals == y


# -- reading


def read_of(source_views, update, limit=None, monkeypatch=None):
    """Return the plan by which one operator (or several, merged) reads some views."""
    if limit is not None:
        monkeypatch.setattr(tuning, "MOST_PIECES", limit)
    readers = [Delay(view, signal(*view.shape)) for view in source_views]
    layout = laid_out([*update, *readers])
    bound = next(b for b in layout.groups if b.group.ops[0] in readers)
    return layout, bound.reads[0]


def test_slices_are_read_as_slices():
    x, _update = state(6)
    layout, plan = read_of([x[1:4]], [Callback(signal(6), x)])
    (piece,) = plan.pieces
    assert (piece.start, piece.length, piece.step, piece.index) == (1, 3, 1, None)
    assert layout.blocks[piece.block].signals == [x] and plan.order is None


def test_steps_are_read_as_strided_slices():
    x = signal(7)
    _, plan = read_of([x[1::2]], [Callback(signal(7), x)])
    (piece,) = plan.pieces
    assert (piece.start, piece.length, piece.step, piece.index) == (1, 3, 2, None)


def test_columns_are_read_as_strided_slices():
    x = signal(3, 4)
    _, plan = read_of([x[:, 1:2]], [Callback(signal(3, 4), x)])
    (piece,) = plan.pieces
    assert (piece.start, piece.length, piece.step, piece.index) == (1, 3, 4, None)


def test_backward_views_are_read_element_by_element():
    x = signal(4)
    _, plan = read_of([x[::-1]], [Callback(signal(4), x)])
    (piece,) = plan.pieces
    assert piece.row == 1
    np.testing.assert_array_equal(piece.index, [3, 2, 1, 0])


def test_pieces_of_equal_length_are_read_as_rows():
    x = signal(5, 6)
    _, plan = read_of([x[:, 2:4]], [Callback(signal(5, 6), x)])
    (piece,) = plan.pieces
    assert piece.row == 2
    np.testing.assert_array_equal(piece.index, [1, 4, 7, 10, 13])


def test_rows_need_not_divide_the_block():
    x = signal(10)
    y = signal(6)
    operators = [
        Callback(signal(10), x),
        Copy(x[7:10], y[:3]),
        Copy(x[1:4], y[3:]),
    ]
    _, plan = read_of([y], operators)
    (piece,) = plan.pieces
    # of elements 1 to 9
    assert (piece.start, piece.length, piece.row) == (1, 9, 3)
    np.testing.assert_array_equal(piece.index, [2, 0])


def test_views_that_continue_each_other_are_one_slice():
    x = signal(6)
    _, plan = read_of([x[:2], x[2:5]], [Callback(signal(6), x)])
    (piece,) = plan.pieces
    assert (piece.start, piece.length, piece.step, piece.index) == (0, 5, 1, None)


def test_operands_from_several_blocks_are_concatenated():
    x, constant = signal(3), signal(2)
    y = signal(5)
    operators = [Callback(signal(3), x), Copy(x, y[2:]), Copy(constant, y[:2])]
    layout, plan = read_of([y], operators)
    assert [layout.blocks[p.block].role for p in plan.pieces] == [
        Role.CONSTANT,
        Role.TEMPORARY,
    ]
    assert plan.order is None


def test_many_switches_between_blocks_become_one_reordering(monkeypatch):
    a, b, y = signal(6), signal(6), signal(6)
    operators = [Callback(signal(6), a), Copy(signal(6), b)]
    operators += [Copy((a, b)[i % 2][5 - i : 6 - i], y[i : i + 1]) for i in range(6)]
    _layout, plan = read_of([y], operators, limit=3, monkeypatch=monkeypatch)
    assert len(plan.pieces) == 2
    assert all(p.index is None and p.step == 1 for p in plan.pieces)
    # only what lies between the first and the last element that is needed
    assert sorted(p.length for p in plan.pieces) == [5, 5]
    assert sorted(plan.order.tolist()) == [0, 2, 4, 5, 7, 9]
    assert plan.shape == (6,)


def test_many_whole_blocks_are_read_one_after_the_other(monkeypatch):
    monkeypatch.setattr(tuning, "MOST_PIECES", 2)
    parts = [signal(n, name=f"part{n}") for n in (1, 2, 3)]
    y = signal(6)
    operators = [Callback(signal(s.size), s) for s in parts]
    operators += [Copy(parts[1], y[:2]), Copy(parts[0], y[2:3]), Copy(parts[2], y[3:])]
    _, plan = read_of([y], operators)
    assert plan.order is None
    assert [piece.length for piece in plan.pieces] == [2, 1, 3]


def test_operands_without_elements_have_no_pieces():
    empty, y = signal(0), signal(2)
    layout = laid_out([Reset(y), DotInc(signal(2, 0), empty, y)], [y])
    bound = group_of(layout, DotInc)
    assert [plan.pieces for plan in bound.reads] == [(), ()]
    assert [plan.shape for plan in bound.reads] == [(1, 2, 0), (1, 0)]


def test_outputs_may_be_views_aliases_and_inputs():
    x, y, z = signal(4, name="x"), signal(4, name="y"), signal(4, name="z")
    outputs = [x[1:3], y[::2], z]
    layout = laid_out([Copy(x, y), Delay(x, z)], outputs, [x])
    assert [plan.shape for plan in layout.outputs] == [(2,), (2,), (4,)]
    assert layout.after_updates == (True, False, True)


def test_copies_of_state_show_the_value_before_the_update():
    x, y, z = signal(2, name="x"), signal(2, name="y"), signal(2, name="z")
    laid_out([Delay(x, y), Copy(y, z)], [y, z], [x])


# -- writing


def _bases(targets):
    return list(dict.fromkeys(view.base for view in targets))


def increments(targets, extra=()):
    """Return the transfers by which one merged group adds to some views."""
    operators = [ElementwiseInc(signal(v.size), signal(v.size), v) for v in targets]
    resets = [Reset(base) for base in _bases(targets)]
    layout = laid_out([*resets, *operators, *extra], _bases(targets))
    return layout, group_of(layout, ElementwiseInc).incs[0].transfers


def test_results_that_fill_a_block_are_the_block():
    targets = [signal(2), signal(3)]
    layout, (transfer,) = increments(targets)
    assert (transfer.source, transfer.target, transfer.length) == (0, 0, 5)
    assert transfer.mask is None
    assert layout.block_of[targets[0]].size == 5


def test_results_that_fill_part_of_a_block_are_slices_with_a_mask():
    y = signal(5)
    _, (transfer,) = increments([y[1:4]])
    assert (transfer.source, transfer.target, transfer.length) == (0, 1, 3)
    assert transfer.index is None and transfer.segments is None
    np.testing.assert_array_equal(transfer.mask, [0, 1, 1, 1, 0])


def test_scattered_results_have_a_table_of_sources():
    y = signal(6)
    _, (transfer,) = increments([y[4:], y[:2]])
    # the group is free to choose its order; a hole remains in the middle
    assert transfer.index.shape == (6, 1)
    assert sorted(transfer.index[:, 0].tolist()) == [0, 1, 2, 3, 4, 4]
    np.testing.assert_array_equal(transfer.mask, [1, 1, 0, 0, 1, 1])
    assert (transfer.index[2:4] == 4).all()


def test_strided_targets_have_a_table_of_sources():
    y = signal(6)
    _, (transfer,) = increments([y[::2]])
    np.testing.assert_array_equal(transfer.index[:, 0], [0, 3, 1, 3, 2, 3])
    np.testing.assert_array_equal(transfer.mask, [1, 0] * 3)


def test_several_terms_are_added_through_a_table_of_their_sources():
    y = signal(3)
    _, (transfer,) = increments([y, y[1:], y])
    assert transfer.mask is None and transfer.segments is None
    assert transfer.index.shape == (3, 3)
    # 8 stands for no term
    assert (transfer.index[0] == 8).sum() == 1
    assert (transfer.index[1:] < 8).all()


def test_a_few_terms_in_large_blocks_are_slices():
    y = signal(70)
    _, transfers = increments([y, y[1:], y])
    assert sorted((t.target, t.length) for t in transfers) == [
        (0, 70),
        (0, 70),
        (1, 69),
    ]
    assert sorted(t.length for t in transfers if t.mask is None) == [70, 70]
    assert all(t.index is None and t.segments is None for t in transfers)


def test_many_terms_in_large_blocks_are_segments():
    y = signal(70)
    _, (transfer,) = increments([y, y[1:], *[y] * 15])
    assert transfer.index is None and transfer.segments.shape == (2, 69 + 70 * 16)
    source, target = transfer.segments
    np.testing.assert_array_equal(np.sort(source), np.arange(69 + 70 * 16))
    np.testing.assert_array_equal(np.bincount(target), [16] + [17] * 69)
    assert transfer.mask is None


def test_segments_of_a_part_have_a_mask():
    y = signal(70)
    _, (transfer,) = increments([y[:3], *[y[1:3]] * 16])
    np.testing.assert_array_equal(np.flatnonzero(transfer.mask), [0, 1, 2])
    assert transfer.segments.shape == (2, 3 + 2 * 16)


def test_results_for_several_blocks_have_one_transfer_each():
    a, b = signal(3, name="a"), signal(3, name="b")
    # another group writes to one of the two, which gives it another block
    extra = [DotInc(signal(3, 2), signal(2), b)]
    layout, transfers = increments([a, b], extra)
    assert len(transfers) == 2
    assert layout.block_of[a] is not layout.block_of[b]
    assert sorted(t.source for t in transfers) == [0, 3]
    assert all(t.length == 3 and t.mask is None for t in transfers)


def test_parts_of_state_keep_the_rest():
    x, y = signal(2, name="x"), signal(5, name="y")
    layout = laid_out([Delay(x, y[1:3])], [y])
    (transfer,) = layout.groups[0].updates[0].transfers
    np.testing.assert_array_equal(transfer.mask, [0, 1, 1, 0, 0])


def test_updates_of_a_part_keep_increments_of_the_rest():
    x, y = signal(2, name="x"), signal(4, name="y")
    z = signal(2, name="z")
    operators = [Delay(x, y[:2]), Callback(x, z), Copy(z, y[2:], inc=True)]
    laid_out(operators, [y])


def test_groups_hand_on_previous_values_of_state():
    x, voltage, output = signal(2), signal(2), signal(2)
    layout = laid_out([Integrate(x, voltage, output)], [output])
    ((piece,),) = [plan.pieces for plan in layout.groups[0].previous]
    assert layout.blocks[piece.block].signals == [voltage]


def test_running_a_program_twice_gives_the_same_values():
    x, y = signal(2), signal(2)
    _, layout = compile_operators([Delay(x, y)], [y])
    runs = []
    for program in (LayoutProgram(layout), LayoutProgram(layout)):
        runs.append([program.step()[0] for _ in range(3)])
    np.testing.assert_array_equal(runs[0], runs[1])
