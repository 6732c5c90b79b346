"""State and random streams of Keras layers in TensorNodes, against Keras."""

import pickle

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl


def network(layer, shape_in, feedable=True):
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.ones(int(np.prod(shape_in))))
        net.node = nengo_dl.TensorNode(layer, shape_in=shape_in, pass_time=False)
        nengo.Connection(net.inp, net.node, synapse=None)
        net.probe = nengo.Probe(net.node)
    return net


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, progress_bar=False, **kwargs)


def run(sim, net, n_steps, x=None, single=False):
    """Data of some steps, shape (n_items, n_steps, size)."""
    sim.clear_probes()
    feeds = None if x is None else {net.inp: x.reshape(*x.shape[:2], -1)}
    if single:
        for n in range(n_steps):
            step = {k: v[:, n : n + 1] for k, v in (feeds or {}).items()}
            sim.run_steps(1, input_feeds=step, progress_bar=False)
    else:
        sim.run_steps(n_steps, input_feeds=feeds)
    found = sim.data[net.probe]
    return found if sim.minibatch_size else found[None]


@keras.saving.register_keras_serializable("tests")
class Sampling(keras.layers.Layer):
    """Adds noise, also outside of training."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.generator)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("tests")
class Counter(keras.layers.Layer):
    """Counts its calls, and adds the number to its input."""

    def __init__(self, trainable_count=False, dtype_of_count="int32", **kwargs):
        super().__init__(**kwargs)
        self.options = {
            "trainable_count": trainable_count,
            "dtype_of_count": dtype_of_count,
        }

    def build(self, shape):
        self.count = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype=self.options["dtype_of_count"],
            trainable=self.options["trainable_count"],
            name="count",
        )

    def call(self, x):
        self.count.assign(self.count + 1)
        return x + keras.ops.cast(self.count, x.dtype)

    def get_config(self):
        return {**super().get_config(), **self.options}


@keras.saving.register_keras_serializable("tests")
class AlwaysDropout(keras.layers.Dropout):
    """Dropout at any time, for uncertainty."""

    def call(self, x, training=False):
        return super().call(x, training=True)


def calls(layer, x, jit_compile):
    """Results of a Keras layer for one step after the other, (items, steps, size)."""
    call = tf.function(layer, jit_compile=jit_compile, autograph=False)
    layer(keras.KerasTensor((len(x), *x.shape[2:])))
    return np.stack(
        [call(tf.constant(step, tf.float32)) for step in x.swapaxes(0, 1)], axis=1
    )


# -- random generators


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("minibatch_size", [None, 3])
@pytest.mark.parametrize("kind", [Sampling, AlwaysDropout])
def test_seeded_layers_draw_as_in_keras(kind, minibatch_size, jit_compile):
    arguments = {"rate": 0.5} if kind is AlwaysDropout else {}
    net = network(kind(seed=3, **arguments), 4)
    x = np.random.RandomState(0).uniform(size=(minibatch_size or 1, 7, 4))
    expected = calls(kind(seed=3, **arguments), x, jit_compile)
    with simulator(net, minibatch_size=minibatch_size, jit_compile=jit_compile) as sim:
        first = run(sim, net, 4, x[:, :4])
        rest = run(sim, net, 3, x[:, 4:], single=True)
        found = np.concatenate([first, rest], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        sim.reset()
        np.testing.assert_array_equal(run(sim, net, 4, x[:, :4]), first)
        # a soft reset lets random streams go on
        sim.soft_reset()
        assert not np.any(np.isclose(run(sim, net, 4, x[:, :4]), first).all())


def test_dropout_that_is_always_on_has_the_variance_of_keras():
    net = network(AlwaysDropout(0.5), 50)
    with simulator(net, minibatch_size=4) as sim:
        found = run(sim, net, 50)
    layer = AlwaysDropout(0.5)
    expected = np.stack([layer(np.ones((4, 50))) for _ in range(50)])
    assert np.var(found) == pytest.approx(np.var(expected), rel=0.05)
    assert np.all(np.var(found, axis=1) > 0)


@pytest.mark.parametrize("source", ["layer", "global"])
def test_layers_without_a_seed_follow_that_of_the_simulator(source):
    class Global(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.uniform(keras.ops.shape(x))

    net = network(Sampling() if source == "layer" else Global(), 3)
    with simulator(net, seed=1) as sim:
        first = run(sim, net, 5)
        assert len(np.unique(first)) == first.size
        sim.reset()
        np.testing.assert_array_equal(run(sim, net, 5), first)
        sim.reset(seed=2)
        second = run(sim, net, 5)
    assert not np.any(first == second)
    with simulator(net, seed=2) as sim:
        np.testing.assert_array_equal(run(sim, net, 5), second)


def test_runs_without_memory_draw_anew():
    net = network(Sampling(seed=1), 3)
    with net:
        nengo_dl.configure_settings(stateful=False)
    with simulator(net) as sim:
        assert not np.any(run(sim, net, 5) == run(sim, net, 5))


# -- counters


@pytest.mark.parametrize(
    "arguments",
    [{}, {"dtype_of_count": "float32"}, {"trainable_count": True}],
)
@pytest.mark.parametrize("jit_compile", [True, False, None])
def test_counters_advance_as_in_keras(arguments, jit_compile):
    if "trainable_count" in arguments:
        arguments = {**arguments, "dtype_of_count": "float32"}
    net = network(Counter(**arguments), 1)
    expected = 1 + np.arange(1, 8)
    with simulator(net, jit_compile=jit_compile) as sim:
        np.testing.assert_array_equal(run(sim, net, 4).ravel(), expected[:4])
        single = run(sim, net, 3, single=True).ravel()
        np.testing.assert_array_equal(single, expected[4:])
        for reset in (sim.reset, sim.soft_reset):
            reset()
            np.testing.assert_array_equal(run(sim, net, 2).ravel(), expected[:2])
        assert sim.trainable_variables == []


def test_counters_of_runs_and_of_training_are_apart():
    layer = keras.Sequential([Counter(), keras.layers.Dense(1)])
    net = network(layer, 1)
    x, y = {net.inp: np.ones((8, 3, 1))}, {net.probe: np.zeros((8, 3, 1))}

    def trained(runs):
        with simulator(net, minibatch_size=2) as sim:
            losses = []
            if runs:
                first = run(sim, net, 4)
            for _ in range(2):
                if runs:
                    run(sim, net, 4)
                    loss = sim.loss(x, y)
                    assert sim.loss(x, y) == loss
                history = sim.train(x, y, keras.optimizers.SGD(1e-9), shuffle=False)
                losses += history.batch_losses
            if runs:
                sim.soft_reset()
                np.testing.assert_allclose(run(sim, net, 4), first, 1e-3)
            return losses

    losses = trained(runs=False)
    assert trained(runs=True) == losses
    # 24 calls: the number grows from minibatch to minibatch, as in Keras
    assert losses == sorted(losses) and losses[-1] > 10 * losses[0]


# -- recurrent layers with state

RECURRENT = [keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN]


def recurrent_pair(kind, n_items, bare):
    """A layer for a node, and one with the same weights for Keras alone."""
    keras.utils.set_random_seed(0)
    alone = keras.Sequential(
        [keras.Input(batch_shape=(n_items, 1, 2)), kind(3, stateful=True)]
    )
    if not bare:
        layer = keras.Sequential(
            [keras.Input(batch_shape=(7, 1, 2)), kind(3, stateful=True)]
        )
        layer.set_weights(
            [
                np.zeros((7, *w.shape[1:])) if len(w) == n_items != len(v) else w
                for w, v in zip(alone.get_weights(), layer.get_weights(), strict=True)
            ]
        )
        return layer, alone
    return kind(3, stateful=True), alone


@pytest.mark.parametrize("jit_compile", [True, None, False])
@pytest.mark.parametrize("minibatch_size", [None, 4])
@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("bare", [True, False])
def test_stateful_layers_are_those_of_keras(kind, bare, minibatch_size, jit_compile):
    n_items = minibatch_size or 1
    layer, alone = recurrent_pair(kind, n_items, bare)
    net = network(layer, (1, 2))
    x = np.random.RandomState(1).normal(size=(n_items, 6, 1, 2)).astype("float32")
    with simulator(net, minibatch_size=minibatch_size, jit_compile=jit_compile) as sim:
        weights = list(sim.data[net.node].weights.values())
        trained = [v for v in alone.trainable_variables]
        for variable, value in zip(trained, weights, strict=False):
            variable.assign(value)
        expected = np.stack([alone(step) for step in x.swapaxes(0, 1)], axis=1)
        first = run(sim, net, 4, x[:, :4])
        rest = run(sim, net, 2, x[:, 4:], single=True)
        np.testing.assert_allclose(
            np.concatenate([first, rest], axis=1), expected, rtol=1e-4, atol=1e-6
        )
        for reset in (sim.reset, sim.soft_reset):
            reset()
            found = run(sim, net, 4, x[:, :4])
            np.testing.assert_allclose(found, first, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", RECURRENT)
def test_stateful_layers_are_trained_through_time(kind):
    net = network(kind(3, stateful=True, kernel_initializer="glorot_uniform"), (1, 2))
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(8, 5, 2)), rng.normal(size=(8, 5, 3))
    alone = keras.Sequential(
        [keras.Input((5, 2)), kind(3, return_sequences=True, name="layer")]
    )
    with simulator(net, minibatch_size=4) as sim:
        weights = sim.data[net.node].weights
        for variable, value in zip(alone.weights, weights.values(), strict=False):
            variable.assign(value)
        alone.compile(keras.optimizers.SGD(0.1), "mse")
        expected = alone.fit(
            x, y, batch_size=4, epochs=2, shuffle=False, verbose=0
        ).history["loss"]
        history = sim.train(
            *({net.inp: x}, {net.probe: y}, keras.optimizers.SGD(0.1)),
            n_epochs=2,
            shuffle=False,
        )
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-4)
        weights = sim.data[net.node].weights
        for variable, value in zip(alone.weights, weights.values(), strict=False):
            np.testing.assert_allclose(value, variable.numpy(), rtol=1e-3, atol=1e-6)


def test_state_needs_layers_that_can_be_copied():
    class Own(keras.layers.Layer):
        def __init__(self, size):
            super().__init__()
            self.rnn = keras.layers.SimpleRNN(size, stateful=True)

        def call(self, x):
            return self.rnn(x)

    with pytest.raises(nengo.exceptions.ValidationError, match=r"axis for.*get_config"):
        network(Own(3), (1, 2))


# -- going on


def layers():
    return keras.Sequential(
        [
            keras.Input(batch_shape=(1, 1, 2)),
            keras.layers.LSTM(3, stateful=True),
            Sampling(),
            Counter(),
            keras.layers.Dense(2),
        ]
    )


@pytest.mark.parametrize("minibatch_size", [None, 2])
def test_all_state_is_saved_loaded_and_pickled(tmp_path, minibatch_size):
    net = network(layers(), (1, 2))
    with simulator(net, minibatch_size=minibatch_size, seed=5) as sim:
        run(sim, net, 3)
        path = sim.save_params(tmp_path / "state", include_local=True)
        copy = pickle.loads(pickle.dumps(sim))
        expected = run(sim, net, 4)
        sim.reset(seed=9)
        run(sim, net, 2)
        sim.load_params(path, include_local=True)
        np.testing.assert_array_equal(run(sim, net, 4), expected)
    other = network(layers(), (1, 2))
    with simulator(other, minibatch_size=minibatch_size) as sim:
        sim.load_params(path, include_local=True)
        np.testing.assert_array_equal(run(sim, other, 4), expected)
    (probe,) = copy.model.probes
    with copy:
        copy.run_steps(4)
        np.testing.assert_array_equal(
            copy.data[probe][..., -4:, :], expected if minibatch_size else expected[0]
        )


def test_training_goes_on_in_a_copy():
    net = network(keras.Sequential([Sampling(), keras.layers.Dense(2)]), 2)
    x, y = {net.inp: np.ones((4, 2, 2))}, {net.probe: np.zeros((4, 2, 2))}
    with simulator(net, minibatch_size=2) as sim:
        sim.train(x, y, "sgd")
        copy = pickle.loads(pickle.dumps(sim))
        expected = sim.train(x, y, "sgd").batch_losses
    node, probe = copy.model.toplevel.nodes[0], copy.model.probes[0]
    with copy:
        found = copy.train(
            {node: x[net.inp]}, {probe: y[net.probe]}, "sgd"
        ).batch_losses
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_core_runs_state_too():
    net = network(Counter(), 1)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(3)
    np.testing.assert_array_equal(sim.data[net.probe].ravel(), [2, 3, 4])
