"""Data that is short, incomplete, or of another type: what counts, and how much."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl


def network(size=2):
    """A node whose elements are summed with weights of 1."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node(np.zeros(size), label="x")
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(
            net.node, net.out, transform=np.ones((1, size)), synapse=None
        )
        net.probe = nengo.Probe(net.out, label="y")
    return net


def simulator(net, minibatch_size=4, **kwargs):
    kwargs.setdefault("dtype", "float64")
    return nengo_dl.Simulator(
        net, minibatch_size=minibatch_size, progress_bar=False, **kwargs
    )


def data(n_items, n_steps=3, size=2, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randn(n_items, n_steps, size), rng.randn(n_items, n_steps, 1)


# lengths


@pytest.mark.parametrize("n_items", [1, 3, 4, 11])
def test_losses_count_every_item(n_items):
    net, (x, y) = network(), data(n_items)
    errors = np.abs(x.sum(-1, keepdims=True) - y)
    with simulator(net) as sim:
        assert np.isclose(sim.loss(x, y), np.mean(errors**2))
        # a user's function sees the items that there are, and no others
        largest = sim.loss(x, y, lambda output, target: abs(output - target)[:, 0])
        assert np.isclose(largest, np.mean(errors[:, 0]))


def test_validation_counts_every_item_in_loss_and_metrics():
    net, (x, y) = network(), data(11)
    errors = x.sum(-1, keepdims=True) - y
    with simulator(net) as sim:
        history = sim.train(
            x[:4],
            y[:4],
            keras.optimizers.SGD(0.0),
            validation=(x, y),
            metrics={"mae": "mean_absolute_error"},
        )
    assert np.isclose(history["val_loss"][0], np.mean(errors**2))
    assert np.isclose(history["val_mae"][0], np.mean(np.abs(errors)))


def test_no_item_at_all_raises():
    net, (x, y) = network(), data(1)
    with simulator(net) as sim, pytest.raises(ValidationError, match="no items"):
        sim.loss(x[:0], y[:0])


def test_short_last_minibatch_of_a_dataset_is_trained_with_its_own_items():
    net, (x, y) = network(), data(10)
    rate, weights = 0.1, np.ones(2)
    losses = []
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        error = x[rows] @ weights - y[rows, :, 0]
        losses.append(np.mean(error**2))
        gradient = 2 * np.einsum("it,itk->k", error, x[rows]) / error.size
        weights = weights - rate * gradient
    pairs = tf.data.Dataset.from_tensor_slices(({"x": x}, {"y": y})).batch(4)
    with simulator(net) as sim:
        history = sim.train(pairs, None, keras.optimizers.SGD(rate))
        assert np.allclose(history.batch_losses, losses)
        assert np.isclose(history.loss[0], np.average(losses, weights=[4, 4, 2]))
        assert np.allclose(sim.data[net.conn].weights, weights)
        assert np.isclose(sim.loss(pairs), np.mean((x @ weights - y[..., 0]) ** 2))


def test_minibatch_of_a_dataset_that_is_too_long_raises():
    net, (x, y) = network(), data(10)
    pairs = tf.data.Dataset.from_tensor_slices(({"x": x}, {"y": y})).batch(5)
    with (
        simulator(net) as sim,
        pytest.raises(ValidationError, match="one minibatch of 4 items, or fewer"),
    ):
        sim.train(pairs, None, "sgd")


def test_function_that_returns_no_generator_raises():
    with (
        simulator(network()) as sim,
        pytest.raises(ValidationError, match=r"must return a generator.*got NoneType"),
    ):
        sim.train(lambda: None, None, "sgd")


# streams of random numbers


def noisy_network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0])
        noise = nengo.Node(nengo.processes.WhiteSignal(1.0, high=50))
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(net.node, net.out, transform=[[1]], synapse=None)
        nengo.Connection(noise, net.out, synapse=None)
        net.probe = nengo.Probe(net.out)
    return net


def test_what_observes_does_not_change_training():
    net = noisy_network()
    x, y = data(16, size=1)
    found = []
    for observes in (False, True):
        with simulator(net, seed=5) as sim:
            if observes:
                sim.loss({net.node: x}, y)
                sim.check_gradients()
            histories = [
                sim.train(
                    {net.node: x},
                    y,
                    keras.optimizers.SGD(0.1),
                    n_epochs=2,
                    validation=({net.node: x[:6]}, y[:6]) if observes else None,
                )
                for _ in range(2)
            ]
            losses = [loss for history in histories for loss in history.batch_losses]
            found.append((sim.data[net.conn].weights.copy(), losses))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_losses_of_equal_parameters_are_equal_in_noise():
    net = noisy_network()
    x, y = data(16, size=1)
    with simulator(net, seed=5) as sim:
        assert sim.loss({net.node: x}, y) == sim.loss({net.node: x}, y)


# labels, and one dict


