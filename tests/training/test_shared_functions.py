"""Training functions that simulators share, and what is compiled again."""

import gc

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from nengo_dl.training.functions import TrainingFunctions
from tests.program.pooled import fresh_pool


@pytest.fixture
def pool():
    with fresh_pool() as pool:
        yield pool


def network(seed=0, size=10, neuron_type=None):
    with nengo.Network(seed=seed) as net:
        net.node = nengo.Node([0])
        ens = nengo.Ensemble(size, 1, neuron_type=neuron_type or nengo.LIFRate())
        nengo.Connection(net.node, ens, synapse=None)
        net.probe = nengo.Probe(ens)
    return net


def data(net, n_steps=3):
    x = np.linspace(-1, 1, 8 * n_steps).reshape(8, n_steps, 1)
    return {net.node: x}, {net.probe: x**2}


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False, **kwargs)


def train(net, optimizer="sgd", objective="mse", **kwargs):
    """Train; return the losses, and the decoders."""
    with simulator(net, jit_compile=True) as sim:
        history = sim.train(*data(net), optimizer, objective=objective, **kwargs)
        return history.batch_losses, np.array(sim.data[net.all_ensembles[0]].bias)


def test_simulators_of_equal_networks_share_training(pool):
    first, _ = train(network())
    second, _ = train(network())
    assert (pool.hits, pool.misses) == (1, 1)
    assert first == second


def test_shared_functions_train_their_own_parameters(pool):
    shared = [train(network(seed), n_epochs=3) for seed in range(3)]
    assert (pool.hits, pool.misses) == (2, 1)
    assert len({tuple(losses) for losses, _ in shared}) == 3
    for seed, (losses, _) in enumerate(shared):
        with fresh_pool() as own:
            assert train(network(seed), n_epochs=3)[0] == losses
            assert own.hits == 0


def test_reset_compiles_no_training_again(pool):
    net = network()
    with simulator(net) as sim:
        first = sim.train(*data(net), "adam", n_epochs=2).batch_losses
        sim.reset()
        second = sim.train(*data(net), "adam", n_epochs=2).batch_losses
    assert first == second
    assert pool.misses == 1


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: keras.optimizers.Adam(0.01), id="adam"),
        pytest.param(lambda: keras.optimizers.SGD(0.1, momentum=0.9), id="momentum"),
        pytest.param(lambda: keras.optimizers.RMSprop(clipnorm=1.0), id="clipnorm"),
    ],
)
def test_equal_optimizer_compiles_nothing(pool, make):
    net = network()
    with simulator(net) as sim:
        for _ in range(3):
            sim.train(*data(net), make())
    assert (pool.hits, pool.misses) == (0, 1)  # nor traces anything


def test_optimizers_of_other_settings_are_not_shared(pool):
    net = network()
    with simulator(net) as sim:
        sim.train(*data(net), keras.optimizers.Adam(beta_1=0.9))
        sim.train(*data(net), keras.optimizers.Adam(beta_1=0.8))
        sim.train(*data(net), keras.optimizers.SGD())
    assert (pool.hits, pool.misses) == (0, 3)


def test_equal_objective_compiles_nothing(pool):
    def make_objective(weight):
        return lambda output, target: weight * tf.reduce_mean((output - target) ** 2)

    net = network()
    with simulator(net) as sim:
        optimizer = keras.optimizers.SGD()
        for weight in (2.0, 2.0, 3.0):
            sim.train(*data(net), optimizer, objective=make_objective(weight))
    assert (pool.hits, pool.misses) == (1, 2)


@pytest.mark.parametrize(
    "objective",
    ["mse", "mae", keras.losses.MeanSquaredError(), None],
    ids=["mse", "mae", "loss object", "gradients"],
)
def test_objectives_are_shared_between_simulators(pool, objective):
    first, _ = train(network(), objective=objective)
    second, _ = train(network(seed=1), objective=objective)
    assert (pool.hits, pool.misses) == (1, 1)
    assert first != second


