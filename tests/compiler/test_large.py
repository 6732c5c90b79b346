"""Which operators are too large to be merged."""

import numpy as np
import pytest
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.dependencies import dependencies
from nengo_dl.compiler.planners import plan
from tests.compiler.programs import Callback, builder_of


def signal(*shape):
    return Signal(np.zeros(shape), name="s")


def copies(*sizes):
    return [Copy(signal(size), signal(size)) for size in sizes]


def group_sizes(operators, **options):
    before = dependencies(operators, Aliases(), builder_of)
    groups = plan(operators, before, builder_of, **options)
    return sorted(len(group.ops) for group in groups)


def test_large_results_stay_alone_and_small_ones_merge():
    assert group_sizes(copies(3, 20, 4, 10, 9), large=10) == [1, 1, 3]


def test_all_merge_by_default():
    assert group_sizes(copies(10**5, 10**5)) == [2]


def test_results_of_all_items_of_a_minibatch_count():
    assert group_sizes(copies(5, 5), large=10) == [2]
    assert group_sizes(copies(5, 5), large=10, minibatch_size=2) == [1, 1]


def test_large_matrices_stay_alone_whatever_they_give():
    def products(n):
        return [DotInc(signal(2, n), signal(n), signal(2)) for _ in range(2)]

    assert group_sizes(products(39), large=10) == [2]
    assert group_sizes(products(40), large=10) == [1, 1]
    # parameters are the same for all items
    assert group_sizes(products(39), large=10, minibatch_size=3) == [2]


@pytest.mark.parametrize("count, groups", [(16, 16), (17, 1)])
def test_many_large_operators_of_one_kind_merge(count, groups):
    assert len(group_sizes(copies(*[10] * count), large=10)) == groups


def test_kinds_are_counted_apart():
    operators = copies(*[10] * 12)
    operators += [ElementwiseInc(signal(10), signal(10), signal(10)) for _ in range(12)]
    assert len(group_sizes(operators, large=10)) == 24


def test_callbacks_are_not_affected():
    operators = [Callback(signal(20), signal(20)) for _ in range(2)]
    expected = group_sizes(operators)
    assert group_sizes(operators, large=10) == expected


def test_other_planners_see_the_keys_of_all_that_can_be_merged():
    def all_of_a_key(operators, before, keys):
        return [
            [i for i, k in enumerate(keys) if k == key] for key in dict.fromkeys(keys)
        ]

    operators = [*copies(10, 10), Reset(signal(3))]
    assert group_sizes(operators, planner=all_of_a_key, large=5) == [1, 2]
