"""Which copies disappear, and where their destinations are read instead."""

import itertools
import sys

import numpy as np
import pytest
from nengo.builder.operator import Copy, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import (
    Runs,
    concatenate_runs,
    copied_elements,
    find_aliases,
    to_runs,
)
from nengo_dl.compiler.traits import find_roles
from tests.compiler.programs import Callback, Delay, builder_of


def signal(n, name="s", dtype=np.float64):
    return Signal(np.zeros(n, dtype), name=name)


def aliases_of(operators, inputs=()):
    roles = find_roles(operators, inputs, [], builder_of)
    return find_aliases(operators, roles)


def places(aliases, signal):
    """Return where each element of a signal is read, as (base, position) pairs."""
    runs = aliases.resolve(signal)
    return [
        (aliases.bases[number], position)
        for number, position in zip(
            runs.element_bases().tolist(), runs.positions().tolist(), strict=True
        )
    ]


def test_reset_signal_with_one_copy_is_its_source():
    x, y = signal(3), signal(3)
    left, aliases = aliases_of([Reset(y), Copy(x, y, inc=True)])
    assert left == []
    assert y in aliases and x not in aliases
    assert places(aliases, y[1:]) == [(x, 1), (x, 2)]


def test_places_are_found_again_after_they_were_forgotten():
    x, y = signal(3), signal(3)
    _, aliases = aliases_of([Copy(x, y)])
    before = places(aliases, y[1:])
    aliases.forget_resolved()
    assert not aliases._resolved
    assert places(aliases, y[1:]) == before == [(x, 1), (x, 2)]


def test_signals_that_are_one_run_of_their_base_are_three_numbers():
    x, y, z = signal(6), signal(6), signal(6)
    _, aliases = aliases_of([Copy(x, y)])
    number = aliases.index(x)
    assert aliases.whole(x) == (number, 0, 6)
    assert aliases.whole(x[2:5]) == (number, 2, 3)
    assert aliases.whole(x.reshape(2, 3)) == (number, 0, 6)
    assert aliases.whole(x[::2]) is None
    assert aliases.whole(y) is None
    assert aliases.holders(y[1:]) == aliases.holders(x) == [number]
    assert aliases.whole(z) == (aliases.index(z), 0, 6)
    aliases.resolve(z)
    assert z not in aliases._resolved  # only those that take long are kept


def test_many_signals_are_found_as_each_by_itself():
    x, y, z = signal(6), signal(6), signal(6)
    _, aliases = aliases_of([Copy(x, y)])
    signals = [x[:2], x[2:4], y[4:], z, x[::-1], y[::2], z[1:3], z[3:]]
    runs = aliases.resolve_all(signals)
    found = list(
        zip(runs.element_bases().tolist(), runs.positions().tolist(), strict=True)
    )
    assert [(aliases.bases[number], position) for number, position in found] == [
        place for each in signals for place in places(aliases, each)
    ]
    assert runs.lengths[0] == 6  # those that follow each other were joined
    assert aliases.resolve_all([]).size == 0


def test_set_copy_without_reset_is_its_source():
    x, y = signal(3), signal(3)
    left, aliases = aliases_of([Copy(x, y)])
    assert left == [] and places(aliases, y) == [(x, i) for i in range(3)]


def test_chains_lead_to_their_first_source():
    chain = [signal(2, name=f"s{i}") for i in range(5)]
    copies = [Copy(a, b) for a, b in itertools.pairwise(chain)]
    for order in (copies, copies[::-1]):
        left, aliases = aliases_of(order)
        assert left == []
        for link in chain:
            assert places(aliases, link) == [(chain[0], 0), (chain[0], 1)]


def test_slices_with_steps_and_reversed_sources():
    x, y = signal(6), signal(5)
    left, aliases = aliases_of([Copy(x[::3], y[:2]), Copy(x[4:1:-1], y[2:])])
    assert left == []
    assert [p for _, p in places(aliases, y)] == [0, 3, 4, 3, 2]
    assert [p for _, p in places(aliases, y[::-2])] == [2, 4, 0]


def test_index_lists_may_repeat_and_count_from_the_end():
    x, y = signal(4), signal(5)
    operators = [
        Reset(y),
        Copy(x, y, src_slice=[3, 3, -4], dst_slice=[4, 0, -3], inc=True),
        Copy(x, y, src_slice=[1, 2], dst_slice=[1, 3], inc=True),
    ]
    left, aliases = aliases_of(operators)
    assert left == []
    assert [p for _, p in places(aliases, y)] == [3, 1, 0, 2, 3]


def test_several_sources_make_one_signal():
    a, b, y = signal(2, "a"), signal(3, "b"), signal(4, "y")
    operators = [Reset(y), Copy(b[1:], y[:2], inc=True), Copy(a, y[2:], inc=True)]
    left, aliases = aliases_of(operators)
    assert left == []
    assert places(aliases, y) == [(b, 1), (b, 2), (a, 0), (a, 1)]


def test_one_element_is_broadcast():
    x, y = signal(1), signal(3)
    left, aliases = aliases_of([Copy(x, y)])
    assert left == [] and places(aliases, y) == [(x, 0)] * 3


def test_views_of_matrices():
    x = Signal(np.zeros((2, 3)), name="x")
    y, z = Signal(np.zeros((2, 1)), name="y"), signal(6, "z")
    _, aliases = aliases_of([Copy(x[:, 1:2], y), Copy(x.reshape((6,)), z)])
    assert [p for _, p in places(aliases, y)] == [1, 4]
    assert [p for _, p in places(aliases, z)] == list(range(6))


