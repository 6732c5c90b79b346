"""Arguments that were accepted silently, or gave raw errors; global random streams."""

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


@pytest.fixture
def net():
    with nengo.Network(seed=0) as net:
        net.ens = nengo.Ensemble(10, 1)
        net.probe = nengo.Probe(net.ens)
    return net


@pytest.mark.parametrize(
    "argument, value, message",
    [
        ("dt", True, "dt: Must be a number of seconds above 0"),
        ("dt", 1e300, r"dt: .*at most 1e\+09 \(got 1e\+300\)"),
        ("unroll_simulation", 10**9, "unroll_simulation: Must be at most 1000"),
        ("minibatch_size", 10**12, r"minibatch_size: 10+ items need about .* GiB"),
        ("tensorboard", "a\0b", "tensorboard: Must be the name of a folder"),
    ],
)
def test_impossible_arguments_are_refused(net, argument, value, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.Simulator(net, progress_bar=False, **{argument: value})


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda sim: sim.run(True), "time_in_seconds: Must be a positive number"),
        (lambda sim: sim.run(1e300), r"at most 1e\+12 time steps"),
        (lambda sim: sim.run_steps(10**18), "n_steps: Must be at most"),
        (lambda sim: sim.soft_reset("all"), "include_trainable: Must be True or"),
        (lambda sim: sim.soft_reset(False, 3), "include_probes: Must be True or"),
        (
            lambda sim: sim.load_params(sim.path, objects=3),
            "objects: Must be objects of the simulated network, or a dict",
        ),
    ],
)
def test_impossible_arguments_of_methods_are_refused(net, tmp_path, call, message):
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.path = sim.save_params(tmp_path / "params")
        with pytest.raises(ValidationError, match=message):
            call(sim)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "make",
    [
        lambda value: nengo_dl.SoftLIFRate(sigma=value),
        lambda value: nengo_dl.LeakyReLU(negative_slope=value),
        lambda value: nengo_dl.dists.TruncatedNormal(stddev=value),
    ],
)
def test_parameters_of_types_are_finite(make, value):
    with pytest.raises(ValidationError, match="Must be a finite number"):
        make(value)


def test_settings_are_finite_and_bounded():
    with pytest.raises(ValidationError, match="slope: Must be a positive number"):
        nengo_dl.Surrogate(slope=np.inf)
    with nengo.Network():
        with pytest.raises(ValidationError, match="from 1 to 1000"):
            nengo_dl.configure_settings(unroll_simulation=10**9)
        with pytest.raises(ValidationError, match="Must be a positive number, or None"):
            nengo_dl.configure_settings(lif_smoothing=np.inf)


def test_large_minibatches_that_fit_are_not_refused(net):
    with nengo_dl.Simulator(net, minibatch_size=2000, progress_bar=False) as sim:
        sim.run_steps(1)
    assert sim.data[net.probe].shape == (2000, 1, 1)


# -- the global random stream


def run_unseeded(simulator, **kwargs):
    np.random.seed(8)
    with nengo.Network() as net:
        noise = nengo.Node(nengo.processes.WhiteNoise())
        ens = nengo.Ensemble(20, 1, noise=nengo.processes.WhiteSignal(0.1, 100))
        nengo.Connection(noise, ens)
        probes = nengo.Probe(noise), nengo.Probe(ens.neurons)
    with simulator(net, progress_bar=False, **kwargs) as sim:
        sim.run_steps(50)
    return sim.seed, [sim.data[p] for p in probes], np.random.randint(2**31)


def test_draws_of_the_global_stream_are_those_of_core():
    seed, data, following = run_unseeded(nengo.Simulator, optimize=False)
    own_seed, own, own_following = run_unseeded(nengo_dl.Simulator, dtype="float64")
    assert (own_seed, own_following) == (seed, following)
    for found, expected in zip(own, data, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


# -- names that TensorFlow takes for scopes


def test_names_of_users_and_of_keras_reach_tensorboard(tmp_path):
    layers = [
        keras.layers.BatchNormalization(name="a-b_"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(1),
    ]

    class Größe(nengo.RectifiedLinear):
        pass

    with nengo.Network(label="net {0}", seed=0) as net:
        inp = nengo.Node([1, 2], label="in: 100 %/s")
        node = nengo_dl.TensorNode(
            keras.Sequential(layers), shape_in=2, pass_time=False, label="[x]"
        )
        ens = nengo.Ensemble(5, 1, label="\n?", neuron_type=Größe())
        nengo.Connection(inp, node, synapse=None, label="<->")
        nengo.Connection(node, ens, label="a/b c")
        probe = nengo.Probe(ens, label="*")
    with nengo_dl.Simulator(net, tensorboard=tmp_path, progress_bar=False) as sim:
        sim.run_steps(3)
        x, y = {inp: np.ones((2, 2, 2))}, {probe: np.zeros((2, 2, 1))}
        sim.train(x, y, "sgd", summaries=["loss", ens, node])
        for variable in sim.trainable_variables:
            assert variable.name.isascii() and "/" not in variable.name
    assert list(tmp_path.iterdir())
