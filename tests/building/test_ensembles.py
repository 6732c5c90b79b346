"""Ensembles are built as Nengo builds them, to the last bit."""

import nengo
import numpy as np
import pytest
from nengo.builder import Builder, Model
from nengo.dists import Choice, Gaussian, Samples, Uniform, UniformHypersphere
from nengo.exceptions import BuildError

from nengo_dl.building import builder as module
from nengo_dl.building.builder import FastBuilder

KINDS = {
    "defaults": {},
    "dimensions": {"dimensions": 3, "radius": 2.5},
    "one neuron": {"n_neurons": 1},
    "odd number of points": {"n_eval_points": 33},
    "given points": {"eval_points": np.linspace(-1, 1, 9)[:, None]},
    "points of another kind": {"eval_points": UniformHypersphere(), "dimensions": 2},
    "given encoders": {"encoders": np.arange(1.0, 21.0)[:, None]},
    "encoders that are not normalized": {
        "encoders": Gaussian(0, 2),
        "normalize_encoders": False,
        "dimensions": 2,
    },
    "encoders of whole numbers": {"encoders": Choice([[1], [-1]])},
    "gains and biases": {"gain": Uniform(1, 2), "bias": Samples(np.arange(20.0))},
    "rates": {"max_rates": Uniform(50, 60), "intercepts": Choice([0.1])},
    "noise": {"noise": nengo.processes.WhiteNoise(seed=1)},
    "direct": {"neuron_type": nengo.Direct(), "dimensions": 2},
    "adaptive": {"neuron_type": nengo.AdaptiveLIF()},
    "rate": {"neuron_type": nengo.Sigmoid()},
}


def built(arguments, builder, seed=3):
    """Return a model that has an ensemble, and what was built."""
    with nengo.Network(seed=seed) as net:
        ens = nengo.Ensemble(**{"n_neurons": 20, "dimensions": 1, **arguments})
    model = Model(builder=builder)
    model.build(net)
    return model, ens


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
def test_ensemble_is_built_as_by_nengo(arguments):
    model, ens = built(arguments, FastBuilder())
    expected, their_ens = built(arguments, Builder())
    for name, theirs in expected.params[their_ens]._asdict().items():
        ours = getattr(model.params[ens], name)
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)
    for ours, theirs in ((ens, their_ens), (ens.neurons, their_ens.neurons)):
        found, wanted = model.sig[ours], expected.sig[theirs]
        assert list(found) == list(wanted)
        for name in wanted:
            assert found[name].shape == wanted[name].shape
            assert found[name].readonly == wanted[name].readonly
            np.testing.assert_array_equal(
                found[name].initial_value, wanted[name].initial_value
            )
    assert [type(op) for op in model.operators] == [
        type(op) for op in expected.operators
    ]
    for op, theirs in zip(model.operators, expected.operators, strict=True):
        for kind in ("sets", "incs", "reads", "updates"):
            shapes = [signal.shape for signal in getattr(op, kind)]
            assert shapes == [signal.shape for signal in getattr(theirs, kind)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoders": Choice([[0]])},
        {"intercepts": Choice([1.0])},
        {"gain": Choice([1.0])},
    ],
    ids=["encoders", "intercepts", "gain without bias"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_errors_are_nengos(arguments):
    caught = []
    for builder in (FastBuilder(), Builder()):
        with pytest.raises((BuildError, NotImplementedError)) as error:
            built(arguments, builder)
        caught.append((error.type, str(error.value).partition(" at 0x")[0]))
    assert caught[0] == caught[1]


def test_arrays_of_users_stay_as_they_are():
    encoders = np.arange(1.0, 21.0)[:, None]

    class Shared(nengo.dists.Distribution):
        def sample(self, n, d=None, rng=np.random):
            return encoders

    model, ens = built({"encoders": Shared()}, FastBuilder())
    assert (model.params[ens].encoders == 1).all()
    np.testing.assert_array_equal(encoders[:, 0], np.arange(1.0, 21.0))


def test_build_functions_of_users_come_first(monkeypatch):
    class Marked(nengo.Ensemble):
        pass

    seen = []
    monkeypatch.setitem(
        Builder.builders, Marked, lambda model, obj: seen.append(type(obj).__name__)
    )
    with nengo.Network() as net:
        Marked(3, 1)
    Model(builder=FastBuilder()).build(net)
    assert seen == ["Marked"]


def test_ensemble_is_built_once():
    model, ens = built({}, FastBuilder())
    before = model.params[ens]
    with pytest.warns(UserWarning, match="has already been built"):
        model.build(ens)
    assert model.params[ens] is before


def test_nengos_function_is_not_used(monkeypatch):
    def fail(model, ens):
        raise AssertionError("Nengo's function was called")

    fail.__module__ = "nengo.builder.ensemble"
    ours = module._FOR_OBJECTS[Builder.builders[nengo.Ensemble]]
    monkeypatch.setitem(module._FOR_OBJECTS, fail, ours)
    monkeypatch.setitem(Builder.builders, nengo.Ensemble, fail)
    model, ens = built({}, FastBuilder())
    assert model.params[ens].encoders.shape == (20, 1)
