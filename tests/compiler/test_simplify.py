"""Operators that are removed, and those that must stay."""

import numpy as np
from nengo.builder.operator import Copy, ElementwiseInc, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler.simplify import remove_zero_resets, simplify
from nengo_dl.compiler.traits import find_roles
from tests.compiler.programs import Callback, Delay, builder_of


def signal(n=2, name="s"):
    return Signal(np.zeros(n), name=name)


def simplified(operators, outputs=()):
    roles = find_roles(operators, [], outputs, builder_of)
    return simplify(operators, roles, outputs, builder_of)


def test_zero_resets_of_temporaries_go_others_stay():
    x, temporary, state = signal(), signal(), signal()
    operators = [
        Reset(temporary),
        Reset(temporary, value=2),
        Reset(state),
        Delay(x, state),
    ]
    roles = find_roles(operators, [], [], builder_of)
    assert remove_zero_resets(operators, roles) == operators[1:]


def test_reset_of_a_signal_that_is_read_but_not_incremented_may_go():
    # its value is zero without the reset, too
    y, z = signal(), signal()
    operators = [Reset(y), Callback(y, z)]
    left, _, _ = simplified(operators)
    assert left == operators[1:]


def test_chains_that_nobody_reads_go():
    a, x, y, z = (signal(name=n) for n in "axyz")
    operators = [Reset(y), ElementwiseInc(a, x, y), Reset(z), ElementwiseInc(a, y, z)]
    assert simplified(operators)[0] == []
    assert simplified(operators, [y])[0] == [operators[1]]
    assert simplified(operators, [z[1:]])[0] == [operators[1], operators[3]]


def test_what_state_needs_stays():
    a, x, y, state = (signal(name=n) for n in "axys")
    operators = [Reset(y), ElementwiseInc(a, x, y), Delay(y, state)]
    assert simplified(operators)[0] == operators[1:]


def test_callbacks_stay_and_so_does_what_they_read():
    a, x, y, z = (signal(name=n) for n in "axyz")
    operators = [Reset(y), ElementwiseInc(a, x, y), Callback(y, z)]
    assert simplified(operators)[0] == operators[1:]


def test_sources_of_outputs_that_are_aliases_stay():
    a, x, y, z = (signal(name=n) for n in "axyz")
    operators = [Reset(y), ElementwiseInc(a, x, y), Copy(y, z)]
    left, aliases, _ = simplified(operators, [z])
    assert left == [operators[1]]
    assert z in aliases


def test_counts_describe_each_rule():
    a, x, y, z = (signal(name=n) for n in "axyz")
    operators = [Reset(y), ElementwiseInc(a, x, y), Copy(y, z)]
    assert simplified(operators)[2] == {
        "before": 3,
        "find_aliases": 2,
        "remove_zero_resets": 1,
        "remove_unread": 0,
    }


def test_given_operators_are_not_changed():
    x, y = signal(), signal()
    operators = [Reset(y), Copy(x, y, inc=True)]
    before = list(operators), [list(op.all_signals) for op in operators]
    simplified(operators, [y])
    assert (operators, [list(op.all_signals) for op in operators]) == before
