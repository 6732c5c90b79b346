"""Training and losses: forms of arguments, convergence, errors."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, SimulatorClosed, ValidationError

import nengo_dl
from nengo_dl.training import trained_parameters
from nengo_dl.training.data import is_still
from nengo_dl.training.data_forms import DataChecker

SIGMOID = nengo.Sigmoid(tau_ref=1)


def linear_network(n_steps_of_delay=0, size=2, bias=False):
    """A node, weights, and a probe: outputs are ``w @ x``."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node(np.zeros(size))
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(
            net.node, net.out, transform=np.ones((1, size)), synapse=None
        )
        net.probe = nengo.Probe(net.out)
    return net


def simulator(net, minibatch_size=4, **kwargs):
    return nengo_dl.Simulator(
        net, minibatch_size=minibatch_size, progress_bar=False, **kwargs
    )


def regression(n_items=16, n_steps=3, size=2, seed=0):
    """Inputs, and targets that weights (1, -2, ...) give."""
    rng = np.random.RandomState(seed)
    x = rng.uniform(-1, 1, size=(n_items, n_steps, size))
    y = x @ np.arange(1, size + 1) * np.array([1.0])
    return x, y[..., None]


def weights(sim, net):
    return np.array(sim.signals[sim.model.sig[net.conn]["weights"]])


# -- forms of data, optimizers, objectives


def test_mse_is_the_mean_of_squares():
    net = linear_network()
    x, y = regression()
    with simulator(net) as sim:
        expected = np.mean((x.sum(-1, keepdims=True) - y) ** 2)
        assert np.allclose(sim.loss({net.node: x}, {net.probe: y}), expected)


def test_one_gradient_step_is_that_of_the_formula():
    net = linear_network()
    x, y = regression(n_items=4)
    with simulator(net, dtype="float64") as sim:
        sim.train(x, y, tf.compat.v1.train.GradientDescentOptimizer(0.1))
        error = x.sum(-1, keepdims=True) - y
        gradient = 2 * np.mean(error * x, axis=(0, 1))
        assert np.allclose(weights(sim, net), 1 - 0.1 * gradient)


OPTIMIZERS = [
    lambda: "sgd",
    lambda: "Adam",
    lambda: keras.optimizers.Adam(0.1),
    lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.5, 100, 0.9), clipnorm=10.0
    ),
    lambda: tf.compat.v1.train.GradientDescentOptimizer(0.5),
    lambda: tf.compat.v1.train.MomentumOptimizer(0.1, 0.9),
    lambda: tf.compat.v1.train.AdamOptimizer(0.1),
    lambda: tf.compat.v1.train.RMSPropOptimizer(0.1),
]


@pytest.mark.parametrize("number", range(len(OPTIMIZERS)))
def test_optimizers_reduce_the_loss(number):
    net = linear_network()
    x, y = regression()
    with simulator(net) as sim:
        history = sim.train(x, y, OPTIMIZERS[number](), n_epochs=10)
        assert history.n_epochs == len(history.loss) == 10
        assert history.loss[-1] < history.loss[0]
        assert history.probe_losses[net.probe] == history.loss
        assert len(history.batch_losses) == 40


def test_names_and_objects_of_arrays_are_equivalent():
    x, y = regression()
    results = []
    for form in range(3):
        net = linear_network()
        net.node.label, net.probe.label = "in", "out"
        inputs = [x, {net.node: x}, {"in": x}][form]
        targets = [y, {net.probe: y}, {"out": y}][form]
        with simulator(net, seed=1) as sim:
            results.append(sim.train(inputs, targets, "sgd", n_epochs=2).loss)
    assert results[0] == results[1] == results[2]


def test_generators_and_datasets_give_minibatches():
    net = linear_network()
    x, y = regression()

    def minibatches():
        for i in range(0, 16, 4):
            yield x[i : i + 4], y[i : i + 4]

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    losses = []
    for inputs, targets in ((x, y), (minibatches, None), (dataset, None)):
        with simulator(net) as sim:
            history = sim.train(inputs, targets, "sgd", n_epochs=3, shuffle=False)
            losses.append(history.loss)
            assert np.allclose(sim.loss(inputs, targets), sim.loss(x, y))
    assert np.allclose(losses[0], losses[1]) and np.allclose(losses[0], losses[2])


def test_exhausted_generator_raises():
    net = linear_network()
    x, y = regression(4)
    with simulator(net) as sim, pytest.raises(ValidationError, match="again"):
        sim.train(iter([(x, y)]), None, "sgd", n_epochs=2)


