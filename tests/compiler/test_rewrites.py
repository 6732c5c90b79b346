"""Compiled programs compute what nengo's steps compute: proofs by generated cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from nengo.builder.operator import Copy, Reset
from nengo.builder.signal import Signal

from nengo_dl.support import tuning
from tests.compiler.programs import (
    Callback,
    Delay,
    check_same_values,
    compile_operators,
    generated_programs,
)


@settings(max_examples=150, deadline=None)
@given(program=generated_programs())
def test_compiled_program_equals_core(program):
    check_same_values(program.operators, program.outputs, program.inputs)


@settings(max_examples=60, deadline=None)
@given(program=generated_programs())
def test_every_form_of_reads_and_writes_equals_core(program):
    """With small limits, the forms that suit large programs are chosen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "MOST_PIECES", 1)
        patch.setattr(tuning, "SMALL_SUMMED_BLOCK", 1)
        check_same_values(program.operators, program.outputs, program.inputs)


def signal(*shape, name="s", dtype=np.float64):
    values = np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape)
    return Signal(values.astype(dtype), name=name)


def test_reset_behind_a_copy_stays_when_another_operator_reads_the_sum():
    # the reset cannot go as long as the signal is a sum, whoever wrote it first
    constant, x, y, z = (signal(2, name=name) for name in "cxyz")
    operators = [
        Reset(y),
        Copy(constant, y, inc=True),
        Copy(x, y, inc=True),
        Callback(y, z),
    ]
    check_same_values(operators, [y, z], [x])


def test_passthrough_circle_that_is_fed_by_state():
    x, a, b, state = signal(2), signal(4), signal(4), signal(2)
    operators = [
        Reset(a),
        Reset(b),
        Copy(state, a[:2], inc=True),
        Copy(a[:2], b[:2], src_slice=[1, 0], inc=True),
        Copy(b[:2], a[2:], inc=True),
        Copy(a[2:], b[2:], dst_slice=[1, 0], inc=True),
        Callback(b[2:], x),
        Delay(x, state),
    ]
    check_same_values(operators, [a, b, x])


def test_copies_that_change_the_type_of_numbers():
    x, y = signal(3, dtype=np.int64), signal(3)
    half, whole = signal(3), signal(3, dtype=np.int64)
    operators = [Copy(x, y), Delay(y, half)]
    check_same_values(operators, [y])
    # numbers lose their fraction
    start = Signal(np.array([0.5, 1.5, -2.5]), name="start")
    check_same_values([Copy(start, whole)], [whole])


def test_generator_makes_what_it_should():
    """The proofs above mean little if the compiler has nothing to do."""
    seen = {"alias": 0, "merged": 0, "table": 0, "step": 0, "index": 0, "mask": 0}

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(program=generated_programs())
    def count(program):
        roles, layout = compile_operators(program.operators, program.outputs)
        seen["alias"] += any(base in layout.aliases for base in roles)
        for bound in layout.groups:
            seen["merged"] += len(bound.group.ops) > 1
            for plan in bound.reads:
                seen["step"] += any(piece.step > 1 for piece in plan.pieces)
                seen["index"] += any(p.index is not None for p in plan.pieces)
            for plan in (*bound.sets, *bound.incs, *bound.updates):
                seen["table"] += any(t.index is not None for t in plan.transfers)
                seen["mask"] += any(t.mask is not None for t in plan.transfers)

    count()
    assert all(seen.values()), seen
