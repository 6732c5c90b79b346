"""Forms of arguments of training, and what is said about those that make no sense."""

import os
import signal

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl


def network():
    """Nodes ``a`` and ``b``, a probe of their weighted sum, and a probe of ``a``."""
    with nengo.Network(seed=0) as net:
        net.a = nengo.Node([0, 0], label="a")
        net.b = nengo.Node([0, 0], label="b")
        net.out = nengo.Node(size_in=1)
        net.conns = [
            nengo.Connection(node, net.out, transform=np.ones((1, 2)), synapse=None)
            for node in (net.a, net.b)
        ]
        net.sum = nengo.Probe(net.out, label="sum")
        net.same = nengo.Probe(net.a, label="same")
    return net


def simulator(net, minibatch_size=4, **kwargs):
    return nengo_dl.Simulator(
        net, minibatch_size=minibatch_size, progress_bar=False, **kwargs
    )


RNG = np.random.RandomState(0)
A, B = RNG.uniform(-1, 1, size=(2, 8, 3, 2))
Y = A @ [[1.0], [-2.0]] + B @ [[0.5], [0.0]]
INPUTS, TARGETS = {"a": A, "b": B}, {"sum": Y}


# -- data


def test_missing_inputs_keep_the_output_of_the_node():
    with simulator(network()) as sim:
        expected = np.mean((A.sum(-1, keepdims=True) - Y) ** 2)
        assert np.isclose(sim.loss({"a": A}, TARGETS), expected)


def dataset():
    pairs = ({"a": A, "b": B}, {"sum": Y})
    return tf.data.Dataset.from_tensor_slices(pairs).batch(4)


def generator():
    for start in (0, 4):
        rows = slice(start, start + 4)
        yield {"a": A[rows], "b": B[rows]}, {"sum": Y[rows]}


@pytest.mark.parametrize("source", [dataset(), generator], ids=["dataset", "generator"])
def test_sources_of_minibatches_give_dicts_by_label(source):
    losses = []
    for inputs, targets in ((INPUTS, TARGETS), (source, None)):
        net = network()
        with simulator(net) as sim:
            history = sim.train(
                inputs,
                targets,
                "sgd",
                n_epochs=2,
                objective={net.sum: "mse"},
                shuffle=False,
                validation=source,
            )
            losses.append([history.loss, history["val_loss"]])
    assert np.allclose(losses[0], losses[1])


def test_lengths_of_minibatches_from_a_source_may_differ():
    def minibatches():
        for n_steps in (3, 2):
            yield {"a": A[:4, :n_steps]}, {"sum": Y[:4, :n_steps]}

    net = network()
    with simulator(net) as sim:
        history = sim.train(minibatches, None, "sgd", objective={net.sum: "mse"})
        assert len(history.batch_losses) == 2


def test_number_of_steps_is_enough_where_no_input_is_given():
    with simulator(network()) as sim:
        assert np.isclose(sim.loss(3, TARGETS), np.mean(Y**2))


# -- metrics


@pytest.mark.parametrize(
    "metric",
    [
        "mean_absolute_error",
        "MeanAbsoluteError",
        keras.metrics.MeanAbsoluteError(),
        keras.losses.MeanAbsoluteError(),
        lambda output, target: tf.abs(output - target),
    ],
    ids=range(5),
)
def test_forms_of_one_metric_agree(metric):
    net = network()
    expected = np.mean(np.abs(A.sum(-1, keepdims=True) + B.sum(-1, keepdims=True) - Y))
    with simulator(net) as sim:
        optimizer = keras.optimizers.SGD(0.0)
        history = sim.train(
            INPUTS, TARGETS, optimizer, n_epochs=2, metrics={"mae": metric}
        )
        assert np.allclose(history["mae"], expected)


def test_metrics_of_several_probes_are_named_after_them():
    net = network()
    with simulator(net) as sim:
        history = sim.train(
            INPUTS,
            {"sum": Y, "same": A + 1},
            "sgd",
            metrics={"mae": {net.sum: "mae", net.same: "mae"}},
        )
    assert np.allclose(history["mae_same"], 1)
    assert set(history.history) == {"loss", "mae_sum", "mae_same"}