@pytest.mark.parametrize(
    "objective",
    [
        "mse",
        nengo_dl.objectives.mse,
        "mean_squared_error",
        keras.losses.MeanSquaredError(),
        keras.losses.mean_squared_error,
        lambda output, target: (output - target) ** 2,
        lambda output, target: tf.reduce_mean((output - target) ** 2),
    ],
    ids=range(7),
)
def test_forms_of_one_objective_agree(objective):
    net = linear_network()
    x, y = regression()
    with simulator(net) as sim:
        expected = sim.loss(x, y)
        assert np.allclose(sim.loss(x, y, objective), expected)
        assert np.allclose(sim.loss(x, y, {net.probe: objective}), expected)


def test_keras_losses_get_the_target_first():
    net = linear_network()
    x, y = regression()
    outputs = x.sum(-1, keepdims=True)
    expected = np.mean(100 * np.abs((y - outputs) / y))
    with simulator(net) as sim:
        found = sim.loss(x, y, "mean_absolute_percentage_error")
        assert np.allclose(found, expected, rtol=1e-3)


def test_targets_that_are_nan_do_not_count():
    net = linear_network()
    x, y = regression(4)
    y[:, 1:] = np.nan
    with simulator(net, dtype="float64") as sim:
        error = (x.sum(-1, keepdims=True) - y)[:, :1]
        assert np.allclose(sim.loss(x, y), np.sum(error**2) / y.size)
        sim.train(x, y, tf.compat.v1.train.GradientDescentOptimizer(0.1))
        gradient = 2 * np.sum(error * x[:, :1], axis=(0, 1)) / y.size
        assert np.allclose(weights(sim, net), 1 - 0.1 * gradient)


def test_targets_can_be_output_gradients():
    net = linear_network()
    x, y = regression(4)
    with simulator(net, dtype="float64") as sim:
        optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)
        sim.train(x, y, optimizer, objective=None)
        gradient = np.sum(x * y, axis=(0, 1))
        assert np.allclose(weights(sim, net), 1 - 0.1 * gradient)


def two_probes():
    net = linear_network()
    with net:
        net.second = nengo.Probe(net.node)
    return net


def test_losses_of_probes_are_summed():
    net = two_probes()
    x, y = regression()
    with simulator(net) as sim:
        both = sim.loss({net.node: x}, {net.probe: y, net.second: x + 1})
        assert np.allclose(both, sim.loss({net.node: x}, {net.probe: y}) + 1)


def test_objective_of_several_probes():
    net = two_probes()
    x, y = regression()

    def difference(outputs, targets):
        assert len(outputs) == len(targets) == 2
        return tf.reduce_mean(outputs[0][..., 0] - outputs[1][..., 0])

    with simulator(net) as sim:
        loss = sim.loss(
            {net.node: x},
            {net.probe: y, net.second: x},
            {(net.probe, net.second): difference},
        )
        assert np.allclose(loss, np.mean(x.sum(-1) - x[..., 0]), atol=1e-6)


def test_objective_without_a_target():
    net = two_probes()
    x, y = regression()
    objective = {net.probe: "mse", net.second: lambda output, target: output**2}
    with simulator(net) as sim:
        loss = sim.loss({net.node: x}, {net.probe: y}, objective)
        expected = np.mean((x.sum(-1, keepdims=True) - y) ** 2) + np.mean(x**2)
        assert np.allclose(loss, expected)


def test_integer_targets_stay_integers():
    net = linear_network()
    with net:
        net.classes = nengo.Probe(net.node)
    x = np.eye(2)[[0, 1, 1, 0]][:, None] * 10.0
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with simulator(net) as sim:
        y = np.array([0, 1, 1, 0])[:, None, None]
        assert sim.loss({net.node: x}, {net.classes: y}, loss) < 1e-3
        assert sim.loss({net.node: x}, {net.classes: 1 - y}, loss) > 5


# -- epochs, minibatches, truncation


def test_each_epoch_has_an_order_of_its_own():
    net = linear_network(size=1)
    x = np.arange(16.0)[:, None, None]

    def sums(**kwargs):
        with simulator(net, seed=3) as sim:
            history = sim.train(
                x,
                x,
                keras.optimizers.SGD(0.0),
                objective=lambda output, target: tf.reduce_sum(output),
                **kwargs,
            )
            return np.reshape(history.batch_losses, (-1, 4))

    fixed = sums(n_epochs=2, shuffle=False)
    assert np.array_equal(fixed, [[6, 22, 38, 54]] * 2)
    shuffled = sums(n_epochs=2)
    assert not np.array_equal(shuffled[0], shuffled[1])
    assert np.array_equal(shuffled.sum(axis=1), [120, 120])
    assert np.array_equal(shuffled, sums(n_epochs=2))


