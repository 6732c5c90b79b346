"""Groups, their order, and what planning costs."""

import itertools
import sys

import numpy as np
import pytest
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Reset
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.dependencies import bases_written, dependencies
from nengo_dl.compiler.planners import make_group, plan
from tests.compiler.programs import Callback, Delay, Integrate, builder_of


def signal(*shape, name="s", dtype=np.float64):
    return Signal(np.zeros(shape, dtype), name=name)


def plan_all(operators):
    return plan(operators, before(operators), builder_of)


def before(operators):
    return dependencies(operators, Aliases(), builder_of)


def plan_of(operators):
    return plan(operators, before(operators), builder_of)


def planned(operators):
    return [list(group.ops) for group in plan_of(operators)]


# -- dependencies


def test_sets_come_before_increments_and_these_before_reads():
    x, y, z = signal(3), signal(3), signal(3)
    operators = [Callback(y, z), ElementwiseInc(x, x, y), Reset(y)]
    assert before(operators) == [{1, 2}, {2}, set()]


def test_updates_wait_for_nobody_and_nobody_for_them():
    x, y, z = signal(3), signal(3), signal(3)
    assert before([Delay(x, y), Delay(y, z), Callback(y, x)]) == [{2}, set(), set()]


def test_parts_that_do_not_overlap_are_independent():
    x, y, z = signal(4), signal(2), signal(4)
    operators = [Reset(x[:2]), Reset(x[2:]), Callback(x[2:], y), Callback(x, z)]
    assert before(operators) == [set(), set(), {1}, {0, 1}]


@pytest.mark.parametrize("low", range(7))
def test_overlaps_are_found_among_nested_and_neighbouring_ranges(low):
    x = signal(8)
    views = [np.s_[0:8], np.s_[0:1], np.s_[2:3], np.s_[2:6], np.s_[5:7], np.s_[7:8]]
    writers = [ElementwiseInc(x, x, x[view]) for view in views]
    read = x[low : low + 2]
    found = before([*writers, Callback(read, signal(2))])[-1]
    expected = {
        number
        for number, view in enumerate(views)
        if view.start < low + 2 and view.stop > low
    }
    assert found == expected


def test_reads_through_aliases_depend_on_the_sources():
    x, y, z = signal(4), signal(4), signal(2)
    aliases = Aliases()
    aliases.add(y, [x], np.zeros(4, np.int64), np.array([2, 3, 0, 1]))
    operators = [Reset(x[:2]), Reset(x[2:]), Callback(y[:2], z)]
    assert dependencies(operators, aliases, builder_of) == [set(), set(), {1}]


def test_an_operator_does_not_wait_for_itself():
    x, y, z = signal(2), signal(2), signal(2)
    assert before([Integrate(x, y, z)]) == [set()]


# -- groups


def test_operators_of_equal_shapes_merge():
    matrices = [signal(2, 3) for _ in range(4)] + [signal(3, 3)]
    operators = [DotInc(a, signal(3), signal(a.shape[0])) for a in matrices]
    assert planned(operators) == [operators[:4], operators[4:]]


def test_flat_operators_of_any_shapes_merge():
    operators = [Delay(signal(n), signal(n)) for n in (1, 5, 2)]
    (group,) = plan_all(operators)
    assert list(group.ops) == operators
    assert group.reads[0].shape == (8,) and group.reads[0].size == 8


def test_types_keys_and_dtypes_keep_operators_apart():
    x, y = signal(2), signal(2)
    operators = [
        Copy(x, y, inc=True),
        Copy(x, signal(2)),
        Delay(x, signal(2)),
        Copy(signal(2, dtype=np.int64), signal(2, dtype=np.int64)),
    ]
    assert len(planned(operators)) == 4


def test_all_callbacks_that_are_ready_form_one_group():
    x = signal(3)
    first = [Callback(x, signal(3)), Callback(x[:1], signal(1)), Callback(x, signal(3))]
    second = [Callback(op.sets[0], signal(op.sets[0].size)) for op in first]
    groups = plan_all([*second, *first])
    assert [list(group.ops) for group in groups] == [first, second]
    assert all(group.is_callback for group in groups)
    # one operand for each signal: their shapes may differ
    assert [operand.shape for operand in groups[0].reads] == [(1, 3), (1, 1), (1, 3)]