# -- arguments that make no sense


@pytest.mark.parametrize(
    "inputs, targets, message",
    [
        (
            A,
            TARGETS,
            "One array is enough only if there is one input node; there are 2",
        ),
        (INPUTS, Y, "One array is enough only if there is one probe; there are 2"),
        ({"a": A, "b": B[:, :2]}, TARGETS, r"same number of steps: .*2, 2\).*3, 2\)"),
        ({"a": A, "b": B[:4]}, TARGETS, r"number of items: .*\(4, 3, 2\).*\(8, 3, 2\)"),
        (INPUTS, {"sum": 1.0}, r"shape \(n_items, n_steps, ...\) \(got \(\)\)"),
        (INPUTS, {"sum": [[1], [1, 2]]}, "numbers, with all items and steps of one"),
        (dataset(), None, "several probes, pass a dict of {Probe: objective}"),
    ],
    ids=range(7),
)
def test_data_that_does_not_fit(inputs, targets, message):
    with simulator(network()) as sim, pytest.raises(ValidationError, match=message):
        sim.train(inputs, targets, "sgd")


BAD_ARGUMENTS = [
    (lambda n: {"objective": {(n.sum, n.same): "mse"}}, "one probe, not of a tuple"),
    (lambda n: {"objective": {(n.sum, n.same): None}}, "for each probe on its own"),
    (lambda n: {"objective": {n.same: "mse"}}, "target for .*, but no objective"),
    (
        lambda n: {"objective": {n.sum: "mse", n.same: "mse"}},
        "objective 'mse' of .* needs a target",
    ),
    (
        lambda n: {"objective": keras.metrics.MeanSquaredError()},
        "no useful gradient; pass it as one of the metrics",
    ),
    (lambda n: {"metrics": {"foo": "foo"}}, "'foo' is not known"),
    (lambda n: {"metrics": {"foo": {n.out: "mae"}}}, "not a probe"),
    (
        lambda n: {
            "targets": {"sum": Y, "same": A},
            "metrics": {"mae": "mae"},
        },
        "With several probes, 'mae' must be a dict of {Probe: function}",
    ),
    (
        lambda n: {
            "targets": {"sum": Y[:, -1]},
            "objective": lambda output, target: (output[:, -1] - target) ** 2,
            "truncation": 1,
        },
        r"targets of .* one value for each of the 3 time steps \(got shape \(8, 1\)\)",
    ),
    (lambda n: {"validation": (INPUTS, {})}, "There is no target for .*sum"),
    (lambda n: {"validation": 5}, r"pair of inputs and targets, .* \(got int\)"),
    (lambda n: {"truncation": 2.5}, "integer"),
    (lambda n: {"recompute": 0}, "at least 1"),
    (lambda n: {"optimizer": keras.optimizers.Adam}, "Must be a Keras optimizer"),
]


@pytest.mark.parametrize("number", range(len(BAD_ARGUMENTS)))
def test_arguments_that_do_not_fit(number):
    make, message = BAD_ARGUMENTS[number]
    net = network()
    arguments = {"inputs": INPUTS, "targets": TARGETS, "optimizer": "sgd", **make(net)}
    with simulator(net) as sim, pytest.raises(ValidationError, match=message):
        sim.train(**arguments)


def test_training_without_probes():
    with nengo.Network() as net:
        nengo.Ensemble(5, 1)
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="no probes, so it has no output"):
            sim.train(3, {}, "sgd")
        with pytest.raises(ValidationError, match="has no probes"):
            sim.check_gradients()


def test_outputs_of_gradients_must_be_probes_of_the_network():
    net = network()
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="is not a probe of the simulated"):
            sim.check_gradients([net.out])
        with pytest.raises(ValidationError, match="arrays or a number of steps"):
            sim.check_gradients(inputs=generator)