def test_less_than_one_minibatch_cannot_be_trained():
    net = linear_network()
    x, y = regression(2)
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="fewer than one minibatch of 4"):
            sim.train(x, y, "sgd")


def test_last_partial_minibatch_is_left_out_with_a_warning():
    net = linear_network()
    x, y = regression(11)
    with simulator(net) as sim:
        with pytest.warns(UserWarning, match="last 3 of each epoch are left out") as w:
            history = sim.train(x, y, "sgd", shuffle=False)
        assert w[0].filename == __file__
        assert len(history.batch_losses) == 2


def filtered_network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0])
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(
            net.node, net.out, transform=np.ones((1, 1)), synapse=0.002
        )
        net.probe = nengo.Probe(net.out)
    return net


def test_truncation_carries_the_state():
    net = filtered_network()
    x = np.ones((4, 12, 1))
    losses = []
    for truncation in (None, 3, 5):
        with simulator(net, dtype="float64") as sim:
            history = sim.train(
                x,
                np.zeros_like(x),
                keras.optimizers.SGD(0.0),
                truncation=truncation,
                objective=lambda output, target: tf.reduce_sum(output),
            )
            losses.append(history.batch_losses)
    assert [len(found) for found in losses] == [1, 4, 3]
    assert np.allclose(sum(losses[1]), losses[0])
    assert np.allclose(sum(losses[2]), losses[0])


def test_recomputation_does_not_change_results():
    found = []
    for recompute in (None, 4, 5, 1, 20):
        with nengo.Network(seed=0) as net:
            node = nengo.Node([0])
            ens = nengo.Ensemble(10, 1, neuron_type=nengo.LIFRate())
            nengo.Connection(node, ens)
            nengo.Connection(ens, ens, synapse=0.01)
            probe = nengo.Probe(ens, synapse=0.01)
        x = np.random.RandomState(0).uniform(-1, 1, size=(4, 12, 1))
        with simulator(net, dtype="float64") as sim:
            sim.train(
                {node: x},
                {probe: x},
                tf.compat.v1.train.GradientDescentOptimizer(0.1),
                recompute=recompute,
            )
            found.append([v.numpy() for v in sim.trainable_variables])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert np.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_inputs_that_stay_the_same_are_noticed_and_give_the_same_result():
    found = []
    for wiggle in (0, 1e-12):
        net = filtered_network()
        x = np.ones((4, 5, 1)) * np.arange(4)[:, None, None]
        x[0, 0] += wiggle
        with simulator(net, dtype="float64") as sim:
            history = sim.train(x, x, keras.optimizers.SGD(0.1), n_epochs=2)
            found.append(history.loss)
    assert np.allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize("item", [0, 1499, 2999])
def test_one_item_that_moves_is_noticed(item):
    x = np.ones((3000, 50, 1))
    x[item, -1] = 2
    assert not is_still(x)
    assert is_still(np.ones((3000, 50, 1)))


def test_data_is_not_copied_as_a_whole():
    net = linear_network()
    x = np.random.RandomState(0).uniform(size=(4, 3, 2)).astype(np.float32)
    with simulator(net, dtype="float32"):
        checker = DataChecker({net.node: "signal"}, net.probes, np.dtype("f4"), 2)
        data = checker.read({net.node: x}, None)
    assert np.shares_memory(data.inputs["signal"], x)
    (first, _) = data.epoch(np.random.RandomState(0))
    order = np.random.RandomState(0).permutation(4)
    assert np.array_equal(first.inputs["signal"], np.moveaxis(x[order[:2]], 1, 0))


def test_networks_without_input_take_a_number_of_steps():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1, neuron_type=nengo.LIFRate())
        probe = nengo.Probe(ens.neurons)
    with simulator(net, minibatch_size=1) as sim:
        history = sim.train(5, {probe: np.zeros((1, 5, 10))}, "sgd", n_epochs=5)
        assert history.loss[-1] < history.loss[0]


# -- what training leaves alone, and what it changes


def noisy_network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0])
        net.noise = nengo.Node(nengo.processes.WhiteNoise())
        net.ens = nengo.Ensemble(20, 1)
        nengo.Connection(net.node, net.ens)
        nengo.Connection(net.noise, net.ens)
        net.probe = nengo.Probe(net.ens, synapse=0.01)
        net.spikes = nengo.Probe(net.ens.neurons)
    return net


