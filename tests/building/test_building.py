"""Decoders, and all else that is built, are those of Nengo's own builder."""

import gc
import pickle
import re

import nengo
import numpy as np
import pytest
from nengo.builder import Builder, Model
from nengo.builder.connection import build_solver
from nengo.cache import DecoderCache, Fingerprint
from nengo.exceptions import BuildError
from nengo.solvers import (
    Lstsq,
    LstsqDrop,
    LstsqL2,
    LstsqL2nz,
    LstsqNoise,
    NnlsL2,
    NoSolver,
    Solver,
)
from nengo.utils.least_squares_solvers import SVD, Cholesky, Conjgrad

import nengo_dl
from nengo_dl.building import decoder_cache, decoders, least_squares
from nengo_dl.building.builder import FastBuilder
from nengo_dl.building.izhikevich import BLOCK
from nengo_dl.building.rates import MIN_SIMULATED, N_CURRENTS, neuron_rates
from nengo_dl.support.garbage import rare_collections


def built(net, builder=None, **kwargs):
    model = Model(builder=builder, **kwargs)
    model.build(net)
    return model


def assert_same_model(model, expected):
    """All parameters and initial values; decoders to the rounding of linear algebra."""
    pairs = zip(model.params.items(), expected.params.items(), strict=True)
    for (obj, ours), (counterpart, theirs) in pairs:
        assert plain(obj) == plain(counterpart)
        assert isinstance(ours, type(theirs))
        for name in getattr(theirs, "_fields", ()):
            assert_same(getattr(ours, name), getattr(theirs, name))
    assert [type(op) for op in model.operators] == [
        type(op) for op in expected.operators
    ]
    for op, other in zip(model.operators, expected.operators, strict=True):
        for signal, counterpart in zip(op.all_signals, other.all_signals, strict=True):
            assert plain(signal.name) == plain(counterpart.name)
            assert_same(signal.initial_value, counterpart.initial_value)


def plain(name):
    """A name without addresses; the connections of probes are new ones each time."""
    return re.sub("0x[0-9a-f]+", "", str(name))


def assert_same(ours, theirs):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            if key != "time":
                assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list):
        for ours_item, theirs_item in zip(ours, theirs, strict=True):
            assert_same(ours_item, theirs_item)
    elif isinstance(theirs, np.ndarray) and theirs.dtype.kind == "f":
        assert ours.dtype == theirs.dtype
        size = np.abs(theirs).max(initial=0)
        # solving multiplies errors of rounding by up to the condition number
        tolerance = 1e4 * np.finfo(theirs.dtype).eps * size
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=tolerance)
    else:
        assert np.all(ours == theirs)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def single_precision():
    before = nengo.rc.get("precision", "bits")
    nengo.rc.set("precision", "bits", "32")
    yield
    nengo.rc.set("precision", "bits", before)


# -- rates

LIF_KINDS = [
    nengo.LIF(),
    nengo.LIFRate(tau_rc=0.05, tau_ref=0.001, amplitude=0.3),
    nengo.LIF(tau_ref=0),
    nengo.AdaptiveLIF(tau_n=0.1, inc_n=0.5),
    nengo.AdaptiveLIFRate(),
]


@pytest.mark.parametrize("neuron_type", LIF_KINDS, ids=repr)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (750, 33), (70, 1000), (3, 70_000)])
def test_rates_of_lif_neurons_are_nengos_to_the_last_bit(neuron_type, shape, rng):
    x = rng.uniform(-1.5, 1.5, shape)
    gain, bias = neuron_type.gain_bias(
        rng.uniform(100, 400, shape[1]), rng.uniform(-1, 0.9, shape[1])
    )
    rates = neuron_rates(neuron_type, x, gain, bias)
    np.testing.assert_array_equal(rates, neuron_type.rates(x, gain, bias))
    assert rates.dtype == float


def test_rates_of_lif_neurons_come_in_several_blocks():
    # so that the test above sees the borders between them
    assert 70 * 1000 > N_CURRENTS and 70_000 > N_CURRENTS