@pytest.mark.parametrize(
    "objective",
    [
        lambda output, target: tf.constant(1.0),
        lambda output, target: tf.stop_gradient(output),
        lambda output, target: tf.cast(tf.argmax(output, -1), tf.float32),
    ],
    ids=["constant", "stop_gradient", "argmax"],
)
def test_objective_without_gradient_raises_before_the_first_update(objective):
    net = network()
    with simulator(net) as sim:
        before = [variable.numpy() for variable in sim.trainable_variables]
        with pytest.raises(SimulationError, match=r"<lambda> of <Probe.*no gradient"):
            sim.train(INPUTS, TARGETS, "sgd", objective=objective)
        for variable, value in zip(sim.trainable_variables, before, strict=True):
            assert np.array_equal(variable.numpy(), value)


def test_one_of_several_objectives_without_gradient_is_named():
    net = network()
    with simulator(net) as sim, pytest.warns(UserWarning, match="same.*no gradient"):
        sim.train(
            INPUTS,
            TARGETS,
            "sgd",
            objective={net.sum: "mse", net.same: lambda output, target: 1.0},
        )


def test_ctrl_c_waits_for_the_end_of_the_minibatch(interruptible):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    net = network()
    optimizer = keras.optimizers.Adam(0.1)
    with simulator(net, minibatch_size=2) as sim:
        with pytest.raises(KeyboardInterrupt):
            sim.train(INPUTS, TARGETS, optimizer, callbacks=[Interrupt()])
        assert optimizer.iterations == 2
        shown = [sim.data[conn].weights.ravel() for conn in net.conns]
        held = np.concatenate([v.numpy().ravel() for v in sim.trainable_variables])
        assert np.array_equal(np.concatenate(shown), held)
        sim.train(INPUTS, TARGETS, optimizer)
        assert optimizer.iterations == 6


def test_nan_in_one_of_two_objectives_names_its_probe():
    net = network()
    targets = {"sum": Y, "same": A}
    objective = {
        net.sum: "mse",
        net.same: lambda output, target: tf.math.log(-tf.abs(output)),
    }
    with simulator(net) as sim:
        with pytest.raises(SimulationError, match=r"same.* is (nan|-?inf) in epoch 1"):
            sim.train(INPUTS, targets, "sgd", objective=objective)


# -- convergence


@pytest.mark.training
def test_spiking_autoencoder_reconstructs_its_input():
    """Eight patterns through a code of three dimensions; tested with spikes."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(lif_smoothing=0.1)
        net.config[nengo.Connection].synapse = 0.005
        net.config[nengo.Connection].transform = nengo_dl.dists.Glorot()
        net.config[nengo.Ensemble].neuron_type = nengo.LIF(amplitude=0.01)
        net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
        net.config[nengo.Ensemble].bias = nengo.dists.Choice([2])
        node = nengo.Node(np.zeros(8))
        encoder, decoder = nengo.Ensemble(60, 1), nengo.Ensemble(60, 1)
        code, out = nengo.Node(size_in=3), nengo.Node(size_in=8)
        nengo.Connection(node, encoder.neurons, synapse=None)
        nengo.Connection(encoder.neurons, code)
        nengo.Connection(code, decoder.neurons, synapse=None)
        nengo.Connection(decoder.neurons, out)
        probe = nengo.Probe(out)
    n_steps = 50
    patterns = np.repeat(np.eye(8)[:, None], n_steps, axis=1)
    targets = np.where(np.arange(n_steps)[:, None] < 40, np.nan, patterns)
    with simulator(net, minibatch_size=8) as sim:
        optimizer = keras.optimizers.Adam(0.03)
        history = sim.train({node: patterns}, {probe: targets}, optimizer, n_epochs=200)
        assert history.loss[-1] < 0.01 * history.loss[0]
        sim.run_steps(n_steps, input_feeds={node: patterns})
        found = sim.data[probe][:, 30:].mean(axis=1)
    assert np.array_equal(found.argmax(axis=1), np.arange(8))
