"""Operators of many shapes are merged, those of few are not."""

from types import SimpleNamespace

import pytest

from nengo_dl.compiler.unlike import merge_unlike
from nengo_dl.support import tuning


class Merging:
    """Merges operators with equal keys, and fills up what they have less."""

    def __init__(self, merge_key):
        self.merge_key = merge_key

    def n_zeros(self, ops):
        return max(op.shape for op in ops) * len(ops) - sum(op.shape for op in ops)


class Op(SimpleNamespace):
    __hash__ = object.__hash__


ANY = Merging(lambda op: op.shape > 100)


def choose(shapes, ways):
    """Return what builds operators of some shapes; None for what did before."""
    exact = SimpleNamespace(for_unlike=lambda op: ways if op.shape else ())
    ops = [Op(shape=shape) for shape in shapes]
    lookup = merge_unlike(ops, shapes, lambda op: exact)
    return [None if lookup(op) is exact else lookup(op) for op in ops]


def merged(shapes):
    """Return which operators get the builder that merges."""
    found = choose(shapes, (ANY,))
    assert set(found) <= {ANY, None}
    return [other is ANY for other in found]


def test_few_shapes_stay_apart():
    assert not any(merged(range(1, tuning.MOST_SHAPES + 1)))


def test_many_shapes_are_merged():
    assert all(merged(range(1, tuning.MOST_SHAPES + 2)))


def test_what_cannot_be_merged_is_not():
    found = merged([0, *range(1, 20)])
    assert not found[0]
    assert all(found[1:])


def test_a_shape_of_many_operators_stays_apart():
    many = tuning.MOST_ALIKE + 1
    found = merged([50] * many + list(range(1, 20)))
    assert not any(found[:many])
    assert all(found[many:])


def test_a_shape_that_nothing_can_join_stays_as_it_is():
    found = merged([*range(1, 20), 200])
    assert all(found[:-1])
    assert not found[-1]


@pytest.mark.parametrize("limit", [3, 5])
def test_limits_are_those_of_the_settings(limit, monkeypatch):
    monkeypatch.setattr(tuning, "MOST_SHAPES", limit)
    assert any(merged(range(1, 6))) == (limit < 5)


TENS = Merging(lambda op: op.shape // 10)


def test_what_is_alike_in_part_is_merged_where_there_is_much_of_it():
    many = [10 + i % 7 for i in range(tuning.MOST_ALIKE + 1)]
    few = [20 + i for i in range(7)]
    found = choose([*many, *few], (TENS, ANY))
    assert set(found[: len(many)]) == {TENS}
    # seven shapes are left, which are few
    assert set(found[len(many) :]) == {None}


def test_what_is_not_alike_in_part_is_merged_with_others():
    many = [10] * tuning.MOST_ALIKE + [11]
    few = [20 + 10 * i for i in range(tuning.MOST_SHAPES + 1)]
    found = choose([*many, *few], (TENS, ANY))
    assert set(found[: len(many)]) == {TENS}
    assert set(found[len(many) : -5]) == {ANY}


@pytest.mark.parametrize("more", [0, 1])
def test_many_zeros_are_not_filled_in(more, monkeypatch):
    shapes = [10 + i % 2 for i in range(40)] + list(range(100, 1000, 10))
    monkeypatch.setattr(tuning, "MOST_ZEROS", 20 - more)
    found = choose(shapes, (TENS, ANY))
    assert set(found[:40]) == ({None} if more else {TENS})