@pytest.mark.parametrize("n_steps", [1, 20])
def test_state_data_and_random_streams_stay(n_steps):
    net = noisy_network()
    x = np.ones((8, 5, 1))
    results = []
    for trains in (False, True):
        with simulator(net, seed=0) as sim:
            sim.run_steps(n_steps)
            before = sim.data[net.probe].copy()
            if trains:
                sim.loss({net.node: x}, {net.probe: x})
                optimizer = keras.optimizers.SGD(0.0)
                sim.train({net.node: x}, {net.probe: x}, optimizer, n_epochs=2)
                assert sim.n_steps == n_steps
                assert np.array_equal(sim.data[net.probe], before)
            sim.run_steps(n_steps)
            results.append((sim.data[net.probe], sim.data[net.spikes]))
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_keras_that_would_train_copies_is_an_error(monkeypatch):
    class CopiedVariable(keras.Variable):
        """As in Keras before version 3.10."""

        def __init__(self, initializer, **kwargs):
            super().__init__(tf.convert_to_tensor(initializer), **kwargs)

    monkeypatch.setattr(trained_parameters.keras, "Variable", CopiedVariable)
    net = linear_network()
    x, y = regression()
    with simulator(net) as sim:
        with pytest.raises(SimulationError, match="would train copies"):
            sim.train(x, y, keras.optimizers.SGD(0.1), n_epochs=1)
        assert np.all(weights(sim, net) == 1)
        monkeypatch.undo()
        sim.train(x, y, keras.optimizers.SGD(0.1), n_epochs=1)
        assert np.all(weights(sim, net) != 1)


@pytest.mark.parametrize("n_steps", [1, 50])
def test_runs_use_trained_parameters(n_steps):
    net = linear_network()
    x, y = regression(n_steps=n_steps)
    with simulator(net) as sim:
        sim.run_steps(n_steps, input_feeds={net.node: x[:4]})
        sim.train(x, y, keras.optimizers.Adam(0.1), n_epochs=50)
        sim.soft_reset(include_probes=True)
        sim.run_steps(n_steps, input_feeds={net.node: x[:4]})
        assert np.allclose(sim.data[net.probe], y[:4], atol=1e-2)
        assert np.allclose(weights(sim, net), [[1, 2]], atol=1e-2)
        sim.soft_reset(include_trainable=True, include_probes=True)
        assert np.allclose(weights(sim, net), 1)


def test_loss_uses_spikes_and_training_rates():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0])
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(node, ens, synapse=None)
        probe = nengo.Probe(ens.neurons)
    x = np.full((4, 10, 1), 0.3)
    outputs = {}

    def objective(output, target):
        return tf.reduce_max(output)

    with simulator(net, minibatch_size=4) as sim:
        for training in (False, True):
            outputs[training] = sim.loss(
                {node: x}, {probe: np.zeros((4, 10, 10))}, objective, training=training
            )
    assert np.isclose(outputs[False], 1000)
    assert outputs[True] < 450


def test_optimizer_state_is_kept_between_calls():
    x, y = regression()
    found = []
    for calls in ((4,), (1, 3)):
        net = linear_network()
        optimizer = tf.compat.v1.train.AdamOptimizer(0.05)
        with simulator(net) as sim:
            for n_epochs in calls:
                sim.train(x, y, optimizer, n_epochs=n_epochs, shuffle=False)
            found.append(weights(sim, net))
    assert np.allclose(*found, rtol=1e-6)


def test_nothing_is_traced_again():
    net = linear_network()
    x, y = regression()
    n_traces = []

    def objective(output, target):
        n_traces.append(1)
        return (output - target) ** 2

    with simulator(net) as sim:
        optimizer = keras.optimizers.Adam(0.1)
        for _ in range(3):
            sim.train(x, y, optimizer, n_epochs=3, objective=objective)
    assert len(n_traces) == 1


def test_extra_feeds_hold_for_one_call():
    net = linear_network()
    x, y = regression()
    scale = tf.Variable(1.0)
    with simulator(net) as sim:

        def objective(output, target):
            return scale * tf.reduce_mean((output - target) ** 2)

        once = sim.loss(x, y, objective)
        twice = sim.loss(x, y, objective, extra_feeds={scale.ref(): 2.0})
        assert np.allclose(twice, 2 * once)
        assert scale.numpy() == 1


def test_validation_metrics_and_history(capsys):
    net = linear_network()
    x, y = regression()
    with simulator(net) as sim:
        history = sim.train(
            x,
            y,
            keras.optimizers.Adam(0.1),
            n_epochs=30,
            validation=regression(seed=1),
            metrics={"mae": "mean_absolute_error"},
        )
    assert set(history.history) == {"loss", "mae", "val_loss", "val_mae"}
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert "30 epochs" in repr(history) and "loss=" in repr(history)
    assert "val_mae" in str(history) and "..." in str(history)
    assert capsys.readouterr().out == ""


