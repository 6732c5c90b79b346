"""What is around a call: graphs, strategies, debugging; other libraries' words."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl


def network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0.5])
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(net.node, ens, synapse=None)
        net.probe = nengo.Probe(ens, label="shown")
    return net


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False, **kwargs)


X = np.ones((2, 5, 1))
CALLS = {
    "run": lambda sim, net: sim.run_steps(200),
    "train": lambda sim, net: sim.train(X, X, "sgd"),
    "compute a loss": lambda sim, net: sim.loss(X, X),
    "check gradients": lambda sim, net: sim.check_gradients(),
}
SCOPES = {
    "makes a graph": lambda: tf.Graph().as_default(),
    "strategy": lambda: tf.distribute.OneDeviceStrategy("/cpu:0").scope(),
}


@pytest.mark.parametrize("scope", SCOPES)
def test_graphs_and_strategies_are_said_to_be_in_the_way(scope):
    net = network()
    with SCOPES[scope](), pytest.raises(SimulationError, match=f"make a sim.*{scope}"):
        simulator(net)
    with simulator(net) as sim:
        for action, call in CALLS.items():
            match = f"Cannot {action} .*{scope}"
            with SCOPES[scope](), pytest.raises(SimulationError, match=match):
                call(sim, net)
        sim.run_steps(3)  # as ever


def test_functions_of_tensorflow_are_said_to_be_in_the_way():
    net = network()
    with simulator(net) as sim:

        @tf.function(autograph=False)
        def function():
            sim.run_steps(200)

        with pytest.raises(SimulationError, match=r"run while TensorFlow makes a gr"):
            function()


@pytest.fixture
def checked_numerics():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.parametrize("action", ["run", "train"])
def test_debugging_that_xla_cannot_compile_is_named(action, checked_numerics):
    net = network()
    with simulator(net, jit_compile=True) as sim:
        with pytest.raises(SimulationError, match=r"check_numerics.*jit_compile=False"):
            CALLS[action](sim, net)
    with simulator(net, jit_compile=False) as sim:
        CALLS[action](sim, net)


@pytest.mark.parametrize(
    "kwargs, hint",
    [
        ({"epochs": 3}, r"no argument 'epochs'; use n_epochs"),
        ({"batch_size": 3}, r"'batch_size'; use minibatch_size of the Simulator"),
        ({"data": X}, r"'data'; use inputs and targets"),
        ({"validation_data": (X, X)}, r"use validation"),
        ({"foo": 3}, r"no argument 'foo'; they are inputs, targets, optimizer,"),
    ],
)
def test_arguments_of_other_libraries_get_a_hint(kwargs, hint):
    with simulator(network()) as sim, pytest.raises(TypeError, match=hint):
        sim.train(X, X, "sgd", **kwargs)


def test_arguments_of_loss_get_a_hint():
    with simulator(network()) as sim, pytest.raises(TypeError, match="use objective"):
        sim.loss(X, X, loss="mse")


def test_callbacks_that_are_none_raise():
    with (
        simulator(network()) as sim,
        pytest.raises(ValidationError, match=r"callbacks: Must be .*\(got int\)"),
    ):
        sim.train(X, X, "sgd", callbacks=3)


@pytest.mark.parametrize(
    "outputs, message",
    [
        (tf.constant([1.0]), "not tensors: with TensorFlow 2"),
        ([tf.constant(1.0)], "not tensors: with TensorFlow 2"),
        (keras.Input((1,)), "not tensors: with TensorFlow 2"),
        (5, "5 is not a probe of the simulated network"),
        ("hidden", "'hidden' is not a probe of the simulated network"),
        ([], "no probes"),
    ],
)
def test_gradients_are_those_of_probes(outputs, message):
    with simulator(network()) as sim, pytest.raises(ValidationError, match=message):
        sim.check_gradients(outputs)


def test_gradients_of_a_label_are_those_of_its_probe():
    net = network()
    with simulator(net, dtype="float64") as sim:
        assert sim.check_gradients("shown") == sim.check_gradients(net.probe)


@pytest.mark.parametrize(
    "summary", [tf.constant(1.0), [tf.constant(1.0)], [keras.Input((1,))]]
)
def test_tensors_cannot_be_recorded(summary, tmp_path):
    with (
        simulator(network(), tensorboard=tmp_path) as sim,
        pytest.raises(ValidationError, match=r"never changes its value.*a variable"),
    ):
        sim.train(X, X, "sgd", summaries=summary)


def test_variables_are_recorded_after_each_update(tmp_path):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    number, several = tf.Variable(2.0, name="number"), tf.Variable([1.0, 2.0])
    net = network()
    with simulator(net, tensorboard=tmp_path) as sim:
        sim.train(X, X, "sgd", n_epochs=3, summaries=[number, several, number])
    (path,) = tmp_path.glob("**/events*")
    values = [
        (value.tag, event.step)
        for event in summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert [step for tag, step in values if tag == "number"] == [1, 2, 3]
    assert [step for tag, step in values if tag == "Variable"] == [1, 2, 3]


@pytest.mark.parametrize("slope", [0, -1, np.inf, np.nan, True, "steep"])
def test_slopes_of_surrogates_are_positive_numbers(slope):
    with pytest.raises(ValidationError, match="Must be a positive number"):
        nengo_dl.Surrogate("arctan", slope=slope)


def test_functions_of_surrogates_get_the_distance_itself():
    from nengo_dl.builders.neurons.surrogates import derivative

    x = tf.constant([-0.5, 0.25])
    surrogate = nengo_dl.Surrogate(lambda distance: 3 * distance)
    assert np.allclose(derivative(surrogate, x), [-1.5, 0.75])
    with pytest.raises(ValidationError, match="the distance from the threshold itself"):
        nengo_dl.Surrogate(tf.identity, slope=2)


def test_layers_of_mixed_precision_are_said_to_be_in_the_way():
    net = network()
    with simulator(net) as sim:

        class Trains(keras.layers.Layer):
            def call(self, x):
                sim.run_steps(2)
                sim.train(X, X, keras.optimizers.SGD(0.1))
                return x

        before = sim.get_nengo_params(net.all_connections)
        match = "Cannot train in the call of a Keras layer"
        with pytest.raises(SimulationError, match=match):
            Trains(dtype="mixed_bfloat16")(np.ones((1, 1), np.float32))
        for old, new in zip(
            before, sim.get_nengo_params(net.all_connections), strict=True
        ):
            np.testing.assert_equal(new, old)
        Trains(dtype="float32")(np.ones((1, 1), np.float32))
        assert sim.n_steps == 4
