"""Weights of items and classes, metrics over an epoch, and datasets, as in Keras."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl

MINIBATCH, N_ITEMS, SIZE = 4, 18, 2  # the last minibatch has two items
RNG = np.random.RandomState(0)


def single(values):
    """Keras turns all data into single precision."""
    return values.astype(np.float32).astype(np.float64)


X = single(RNG.uniform(-1, 1, size=(N_ITEMS, 1, 3)))
Y = single(X @ RNG.normal(size=(3, SIZE)))
CLASSES = RNG.randint(SIZE, size=(N_ITEMS, 1, 1))
ONE_HOT = np.eye(SIZE)[CLASSES[..., 0]]
ITEM_WEIGHTS = single(RNG.uniform(0, 3, size=N_ITEMS))
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(outputs=1, size=SIZE):
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node(np.zeros(3), label="x")
        net.shown, net.trained = [], []
        for number in range(outputs):
            out = nengo.Node(size_in=size)
            connection = nengo.Connection(
                net.node, out, transform=np.full((size, 3), 0.5), synapse=None
            )
            net.trained.append(connection)
            net.shown.append(nengo.Probe(out, label="yz"[number]))
    return net


def simulator(net, **kwargs):
    kwargs = {"minibatch_size": MINIBATCH, "dtype": "float64"} | kwargs
    return nengo_dl.Simulator(net, progress_bar=False, **kwargs)


def dense(name, size=SIZE):
    return keras.layers.Dense(
        size,
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(0.5),
        dtype="float64",
        name=name,
    )


def keras_model(outputs=1, size=SIZE):
    x = keras.Input((1, 3), dtype="float64")
    if outputs == 1:
        return keras.Model(x, dense("y", size)(x))
    return keras.Model(x, {name: dense(name)(x) for name in "yz"[:outputs]})


def without_class_weight(kwargs):
    """Weights of items in the place of those of classes.

    Keras takes the latter for targets without an axis of steps only.
    """
    kwargs = dict(kwargs)
    by_class = kwargs.pop("class_weight")
    weights = np.array([by_class.get(int(c), 1.0) for c in CLASSES[:, 0, 0]])
    return {**kwargs, "sample_weight": weights}


def both(fit, compiled, evaluate, outputs=1, size=SIZE):
    """Return what a simulator and an equal Keras model do: logs and weights."""
    net, found = network(outputs, size), []
    model = keras_model(outputs, size)
    with simulator(net) as sim:
        for trained in (sim, model):
            trained.compile(keras.optimizers.SGD(0.1), **compiled())
            batch = {} if trained is sim else {"batch_size": MINIBATCH}
            kwargs = fit()
            if trained is model and "class_weight" in kwargs:
                kwargs = without_class_weight(kwargs)
            if kwargs:
                if not isinstance(kwargs["x"], np.ndarray):
                    batch = {}
                history = trained.fit(
                    **kwargs, epochs=2, shuffle=False, verbose=0, **batch
                )
                found.append(history.history)
            if trained is sim:
                logs = sim.evaluate(**evaluate)
            else:
                logs = model.evaluate(
                    **evaluate, verbose=0, return_dict=True, batch_size=MINIBATCH
                )
            found.append(logs)
        ours = [sim.data[c].weights.T for c in net.trained]
    for one, other in zip(found[: len(found) // 2], found[len(found) // 2 :]):
        assert set(one) == set(other)
        for name, values in other.items():
            if name in ("y_loss", "z_loss"):
                continue  # there, Keras counts a partial minibatch as a whole one
            np.testing.assert_allclose(one[name], values, rtol=1e-5, err_msg=name)
    for one, other in zip(ours, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    return found[0]


def assert_as_in_keras(fit, compiled, evaluate=None, **kwargs):
    return both(
        lambda: fit, lambda: compiled, evaluate or {"x": X, "y": fit["y"]}, **kwargs
    )


def first_error(y_true, y_pred):
    return keras.ops.absolute(keras.ops.subtract(y_true, y_pred))[..., 0]


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        ("mse", (N_ITEMS,)),
        (keras.losses.Huber(), (N_ITEMS, 1)),
        ("own", (N_ITEMS,)),
    ],
)
def test_sample_weight_counts_as_in_keras(loss, shape):
    weights = ITEM_WEIGHTS.reshape(shape)
    if loss == "own":

        def loss(y_true, y_pred):
            return keras.ops.sum(keras.ops.subtract(y_true, y_pred) ** 2, axis=-1)

    history = assert_as_in_keras(
        {
            "x": X,
            "y": Y,
            "sample_weight": weights,
            "validation_data": (X[:6], Y[:6], weights[:6]),
        },
        {
            "loss": loss,
            "metrics": ["mae", "mse"],
            "weighted_metrics": ["mse", "mape", first_error],
        },
        {"x": X, "y": Y, "sample_weight": weights},
    )
    assert "weighted_mse" in history and "val_weighted_mse" in history
    assert abs(history["mse"][0] / history["weighted_mse"][0] - 1) > 1e-3


def test_sample_weight_of_the_validation_split():
    assert_as_in_keras(
        {"x": X, "y": Y, "sample_weight": ITEM_WEIGHTS, "validation_split": 0.3},
        {"loss": "mse", "weighted_metrics": ["mae"]},
    )


@pytest.mark.parametrize("form", ["dict", "one"])
def test_sample_weight_by_output(form):
    weights = {"y": ITEM_WEIGHTS, "z": ITEM_WEIGHTS[::-1]}
    given = weights if form == "dict" else ITEM_WEIGHTS
    history = assert_as_in_keras(
        {"x": X, "y": {"y": Y, "z": Y}, "sample_weight": given},
        {
            "loss": {"y": "mse", "z": "mae"},
            "loss_weights": {"y": 1.0, "z": 0.5},
            "metrics": {"y": ["mse"], "z": ["mse"]},
            "weighted_metrics": {"y": ["mse"], "z": ["mse"]},
        },
        {"x": X, "y": {"y": Y, "z": Y}, "sample_weight": given},
        outputs=2,
    )
    assert {"y_loss", "z_loss", "y_mse", "z_weighted_mse"} <= set(history)
    total = np.add(history["y_loss"], np.multiply(history["z_loss"], 0.5))
    np.testing.assert_allclose(history["loss"], total)


def test_sample_weight_by_probe_or_in_order():
    net, found = network(2), []
    targets = {net.shown[0]: Y, net.shown[1]: Y}
    with simulator(net) as sim:
        sim.compile("sgd", "mse")
        for weights in (
            {"z": ITEM_WEIGHTS},
            {net.shown[1]: ITEM_WEIGHTS, "y": None},
            [np.ones(N_ITEMS), ITEM_WEIGHTS],
            [None, list(ITEM_WEIGHTS)],
        ):
            found.append(sim.evaluate(X, targets, sample_weight=weights)["loss"])
        assert found == pytest.approx([found[0]] * 4)
        assert sim.evaluate(X, targets)["loss"] != pytest.approx(found[0])


@pytest.mark.parametrize("one_hot", [False, True])
def test_class_weight_counts_as_in_keras(one_hot):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True) if one_hot else LOGITS
    y = ONE_HOT if one_hot else CLASSES
    history = assert_as_in_keras(
        {"x": X, "y": y, "class_weight": {1: 4.0}},
        {"loss": loss, "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
    )
    weights = np.where(CLASSES[:, 0, 0] == 1, 4.0, 1.0)
    again = assert_as_in_keras(
        {"x": X, "y": y, "sample_weight": weights}, {"loss": loss}
    )
    assert again["loss"] == pytest.approx(history["loss"])


def test_class_weight_of_steps():
    x, y = np.repeat(X, 3, axis=1), np.repeat(CLASSES, 3, axis=1)
    y[:, 1] = 1 - y[:, 1]
    with simulator(network()) as sim:
        sim.compile(keras.optimizers.SGD(0.0), LOGITS)
        loss = sim.fit(x, y, class_weight={0: 2.0}, verbose=0).history["loss"][0]
        weights = np.where(y[..., 0] == 0, 2.0, 1.0)
        assert loss == pytest.approx(sim.evaluate(x, y, sample_weight=weights)["loss"])
        in_parts = sim.fit(x, y, class_weight={0: 2.0}, verbose=0, truncation=1)
        assert in_parts.history["loss"][0] == pytest.approx(loss)


def test_weights_and_missing_targets_count_together():
    y = Y.copy()
    y[::3] = np.nan
    for loss in ("mse", keras.losses.MeanSquaredError()):
        with simulator(network()) as sim:
            sim.compile("sgd", loss, weighted_metrics=["mse"])
            logs = sim.evaluate(X, y, sample_weight=ITEM_WEIGHTS)
            errors = ((sim.predict(X)[sim.model.probes[0]] - Y) ** 2).mean(axis=(1, 2))
        seen = ITEM_WEIGHTS * (np.arange(N_ITEMS) % 3 > 0)
        assert logs["loss"] == pytest.approx((errors * seen).mean())
        assert logs["mse"] == pytest.approx((errors * seen).sum() / seen.sum())


def triples():
    return [
        (X[i : i + 4], Y[i : i + 4], ITEM_WEIGHTS[i : i + 4])
        for i in range(0, N_ITEMS, 4)
    ]


class Batches(keras.utils.PyDataset):
    """Minibatches with weights, which notes what is asked of it."""

    def __init__(self, weights=True):
        super().__init__()
        self.parts = [triple if weights else triple[:2] for triple in triples()]
        self.calls = []

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        self.calls.append(index)
        return self.parts[index]

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.data.Dataset.from_tensor_slices((X, Y, ITEM_WEIGHTS)).batch(4),
        Batches,
    ],
    ids=["tf.data", "PyDataset"],
)
def test_datasets_give_weights(make):
    both(
        lambda: {"x": make(), "validation_data": make()},
        lambda: {"loss": "mse", "weighted_metrics": ["mae"]},
        {"x": X, "y": Y, "sample_weight": ITEM_WEIGHTS},
    )


def test_generators_give_weights():
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        found = sim.evaluate(lambda: iter(triples()))["loss"]
        assert found == pytest.approx(
            sim.evaluate(X, Y, sample_weight=ITEM_WEIGHTS)["loss"]
        )


def test_class_weight_of_a_dataset():
    pairs = tf.data.Dataset.from_tensor_slices((X, CLASSES)).batch(4)
    found = []
    for x, y in ((pairs, None), (X, CLASSES)):
        with simulator(network()) as sim:
            sim.compile("sgd", LOGITS)
            history = sim.fit(
                x, y, class_weight={0: 3.0}, shuffle=False, epochs=2, verbose=0
            )
            found.append(history.history["loss"])
    assert found[0] == found[1]


def test_batches_of_a_dataset_are_shuffled_between_its_hooks():
    data, held = Batches(weights=False), Batches(weights=False)
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        history = sim.fit(data, epochs=3, verbose=0, validation_data=held)
        assert history.params["steps"] == 5
        epochs = [data.calls[i : i + 7] for i in range(0, 21, 7)]
        assert len(data.calls) == 21
        for calls in epochs:
            assert calls[0] == "begin" and calls[-1] == "end"
            assert sorted(calls[1:-1]) == list(range(5))
        assert len({tuple(calls) for calls in epochs}) > 1
        assert held.calls == ["begin", 0, 1, 2, 3, 4, "end"] * 3
        data.calls.clear()
        sim.fit(data, epochs=1, verbose=0, shuffle=False)
        assert data.calls == ["begin", 0, 1, 2, 3, 4, "end"]


def test_hooks_of_a_dataset_belong_to_epochs_of_any_number_of_steps():
    data = Batches()
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        sim.fit(data, epochs=3, steps_per_epoch=2, verbose=0, shuffle=False)
    assert data.calls == [
        "begin",
        0,
        1,
        "end",
        "begin",
        2,
        3,
        "end",
        "begin",
        4,
        0,
        "end",
    ]


def test_dataset_without_end_needs_steps_per_epoch():
    class Endless(keras.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return X[:4], Y[:4]

    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        history = sim.fit(Endless(), epochs=2, steps_per_epoch=3, verbose=0)
        assert len(history.history["loss"]) == 2


def metrics_of_scores():
    return [
        keras.metrics.AUC(name="auc"),
        keras.metrics.Precision(name="precision"),
        keras.metrics.RootMeanSquaredError(name="rms"),
    ]


def test_metrics_count_over_all_minibatches_as_in_keras():
    y = CLASSES.astype(float)
    history = both(
        lambda: {"x": X, "y": y, "sample_weight": ITEM_WEIGHTS},
        lambda: {
            "loss": keras.losses.BinaryCrossentropy(from_logits=True),
            "metrics": metrics_of_scores(),
            "weighted_metrics": [keras.metrics.RootMeanSquaredError(name="rms")],
        },
        {"x": X, "y": y, "sample_weight": ITEM_WEIGHTS},
        size=1,
    )
    assert {"auc", "precision", "rms", "weighted_rms"} <= set(history)


def test_weighted_metrics_of_all_scores():
    y = CLASSES.astype(float)
    with simulator(network(size=1)) as sim:
        sim.compile("sgd", "mse", weighted_metrics=metrics_of_scores())
        found = sim.evaluate(X, y, sample_weight=ITEM_WEIGHTS)
        scores = sim.predict(X)[sim.model.probes[0]]
    for metric in metrics_of_scores():
        metric.update_state(y[:, 0], scores[:, 0], sample_weight=ITEM_WEIGHTS)
        expected = float(metric.result())
        assert found[metric.name] == pytest.approx(expected, rel=1e-5)


def test_metrics_that_make_their_variables_late():
    def metric():
        return keras.metrics.AUC(multi_label=True, num_labels=SIZE, name="auc")

    with simulator(network()) as sim:
        sim.compile("sgd", "mse", metrics=[metric()])
        found = sim.evaluate(X, ONE_HOT)["auc"]
        scores = sim.predict(X)[sim.model.probes[0]]
    expected = metric()
    expected.update_state(ONE_HOT[:, 0], scores[:, 0])
    assert found == pytest.approx(float(expected.result()), rel=1e-5)


def test_train_measures_metrics_over_an_epoch():
    y = CLASSES.astype(float)
    with simulator(network(size=1)) as sim:
        found = sim.train(
            X[:16],
            y[:16],
            keras.optimizers.SGD(0.0),
            objective="mse",
            metrics={"auc": keras.metrics.AUC()},
            n_epochs=2,
        )["auc"]
        scores = sim.predict(X[:16])[sim.model.probes[0]]
    metric = keras.metrics.AUC()
    metric.update_state(y[:16, 0], scores[:, 0])
    assert found == pytest.approx([float(metric.result())] * 2)


def test_single_minibatches_take_weights():
    x, y, weights = X[:3], CLASSES[:3], ITEM_WEIGHTS[:3]
    net, model = network(), keras_model()
    model.compile(keras.optimizers.SGD(0.1), LOGITS)
    with simulator(net) as sim:
        sim.compile(keras.optimizers.SGD(0.1), LOGITS)
        for kwargs in ({"sample_weight": weights}, {"class_weight": {1: 3.0}}):
            found = sim.train_on_batch(x, y, **kwargs)
            if "class_weight" in kwargs:
                kwargs = {
                    "sample_weight": without_class_weight(kwargs)["sample_weight"][:3]
                }
            expected = model.train_on_batch(x, y, **kwargs, return_dict=True)
            model.reset_metrics()
            assert found["loss"] == pytest.approx(float(expected["loss"]))
        found = sim.test_on_batch(x, y, sample_weight=weights)
        expected = model.test_on_batch(x, y, sample_weight=weights)
        assert found["loss"] == pytest.approx(float(np.ravel(expected)[0]))
        weights = sim.data[net.trained[0]].weights.T
        np.testing.assert_allclose(weights, model.get_weights()[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weight": {0: 1.0}, "sample_weight": ITEM_WEIGHTS}, "Give either"),
        ({"class_weight": [1.0, 2.0]}, r"such as \{0: 1.0, 1: 5.0\}.*got \[1"),
        ({"class_weight": {"a": 2.0}}, "dict from numbers of classes"),
        ({"class_weight": {0: np.nan}}, "dict from numbers of classes"),
        ({"class_weight": {0: 1.0}, "y": {"y": Y, "z": Y}}, "belong to one target"),
        ({"sample_weight": ITEM_WEIGHTS[:5]}, r"\(18,\).*\(18, 1\) \(got \(5,\)\)"),
        ({"sample_weight": np.ones((18, 3)), "y": {"y": Y}}, r"got \(18, 3\)"),
        ({"sample_weight": np.ones((18, 3)), "y": {"y": Y, "z": Y}}, "several targets"),
        ({"sample_weight": np.full(18, np.nan)}, "must be finite numbers"),
        ({"sample_weight": ["a"] * 18}, "must be finite numbers"),
        ({"sample_weight": {"nothing": ITEM_WEIGHTS}}, "'nothing' is no probe"),
        ({"sample_weight": {"z": ITEM_WEIGHTS}, "y": {"y": Y}}, "no target for .*z"),
        ({"sample_weight": [ITEM_WEIGHTS]}, "each of the 2 targets"),
        ({"sample_weight": ITEM_WEIGHTS, "y": None}, "no targets"),
        ({"x": triples, "y": None, "sample_weight": ITEM_WEIGHTS}, "Must be left out"),
        ({"x": lambda: [(X[:4],) * 4], "y": None}, "one of length 4"),
        ({"x": lambda: None, "y": None}, "must return a generator"),
        ({"validation_data": (X, Y, None, None)}, "got 4 values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_weights(arguments, message):
    with simulator(network(2)) as sim:
        sim.compile("sgd", "mse")
        arguments = {"x": X, "y": {"y": Y, "z": Y}, "verbose": 0} | arguments
        with pytest.raises(ValidationError, match=message):
            sim.fit(**arguments)


def test_class_weight_needs_classes():
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        with pytest.raises(ValidationError, match="n_classes"):
            sim.fit(X, np.ones((N_ITEMS, 1, 2, 2)), class_weight={0: 1.0}, verbose=0)