def test_keras_callbacks(tmp_path):
    net = linear_network()
    x, y = regression()
    calls = []

    class Recorder(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            calls.append((epoch, logs["loss"]))

    with simulator(net) as sim:
        history = sim.train(
            x,
            y,
            keras.optimizers.SGD(0.0),
            n_epochs=10,
            shuffle=False,
            callbacks=[
                Recorder(),
                keras.callbacks.EarlyStopping("loss", patience=2),
                keras.callbacks.LearningRateScheduler(lambda epoch: 0.0),
                keras.callbacks.TerminateOnNaN(),
            ],
        )
        assert history.n_epochs == 3
        assert [epoch for epoch, _ in calls] == [0, 1, 2]
        with pytest.raises(ValidationError, match="Keras callbacks"):
            sim.train(x, y, "sgd", callbacks=[lambda: None])


def test_early_stopping_restores_the_best_weights():
    net = linear_network()
    x, y = regression()
    with simulator(net) as sim:
        stopping = keras.callbacks.EarlyStopping(
            "loss", patience=1, restore_best_weights=True
        )
        # the learning rate is too high, so that the first epoch is the best
        history = sim.train(
            x, y, keras.optimizers.SGD(5.0), n_epochs=9, callbacks=stopping
        )
        assert history.n_epochs == 2
        assert np.allclose(weights(sim, net), sim.trainable_variables[0].numpy())


# -- convergence


@pytest.mark.training
@pytest.mark.parametrize("neuron_type", [SIGMOID, nengo.LIF()])
def test_xor(neuron_type):
    rate = isinstance(neuron_type, nengo.Sigmoid)
    with nengo.Network(seed=0) as net:
        net.config[nengo.Connection].synapse = None
        node = nengo.Node([0, 0])
        hidden = nengo.Ensemble(
            20, 1, neuron_type=neuron_type, gain=np.ones(20), bias=np.ones(20)
        )
        out = nengo.Node(size_in=1)
        scale = 1 if rate else 0.01
        nengo.Connection(node, hidden.neurons, transform=nengo.dists.Uniform(-2, 2))
        nengo.Connection(
            hidden.neurons, out, transform=nengo.dists.Uniform(-scale, scale)
        )
        probe = nengo.Probe(out)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])[:, None]
    y = np.array([0, 1, 1, 0.0])[:, None, None]
    with simulator(net) as sim:
        optimizer = keras.optimizers.Adam(0.05 if rate else 0.005)
        sim.train({node: x}, {probe: y}, optimizer, n_epochs=400)
        assert sim.loss({node: x}, {probe: y}, training=True) < 1e-3


@pytest.mark.training
def test_recurrent_integrator_over_100_steps():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0])
        ens = nengo.Ensemble(30, 1, neuron_type=nengo.LIFRate(), max_rates=[100] * 30)
        nengo.Connection(node, ens, synapse=0.01, transform=np.ones((1, 1)) * 0.5)
        nengo.Connection(ens, ens, synapse=0.01, transform=0.5)
        probe = nengo.Probe(ens, synapse=0.01)
    rng = np.random.RandomState(0)
    x = np.repeat(rng.uniform(-10, 10, size=(16, 5, 1)), 20, axis=1)
    y = np.cumsum(x, axis=1) * 0.001
    with simulator(net, minibatch_size=16) as sim:
        before = sim.loss({node: x}, {probe: y}, training=True)
        sim.train({node: x}, {probe: y}, keras.optimizers.Adam(1e-3), n_epochs=150)
        after = sim.loss({node: x}, {probe: y}, training=True)
        assert after < 0.1 * before


@pytest.mark.training
def test_learning_rule_and_training_side_by_side():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0])
        ens = nengo.Ensemble(20, 1, neuron_type=nengo.LIFRate())
        nengo.Connection(node, ens, synapse=None)
        learner = nengo.Node(size_in=1)
        conn = nengo.Connection(ens, learner, learning_rule_type=nengo.PES())
        nengo.Connection(learner, conn.learning_rule)
        out = nengo.Node(size_in=1)
        nengo.Connection(ens, out, synapse=None)
        probe = nengo.Probe(out, synapse=None)
        learned = nengo.Probe(learner, synapse=None)
    x = np.random.RandomState(0).uniform(-1, 1, size=(8, 10, 1))
    with simulator(net) as sim:
        net_weights = sim.signals[sim.model.sig[conn]["weights"]].copy()
        targets = {probe: x**2, learned: 0 * x}
        history = sim.train(
            {node: x}, targets, keras.optimizers.Adam(3e-4), n_epochs=100
        )
        losses = history.probe_losses[probe]
        assert losses[-1] < 0.5 * losses[0]
        found = sim.signals[sim.model.sig[conn]["weights"]]
        assert np.array_equal(found, net_weights)


