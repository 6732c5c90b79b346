"""Connections are built as Nengo builds them, of whatever kind they are."""

import nengo
import numpy as np
import pytest
from nengo.builder import Builder, Model
from nengo.dists import Gaussian, Uniform
from nengo.exceptions import BuildError
from nengo.solvers import LstsqL2, NnlsL2, NoSolver
from nengo.transforms import SparseMatrix

from nengo_dl.building import connections
from nengo_dl.building.builder import FastBuilder

from .test_building import assert_same, plain

IMAGE = nengo.transforms.ChannelShape((4, 4, 1))
KERNELS = nengo.Convolution(2, IMAGE, kernel_size=(3, 3))
SPARSE = nengo.Sparse((4, 3), indices=[(0, 1), (3, 2)], init=[1.5, -2])
RANDOM = nengo.Sparse((4, 3), indices=[(0, 1), (3, 2)], init=Uniform(-1, 1))
VOJA = nengo.Voja(post_synapse=None)


class Parts:
    """Objects to be connected."""

    def __init__(self):
        self.source = nengo.Node(np.arange(3.0))
        self.image = nengo.Node(size_in=16)
        self.sink = nengo.Node(size_in=4)
        self.kernels = nengo.Node(size_in=KERNELS.size_out)
        self.a = nengo.Ensemble(6, 3, radius=2, n_eval_points=50)
        self.b = nengo.Ensemble(5, 4, n_eval_points=50)
        self.direct = nengo.Ensemble(5, 3, neuron_type=nengo.Direct())


def connect(pre, post, **kwargs):
    """Return a function that makes a connection between parts."""
    return lambda p: nengo.Connection(pre(p), post(p), **kwargs)


def learn(p):
    conn = nengo.Connection(p.a, p.b[:3], learning_rule_type=nengo.PES())
    nengo.Connection(p.sink[:3], conn.learning_rule)


