"""A simulator as a layer of a Keras model."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl

MINIBATCH, N_STEPS = 4, 5
RNG = np.random.RandomState(0)
X = RNG.uniform(-1, 1, size=(16, N_STEPS, 3)).astype(np.float32)
Y = np.abs(X).sum(axis=(1, 2), keepdims=True)[:, 0]


def network():
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        net.node = nengo.Node(np.zeros(2), label="x")
        net.ens = nengo.Ensemble(
            30, 2, neuron_type=nengo.LIF(), max_rates=nengo.dists.Choice([100])
        )
        nengo.Connection(net.node, net.ens.neurons, transform=np.ones((30, 2)))
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(
            net.ens.neurons, net.out, transform=np.full((1, 30), 1e-3), synapse=0.005
        )
        net.probe = nengo.Probe(net.out, label="y")
    return net


def around(sim):
    inputs = keras.Input(batch_shape=(MINIBATCH, N_STEPS, 3))
    hidden = keras.layers.TimeDistributed(keras.layers.Dense(2))(inputs)
    shown = sim.keras_model(hidden)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(shown))


@pytest.fixture
def sim():
    net = network()
    with nengo_dl.Simulator(net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
        sim.net = net
        yield sim


def test_layer_computes_what_the_simulator_predicts(sim):
    x = X[:MINIBATCH, :, :2]
    shown = sim.keras_model(tf.constant(x)).numpy()
    np.testing.assert_allclose(shown, sim.predict(x)[sim.net.probe], atol=1e-6)
    named = sim.keras_model({"x": tf.constant(x)}).numpy()
    np.testing.assert_array_equal(named, shown)


def test_model_around_a_simulator_trains_both(sim, recwarn):
    model = around(sim)
    before = sim.data[sim.net.conn].weights
    dense = model.layers[1].get_weights()[0]
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    losses = model.fit(X, Y, MINIBATCH, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    after = sim.data[sim.net.conn].weights
    assert not np.allclose(after, before)
    assert not np.allclose(model.layers[1].get_weights()[0], dense)
    # encoders, which nothing reads, are not among what Keras asks gradients of
    assert not [w for w in recwarn if "Gradients do not exist" in str(w.message)]
    # the simulation runs with what was trained around it
    sim.run_steps(20, input_feeds={sim.net.node: np.ones((MINIBATCH, 20, 2))})
    shown = sim.data[sim.net.probe]
    np.testing.assert_allclose(
        sim.predict(np.ones((MINIBATCH, 20, 2)))[sim.net.probe], shown, atol=1e-5
    )


def test_exported_models_compute_the_same(sim, tmp_path):
    model = around(sim)
    signature = [keras.InputSpec(shape=(MINIBATCH, N_STEPS, 3), dtype="float32")]
    model.export(tmp_path / "saved", input_signature=signature, verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    x = tf.constant(X[:MINIBATCH])
    np.testing.assert_allclose(loaded.serve(x), model(x), atol=1e-6)


def test_models_are_exported_without_a_signature(sim, tmp_path):
    model = around(sim)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    x = tf.constant(X[:MINIBATCH])
    np.testing.assert_allclose(loaded.serve(x), model(x), atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"[Ss]hape"):
        loaded.serve(x[1:])


def test_models_around_a_simulator_are_not_saved(sim, tmp_path):
    with pytest.raises(ValidationError, match="Cannot save a Nengo network"):
        around(sim).save(tmp_path / "x.keras")


def test_inputs_of_another_shape_are_refused(sim):
    for shape in ((None, N_STEPS, 2), (MINIBATCH, N_STEPS, 3), (MINIBATCH, None, 2)):
        with pytest.raises(ValidationError, match="must have shape"):
            sim.keras_model(keras.Input(batch_shape=shape))
    with pytest.raises(ValidationError, match="'nothing' is no node"):
        sim.keras_model({"nothing": tf.zeros((MINIBATCH, N_STEPS, 2))})
    two = [tf.zeros((MINIBATCH, N_STEPS, 2))] * 2
    with pytest.raises(ValidationError, match="There are 2 inputs"):
        sim.keras_model(two)


def test_networks_that_call_python_are_refused():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0.0])
        called = nengo.Node(lambda t, x: x, size_in=1)
        nengo.Connection(node, called, synapse=None, transform=1.0)
        nengo.Probe(called)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(ValidationError, match="calls Python in each time step"):
            sim.keras_model(tf.zeros((1, 3, 1)))