def test_waiting_lets_more_operators_merge():
    # the products are ready at different times; the copies in between come first
    x = [signal(2) for _ in range(3)]
    a = signal(2, 2)
    late = [signal(2) for _ in range(3)]
    copies = [Callback(s, t) for s, t in zip(x, late, strict=True)]
    products = [DotInc(a, s, signal(2)) for s in (x[0], *late)]
    assert planned([*products, *copies]) == [copies, products]


def test_groups_hold_operators_in_their_given_order():
    operators = [Delay(signal(2), signal(2)) for _ in range(20)]
    assert planned(operators) == [operators]
    assert planned(operators[::-1]) == [operators[::-1]]


def test_every_group_follows_what_it_depends_on():
    chain = [signal(2) for _ in range(6)]
    a = signal(2, 2)
    operators = []
    for source, target in itertools.pairwise(chain):
        operators += [Reset(target), DotInc(a, source, target)]
    groups = planned(operators[::-1])
    assert groups[0] == operators[::2][::-1]
    assert groups[1:] == [[op] for op in operators[1::2]]


def test_group_lists_state_before_updates_in_previous():
    x, state, output = signal(2, name="x"), signal(2, name="v"), signal(2, name="o")
    group = make_group([Integrate(x, state, output)], builder_of)
    assert [o.signals for o in group.sets] == [(output,), (state,)]
    assert [o.signals for o in group.previous] == [(state,)]
    group = make_group([Delay(x, state)], builder_of)
    assert [o.signals for o in group.previous] == [(state,)]
    assert [o.signals for o in group.updates] == [(state,)]
    assert group.label == "1 x Delay"


def test_bases_written_names_groups_kinds_and_positions():
    x, y = signal(2), signal(2)
    groups = plan_all([Reset(y), ElementwiseInc(x, x, y)])
    assert bases_written(groups) == {y: {(0, "sets", 0), (1, "incs", 0)}}


def test_circles_are_refused_with_the_names_of_their_operators():
    x, y, z = signal(2), signal(2), signal(2)
    operators = [
        Callback(x, y, tag="there"),
        Callback(y, x, tag="and back"),
        Callback(y, z, tag="behind the circle"),
    ]
    with pytest.raises(
        BuildError,
        match=r"depend on each other.*: Callback 'there', Callback 'and back'\. Put a",
    ):
        planned(operators)


def test_messages_about_large_circles_stay_short():
    ring = [signal(2) for _ in range(30)]
    operators = [Callback(a, b) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]
    with pytest.raises(BuildError, match=r"(Callback, ){9}Callback, \.\.\.\. Put"):
        planned(operators)


# -- costs


def populations(n):
    """Return the operators of many populations that read slices of one signal."""
    operators = []
    command, total = signal(n, name="command"), signal(n, name="total")
    operators.append(Reset(command))
    operators.append(Reset(total))
    encoders, decoders = signal(4, 1), signal(1, 4)
    for i in range(n):
        current, rates = signal(4), signal(4)
        voltage = signal(4)
        operators += [
            ElementwiseInc(signal(1), signal(1), command[i : i + 1]),
            Reset(current),
            DotInc(encoders, command[i : i + 1], current),
            Integrate(current, voltage, rates),
            DotInc(decoders, rates, total[i : i + 1]),
        ]
    return operators


def chain(n):
    """Return operators that have to run one after the other."""
    signals = [signal(1) for _ in range(n + 1)]
    return [Callback(a, b) for a, b in itertools.pairwise(signals)]


def calls_of(function, *args):
    """Count calls of functions: a measure of work that no other process disturbs."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        result = function(*args)
    finally:
        sys.setprofile(None)
    return calls, result


@pytest.mark.parametrize(("make", "n_groups"), [(populations, 5), (chain, None)])
def test_ten_thousand_operators_are_planned_in_linear_time(make, n_groups):
    work = {}
    for n_operators in (1000, 10000):
        n = n_operators // 5 if make is populations else n_operators
        operators = make(n)
        assert len(operators) >= n_operators
        work[n_operators], groups = calls_of(plan_of, operators)
        assert sum(len(group.ops) for group in groups) == len(operators)
        assert len(groups) == (n_groups or n)
    assert work[10000] < 11 * work[1000]


def test_writers_far_from_a_range_are_not_looked_at():
    x = signal(5000)
    operators = [ElementwiseInc(x, x, x[i : i + 1]) for i in range(0, 5000, 5)]
    reads = [Callback(x[i : i + 2], signal(2)) for i in range(0, 5000, 5)]
    edges = before([*operators, *reads])
    assert sum(len(found) for found in edges[len(operators) :]) == len(reads)
