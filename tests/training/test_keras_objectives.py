"""Which losses and metrics of compile are measured, and with which targets."""

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl

X = np.random.RandomState(0).uniform(-1, 1, size=(6, 1, 3))
Y, Z = X[..., :2] ** 2, X[..., :1] + 1
LOSS_OF_Y = {"loss": {"y": "mse"}}


@pytest.fixture(scope="module")
def sim():
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(3), label="x")
        for name, size in (("y", 2), ("z", 1)):
            out = nengo.Node(size_in=size)
            nengo.Connection(node, out, transform=np.ones((size, 3)), synapse=None)
            nengo.Probe(out, label=name)
    with nengo_dl.Simulator(
        net, minibatch_size=2, dtype="float64", progress_bar=False
    ) as sim:
        yield sim


def keras_model():
    x = keras.Input((1, 3), name="x")
    outputs = {
        name: keras.layers.Dense(
            size, use_bias=False, kernel_initializer="ones", dtype="float64", name=name
        )(x)
        for name, size in (("y", 2), ("z", 1))
    }
    return keras.Model(x, outputs)


@pytest.mark.parametrize(
    "compiled",
    [
        LOSS_OF_Y | {"metrics": {"z": ["mae"]}},
        LOSS_OF_Y | {"metrics": {"y": "mae", "z": ["mae", "mse"]}},
        {"loss": {"y": "mse", "z": None}, "weighted_metrics": {"z": ["mae"]}},
        LOSS_OF_Y,  # nothing looks at the target of z
    ],
)
def test_metrics_of_probes_without_a_loss_are_those_of_keras(sim, compiled):
    model = keras_model()
    model.compile("sgd", **compiled)
    targets, weights = {"y": Y, "z": Z}, np.arange(1.0, 7)
    expected = model.evaluate(
        X, targets, 2, sample_weight=weights, verbose=0, return_dict=True
    )
    sim.compile(keras.optimizers.SGD(0.0), **compiled)
    found = sim.evaluate(X, targets, sample_weight=weights)
    assert found == pytest.approx(expected, rel=1e-6)
    history = sim.fit(
        X,
        targets,
        sample_weight=weights,
        validation_data=(X, targets, weights),
        verbose=0,
    ).history
    for name, value in expected.items():
        assert history[name] == history[f"val_{name}"] == pytest.approx([value])


def test_one_loss_and_one_list_of_metrics_are_for_the_probes_with_targets(sim):
    sim.compile("sgd", "mse", metrics=["mae"])
    assert set(sim.evaluate(X, {"y": Y})) == {"loss", "y_loss", "y_mae"}
    both = sim.evaluate(X, {"y": Y, "z": Z})
    assert set(both) == {"loss", "y_loss", "z_loss", "y_mae", "z_mae"}
    sim.compile("sgd", LOSS_OF_Y["loss"], metrics=["mae"])
    assert set(sim.evaluate(X, {"y": Y})) == {"loss", "y_mae"}
    assert set(sim.evaluate(X, {"y": Y, "z": Z})) == {"loss", "y_mae", "z_mae"}
    without_target = {"y": "mse", "z": nengo_dl.losses.Regularize()}
    sim.compile("sgd", without_target, metrics=["mae"])
    assert set(sim.evaluate(X, {"y": Y})) == {"loss", "y_loss", "z_loss", "y_mae"}


@pytest.mark.parametrize(
    "compiled, targets, message",
    [
        ({"loss": {"y": "mse", "z": "mse"}}, {"y": Y}, "no target for z, for which"),
        ({"loss": ["mse", "mse"]}, {"z": Z}, "no target for y, for which compile was"),
        (
            LOSS_OF_Y | {"metrics": {"z": "mae"}},
            {"y": Y},
            "a loss or metrics; pass one",
        ),
        (LOSS_OF_Y | {"weighted_metrics": {"z": "mae"}}, {"y": Y}, "no target for z"),
        (LOSS_OF_Y, None, "no target for y"),
        (
            {"loss": "mse"},
            None,
            "There is no target; compile was given a loss for y, z",
        ),
        ({"loss": nengo_dl.losses.Regularize()}, {"y": Y}, None),
    ],
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "validation"])
def test_what_is_given_for_a_probe_needs_a_target(
    sim, method, compiled, targets, message
):
    sim.compile(keras.optimizers.SGD(0.0), **compiled)

    def call():
        if method == "evaluate":
            return sim.evaluate(X, targets)
        data = (X, targets)
        if method == "validation":
            both = {"y": Y, "z": Z}
            return sim.fit(X, both, validation_data=data, verbose=0)
        return sim.fit(*data, verbose=0)

    if message is None:
        assert call()
    else:
        with pytest.raises(ValidationError, match=message):
            call()
