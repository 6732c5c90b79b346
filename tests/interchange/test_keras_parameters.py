"""Parameters of converted networks, loaded where neurons fire at other rates."""

import keras
import nengo
import numpy as np
import pytest
from keras import layers as L

import nengo_dl

X = np.random.RandomState(0).rand(4, 1, 5)
SPIKES = nengo.SpikingRectifiedLinear()


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


def outputs(made, load=None, save=None, **kwargs):
    """Return what a converted model computes with rates, and its gains and biases."""
    net = nengo_dl.Converter(made, **kwargs).net
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        if load is not None:
            sim.load_params(load)
        if save is not None:
            sim.save_params(save)
        (found,) = sim.predict(X, rates=True).values()
        return found, [(sim.data[e].gain, sim.data[e].bias) for e in net.ensembles]


@pytest.mark.parametrize(
    "neurons, rates",
    [
        (nengo.RectifiedLinear(), None),
        (SPIKES, 300),
        (SPIKES, {"first": 300, "second": 20}),
        (nengo.LIF(tau_ref=0), 500),
    ],
)
def test_parameters_of_other_rates_are_those_of_the_same_model(
    neurons, rates, tmp_path
):
    arguments = {
        "swap_activations": {"relu": neurons},
        "scale_firing_rates": rates,
    }
    outputs(model(0), save=tmp_path / "plain")
    expected, parameters = outputs(model(0), save=tmp_path / "scaled", **arguments)
    assert not np.allclose(outputs(model(1), **arguments)[0], expected)
    for file in ("plain", "scaled"):
        found, loaded = outputs(model(1), load=tmp_path / file, **arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        for one, other in zip(loaded, parameters, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


def test_parameters_of_scaled_rates_are_loaded_without_a_scale(tmp_path):
    expected, parameters = outputs(model(0))
    outputs(model(0), None, tmp_path / "scaled", scale_firing_rates=50)
    found, loaded = outputs(model(1), tmp_path / "scaled")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(loaded, parameters, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