def test_rates_of_lif_neurons_at_the_threshold_and_beyond_all_bounds():
    above = np.nextafter(1, 2)
    x = np.array([[1.0], [above], [np.nextafter(1, 0)], [-np.inf], [np.nan], [1e308]])
    gain, bias = np.ones(1), np.zeros(1)
    rates = neuron_rates(nengo.LIF(), x, gain, bias)
    np.testing.assert_array_equal(rates, nengo.LIF().rates(x, gain, bias))
    assert rates[1] > 0
    assert not np.any(rates[[0, 2, 3, 4]])
    assert rates[5] == 500


def test_rates_take_inputs_in_single_precision():
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    gain, bias = np.full(3, 2, np.float32), np.ones(3, np.float32)
    rates = neuron_rates(nengo.LIF(), x, gain, bias)
    np.testing.assert_array_equal(rates, nengo.LIF().rates(x, gain, bias))


@pytest.mark.parametrize(
    "neuron_type",
    [
        nengo.Izhikevich(),
        nengo.Izhikevich(reset_voltage=-50, reset_recovery=2),
        nengo.Izhikevich(tau_recovery=0.1, coupling=0.26),
    ],
    ids=["regular", "chattering", "resonator"],
)
def test_rates_of_izhikevich_neurons_are_nengos_to_the_last_bit(neuron_type, rng):
    n_neurons = 43
    x = rng.uniform(-1.5, 1.5, (MIN_SIMULATED // n_neurons + 20, n_neurons))
    assert x.size > MIN_SIMULATED and x.size % BLOCK
    gain, bias = rng.uniform(5, 40, n_neurons), rng.uniform(-20, 20, n_neurons)
    rates = neuron_rates(neuron_type, x, gain, bias)
    expected = neuron_type.rates(x, gain, bias)
    np.testing.assert_array_equal(rates, expected)
    assert len(np.unique(expected)) > 20


@pytest.mark.parametrize("method", ["current", "rates", "step"])
def test_rates_of_a_type_that_overrides_a_method_are_its_own(method):
    calls = []

    def override(self, *args, **kwargs):
        calls.append(method)
        return getattr(nengo.Izhikevich, method)(self, *args, **kwargs)

    kind = type("Own", (nengo.Izhikevich,), {method: override})
    x = np.zeros((MIN_SIMULATED, 1))
    neuron_rates(kind(), x, np.ones(1), np.ones(1))
    assert calls


def test_rates_are_not_compiled_if_xla_is_not_wanted(monkeypatch, rng):
    compiled = []
    monkeypatch.setattr("nengo_dl.building.rates.count_spikes", compiled.append)
    x = rng.uniform(-1, 1, (MIN_SIMULATED, 1))
    gain, bias = np.full(1, 20.0), np.full(1, 5.0)
    rates = neuron_rates(nengo.Izhikevich(), x, gain, bias, compiled=False)
    assert compiled == []
    np.testing.assert_array_equal(rates, nengo.Izhikevich().rates(x, gain, bias))
    assert len(np.unique(rates)) > 5


# -- whole networks


def network(neuron_type=None, solver=None, **kwargs):
    """An ensemble that is decoded in many ways."""
    with nengo.Network(seed=3) as net:
        kwargs = {
            "neuron_type": neuron_type or nengo.LIF(),
            "n_eval_points": 150,
            **kwargs,
        }
        a = nengo.Ensemble(40, 3, radius=1.5, **kwargs)
        noise = nengo.processes.WhiteNoise(seed=1)
        b = nengo.Ensemble(30, 2, n_eval_points=100, noise=noise)
        args = {} if solver is None else {"solver": solver}
        nengo.Connection(a[:2], b, **args)
        nengo.Connection(a, b[0], function=lambda x: x[0] * x[1], **args)
        nengo.Connection(a, b, function=np.sin, transform=np.ones((2, 3)), **args)
        points = np.random.RandomState(0).uniform(-1, 1, (150, 3))
        nengo.Connection(a, b, eval_points=points, function=points[:, :2], **args)
        nengo.Connection(b, a[::2], eval_points=nengo.dists.Uniform(-1, 1), **args)
        nengo.Connection(b, b, scale_eval_points=False, learning_rule_type=nengo.PES())
        with nengo.Network():
            nengo.Connection(b, nengo.Node(size_in=2), seed=5, **args)
        nengo.Probe(a, synapse=0.01)
        nengo.Probe(a, **args)
    return net


def shared_ensemble():
    """An ensemble with many connections, of two solvers."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 2)
        for function in (None, np.sin, np.square):
            nengo.Connection(ens, nengo.Node(size_in=2), function=function)
        nengo.Connection(ens, nengo.Node(size_in=2), solver=LstsqL2(reg=0.5))
        nengo.Probe(ens)
    return net


SOLVERS = [
    LstsqL2(),
    LstsqL2(reg=0.01, weights=False, solver=Cholesky(transpose=True)),
    LstsqL2(solver=SVD()),
    LstsqL2(solver=Conjgrad(tol=1e-6)),
    LstsqL2nz(),
    LstsqL2nz(solver=Cholesky(transpose=False)),
    Lstsq(),
    LstsqNoise(solver=SVD()),
    LstsqDrop(),
    NnlsL2(),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_model_is_nengos_for_every_solver(solver):
    net = network(solver=solver)
    assert_same_model(built(net, FastBuilder()), built(net))


@pytest.mark.parametrize(
    "neuron_type",
    [
        *LIF_KINDS,
        nengo.RectifiedLinear(),
        nengo.SpikingRectifiedLinear(),
        nengo.Sigmoid(),
        nengo.PoissonSpiking(nengo.LIFRate()),
        nengo.Direct(),
        nengo_dl.SoftLIFRate(),
    ],
    ids=repr,
)
def test_model_is_nengos_for_every_neuron_type(neuron_type):
    net = network(neuron_type)
    if isinstance(neuron_type, nengo.Direct):
        net.connections.remove(net.connections[3])  # function points need neurons
    assert_same_model(built(net, FastBuilder()), built(net))


def test_model_is_nengos_with_weights_and_many_targets():
    with nengo.Network(seed=0) as net:
        encoders = nengo.dists.Gaussian(0, 1)
        a = nengo.Ensemble(200, 40, encoders=encoders, n_eval_points=250)
        b = nengo.Ensemble(20, 40)
        nengo.Connection(a, b, solver=LstsqL2(weights=True))
        nengo.Connection(a, b, transform=1, solver=NnlsL2(weights=True))
        nengo.Connection(a, b)
        nengo.Connection(a[0], b[0], solver=NoSolver(np.ones((200, 1))))
        nengo.Connection(a.neurons, b.neurons, transform=np.ones((20, 200)))
    assert 40 > least_squares.MAX_ALONE
    assert_same_model(built(net, FastBuilder()), built(net))


def test_model_is_nengos_with_fewer_points_than_neurons():
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(50, 1, n_eval_points=20)
        for solver in (LstsqL2(), LstsqL2nz()):
            nengo.Connection(a, nengo.Node(size_in=1), solver=solver)
    assert_same_model(built(net, FastBuilder()), built(net))


@pytest.mark.parametrize("solver", [LstsqL2(), LstsqL2nz()], ids=repr)
@pytest.mark.parametrize("n_points", [30, 300])
def test_many_neurons_are_solved_for_by_quarters(solver, n_points, monkeypatch):
    activities = np.random.RandomState(0).uniform(0, 200, size=(n_points, 101))
    targets = np.random.RandomState(1).uniform(-1, 1, size=(n_points, 2))
    whole, _ = solver(activities, targets)
    monkeypatch.setattr(least_squares, "MOST_ROWS", 13)
    factors = {}
    quarters, info = least_squares.solve(solver, activities, targets, factors)
    np.testing.assert_allclose(quarters, whole, rtol=1e-9, atol=1e-9 * whole.max())
    np.testing.assert_allclose(info["rmses"], solver(activities, targets)[1]["rmses"])
    (factor,) = factors.values()
    again, _ = least_squares.solve(solver, activities, targets, {**factors})
    assert len(factor) > 13
    np.testing.assert_array_equal(again, quarters)


@pytest.mark.usefixtures("single_precision")
def test_model_is_nengos_in_single_precision():
    net = network()
    model = built(net, FastBuilder())
    assert model.params[net.ensembles[0]].gain.dtype == np.float32
    assert_same_model(model, built(net))


def test_spikes_are_nengos_for_a_loop_of_izhikevich_and_adaptive_neurons():
    with nengo.Network(seed=1) as net:
        stimulus = nengo.Node(np.sin)
        a = nengo.Ensemble(30, 1, neuron_type=nengo.Izhikevich())
        b = nengo.Ensemble(30, 1, neuron_type=nengo.AdaptiveLIF())
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b)
        nengo.Connection(b, a, synapse=0.1)
        probes = [nengo.Probe(x.neurons) for x in (a, b)]
    with nengo.Simulator(net, optimize=False, progress_bar=False) as core:
        core.run(0.2)
    with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        assert isinstance(sim.model.builder, FastBuilder)
        sim.run(0.2)
    for probe in probes:
        assert np.any(core.data[probe])
        np.testing.assert_array_equal(sim.data[probe], core.data[probe])


# -- what is the user's


def test_functions_are_called_as_often_and_in_the_order_of_nengo():
    calls = []

    def function(x, name):
        calls.append((name, tuple(x)))
        return x

    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(10, 1, n_eval_points=5)
        b = nengo.Ensemble(10, 1, n_eval_points=5)
        for name, pre in enumerate((a, b, a)):
            nengo.Connection(
                pre,
                nengo.Node(size_in=1),
                function=lambda x, name=name: function(x, name),
            )
    calls.clear()
    built(net)
    expected = list(calls)
    calls.clear()
    built(net, FastBuilder())
    assert calls == expected
    assert len(calls) == 15


def test_a_solver_that_writes_into_its_arguments_spoils_no_other_connection():
    class Careless(Solver):
        def __call__(self, A, Y, rng=None):
            result = LstsqL2()(A, Y)
            A[:] = 0
            Y[:] = 0
            return result

    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1)
        for solver in (LstsqL2(), Careless(), Careless(), LstsqL2(reg=0.2), Lstsq()):
            nengo.Connection(ens, nengo.Node(size_in=1), solver=solver)
    assert_same_model(built(net, FastBuilder()), built(net))


def test_a_subclass_of_the_default_solver_is_called():
    class Halved(LstsqL2):
        def __call__(self, A, Y, rng=None):
            decoders, info = super().__call__(A, Y, rng=rng)
            return decoders / 2, {**info, "halved": True}

    class Method(Cholesky):
        def __call__(self, A, Y, sigma, rng=None):
            return np.ones((A.shape[1], Y.shape[1])), {"method": "mine"}

    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1)
        node = nengo.Node(size_in=1)
        halved = nengo.Connection(ens, node, solver=Halved())
        whole = nengo.Connection(ens, node)
        own = nengo.Connection(ens, node, solver=LstsqL2(solver=Method()))
    params = built(net, FastBuilder()).params
    assert params[halved].solver_info["halved"]
    np.testing.assert_allclose(params[halved].weights, params[whole].weights / 2)
    assert params[own].solver_info["method"] == "mine"


class Ones(Solver):
    def __call__(self, A, Y, rng=None):
        raise AssertionError("must not be called")


def test_a_build_function_that_the_user_registered_is_called():
    @Builder.register(Ones)
    def build_ones(model, solver, conn, rng):
        return None, np.ones((conn.size_mid, conn.pre_obj.n_neurons)), {"ones": True}

    try:
        with nengo.Network(seed=0) as net:
            ens = nengo.Ensemble(5, 1)
            conn = nengo.Connection(ens, nengo.Node(size_in=1), solver=Ones())
        params = built(net, FastBuilder()).params
    finally:
        del Builder.builders[Ones]
    assert params[conn].solver_info == {"ones": True}
    np.testing.assert_array_equal(params[conn].weights, np.ones((1, 5)))


def test_a_build_function_in_the_place_of_nengos_is_called(monkeypatch):
    solvers = []

    def build(model, solver, conn, rng):
        solvers.append(solver)
        return build_solver(model, solver, conn, rng)

    monkeypatch.setitem(Builder.builders, Solver, build)
    net = network()
    built(net, FastBuilder())
    assert len(solvers) == 9


def test_a_model_of_the_users_keeps_its_builder():
    net = network()
    model = Model()
    with nengo_dl.Simulator(net, model=model, progress_bar=False):
        assert type(model.builder) is Builder


def test_an_object_built_into_the_model_afterwards():
    net = network()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        model = sim.model
    first = net.connections[0]
    with nengo.Network(add_to_container=False):
        again = nengo.Connection(first.pre, first.post, seed=1)
    model.seeds[again], model.seeded[again] = 1, True
    model.build(again)
    assert_same(model.params[again].weights, model.params[first].weights)


def test_an_object_built_twice_is_nengos_warning():
    net = network()
    model = built(net, FastBuilder())
    with pytest.warns(UserWarning, match="already been built"):
        model.build(net.connections[0])


# -- errors


def test_rates_that_are_all_zero_are_nengos_error():
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1, gain=np.ones(5), bias=np.full(5, -9))
        nengo.Connection(ens, nengo.Node(size_in=1))
    with pytest.raises(BuildError, match="'activities' matrix is all zero"):
        built(net, FastBuilder())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # as in Nengo
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_nengos_error(value):
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(5, 1)
        nengo.Connection(ens, nengo.Node(size_in=1), function=lambda x: value)
    with pytest.raises(ValueError, match="must not contain infs or NaNs"):
        built(net, FastBuilder())


def test_rates_that_are_not_finite_are_nengos_error():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(5, 1, neuron_type=nengo.RectifiedLinear())
        ens.gain, ens.bias = np.full(5, np.inf), np.ones(5)
        nengo.Connection(ens, nengo.Node(size_in=1), eval_points=[[0.5], [1.0]])
    with pytest.raises(ValueError, match="must not contain infs or NaNs"):
        built(net, FastBuilder())


def test_a_function_without_result_is_an_error_with_the_point():
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1)
        conn = nengo.Connection(ens, nengo.Node(size_in=1), function=lambda x: x)
        conn.function_info.function.__code__ = (lambda x: None).__code__
    with pytest.raises(BuildError, match=r"returned None for the point \[.*1 numbers"):
        built(net, FastBuilder())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x[0], 2],
        lambda x: (x[:1], x[1:] * 3),
        lambda x: 0.5,
        lambda x: np.float32(x),
        np.cos,
    ],
    ids=["list", "tuple of arrays", "number", "single precision", "array"],
)
def test_functions_return_what_nengo_takes(function):
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 3, n_eval_points=20)
        node = nengo.Node(size_in=np.size(function(np.ones(2))))
        nengo.Connection(ens[1:], node, function=function)
    assert_same_model(built(net, FastBuilder()), built(net))


# -- cache of decoders


CACHES = [DecoderCache, decoder_cache.DecoderCache]


class Correlations(Solver):
    """Its decoders are products with the targets."""

    def __call__(self, A, Y, rng=None):
        return A.T @ Y / len(A), {"time": 0.0}


Fingerprint.whitelist(Correlations)


@pytest.mark.parametrize("ours", CACHES, ids=["nengo's", "ours"])
@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize(
    "solver", [LstsqL2(), Correlations()], ids=["nengo's", "a user's"]
)
def test_decoders_in_nengos_cache_are_found_by_either_builder(
    tmp_path, ours_first, ours, solver
):
    def build(builder, kind):
        cache = kind(cache_dir=tmp_path)
        model = built(net, builder, decoder_cache=cache)
        return model, cache.get_size_in_bytes()

    net = network(solver=solver)
    ways = [(FastBuilder(), ours), (None, DecoderCache)]
    first, size = build(*ways[not ours_first])
    second, same_size = build(*ways[ours_first])
    assert size > 0
    assert same_size == size
    for conn in net.all_connections:
        ours, theirs = first.params[conn], second.params[conn]
        np.testing.assert_array_equal(ours.weights, theirs.weights)
        # the time that the first one needed
        assert ours.solver_info["time"] == theirs.solver_info["time"]


def test_a_cache_that_may_not_be_written_to_is_read(tmp_path):
    net = network()
    for readonly, is_empty in [(True, True), (False, False), (True, False)]:
        cache = decoder_cache.DecoderCache(readonly, tmp_path)
        model = built(net, FastBuilder(), decoder_cache=cache)
        assert (cache.get_size_in_bytes() == 0) is is_empty
        assert_same_model(model, built(net))


def test_what_connections_of_an_ensemble_share_is_hashed_once(tmp_path, monkeypatch):
    hashed = count(monkeypatch, decoder_cache, "Fingerprint")
    net = shared_ensemble()
    for _ in range(2):
        cache = decoder_cache.DecoderCache(cache_dir=tmp_path)
        built(net, FastBuilder(), decoder_cache=cache)
        assert [obj for (obj,) in hashed] == [
            nengo.Connection.solver.default,
            nengo.LIF(),
            LstsqL2(reg=0.5),
        ]
        hashed.clear()


@pytest.mark.parametrize("enabled", ["True", "False"])
def test_simulators_use_the_cache_that_nengos_settings_name(
    tmp_path, monkeypatch, enabled
):
    settings = {"enabled": enabled, "path": str(tmp_path), "readonly": "False"}
    for name, value in settings.items():
        before = nengo.rc.get("decoder_cache", name)
        monkeypatch.setitem(nengo.rc["decoder_cache"], name, before)
        nengo.rc.set("decoder_cache", name, value)
    net = network()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        kept = isinstance(sim.model.decoder_cache, decoder_cache.DecoderCache)
    assert kept is (enabled == "True")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(files) is kept


# -- what is computed once


def count(monkeypatch, module, name):
    calls = []
    function = getattr(module, name)

    def counted(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    return calls


def test_rates_and_factors_are_computed_once_for_an_ensemble(monkeypatch):
    rates = count(monkeypatch, decoders, "neuron_rates")
    factors = count(monkeypatch, np.linalg, "cholesky")
    built(shared_ensemble(), FastBuilder())
    assert len(rates) == 1
    assert len(factors) == 2


def test_rates_are_computed_again_where_they_would_take_much_memory(monkeypatch):
    expected = built(network())
    rates = count(monkeypatch, decoders, "neuron_rates")
    monkeypatch.setattr(decoders, "MAX_KEPT", 0)
    net = network()
    model = built(net, FastBuilder())
    assert len(rates) == 9
    for ours, theirs in zip(model.operators, expected.operators, strict=True):
        for a, b in zip(ours.all_signals, theirs.all_signals, strict=True):
            assert_same(a.initial_value, b.initial_value)


def test_nothing_is_kept_after_the_last_connection_and_after_the_build():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(500, 1)
        for _ in range(2):
            nengo.Connection(ens, nengo.Node(size_in=1))
    solver = decoders.DecoderSolver(net)
    model = built(net)
    kept = []
    for conn in net.connections:
        solver.build(model, conn.solver, conn, np.random)
        kept.append(len(solver._kept))
    assert kept == [1, 0]
    assert solver._n_bytes == 0

    builder = FastBuilder()
    built(net, builder)
    assert len(pickle.dumps(builder)) < 1000


def test_build_functions_without_a_module_are_called(monkeypatch):
    class Rule(nengo.learning_rules.LearningRuleType):
        modifies, probeable = "weights", ()

    rules = []

    def build_rule(model, rule_type, rule):
        rules.append(rule_type)

    build_rule.__module__ = None  # as of code that was run by exec
    monkeypatch.setitem(Builder.builders, Rule, build_rule)
    rule = Rule(1e-3, size_in=0)
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(5, 1)
        nengo.Connection(a, a, solver=LstsqL2(weights=True), learning_rule_type=rule)
    built(net, builder=FastBuilder())
    assert rules == [rule]


# -- garbage


def test_garbage_is_collected_less_often_while_a_simulator_is_made():
    before = gc.get_threshold()
    during, fails = [], []

    def function(x):
        during.append(gc.get_threshold())
        if fails:
            raise RuntimeError("mine")
        return x

    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1)
        nengo.Connection(ens, nengo.Node(size_in=1), function=function)
    during.clear()
    with nengo_dl.Simulator(net, progress_bar=False):
        assert gc.get_threshold() == before
    assert all(now[0] > before[0] and now[2] > before[2] for now in during)
    assert during

    fails.append(True)
    with pytest.raises(RuntimeError, match="mine"):
        nengo_dl.Simulator(net, progress_bar=False)
    assert gc.get_threshold() == before


@pytest.mark.parametrize("thresholds", [(0, 5, 5), (100_000, 7, 2_000)])
def test_a_collector_that_is_off_or_rarer_stays_so(thresholds):
    before = gc.get_threshold()
    gc.set_threshold(*thresholds)
    try:
        with rare_collections():
            assert gc.get_threshold() == thresholds
        assert gc.get_threshold() == thresholds
    finally:
        gc.set_threshold(*before)