@pytest.mark.training
@pytest.mark.parametrize("shape", ["fast_sigmoid", "arctan"])
def test_spiking_network_learns_with_surrogate_derivatives(shape):
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate=shape)
        net.config[nengo.Connection].synapse = None
        node = nengo.Node([0, 0])
        hidden = nengo.Ensemble(
            40, 1, neuron_type=nengo.LIF(amplitude=0.01), gain=[1] * 40, bias=[2] * 40
        )
        out = nengo.Node(size_in=1)
        nengo.Connection(node, hidden.neurons, transform=nengo.dists.Uniform(-3, 3))
        nengo.Connection(hidden.neurons, out, transform=nengo.dists.Uniform(-0.1, 0.1))
        probe = nengo.Probe(out, synapse=0.02)
    x = np.repeat([[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1.0]]], 40, axis=1)
    y = np.full((4, 40, 1), np.nan)
    y[:, 25:] = np.array([0, 1, 1, 0.0])[:, None, None]
    with simulator(net) as sim:
        before = sim.loss({node: x}, {probe: y})
        sim.train({node: x}, {probe: y}, keras.optimizers.Adam(0.02), n_epochs=200)
        # spikes in training, so training and simulation agree
        after = sim.loss({node: x}, {probe: y})
        assert np.allclose(after, sim.loss({node: x}, {probe: y}, training=True))
        assert after < 0.15 * before


# -- errors


@pytest.mark.parametrize("jit_compile", [None, False])
def test_nan_names_the_probe_and_keeps_parameters(jit_compile):
    net = linear_network()
    x, y = regression()
    x[9] = np.inf
    with simulator(net, jit_compile=jit_compile) as sim:
        optimizer = keras.optimizers.SGD(0.1)
        with pytest.raises(
            SimulationError, match=r"input of <Node.*is inf at item 9.*minibatch 3\)"
        ):
            sim.train(x, y, optimizer, shuffle=False)
        assert np.all(np.isfinite(weights(sim, net)))
        assert not np.allclose(weights(sim, net), 1)
        assert optimizer.iterations == 2


@pytest.mark.parametrize("jit_compile", [None, False])
def test_gradient_that_is_not_finite_is_named(jit_compile):
    net = linear_network()
    x, y = regression(4)

    def objective(output, target):
        return tf.sqrt(output - tf.stop_gradient(output))

    with simulator(net, jit_compile=jit_compile) as sim:
        # clips what is infinite, so that the update by itself would be finite
        optimizer = keras.optimizers.SGD(0.1, clipvalue=1.0)
        with pytest.raises(SimulationError, match="gradient of"):
            sim.train(np.abs(x), y, optimizer, objective=objective)
        assert np.all(weights(sim, net) == 1)
        assert optimizer.iterations == 0


@pytest.mark.parametrize("jit_compile", [None, False])
@pytest.mark.parametrize(
    "make", [keras.optimizers.Adam, tf.compat.v1.train.AdamOptimizer]
)
def test_update_that_is_not_finite_is_not_made(make, jit_compile):
    net = linear_network()
    x, y = regression(8)
    x[4:] *= 1e14  # the gradients fit into float32, their squares do not
    with simulator(net, jit_compile=jit_compile) as sim:
        optimizer = make(0.1)
        with pytest.raises(
            SimulationError, match=r"too large, in epoch 1, minibatch 2"
        ):
            sim.train(x, y, optimizer, shuffle=False)
        after_first = weights(sim, net).copy()
        assert np.all(np.isfinite(after_first))
        # the optimizer goes on as if the second minibatch had not been there
        sim.train(x[:4], y[:4], optimizer)
        after_second = weights(sim, net)
    with simulator(net, jit_compile=jit_compile) as sim:
        sim.train(x[:4], y[:4], make(0.1), n_epochs=2)
        assert np.allclose(weights(sim, net), after_second)
    assert not np.allclose(after_first, after_second)