def test_labels_are_keys_of_feeds_and_data():
    net, (x, _) = network(), data(4)
    with simulator(net) as sim:
        sim.run_steps(3, input_feeds={"x": x})
        assert np.allclose(sim.data["y"], x.sum(-1, keepdims=True))
        assert sim.data["y"] is sim.data[net.probe]
        assert "x" in sim.data
        assert "z" not in sim.data
        with pytest.raises(ValidationError, match="'z': no object has this label"):
            sim.data["z"]
        with pytest.raises(ValidationError, match="'z' is not an input node"):
            sim.run_steps(3, input_feeds={"z": x})


def test_labels_that_several_objects_have_raise():
    net, (x, _) = network(), data(4)
    with net:
        nengo.Node([0, 0], label="x")
        nengo.Probe(net.node, label="y")
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="'y': several objects have"):
            sim.data["y"]
        with pytest.raises(ValidationError, match="2 have this label"):
            sim.run_steps(3, input_feeds={"x": x})
        with pytest.raises(ValidationError, match="2 have this label"):
            sim.loss({"x": x}, {net.probe: x})


def test_one_dict_holds_inputs_and_targets():
    net, (x, y) = network(), data(8)
    found = []
    for arguments in (
        ({net.node: x}, {net.probe: y}, "sgd"),
        ({net.node: x, net.probe: y}, "sgd"),
        ({"x": x, "y": y}, None, "sgd"),
    ):
        with simulator(net, seed=1) as sim:
            history = sim.train(*arguments, validation={net.node: x, net.probe: y})
            found.append((history.loss, history["val_loss"]))
            assert sim.loss({"x": x, "y": y}) == history["val_loss"][0]
            absolute = sim.loss({"x": x, "y": y}, "mean_absolute_error")
            assert absolute == sim.loss({"x": x}, {"y": y}, "mean_absolute_error")
    assert found[0] == found[1] == found[2]


def test_one_dict_of_targets_has_the_number_of_steps():
    net, (_, y) = network(), data(8)
    with simulator(net) as sim:
        assert np.isclose(sim.loss({net.probe: y}), np.mean(y**2))


def test_targets_in_one_dict_and_in_another_raise():
    net, (x, y) = network(), data(8)
    with simulator(net) as sim:
        for arguments in (({"x": x, "y": y}, {"y": y}, "sgd"), ({"y": y}, y)):
            with pytest.raises(ValidationError, match="and others after them; write"):
                sim.train(*arguments)


# types of targets


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64, np.float16])
@pytest.mark.parametrize("objective", ["mse", nengo_dl.objectives.mse, None])
def test_targets_may_be_of_any_type_of_numbers(dtype, objective):
    net, (x, _) = network(), data(8)
    y = (np.arange(24).reshape(8, 3, 1) % 2).astype(dtype)
    errors = x.sum(-1, keepdims=True) - y.astype(float)
    expected = np.mean(errors**2)
    if objective is None:
        # the mean over minibatches of the sums over their items
        expected = np.sum(x.sum(-1, keepdims=True) * y) / 2
    with simulator(net) as sim:
        assert np.isclose(sim.loss(x, y, objective), expected)
        sim.train(x, y, "sgd", objective=objective)


def test_mse_takes_arrays_of_integers():
    output, target = np.array([[[1.0], [3.0]]]), np.array([[[0], [1]]], dtype=np.uint8)
    assert float(nengo_dl.objectives.mse(output, target)) == 2.5


# targets that are NaN


def probabilities(n_items, size=3, n_steps=2):
    rng = np.random.RandomState(1)
    found = rng.uniform(0.1, 0.9, (2, n_items, n_steps, size))
    return found / found.sum(-1, keepdims=True)


