"""Parameters of converted networks, used where neurons are others or fire faster."""

import itertools

import keras
import nengo
import numpy as np
import pytest
from keras import layers as L

import nengo_dl

# Nengo looks for the maximum rates of neurons that never fire
pytestmark = [
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Non-finite values:UserWarning"),
]

X = np.random.RandomState(0).rand(4, 1, 5)

#: Neurons and rates of converted networks: each is loaded from all of the others.
KINDS = {
    "rectifiers": {},
    "spikes": (nengo.SpikingRectifiedLinear(), None),
    "fast spikes": (nengo.SpikingRectifiedLinear(), 300),
    "layers": (nengo.SpikingRectifiedLinear(), {"first": 300, "second": 20}),
    "slow LIF": (nengo.LIF(tau_ref=0), None),
    "LIF": (nengo.LIF(tau_ref=0), 500),
    "LIF of gain 1": (nengo.LIF(tau_rc=0.02), 50),
    "one LIF layer": (nengo.LIF(), {"second": 200}),
    "LIF rates": (nengo.LIFRate(tau_ref=0.001), 100),
    "smooth LIF": (nengo_dl.SoftLIFRate(tau_rc=0.05), 100),
    "sigmoids": (nengo.Sigmoid(tau_ref=1), 50),
}


def model(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((5,), name="x"),
            *(
                L.Dense(6, "relu", bias_initializer="normal", name=name)
                for name in ("first", "second")
            ),
            L.Dense(2, name="answer"),
        ]
    )


def convert(seed, kind):
    arguments = {}
    if KINDS[kind]:
        neurons, rates = KINDS[kind]
        arguments = {
            "swap_activations": {"relu": neurons},
            "scale_firing_rates": rates,
        }
    return nengo_dl.Converter(model(seed), **arguments).net


def simulate(net, n_items=4):
    return nengo_dl.Simulator(net, minibatch_size=n_items, progress_bar=False)


def parameters(sim, net):
    return [
        *(
            array
            for e in net.ensembles
            for array in (sim.data[e].gain, sim.data[e].bias)
        ),
        *(sim.data[c].weights for c in net.connections),
    ]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return files of model 0, by kind of neurons, and what they are saved from."""
    folder, found = tmp_path_factory.mktemp("saved"), {}
    for kind in KINDS:
        net = convert(0, kind)
        with simulate(net) as sim:
            file = folder / kind.replace(" ", "_")
            sim.save_params(file)
            found[kind] = file, parameters(sim, net)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_each_kind_of_neurons_are_those_of_each_other(kind, saved):
    net = convert(1, kind)
    with simulate(net) as sim:
        before = parameters(sim, net)
        for file, _ in saved.values():
            sim.load_params(file)
            assert_equal(parameters(sim, net), saved[kind][1])
        assert not np.allclose(before[1], saved[kind][1][1])


def test_outputs_are_those_of_a_model_with_these_weights(saved):
    def outputs(seed, file=None):
        with simulate(convert(seed, "LIF")) as sim:
            if file is not None:
                sim.load_params(file)
            return next(iter(sim.predict(X, rates=True).values()))

    expected = outputs(0)
    found = outputs(1, saved["rectifiers"][0])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(outputs(1), expected)


def test_objects_are_loaded_under_other_names(saved):
    net = convert(1, "LIF")
    first, second = net.ensembles
    with simulate(net) as sim:
        sim.load_params(saved["spikes"][0], objects={second: "net.ensembles[0]"})
        np.testing.assert_allclose(
            sim.data[second].bias, saved["LIF"][1][1], rtol=1e-5, atol=1e-6
        )
        assert np.array_equal(sim.data[first].bias, first.bias)


def test_files_without_zero_bias_are_taken_for_rates_or_for_the_same_neurons(
    saved, tmp_path
):
    for kind in ("rectifiers", "LIF"):
        net = convert(0, kind)
        for ensemble in net.ensembles:
            net.config[ensemble].zero_bias = None
        with simulate(net) as sim:
            sim.save_params(tmp_path / kind)
        net = convert(1, "LIF")
        with simulate(net) as sim:
            report = sim.load_params(tmp_path / kind)
            assert_equal(parameters(sim, net), saved["LIF"][1])
        assert "net.ensembles[0].zero_bias" in report.skipped


def test_networks_without_the_setting_take_gains_and_biases_as_they_are(saved):
    net = convert(1, "rectifiers")
    for ensemble in net.ensembles:
        net.config[ensemble].zero_bias = None
        ensemble.neuron_type = nengo.LIF(tau_ref=0)
    with simulate(net) as sim:
        sim.load_params(saved["LIF"][0])
        assert_equal(parameters(sim, net), saved["LIF"][1])


@pytest.mark.parametrize("kind", ["fast spikes", "LIF"])
def test_new_objects_and_frozen_networks_have_the_loaded_parameters(kind, saved):
    net = convert(1, kind)
    with simulate(net) as sim:
        sim.load_params(saved["rectifiers"][0])
        arguments = sim.get_nengo_params(net.ensembles)
        sim.freeze_params(net)
    expected = saved[kind][1]
    for number, (given, frozen) in enumerate(zip(arguments, net.ensembles)):
        for found in (given, vars_of(frozen)):
            np.testing.assert_allclose(found["gain"], expected[2 * number])
            np.testing.assert_allclose(
                found["bias"], expected[2 * number + 1], rtol=1e-5, atol=1e-6
            )


def vars_of(ensemble):
    return {"gain": ensemble.gain, "bias": ensemble.bias}


@pytest.mark.parametrize(
    "kind, other", itertools.permutations(["rectifiers", "fast spikes", "LIF"], 2)
)
def test_weights_in_files_of_keras_are_those_of_other_neurons_too(
    kind, other, saved, tmp_path
):
    with simulate(convert(0, kind)) as sim:
        sim.keras_model.save_weights(tmp_path / "all.weights.h5")
    net = convert(1, other)
    with simulate(net) as sim:
        sim.keras_model.load_weights(tmp_path / "all.weights.h5")
        assert_equal(parameters(sim, net), saved[other][1])
