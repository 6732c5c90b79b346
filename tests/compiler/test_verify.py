"""Plans that are not legal are refused in words."""

import numpy as np
import pytest
from nengo.builder.operator import ElementwiseInc, Reset
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.dependencies import dependencies
from nengo_dl.compiler.planners import make_group
from nengo_dl.compiler.verify import verify_plan
from tests.compiler.programs import Callback, builder_of


@pytest.fixture
def operators():
    x, y, z = (Signal(np.zeros(2), name=name) for name in "xyz")
    return [
        Reset(y, tag="first"),
        ElementwiseInc(x, x, y, tag="second"),
        Callback(y, z, tag="third"),
    ]


def check(parts, operators):
    groups = [make_group(part, builder_of) for part in parts]
    verify_plan(groups, operators, dependencies(operators, Aliases(), builder_of))


def test_legal_plans_pass(operators):
    check([[op] for op in operators], operators)


def test_operators_that_run_twice_are_named(operators):
    a, b, c = operators
    with pytest.raises(
        BuildError, match=r"runs Reset 'first' twice, in groups 0 and 2"
    ):
        check([[a], [b], [a], [c]], operators)


def test_operators_that_are_missing_are_named(operators):
    with pytest.raises(BuildError, match=r"leaves out ElementwiseInc 'second'"):
        check([operators[:1], operators[2:]], operators)


def test_operators_from_elsewhere_are_named(operators):
    with pytest.raises(BuildError, match=r"not given: Callback 'third'"):
        check([[op] for op in operators], operators[:2])


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ((1, 0, 2), r"ElementwiseInc 'second' in group 0, .*Reset 'first' in group 1"),
        (
            (0, 2, 1),
            r"Callback 'third' in group 1, .*ElementwiseInc 'second' in gr.* 2",
        ),
    ],
)
def test_operators_that_run_too_early_are_named(operators, order, message):
    with pytest.raises(BuildError, match=message):
        check([[operators[i]] for i in order], operators)


def test_operators_of_one_group_must_be_independent():
    x, y, z = (Signal(np.zeros(2), name=name) for name in "xyz")
    operators = [Callback(x, y, tag="one"), Callback(y, z, tag="two")]
    with pytest.raises(
        BuildError, match=r"'two' in group 0, .* on Callback 'one' in g"
    ):
        check([operators], operators)
