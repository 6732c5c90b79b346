"""Evaluation points that are computed later are those that Nengo draws."""

import copy
import pickle

import nengo
import numpy as np
import pytest
from nengo.builder import Builder, Model
from nengo.builder.ensemble import BuiltEnsemble
from nengo.dists import QuasirandomSequence, ScatteredHypersphere, Uniform

from nengo_dl.building.builder import FastBuilder
from nengo_dl.building.points import LateEnsemble, LatePoints, later
from nengo_dl.building.randomness import FastRandom

DISTRIBUTIONS = {
    "default": ScatteredHypersphere(),
    "not at the centre": ScatteredHypersphere(min_magnitude=0.4),
    "exact": ScatteredHypersphere(method="sct"),
    "another method": ScatteredHypersphere(method="tfww"),
}


def record(builder=None, **kwargs):
    """Return what is built for an ensemble."""
    with nengo.Network(seed=3):
        ens = nengo.Ensemble(**{"n_neurons": 20, "dimensions": 2, **kwargs})
    model = Model(builder=builder or FastBuilder())
    model.seeds[ens], model.seeded[ens] = 5, True
    model.build(ens)
    return model.params[ens]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("dimensions", [1, 2, 3, 6])
@pytest.mark.parametrize("n_points", [2, 7, 100])
def test_stream_and_points_are_those_of_drawing_at_once(
    distribution, dimensions, n_points
):
    points = LatePoints(
        distribution, n_points, dimensions, 1.5, 11, np.dtype(np.float64)
    )
    ours, theirs = FastRandom(11), np.random.RandomState(11)
    points.skip(ours)
    expected = distribution.sample(n_points, dimensions, theirs) * 1.5
    assert ours.randint(2**31) == theirs.randint(2**31)
    assert ours.standard_normal() == theirs.standard_normal()
    np.testing.assert_array_equal(points.compute(), expected)


def test_points_are_computed_when_they_are_read_and_then_kept(monkeypatch):
    calls = []
    compute = LatePoints.compute
    monkeypatch.setattr(
        LatePoints, "compute", lambda self: calls.append(self) or compute(self)
    )
    built = record(n_eval_points=9)
    assert built.encoders.shape == (20, 2)
    assert not calls
    assert built.eval_points is built.eval_points
    assert len(calls) == 1


READ = {
    "attribute": lambda built: built.eval_points,
    "index": lambda built: built[0],
    "negative index": lambda built: built[-7],
    "slice": lambda built: built[:2][0],
    "iteration": lambda built: next(iter(built)),
    "tuple": lambda built: tuple(built)[:1][0],
    "unpacked": lambda built: (lambda points, *rest: points)(*built),
    "assigned": lambda built: next(points for points, *rest in [built]),
    "dict": lambda built: built._asdict()["eval_points"],
    "replaced": lambda built: built._replace(gain=None).eval_points,
    "pickled": lambda built: pickle.loads(pickle.dumps(built)).eval_points,
    "copied": lambda built: copy.copy(built).eval_points,
    "copied deeply": lambda built: copy.deepcopy(built).eval_points,
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_every_way_of_reading_a_record_finds_the_points(read):
    built, expected = record(), record(Builder())
    assert isinstance(built, BuiltEnsemble)
    found = read(built)
    assert found.dtype == expected.eval_points.dtype
    np.testing.assert_array_equal(found, expected.eval_points)


def test_other_fields_stay_where_they_are():
    built, expected = record(), record(Builder())
    assert len(built) == len(expected)
    assert built._fields == expected._fields
    for ours, theirs in zip(built[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert repr(built) == repr(expected)


def test_what_happens_to_the_ensemble_later_does_not_matter():
    with nengo.Network(seed=3) as net:
        ens = nengo.Ensemble(20, 2, radius=2)
    expected = Model()
    expected.build(net)
    model = Model(builder=FastBuilder())
    model.build(net)
    theirs = expected.params[ens].eval_points
    ens.radius, ens.n_eval_points, ens.eval_points = 7, 5, Uniform(-1, 1)
    np.testing.assert_array_equal(model.params[ens].eval_points, theirs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"eval_points": Uniform(-1, 1)},
        {"eval_points": np.zeros((3, 2))},
        {"eval_points": ScatteredHypersphere(surface=True)},
        {"eval_points": ScatteredHypersphere(base=Uniform(0, 1))},
        {"n_eval_points": 1},
    ],
    ids=["uniform", "given", "surface", "another base", "one point"],
)
def test_other_points_are_drawn_at_once(kwargs):
    with nengo.Network():
        ens = nengo.Ensemble(5, 2, **kwargs)
    assert later(ens, 0, np.dtype(float)) is None
    built, expected = record(**kwargs), record(Builder(), **kwargs)
    np.testing.assert_array_equal(built.eval_points, expected.eval_points)
    np.testing.assert_array_equal(built.encoders, expected.encoders)


def test_a_subclass_of_a_distribution_draws_at_once():
    class Own(QuasirandomSequence):
        pass

    with nengo.Network():
        ens = nengo.Ensemble(5, 2, eval_points=ScatteredHypersphere(base=Own()))
        usual = nengo.Ensemble(5, 2)
    assert later(ens, 0, np.dtype(float)) is None
    assert later(usual, 0, np.dtype(float)) is not None


def test_a_record_of_arrays_gives_these():
    built = LateEnsemble(*[np.full(2, n) for n in range(7)])
    assert [field[0] for field in built] == list(range(7))
    assert built.eval_points is built[0]