KINDS = {
    "default": connect(lambda p: p.a, lambda p: p.b[:3]),
    "node to ensemble": connect(lambda p: p.source, lambda p: p.a),
    "node to node": connect(lambda p: p.source[:2], lambda p: p.sink[1:3]),
    "no synapse": connect(lambda p: p.a, lambda p: p.sink[:3], synapse=None),
    "alpha": connect(lambda p: p.a, lambda p: p.a, synapse=nengo.Alpha(0.1)),
    "number": connect(lambda p: p.a, lambda p: p.a, transform=0.3),
    "vector": connect(lambda p: p.source, lambda p: p.a, transform=[1, 2, 3]),
    "matrix": connect(lambda p: p.a, lambda p: p.b, transform=np.ones((4, 3))),
    "drawn matrix": connect(lambda p: p.a, lambda p: p.b, transform=Uniform(-1, 1)),
    "drawn matrix and seed": connect(
        lambda p: p.source, lambda p: p.b, transform=Gaussian(0, 1), seed=8
    ),
    "function": connect(
        lambda p: p.a[1:], lambda p: p.b[0], function=lambda x: x[0] * x[1]
    ),
    "function and transform": connect(
        lambda p: p.a, lambda p: p.b, function=np.sin, transform=np.ones((4, 3))
    ),
    "function of a node": connect(
        lambda p: p.source[:2], lambda p: p.b[3], function=lambda x: x[0] - x[1]
    ),
    "function of a direct ensemble": connect(
        lambda p: p.direct, lambda p: p.b[1], function=lambda x: x[2]
    ),
    "to a direct ensemble": connect(lambda p: p.a, lambda p: p.direct),
    "function points": connect(
        lambda p: p.a,
        lambda p: p.b[2],
        eval_points=np.linspace(-1, 1, 150).reshape(50, 3),
        function=np.arange(50.0)[:, None],
    ),
    "strided slices": connect(lambda p: p.a[::2], lambda p: p.b[::-2]),
    "lists": connect(lambda p: p.a[[2, 0]], lambda p: p.b[[3, 1]]),
    "strides of a node": connect(lambda p: p.source[::-1], lambda p: p.sink[1:]),
    "list of a node": connect(lambda p: p.source[[2, 0]], lambda p: p.sink[[3, 1]]),
    "neurons to ensemble": connect(
        lambda p: p.a.neurons, lambda p: p.b, transform=np.ones((4, 6))
    ),
    "neurons to neurons": connect(
        lambda p: p.a.neurons, lambda p: p.b.neurons, transform=Uniform(0, 1)
    ),
    "part of neurons": connect(lambda p: p.a.neurons[:3], lambda p: p.b.neurons[1:4]),
    "list of neurons": connect(
        lambda p: p.a.neurons[[0, 2]], lambda p: p.b.neurons[[4, 1]]
    ),
    "neurons from the end": connect(
        lambda p: p.a.neurons[::-2], lambda p: p.b.neurons[::2]
    ),
    "ensemble to neurons": connect(lambda p: p.a, lambda p: p.b.neurons[:3]),
    "node to neurons": connect(lambda p: p.source, lambda p: p.b.neurons[2:]),
    "solver of weights": connect(
        lambda p: p.a, lambda p: p.b[:3], solver=LstsqL2(weights=True)
    ),
    "solver of whole weights": connect(
        lambda p: p.a, lambda p: p.b[:3], solver=NnlsL2(weights=True), transform=1
    ),
    "no solver": connect(
        lambda p: p.a, lambda p: p.b[:3], solver=NoSolver(np.ones((6, 3)))
    ),
    "no solver, no values": connect(lambda p: p.a, lambda p: p.a, solver=NoSolver()),
    "sparse": connect(lambda p: p.source, lambda p: p.sink, transform=SPARSE),
    "sparse drawn": connect(lambda p: p.source, lambda p: p.sink, transform=RANDOM),
    "convolution": connect(lambda p: p.image, lambda p: p.kernels, transform=KERNELS),
    "learning": learn,
    "voja": connect(lambda p: p.a, lambda p: p.b[:3], learning_rule_type=VOJA),
    "weights that learn": connect(
        lambda p: p.a.neurons,
        lambda p: p.b.neurons,
        transform=np.zeros((5, 6)),
        learning_rule_type={"first": nengo.BCM(), "second": nengo.Oja()},
    ),
    "probes": lambda p: (
        nengo.Probe(p.a, synapse=0.1),
        nengo.Probe(p.a[1:], solver=LstsqL2(reg=0.2)),
        nengo.Probe(p.a.neurons),
        nengo.Probe(p.sink, synapse=nengo.Alpha(0.2)),
    ),
}


def built(make, builder, seed=4):
    """Return a model of a network in which parts are connected."""
    with nengo.Network(seed=seed) as net:
        make(Parts())
    model = Model(builder=builder)
    model.build(net)
    return model


def described(signal):
    """What a signal is, apart from its values."""
    return (
        plain(signal.name),
        signal.shape,
        signal.dtype,
        signal.readonly,
        signal.offset,
        None if signal.base is signal else plain(signal.base.name),
    )


def values(signal):
    initial = signal.initial_value
    return initial.toarray() if isinstance(initial, SparseMatrix) else initial


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_connection_is_built_as_by_nengo(make):
    ours, theirs = built(make, FastBuilder()), built(make, Builder())
    for op, other in zip(ours.operators, theirs.operators, strict=True):
        assert type(op) is type(other)
        assert plain(op.tag) == plain(other.tag)
        for kind in ("sets", "incs", "reads", "updates"):
            pairs = zip(getattr(op, kind), getattr(other, kind), strict=True)
            for signal, counterpart in pairs:
                assert described(signal) == described(counterpart)
                assert_same(values(signal), values(counterpart))
    for (obj, found), (other, wanted) in zip(
        ours.sig.items(), theirs.sig.items(), strict=True
    ):
        assert plain(obj) == plain(other)
        assert list(found) == list(wanted)
        for key, signal in wanted.items():
            assert (found[key] is None) == (signal is None)
            if signal is not None:
                assert described(found[key]) == described(signal)
    for (obj, record), (other, wanted) in zip(
        ours.params.items(), theirs.params.items(), strict=True
    ):
        assert plain(obj) == plain(other)
        for name in set(getattr(wanted, "_fields", ())) - {"transform", "weights"}:
            assert_same(getattr(record, name), getattr(wanted, name))


