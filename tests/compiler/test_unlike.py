"""Operators of many shapes are merged, those of few are not."""

from types import SimpleNamespace

import pytest

from nengo_dl.compiler.unlike import merge_unlike
from nengo_dl.support import tuning


class Padded:
    def merge_key(self, op):
        return op.shape > 100


PADDED = Padded()
EXACT = SimpleNamespace(for_unlike=lambda op: PADDED if op.shape else None)


class Op(SimpleNamespace):
    __hash__ = object.__hash__


def merged(shapes):
    """Return which operators get the builder that merges."""
    ops = [Op(shape=shape) for shape in shapes]
    lookup = merge_unlike(ops, shapes, lambda op: EXACT)
    assert all(lookup(op) in (PADDED, EXACT) for op in ops)
    return [lookup(op) is PADDED for op in ops]


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
