"""The role of each signal follows from who writes it, and how much of it."""

import numpy as np
import pytest
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler.traits import Role, find_roles
from tests.compiler.programs import Callback, Delay, Integrate, builder_of


def signal(*shape, name="s"):
    return Signal(np.zeros(shape), name=name)


def roles_of(operators, *signals, inputs=(), outputs=()):
    roles = find_roles(operators, inputs, outputs, builder_of)
    return [roles[s] for s in signals]


def test_signals_that_nobody_writes_are_constant():
    a, x, y = signal(2, 3), signal(3), signal(2)
    roles = roles_of([Reset(y), DotInc(a, x, y)], a, x, y)
    assert roles == [Role.CONSTANT, Role.CONSTANT, Role.TEMPORARY]


def test_inputs_are_inputs_only_if_something_reads_them():
    x, y, unused = signal(3), signal(3), signal(3)
    roles = find_roles([Copy(x, y)], [x, unused], [], builder_of)
    assert roles == {x: Role.INPUT, y: Role.TEMPORARY}


def test_outputs_that_no_operator_touches_are_constant():
    x = signal(3)
    assert roles_of([], x, outputs=[x[1:]]) == [Role.CONSTANT]


def test_input_that_is_only_an_output_stays_an_input():
    x = signal(3)
    assert roles_of([], x, inputs=[x], outputs=[x]) == [Role.INPUT]


def test_updated_signals_are_state_even_if_they_are_set_too():
    x, y = signal(3), signal(3)
    operators = [Delay(x, y), Reset(y)]
    assert roles_of(operators, y) == [Role.STATE]
    assert roles_of(operators[::-1], y) == [Role.STATE]


def test_neuron_state_is_state_although_it_is_set():
    current, voltage, spikes = signal(3), signal(3), signal(3)
    operators = [Integrate(current, voltage, spikes)]
    assert roles_of(operators, voltage, spikes) == [Role.STATE, Role.TEMPORARY]


def test_weights_that_are_only_incremented_are_state():
    weights, delta, rate = signal(2, 3), signal(2, 3), signal()
    assert roles_of([ElementwiseInc(rate, delta, weights)], weights) == [Role.STATE]
    assert roles_of([Copy(delta, weights, inc=True)], weights) == [Role.STATE]


@pytest.mark.parametrize(
    ("views", "role"),
    [
        ([np.s_[:]], Role.TEMPORARY),
        ([np.s_[:2], np.s_[2:]], Role.TEMPORARY),
        ([np.s_[:2], np.s_[3:]], Role.STATE),
        ([np.s_[:4]], Role.STATE),
        ([np.s_[::2], np.s_[1::2]], Role.TEMPORARY),
        ([np.s_[::2], np.s_[2:4]], Role.STATE),
        ([np.s_[::-1]], Role.TEMPORARY),
        ([np.s_[:3], np.s_[2:]], Role.TEMPORARY),
        # as many elements as the base has, but not all of them
        ([np.s_[:3], np.s_[:3]], Role.STATE),
    ],
)
def test_signals_are_temporary_only_if_all_elements_are_set(views, role):
    base = signal(5)
    assert roles_of([Reset(base[view]) for view in views], base) == [role]


@pytest.mark.parametrize("set_columns", [1, 2])
def test_columns_of_matrices_count_as_their_elements(set_columns):
    base = signal(3, 2)
    roles = roles_of([Reset(base[:, :set_columns])], base)
    assert roles == [Role.TEMPORARY if set_columns == 2 else Role.STATE]


def test_set_copies_to_some_elements_need_the_old_value():
    x, y = signal(2), signal(3)
    assert roles_of([Copy(x, y, dst_slice=[2, 0])], y) == [Role.STATE]
    assert roles_of([Copy(y, x, src_slice=[2, 0])], x) == [Role.TEMPORARY]


def test_signals_without_elements_are_no_state():
    empty = signal(0)
    assert roles_of([Reset(empty)], empty) == [Role.TEMPORARY]


def test_views_count_for_their_base():
    x, y = signal(4), signal(2)
    roles = find_roles([Callback(x[:2], y)], [], [], builder_of)
    assert roles == {x: Role.CONSTANT, y: Role.TEMPORARY}


def test_nothing_is_written_onto_signals():
    x, y = signal(3), signal(3)
    before = dict(vars(x)), dict(vars(y))
    find_roles([Copy(x, y)], [], [], builder_of)
    assert (dict(vars(x)), dict(vars(y))) == before