@pytest.mark.parametrize("name", ["drawn matrix", "drawn matrix and seed", "matrix"])
@pytest.mark.parametrize("seed", [0, 1])
def test_drawn_weights_are_nengos_to_the_last_bit(name, seed):
    def weights(builder):
        model = built(KINDS[name], builder, seed)
        (conn,) = model.toplevel.connections
        return model.params[conn]

    ours, theirs = weights(FastBuilder()), weights(Builder())
    if theirs.solver_info is None:
        np.testing.assert_array_equal(ours.weights, theirs.weights)
    else:
        np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-9)
    assert not ours.weights.flags.writeable


def test_connections_are_not_left_to_nengo(monkeypatch):
    def fail(model, conn):
        raise AssertionError(f"Nengo's function was called for {conn}")

    monkeypatch.setattr(connections.nengos, "build_connection", fail)
    for name in ("default", "vector", "function of a node", "part of neurons"):
        built(KINDS[name], FastBuilder())
    with pytest.raises(AssertionError, match="Nengo's function"):
        built(KINDS["learning"], FastBuilder())


def test_weights_are_a_copy_of_the_users_matrix():
    matrix = np.ones((4, 3))
    with nengo.Network() as net:
        parts = Parts()
        conn = nengo.Connection(parts.source, parts.b, transform=matrix)
    model = Model(builder=FastBuilder())
    model.build(net)
    matrix[:] = 5
    assert (model.params[conn].weights == 1).all()


def test_streams_that_a_user_keeps_go_on_by_themselves():
    kept = []

    class Keeper(nengo.dists.Distribution):
        def sample(self, n, d=None, rng=np.random):
            kept.append(rng)
            return rng.uniform(size=(n, d))

    def make(parts):
        for _ in range(5):
            nengo.Connection(parts.source, parts.b, transform=Keeper())

    built(make, FastBuilder())
    ours = [rng.rand() for rng in kept]
    kept.clear()
    built(make, Builder())
    assert ours == [rng.rand() for rng in kept]
    assert len(set(ours)) == 5


@pytest.mark.filterwarnings("ignore:'Node.size_out' is being:UserWarning")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda net: net.nodes.clear(),
        lambda net: setattr(net.nodes[0], "output", None),
    ],
    ids=["not in the model", "without output"],
)
def test_errors_are_nengos(spoil):
    caught = []
    for builder in (FastBuilder(), Builder()):
        with nengo.Network(seed=0) as net:
            parts = Parts()
            nengo.Connection(parts.source, parts.a)
        spoil(net)
        model = Model(builder=builder)
        with pytest.raises(BuildError) as error:
            model.build(net)
        caught.append(plain(error.value))
    assert caught[0] == caught[1]


def test_a_transform_of_the_users_is_built_by_their_function(monkeypatch):
    class Own(nengo.Dense):
        pass

    seen = []

    def build_own(model, transform, sig_in, decoders=None, encoders=None, rng=None):
        seen.append((sig_in.size, rng.randint(1000)))
        return sig_in, None

    monkeypatch.setitem(Builder.builders, Own, build_own)
    make = connect(lambda p: p.source, lambda p: p.a, transform=Own((3, 3)))
    for builder in (FastBuilder(), Builder()):
        built(make, builder)
    assert seen[0] == seen[1]
    assert seen[0][0] == 3


def test_single_precision():
    before = nengo.rc.get("precision", "bits")
    nengo.rc.set("precision", "bits", "32")
    try:
        for name in ("default", "vector", "ensemble to neurons"):
            test_connection_is_built_as_by_nengo(KINDS[name])
            dtypes = {
                signal.dtype
                for op in built(KINDS[name], FastBuilder()).operators
                for signal in op.all_signals
                if signal.dtype.kind == "f"
            }
            assert dtypes == {np.dtype(np.float32)}
    finally:
        nengo.rc.set("precision", "bits", before)
