"""evaluate and predict show spikes, or the rates that fit trains."""

import warnings

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl

N_ITEMS = 4
RATES = np.linspace(10, 200, N_ITEMS)


@pytest.fixture(scope="module")
def sim():
    """A neuron that fires at the rate of its input."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0])
        neuron = nengo.SpikingRectifiedLinear(
            initial_state={"voltage": nengo.dists.Choice([0])}
        )
        ens = nengo.Ensemble(1, 1, gain=[1], bias=[0], neuron_type=neuron)
        nengo.Connection(node, ens.neurons, synapse=None)
        nengo.Probe(ens.neurons)
    with nengo_dl.Simulator(net, minibatch_size=N_ITEMS, progress_bar=False) as sim:
        sim.compile("sgd", lambda y_true, y_pred: y_pred)
        yield sim


def shown(sim, method, n_steps, **kwargs):
    """Return the mean output of each item, or their mean, and what was said."""
    sim._get_training().trainer._single_steps._said.clear()
    x = np.repeat(RATES[:, None, None], n_steps, axis=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if method.startswith("predict"):
            (values,) = getattr(sim, method)(x, **kwargs).values()
            found = values.mean(axis=(1, 2))
        else:
            found = getattr(sim, method)(x, x, **kwargs)["loss"]
    return found, [str(w.message) for w in said]


METHODS = ["evaluate", "test_on_batch", "predict", "predict_on_batch"]


def expected(method, values):
    return values if method.startswith("predict") else values.mean()


@pytest.mark.parametrize("method", METHODS)
def test_data_of_one_step_shows_rates_and_the_message_names_the_method(sim, method):
    found, said = shown(sim, method, 1)
    np.testing.assert_allclose(found, expected(method, RATES), rtol=1e-6)
    (message,) = said
    assert message.startswith(f"The data has one time step, so {method} uses the rates")
    assert "Pass rates=False for spikes" in message and "validation" not in message


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_steps", [1, 5])
def test_rates_or_spikes_can_be_chosen(sim, method, n_steps):
    found, said = shown(sim, method, n_steps, rates=True)
    np.testing.assert_allclose(found, expected(method, RATES), rtol=1e-6)
    assert not said
    found, said = shown(sim, method, n_steps, rates=False)
    spikes = np.floor(RATES * 0.001 * n_steps + 1e-9) * 1000 / n_steps
    np.testing.assert_allclose(found, expected(method, spikes), rtol=1e-6)
    assert not said


def test_several_steps_show_spikes(sim):
    found, said = shown(sim, "predict", 5)
    assert set(found) == {0, 200} and not said


@pytest.mark.parametrize("method", ["evaluate", "predict"])
@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"rates": True, "stateful": True}, "in which neurons spike; leave one"),
        ({"rates": "yes"}, "rates: Must be"),
    ],
)
def test_wrong_choices_are_errors(sim, method, kwargs, message):
    with pytest.raises(ValidationError, match=message):
        shown(sim, method, 2, **kwargs)


def test_validation_of_fit_names_its_own_argument(sim):
    sim.compile(keras.optimizers.SGD(0.0), "mse")
    x = RATES[:, None, None]
    with pytest.warns(UserWarning, match="Pass validation_rates=False for spikes"):
        history = sim.fit(x, 0 * x, verbose=0, validation_data=(x, 0 * x)).history
    assert history["val_loss"] == pytest.approx(history["loss"], rel=1e-6)
