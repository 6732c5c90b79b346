"""Training of weights that a learning rule changes: their initial values."""

import pickle

import keras
import nengo
import numpy as np
import pytest

import nengo_dl

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*value with which it starts"),
    pytest.mark.filterwarnings("ignore:.Node.size_out. is being overwritten"),
]


def learning_network(rule=nengo.PES):
    """Decoded weights with PES (or encoders with Voja), set to be trainable."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=False)
        net.node = nengo.Node([0])
        net.error = nengo.Node([0])
        net.ens = nengo.Ensemble(10, 1, neuron_type=nengo.LIFRate())
        net.out = nengo.Node(size_in=1, label="out")
        into, rules = {}, {}
        if rule is nengo.Voja:
            into = {"learning_rule_type": nengo.Voja(post_synapse=None)}
            net.trained = net.ens
        else:
            rules = {"learning_rule_type": nengo.PES(1e-2, pre_synapse=None)}
        nengo.Connection(net.node, net.ens, synapse=None, **into)
        conn = nengo.Connection(net.ens, net.out, synapse=None, **rules)
        if rule is nengo.PES:
            nengo.Connection(net.error, conn.learning_rule, synapse=None)
            net.trained = conn
        net.config[net.trained].trainable = True
        net.probe = nengo.Probe(net.out)
    return net


def data(net):
    rng = np.random.RandomState(0)
    x, error = rng.uniform(-1, 1, size=(2, 4, 10, 1))
    return {net.node: x, net.error: 0.1 * error}, {net.probe: x**2}


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False, **kwargs)


def parameter(sim, net):
    record = sim.data[net.trained]
    found = record.weights if net.trained is not net.ens else record.scaled_encoders
    return np.array(found)


@pytest.mark.parametrize("rule", [nengo.PES, nengo.Voja])
def test_gradient_flows_through_learning_to_the_initial_value(rule):
    net = learning_network(rule)
    with simulator(net, dtype="float64") as sim:
        (variable,) = sim.trainable_variables
        assert variable.shape.num_elements() == 10
        inputs = {node: values[:2] for node, values in data(net)[0].items()}
        assert sim.check_gradients(inputs=inputs).n_entries == 10 + 2 * 2 * 10


def test_training_finds_initial_values_that_learning_then_changes():
    net = learning_network()
    inputs, targets = data(net)
    with simulator(net) as sim:
        built = sim.model.params[net.trained].weights
        sim.run_steps(5, input_feeds={n: v[:2, :5] for n, v in inputs.items()})
        optimizer = keras.optimizers.Adam(1e-3)
        history = sim.train(inputs, targets, optimizer, n_epochs=100)
        assert history.loss[-1] < 0.05 * history.loss[0]

        trained = parameter(sim, net)
        assert trained.shape == (2, 1, 10)  # the same for both items, and not as built
        assert np.array_equal(trained[0], trained[1])
        assert not np.allclose(trained[0], built, atol=1e-4)
        assert np.isclose(sim.loss(inputs, targets), history.loss[-1], rtol=0.2)

        feeds = {n: v[:2] for n, v in inputs.items()}
        sim.run_steps(10, input_feeds=feeds)
        assert not np.array_equal(parameter(sim, net), trained)
        sim.soft_reset()
        assert np.array_equal(parameter(sim, net), trained)
        sim.soft_reset(include_trainable=True)
        assert np.allclose(parameter(sim, net), built)


def test_without_an_update_what_was_learned_stays():
    net = learning_network()
    inputs, targets = data(net)
    with simulator(net) as sim:
        sim.run_steps(10, input_feeds={n: v[:2] for n, v in inputs.items()})
        learned = parameter(sim, net)
        assert not np.array_equal(learned[0], learned[1])
        sim.train(inputs, targets, keras.optimizers.SGD(0.0))
        assert np.array_equal(parameter(sim, net), learned)


def test_truncated_training_starts_from_the_trained_value_once():
    net = learning_network()
    inputs, targets = data(net)
    losses = []
    for truncation in (None, 5):
        with simulator(net, dtype="float64") as sim:
            optimizer = keras.optimizers.SGD(0.0)
            kwargs = {"truncation": truncation, "shuffle": False}
            losses.append(sim.train(inputs, targets, optimizer, **kwargs).loss)
    assert np.allclose(losses[0], losses[1])


def test_trained_initial_values_are_saved_loaded_and_pickled(tmp_path):
    net = learning_network()
    inputs, targets = data(net)
    with simulator(net) as sim:
        sim.train(inputs, targets, keras.optimizers.Adam(1e-3), n_epochs=5)
        trained = parameter(sim, net)
        path = sim.save_params(tmp_path / "trained")
        loss = sim.loss(inputs, targets)
        with pickle.loads(pickle.dumps(sim)) as copy:
            copy.soft_reset()
            (variable,) = copy.trainable_variables
            assert np.array_equal(variable.numpy().ravel(), trained[0].ravel())
        sim.reset()
        assert not np.isclose(sim.loss(inputs, targets), loss)
        sim.load_params(path)
        assert np.isclose(sim.loss(inputs, targets), loss)
        sim.soft_reset()
        assert np.array_equal(parameter(sim, net), trained)