def test_functions_without_xla_are_shared(pool):
    net = network()
    with simulator(net, jit_compile=False) as sim:
        first = sim.train(*data(net), "adam", n_epochs=2).batch_losses
    net = network()
    with simulator(net, jit_compile=False) as sim:
        assert sim.train(*data(net), "adam", n_epochs=2).batch_losses == first
    assert (pool.hits, pool.misses) == (1, 1)


def test_metrics_of_a_shared_function_keep_their_names(pool):
    net = network()
    with simulator(net) as sim:
        for name in ("first", "second"):
            history = sim.train(
                *data(net), keras.optimizers.SGD(), metrics={name: "mae"}
            )
            assert len(history[name]) == 1
    assert (pool.hits, pool.misses) == (1, 1)


def test_close_gives_training_functions_back(pool):
    net = network()
    sim = simulator(net)
    sim.train(*data(net), "sgd")
    sim.loss(*data(net), objective="mse")
    assert pool.in_use == 2
    sim.close()
    assert (pool.count, pool.in_use) == (2, 0)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_trained_simulator_deleted_without_close_gives_its_programs_back(pool):
    net = network()
    sim = simulator(net)
    sim.train(*data(net), "sgd")
    assert pool.in_use == 1
    del sim
    gc.collect()
    assert pool.in_use == 0


@pytest.fixture
def traces(monkeypatch):
    """The training functions that were traced, one entry for each."""
    found = []
    make = TrainingFunctions._make_forward

    def counted(self, *args):
        forward = make(self, *args)

        def traced(*tensors):
            found.append(self)
            return forward(*tensors)

        return traced

    monkeypatch.setattr(TrainingFunctions, "_make_forward", counted)
    return found


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: keras.optimizers.Adam(0.01), id="adam"),
        pytest.param(lambda: keras.optimizers.Adam(clipnorm=1.0), id="clipnorm"),
        pytest.param(
            lambda: keras.optimizers.Muon(0.01),
            id="muon",
            marks=pytest.mark.skipif(
                tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13),
                reason="Keras cannot train with it",
            ),
        ),
    ],
)
def test_equal_training_is_found_without_tracing(pool, traces, make):
    found = [train(network(seed), make(), n_epochs=2)[0] for seed in range(3)]
    assert len(traces) == 1
    assert (pool.hits, pool.misses) == (2, 1)
    with fresh_pool():
        assert train(network(2), make(), n_epochs=2)[0] == found[2]


@pytest.mark.parametrize(
    "other",
    [
        {"objective": "mae"},
        {"metrics": {"error": "mae"}},
        {"optimizer": "adam"},
        {"truncation": 1},
        {"recompute": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_training_is_traced(pool, traces, other):
    train(network())
    train(network(), **other)
    assert len(traces) >= 2


@pytest.mark.parametrize(
    "build",
    [
        lambda: network(size=11),
        lambda: network(neuron_type=nengo.LIFRate(tau_ref=0.001)),
        lambda: network(neuron_type=nengo.LIF()),
    ],
    ids=["size", "tau_ref", "type"],
)
def test_training_of_other_networks_is_traced(pool, traces, build):
    train(network())
    train(build())
    assert len(traces) == 2
    assert pool.misses == 2


def test_smoothing_and_surrogates_are_part_of_the_signature(pool, traces):
    for settings in (
        {},
        {"lif_smoothing": 0.01},
        {"lif_smoothing": 0.02},
        {"surrogate": "arctan"},
        {"surrogate": nengo_dl.Surrogate("arctan", slope=2)},
    ):
        net = network(neuron_type=nengo.LIF())
        with net:
            nengo_dl.configure_settings(**settings)
        train(net)
    assert len(traces) == pool.misses == 5


def test_trained_parameters_are_part_of_the_signature(pool, traces):
    for trainable in (True, False):
        net = network()
        with net:
            nengo_dl.configure_settings(trainable=None)
        net.config[net.all_ensembles[0].neurons].trainable = trainable
        train(net)
    assert len(traces) == pool.misses == 2


def test_signed_training_has_the_graph_that_tracing_gives(pool):
    pool.checks = True
    for seed in range(2):
        train(network(seed), keras.optimizers.Adam(clipnorm=1.0))
    assert (pool.hits, pool.misses) == (1, 1)