def shown_network(size=3):
    """A probe that shows what its node is given, times a number that is trained."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node(np.zeros(size))
        out = nengo.Node(size_in=size)
        net.conn = nengo.Connection(net.node, out, transform=1, synapse=None)
        net.probe = nengo.Probe(out)
    return net


ELEMENTWISE = [
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "hinge",
    "squared_hinge",
    "poisson",
    "binary_crossentropy",
    "binary_focal_crossentropy",
]
BY_STEP = [
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "kl_divergence",
    "cosine_similarity",
]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elements_without_target_are_no_error_to_losses_of_keras(name):
    net = shown_network()
    x, y = probabilities(4)
    loss = keras.losses.get(name)
    # each element on its own, by Keras
    errors = loss(y[..., None], x[..., None]).numpy()
    missing = np.random.RandomState(2).rand(*y.shape) < 0.4
    y_missing = np.where(missing, np.nan, y)
    with simulator(net, dtype="float32") as sim:
        assert np.isclose(sim.loss(x, y, name), np.mean(loss(y, x)))
        expected = np.mean(np.where(missing, 0, errors))
        for objective in (name, loss):
            assert np.isclose(sim.loss(x, y_missing, objective), expected)
        sim.train(x, y_missing, "sgd", objective=name)
        assert np.isfinite(sim.data[net.conn].weights).all()


@pytest.mark.parametrize("name", BY_STEP)
def test_steps_without_target_are_no_error_to_losses_of_keras(name):
    net = shown_network()
    x, y = probabilities(4)
    errors = keras.losses.get(name)(y, x).numpy()
    y_missing = y.copy()
    y_missing[1, 0] = np.nan
    y_missing[2, 1, 2] = np.nan  # one element is enough
    kept = np.isfinite(y_missing).all(-1)
    with simulator(net, dtype="float32") as sim:
        assert np.isclose(sim.loss(x, y, name), errors.mean())
        assert np.isclose(sim.loss(x, y_missing, name), (errors * kept).mean())
        sim.train(x, y_missing, "sgd", objective=name)
        assert np.isfinite(sim.data[net.conn].weights).all()


def test_labels_may_be_missing():
    net = shown_network()
    x, _ = probabilities(4)
    labels = np.array([0, 2, 1, 0])[:, None, None] * np.ones((1, 2, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="none")
    errors = loss(labels, x).numpy()
    missing = labels.copy()
    missing[:, 0] = np.nan
    with simulator(net, dtype="float32") as sim:
        for objective in (
            "sparse_categorical_crossentropy",
            keras.losses.SparseCategoricalCrossentropy(),
        ):
            found = sim.loss(x, missing, objective)
            assert np.isclose(found, errors[:, 1].sum() / 8)


@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_overlaps_leave_out_what_has_no_target(name):
    net = shown_network()
    x, y = probabilities(4)
    y_missing = np.where(np.random.RandomState(2).rand(*y.shape) < 0.4, np.nan, y)
    kept = np.isfinite(y_missing)
    expected = keras.losses.get(name)(np.where(kept, y, 0), np.where(kept, x, 0))
    with simulator(net, dtype="float32") as sim:
        assert np.isclose(sim.loss(x, y_missing, name), np.mean(expected))


@pytest.mark.parametrize(
    "loss",
    [keras.losses.MeanAbsoluteError(), keras.losses.CategoricalCrossentropy()],
    ids=["mae", "crossentropy"],
)
def test_loss_objects_get_weights_of_items_and_steps(loss):
    net = shown_network()
    x, y = probabilities(4)
    y_missing = y.copy()
    y_missing[1, 0] = np.nan
    expected = loss(y, x, sample_weight=np.isfinite(y_missing).all(-1))
    with simulator(net, dtype="float32") as sim:
        assert np.isclose(sim.loss(x, y_missing, loss), expected)
        assert np.isclose(sim.loss(x, y, loss), loss(y, x))


def test_functions_of_users_are_told_what_is_missing():
    net, (x, y) = network(), data(8)
    y[2, 1] = y[7, 0] = np.nan
    kept = np.isfinite(y)
    errors = np.where(kept, np.abs(x.sum(-1, keepdims=True) - y), 0)

    def by_mask(output, target, mask):
        error = tf.where(mask, abs(output - target), 0.0)
        return tf.reduce_sum(error) / 12

    def by_weight(output, target, sample_weight):
        return abs(output - target)[..., 0] * sample_weight

    def by_integers(output, target, mask):
        return tf.where(mask, output, np.nan) * tf.cast(target, output.dtype)

    with simulator(net) as sim:
        for objective in (by_mask, by_weight):
            assert np.isclose(sim.loss(x, y, objective), errors.mean())
        # integers cannot be missing
        assert np.isfinite(sim.loss(x, np.ones(y.shape, int), by_integers))


def test_metrics_of_keras_leave_out_what_is_missing():
    net, (x, y) = network(), data(4)
    y[2, 1] = np.nan
    error = np.nanmean(np.abs(x.sum(-1, keepdims=True) - y))
    with simulator(net) as sim:
        history = sim.train(
            x, y, keras.optimizers.SGD(0.0),
            metrics={"mae": keras.metrics.MeanAbsoluteError()},
        )  # fmt: skip
    assert np.isclose(history["mae"][0], error)


# numbers that are to blame


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_are_named(value):
    net, (x, y) = network(), data(8, n_steps=5)
    x[6, 3, 1] = value
    with simulator(net) as sim:
        match = rf"input of <Node 'x'> is {value} at item 6, step 3, element 1 "
        for truncation in (None, 2):
            with pytest.raises(SimulationError, match=match) as info:
                sim.train(x, y, "sgd", shuffle=True, truncation=truncation)
            assert "learning rate" not in str(info.value)


def test_targets_that_are_not_finite_are_named():
    net, (x, y) = network(), data(8, n_steps=5)
    y[6, 3] = np.nan
    with simulator(net) as sim:
        match = (
            r"target of <Probe \"y\".*> is nan at item 6, step 3, element 0\. "
            "The objective <lambda> is not told .* parameter named mask"
        )
        with pytest.raises(SimulationError, match=match):
            sim.train(x, y, "sgd", objective=lambda output, target: output - target)
        y[6, 3] = np.inf
        with pytest.raises(SimulationError, match="is inf at item 6, step 3"):
            sim.train(x, y, "sgd")


def test_losses_that_are_not_finite_for_other_reasons_are_named_as_before():
    net, (x, y) = network(), data(8)
    with simulator(net) as sim, pytest.raises(SimulationError, match="learning rate"):
        sim.train(x, y, "sgd", objective=lambda output, target: output / 0)
