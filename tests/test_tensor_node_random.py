"""Random numbers and checks of TensorFlow code in TensorNodes."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import NengoException

import nengo_dl


def network(function, shape_in=4):
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.linspace(1, 2, shape_in))
        net.node = nengo_dl.TensorNode(function, shape_in=shape_in, pass_time=False)
        nengo.Connection(net.inp, net.node, synapse=None)
        net.probe = nengo.Probe(net.node)
    return net


def run(sim, net, n_steps=5):
    sim.clear_probes()
    sim.run_steps(n_steps, progress_bar=False)
    return sim.data[net.probe].copy()


DRAWS = {
    "normal": lambda x: x + tf.random.normal(tf.shape(x)),
    "uniform": lambda x: x + tf.random.uniform(tf.shape(x)),
    "truncated": lambda x: x + tf.random.truncated_normal(tf.shape(x)),
    "seeded": lambda x: x + tf.random.normal(tf.shape(x), seed=5),
    "dropout": lambda x: tf.nn.dropout(x, 0.5) + tf.random.normal(tf.shape(x)),
    "integers": lambda x: (
        x + tf.cast(tf.random.uniform(tf.shape(x), 0, 2**20, tf.int32), x.dtype)
    ),
    "categorical": lambda x: tf.cast(
        tf.random.categorical(tf.zeros_like(x)[:, :1] + tf.zeros(2**16), 4), x.dtype
    ),
}
WITHOUT_XLA = {
    "gamma": lambda x: tf.transpose(tf.random.gamma((4,), x[:, 0])),
    "poisson": lambda x: tf.transpose(tf.random.poisson((4,), 1e9 * x[:, 0])),
    "shuffle": lambda x: (
        x + tf.cast(tf.random.shuffle(tf.range(2**16))[None, :4], x.dtype)
    ),
}


@pytest.mark.parametrize("kind", [*DRAWS, *WITHOUT_XLA])
@pytest.mark.parametrize("jit_compile", [True, None, False])
@pytest.mark.filterwarnings("ignore:The code of .* cannot be compiled by XLA")
def test_draws_obey_the_seed_of_the_simulator(kind, jit_compile):
    net = network({**DRAWS, **WITHOUT_XLA}[kind])

    def simulator(seed):
        return nengo_dl.Simulator(
            net, seed=seed, jit_compile=jit_compile, progress_bar=False
        )

    tf.random.set_seed(0)
    with simulator(1) as sim:
        first = run(sim, net)
        assert len(np.unique(first, axis=0)) == len(first)
        following = run(sim, net)
        sim.reset()
        np.testing.assert_array_equal(run(sim, net), first)
        sim.soft_reset()
        np.testing.assert_array_equal(run(sim, net), following)
    tf.random.set_seed(1)
    with simulator(2) as sim:
        assert not np.array_equal(run(sim, net), first)
        sim.reset(seed=1)
        np.testing.assert_array_equal(run(sim, net), first)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_draws_have_their_distributions(jit_compile):
    def function(x):
        # through a variable of the user's, and twice
        shape = tf.shape(x)
        return scale * tf.random.normal(shape) + tf.random.uniform(shape, 0, 10)

    scale = tf.Variable(3.0)
    net = network(function, shape_in=50)
    with nengo_dl.Simulator(
        net, minibatch_size=4, jit_compile=jit_compile, progress_bar=False
    ) as sim:
        found = run(sim, net, 100)
    assert len(np.unique(found)) > 0.99 * found.size
    assert found.mean() == pytest.approx(5, abs=0.2)
    assert found.var() == pytest.approx(9 + 100 / 12, rel=0.05)


def test_draws_pass_gradients_and_differ_between_minibatches():
    net = network(lambda x: x * tf.random.normal(tf.shape(x)), 50)
    with net:
        out = nengo.Node(size_in=1)
        conn = nengo.Connection(net.node, out, transform=np.ones((1, 50)), synapse=None)
        probe = nengo.Probe(out)
    x, y = {net.inp: np.ones((6, 2, 50))}, {probe: np.zeros((6, 2, 1))}

    def train(seed):
        with nengo_dl.Simulator(
            net, minibatch_size=2, seed=seed, progress_bar=False
        ) as sim:
            history = sim.train(x, y, "sgd", shuffle=False)
            return history.batch_losses, sim.data[conn].weights

    losses, weights = train(1)
    assert len(set(losses)) == 3 and not np.allclose(weights, 1)
    again, same = train(1)
    assert again == losses
    np.testing.assert_array_equal(same, weights)
    assert train(2)[0] != losses


def test_draws_in_inner_functions_are_a_warning():
    @tf.function
    def function(x):
        return x + tf.random.normal(tf.shape(x))

    net = network(function)
    with (
        pytest.warns(UserWarning, match=r"draws random numbers within a tf\.function"),
        nengo_dl.Simulator(net, progress_bar=False) as sim,
    ):
        found = run(sim, net)
    assert len(np.unique(found)) == found.size


# -- checks


def asserting(x):
    tf.debugging.Assert(tf.reduce_all(x < 1.5), [x])
    return x


def positive(x):
    tf.debugging.assert_less(x, tf.constant(1.5, x.dtype), message="too much")
    return x


def finite(x):
    return tf.debugging.check_numerics(tf.math.log(1.5 - x), "no logarithm")


FAILED = "failed: .{0,40}([Aa]ssert|too much|no log)"


@pytest.mark.parametrize("function", [asserting, positive, finite])
@pytest.mark.parametrize("jit_compile", [True, None])
def test_checks_of_values_raise(function, jit_compile):
    net = network(function)
    with (
        pytest.warns(UserWarning, match=r"checks values with tf\.debugging.*slower"),
        nengo_dl.Simulator(net, jit_compile=jit_compile, progress_bar=False) as sim,
    ):
        good = {net.inp: np.ones((1, 5, 4))}
        sim.run_steps(5, input_feeds=good)
        with pytest.raises(NengoException, match=FAILED):
            sim.run_steps(5)
        x = {net.inp: np.full((1, 1, 4), 2.0)}
        with pytest.raises(NengoException, match=FAILED):
            sim.loss(x, {net.probe: np.zeros((1, 1, 4))})