@pytest.mark.parametrize("jit_compile", [None, False])
def test_update_of_large_numbers_is_made(jit_compile):
    with linear_network() as net:
        net.conn.transform = np.full((1, 2), 1e25)  # whose squares are not finite
    x, y = regression(4)
    with simulator(net, jit_compile=jit_compile) as sim:
        sim.train(x, y, keras.optimizers.SGD(0.5), objective=lambda o, t: o / 1e25)
        assert np.allclose(weights(sim, net), 1e25)
    small = linear_network()
    with simulator(small, jit_compile=jit_compile) as sim:
        sim.train(x, y, keras.optimizers.SGD(1e30), objective=lambda o, t: o / 1e5)
        expected = 1 - 1e25 * x.mean(axis=(0, 1))
        assert np.allclose(weights(sim, small), expected, rtol=1e-4)


@pytest.mark.parametrize("gain, bias", [(2.0, 0.0), (1.0, 0.5)])
def test_training_follows_gains_and_biases_that_are_loaded(gain, bias, tmp_path):
    def network(gain, bias):
        with nengo.Network(seed=0) as net:
            nengo_dl.configure_settings(trainable=None)
            net.config[nengo.Ensemble].trainable = False
            net.config[nengo.ensemble.Neurons].trainable = False
            node = nengo.Node(np.zeros(9))
            convolution = nengo.Convolution(
                2, (3, 3, 1), kernel_size=(2, 2), init=nengo.dists.Uniform(0, 1)
            )
            neurons = nengo.Ensemble(
                8,
                1,
                gain=np.full(8, gain),
                bias=np.full(8, bias),
                neuron_type=nengo.RectifiedLinear(),
            ).neurons
            nengo.Connection(node, neurons, transform=convolution, synapse=None)
            nengo.Probe(neurons)
        return net

    x, y = np.random.RandomState(0).uniform(size=(4, 1, 9)), np.zeros((4, 1, 8))
    path = str(tmp_path / "parameters")
    with simulator(network(gain, bias)) as sim:
        sim.save_params(path)
        expected = sim.train(x, y, keras.optimizers.SGD(0.1), n_epochs=2)
    with simulator(network(1.0, 0.0)) as sim:
        still = keras.optimizers.SGD(0.0)
        before = sim.train(x, y, still).batch_losses[0]  # compiles ones and zeros
        sim.load_params(path)
        after = sim.train(x, y, still).batch_losses[0]
        found = sim.train(x, y, keras.optimizers.SGD(0.1), n_epochs=2)
    assert before < 0.9 * after
    assert np.allclose([after, *found.loss[1:]], expected.loss, rtol=1e-5)


X, Y = regression()
BAD_DATA = [
    (lambda n: ({n.out: X}, Y), "not an input node"),
    (lambda n: ({n.node: X}, {n.node: Y}), "not a probe"),
    (lambda n: ({"foo": X}, Y), "'foo' is not an input node"),
    (lambda n: (X[:, 0], Y), r"\(n_items, n_steps, 2\) \(got \(16, 2\)\)"),
    (lambda n: (X[..., :1], Y), r"2\) \(got \(16, 3, 1\)\)"),
    (lambda n: (X, Y[:8]), r"\(8, 3, 1\).*\(16, 3, 2\)"),
    (lambda n: (X, Y[:, :2]), r"\(16, 3, 1\) \(got \(16, 2, 1\)\)"),
    (lambda n: (X, Y[..., 0]), r"\(16, 3, 1\) \(got \(16, 3\)\)"),
    (lambda n: (X[:0], Y[:0]), "no items"),
    (lambda n: (X[:, :0], Y[:, :0]), "no time steps"),
    (lambda n: (X.astype(str), Y), "real numbers"),
    (lambda n: (X, "foo"), "real numbers"),
    (lambda n: ({}, Y), "at least one node"),
    (lambda n: (0, Y), "at least 1 step"),
    (lambda n: (None, Y), "got NoneType"),
    (lambda n: ("foo", Y), "got str"),
    (lambda n: (iter([(X[:4], Y[:4])]), Y), "Must be None"),
    (lambda n: (iter([X[:4]]), None), "pairs"),
    (lambda n: (iter([(X[:5], Y[:5])]), None), "one minibatch of 4 items, or"),
    (lambda n: (X, {}), "nothing to minimize"),
]