def kept(operators, base, inputs=()):
    """Assert that the operators that write a base stay, and it is read as it is."""
    left, aliases = aliases_of(operators, inputs)
    assert base not in aliases
    assert [op for op in operators if op in left] == operators
    assert places(aliases, base) == [(base, i) for i in range(base.size)]


def test_sums_of_two_copies_stay():
    x, y = signal(3), signal(3)
    kept([Reset(y), Copy(x, y, inc=True), Copy(x[1:], y[:2], inc=True)], y)


def test_repeated_destinations_stay():
    x, y = signal(3), signal(2)
    kept([Reset(y), Copy(x, y, dst_slice=[0, 1, 0], inc=True)], y)


def test_elements_without_a_copy_stay():
    x, y = signal(2), signal(3)
    kept([Reset(y), Copy(x, y[:2], inc=True)], y)


def test_resets_to_other_values_stay():
    x, y = signal(3), signal(3)
    kept([Reset(y, value=1), Copy(x, y, inc=True)], y)


def test_other_writers_keep_a_signal():
    x, y = signal(2), signal(3)
    kept([Copy(x, y[:2]), Callback(x[:1], y[2:])], y)


def test_increments_without_a_set_accumulate_and_stay():
    x, y = signal(3), signal(3)
    kept([Copy(x, y, inc=True)], y)


def test_copies_to_state_stay():
    x, y = signal(3), signal(3)
    kept([Copy(x, y), Delay(x, y)], y)


def test_copies_between_types_stay():
    x, y = signal(3, dtype=np.int64), signal(3)
    kept([Copy(x, y)], y)


def test_copies_between_elements_of_one_signal_stay():
    x, y = signal(2), signal(4)
    kept([Copy(x, y[:2]), Copy(y[:2], y[2:])], y)


def test_copies_of_inputs_and_state_disappear():
    x, state, y, z = signal(2), signal(2), signal(2), signal(2)
    operators = [Copy(x, y), Delay(x, state), Copy(state, z)]
    left, aliases = aliases_of(operators, inputs=[x])
    assert left == [operators[1]]
    assert y in aliases and z in aliases


def test_one_base_of_a_circle_stays():
    x, a, b = signal(2, "x"), signal(4, "a"), signal(4, "b")
    operators = [
        Copy(x, a[:2]),
        Copy(a[:2], b[:2]),
        Copy(b[:2], a[2:]),
        Copy(a[2:], b[2:]),
    ]
    left, aliases = aliases_of(operators)
    stays, goes = (a, b) if b in aliases else (b, a)
    assert goes in aliases and stays not in aliases
    assert left == [op for op in operators if op.dst.base is stays]
    assert {base for base, _ in places(aliases, goes)} <= {x, stays}


def test_longer_circles_end_in_signals_with_storage():
    n = 6
    x = signal(1, "x")
    ring = [signal(2, f"r{i}") for i in range(n)]
    operators = [Copy(x, ring[0][:1])]
    # twice around: the first elements of all, then the second ones
    for lap in range(2):
        for i in range(n - lap):
            source, target = ring[i], ring[(i + 1) % n]
            low = lap + (1 if i == n - 1 else 0)
            operators.append(Copy(source[lap : lap + 1], target[low : low + 1]))
    operators = operators[:-1] if len(operators) > 2 * n else operators
    left, aliases = aliases_of(operators)
    with_storage = {op.dst.base for op in left}
    assert len(with_storage) == 1
    for base in ring:
        assert all(b not in aliases for b, _ in places(aliases, base))
    assert (with_storage | set(b for b in ring if b in aliases)) == set(ring)


def test_work_is_linear_in_the_length_of_chains_and_number_of_parts():
    def count_calls(n):
        x = signal(n, "x")
        parts = [signal(1, f"p{i}") for i in range(n)]
        whole = signal(n, "whole")
        chain = [whole] + [signal(1, f"c{i}") for i in range(n)]
        operators = [
            *(Copy(x[i : i + 1], part) for i, part in enumerate(parts)),
            Reset(whole),
            *(Copy(part, whole[i : i + 1], inc=True) for i, part in enumerate(parts)),
            *(Copy(a[:1], b) for a, b in itertools.pairwise(chain)),
        ]
        roles = find_roles(operators, [], [], builder_of)
        calls = [0]

        def count(frame, event, argument):
            calls[0] += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            left, aliases = find_aliases(operators[::-1], roles)
        finally:
            sys.setprofile(None)
        assert left == []
        assert places(aliases, chain[-1]) == [(x, 0)]
        return calls[0]

    assert count_calls(200) < 4.5 * count_calls(50)


def test_copied_elements_broadcasts_sources():
    x, y = signal(1), signal(4)
    source, destination = copied_elements(Copy(x, y, dst_slice=[2, 3], inc=True))
    np.testing.assert_array_equal(source, [0, 0])
    np.testing.assert_array_equal(destination, [2, 3])


@pytest.mark.parametrize("n", [0, 1, 50])
def test_runs_describe_any_elements(n):
    rng = np.random.RandomState(n)
    bases, positions = rng.randint(2, size=n), rng.randint(6, size=n)
    runs = to_runs(bases, positions)
    assert runs.size == n
    np.testing.assert_array_equal(runs.element_bases(), bases)
    np.testing.assert_array_equal(runs.positions(), positions)


def test_runs_that_continue_each_other_are_joined():
    def runs(*triples):
        return Runs(*np.array(triples, dtype=np.int64).T)

    joined = concatenate_runs([runs((0, 2, 3)), runs((0, 5, 1), (1, 6, 2))])
    np.testing.assert_array_equal(joined.bases, [0, 1])
    np.testing.assert_array_equal(joined.starts, [2, 6])
    np.testing.assert_array_equal(joined.lengths, [4, 2])