@pytest.mark.parametrize("number", range(len(BAD_DATA)))
def test_bad_data(number):
    make, message = BAD_DATA[number]
    net = linear_network()
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=message):
            sim.train(*make(net), "sgd")
        with pytest.raises(ValidationError, match=message):
            sim.loss(*make(net))


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"optimizer": "foo"}, r"no optimizer 'foo'.*Adam"),
        ({"optimizer": 3}, "Keras optimizer"),
        ({"optimizer": None}, "Give an optimizer"),
        ({"objective": "foo"}, r"'foo' is not known.*mean_squared_error"),
        ({"objective": 3}, "Must be a name"),
        ({"n_epochs": 0}, "at least 1"),
        ({"n_epochs": 1.5}, "integer"),
        ({"n_epochs": True}, "integer"),
        ({"truncation": 0}, "at least 1"),
        ({"recompute": 1.5}, "integer"),
        ({"metrics": [1]}, "dict"),
        ({"validation": (X, Y[:, :1])}, r"\(16, 3, 1\) \(got \(16, 1, 1\)\)"),
        ({"extra_feeds": {"a": 1}}, "tf.Variable"),
    ],
)
def test_bad_arguments(kwargs, message):
    net = linear_network()
    arguments = {"inputs": X, "targets": Y, "optimizer": "sgd", **kwargs}
    with simulator(net) as sim, pytest.raises(ValidationError, match=message):
        sim.train(**arguments)


def test_objective_of_something_that_is_no_probe():
    net = linear_network()
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="not a probe"):
            sim.loss(X, Y, {net.node: "mse"})
        with pytest.raises(ValidationError, match="no objective"):
            sim.loss(X, Y, {})


@pytest.mark.parametrize(
    "objective, message",
    [
        (lambda output, target: "foo", "must return a number"),
        (lambda output, target: None, "must return a number"),
        (lambda output, target: 1 / 0, "division by zero"),
        (lambda output: output, "argument"),
        (lambda output, target: output @ target, r"\(4, 3, 1\)"),
    ],
    ids=range(5),
)
def test_bad_objectives(objective, message):
    net = linear_network()
    with simulator(net) as sim, pytest.raises(SimulationError, match=message):
        sim.train(X, Y, "sgd", objective=objective)


def test_optimizer_of_another_simulator():
    optimizer = keras.optimizers.Adam()
    with simulator(linear_network()) as sim:
        sim.train(X, Y, optimizer)
    with simulator(linear_network()) as sim:
        with pytest.raises(ValidationError, match="another simulator"):
            sim.train(X, Y, optimizer)


def test_nothing_to_train():
    with nengo.Network() as net:
        node = nengo.Node([0, 0])
        nengo.Probe(node)
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="no trainable parameters"):
            sim.train(X, X, "sgd")
        assert sim.loss(X, X) == 0


def python_network(bypass):
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0, 0])
        net.ens = nengo.Ensemble(10, 2, neuron_type=nengo.LIFRate(), label="ens")
        nengo.Connection(net.node, net.ens, synapse=None)
        middle = nengo.Node(lambda t, x: x[:1], size_in=2)
        nengo.Connection(net.ens, middle, synapse=None)
        out = nengo.Node(size_in=1)
        nengo.Connection(middle, out, synapse=None)
        if bypass:
            nengo.Connection(net.node, out, transform=np.ones((1, 2)), synapse=None)
        net.probe = nengo.Probe(out)
    return net


def test_paths_through_python_have_no_gradient():
    net = python_network(bypass=False)
    with simulator(net) as sim, pytest.raises(ValidationError, match="in Python"):
        sim.train(X, Y, "sgd")


def test_parameters_behind_python_are_named_once():
    net = python_network(bypass=True)
    with simulator(net) as sim:
        before = [v.numpy() for v in sim.trainable_variables]
        with pytest.warns(UserWarning, match="ens.*will not be trained") as record:
            history = sim.train(X, Y, keras.optimizers.SGD(0.1), n_epochs=5)
        assert len(record) == 1
        assert history.loss[-1] < history.loss[0]
        changed = [
            not np.array_equal(a, b.numpy())
            for a, b in zip(before, sim.trainable_variables, strict=True)
        ]
        assert sum(changed) == 1


def test_closed_simulator():
    net = linear_network()
    with simulator(net) as sim:
        pass
    for call in (
        lambda: sim.train(X, Y, "sgd"),
        lambda: sim.loss(X, Y),
        lambda: sim.check_gradients(),
    ):
        with pytest.raises(SimulatorClosed):
            call()


def test_interrupt_leaves_a_consistent_simulator():
    net = linear_network()
    optimizer = keras.optimizers.SGD(0.1)

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    with simulator(net) as sim:
        with pytest.raises(KeyboardInterrupt):
            sim.train(X, Y, optimizer, callbacks=[Interrupt()])
        assert optimizer.iterations == 2
        found = weights(sim, net)
        assert np.allclose(found.ravel(), sim.trainable_variables[0].numpy().ravel())
        sim.train(X, Y, optimizer)
        assert optimizer.iterations == 6
