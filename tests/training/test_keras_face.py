"""compile, fit, evaluate and predict do what they do in Keras."""

import json

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulatorClosed, ValidationError

import nengo_dl

MINIBATCH, N_ITEMS = 4, 18  # the last minibatch has two items
RNG = np.random.RandomState(0)
X = RNG.uniform(-1, 1, size=(N_ITEMS, 1, 3))
W = RNG.normal(size=(3, 2))
Y = X @ W


def network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node(np.zeros(3), label="x")
        net.out = nengo.Node(size_in=2, label="out")
        net.conn = nengo.Connection(
            net.node, net.out, transform=np.ones((2, 3)), synapse=None, label="dense"
        )
        net.probe = nengo.Probe(net.out, label="y")
    return net


def two_outputs():
    net = network()
    with net:
        net.second = nengo.Node(size_in=1)
        net.more = nengo.Connection(
            net.node, net.second, transform=np.ones((1, 3)), synapse=None
        )
        net.other = nengo.Probe(net.second, label="z")
    return net


def simulator(net, **kwargs):
    kwargs = {"minibatch_size": MINIBATCH, "dtype": "float64"} | kwargs
    return nengo_dl.Simulator(net, progress_bar=False, **kwargs)


def keras_model():
    model = keras.Sequential(
        [
            keras.Input((1, 3)),
            keras.layers.Dense(
                2, use_bias=False, kernel_initializer="ones", dtype="float64"
            ),
        ]
    )
    return model


def fit_both(callbacks=lambda: [], epochs=3, compiled=None, **kwargs):
    """Return histories and weights of a simulator and of an equal Keras model."""
    compiled = {"loss": "mse", "metrics": ["mae"]} if compiled is None else compiled
    kwargs = {"verbose": 0, "shuffle": False, "epochs": epochs} | kwargs
    found = []
    net = network()
    with simulator(net) as sim:
        sim.compile(keras.optimizers.SGD(0.1), **compiled)
        history = sim.fit(X, Y, callbacks=callbacks(), **kwargs)
        found += [history, sim.data[net.conn].weights.T]
    model = keras_model()
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    history = model.fit(X, Y, MINIBATCH, callbacks=callbacks(), **kwargs)
    return [*found, history, model.get_weights()[0]]


def assert_same_history(one, other):
    assert set(one) == set(other)
    for name, values in other.items():
        np.testing.assert_allclose(one[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"validation_data": (X[:6], Y[:6])},
        {"validation_split": 0.3},
        {"validation_data": (X[:6], Y[:6]), "validation_freq": 2},
        {"validation_data": (X[:6], Y[:6]), "validation_freq": [1, 3]},
        {"initial_epoch": 1},
        {"compiled": {"loss": keras.losses.Huber(), "metrics": ["mse", "mae"]}},
        {"compiled": {"loss": lambda y_true, y_pred: (y_true + 1 - y_pred) ** 2}},
        {"compiled": {"loss": "mae", "loss_weights": [0.5]}},
        {"validation_data": (X, Y), "validation_steps": 2},
    ],
)
def test_fit_gives_what_it_gives_in_keras(kwargs):
    ours, weights, theirs, expected = fit_both(**kwargs)
    assert isinstance(ours, keras.callbacks.History)
    assert_same_history(ours.history, theirs.history)
    assert ours.epoch == theirs.epoch
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_first_minibatches_are_validated_after_each_epoch():
    with simulator(network()) as sim:
        sim.compile(keras.optimizers.SGD(0.0), "mse")
        history = sim.fit(
            *(X, Y),
            epochs=2,
            validation_data=(X, Y),
            validation_steps=1,
            verbose=0,
        )
        first = sim.evaluate(X[:MINIBATCH], Y[:MINIBATCH], verbose=0)["loss"]
        whole = sim.evaluate(X, Y, verbose=0)["loss"]
    np.testing.assert_allclose(history.history["val_loss"], first)
    assert not np.isclose(first, whole)


def test_fit_is_the_training_of_train():
    net = network()
    found = []
    with simulator(net) as sim:
        sim.compile(keras.optimizers.Adam(0.1), "mse")
        history = sim.fit(X[:16], Y[:16], epochs=3, verbose=0)
        found.append((history.history["loss"], sim.data[net.conn].weights))
        sim.reset()
        history = sim.train(X[:16], Y[:16], keras.optimizers.Adam(0.1), n_epochs=3)
        found.append((history["loss"], sim.data[net.conn].weights))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


class Recorder(keras.callbacks.Callback):
    """Notes which methods are called, with which arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def note(self, name, *arguments):
        logs = dict(arguments[-1])
        self.calls.append((name, *arguments[:-1], logs))


for _name in [
    *(f"on_{kind}_{end}" for kind in ("train", "test") for end in ("begin", "end")),
]:
    setattr(Recorder, _name, lambda self, logs=None, n=_name: self.note(n, logs))
for _name in [
    f"on_{kind}_{end}"
    for kind in ("epoch", "train_batch", "test_batch")
    for end in ("begin", "end")
]:
    setattr(Recorder, _name, lambda self, i, logs=None, n=_name: self.note(n, i, logs))


def test_callbacks_are_called_as_keras_calls_them():
    made = []

    def callbacks():
        made.append(Recorder())
        return [made[-1]]

    fit_both(callbacks, epochs=2, validation_data=(X[:6], Y[:6]))
    ours, theirs = made
    assert [call[:-1] for call in ours.calls] == [call[:-1] for call in theirs.calls]
    for one, other in zip(ours.calls, theirs.calls, strict=True):
        assert_same_history(one[-1], other[-1])
    assert ours.params == theirs.params


def test_evaluate_and_predict_call_callbacks_as_keras_does():
    calls = []

    def recorder():
        calls.append([])
        found, callback = calls[-1], keras.callbacks.Callback()
        for kind in ("test", "predict"):
            for name in ("begin", "batch_begin", "batch_end", "end"):
                name = f"on_{kind}_{name}"
                setattr(
                    callback,
                    name,
                    lambda *args, n=name, **logs: found.append((n, *args[:-1])),
                )
        return [callback]

    model = keras_model()
    model.compile("sgd", "mse")
    model.evaluate(X, Y, MINIBATCH, verbose=0, callbacks=recorder())
    model.predict(X, MINIBATCH, verbose=0, callbacks=recorder())
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        sim.evaluate(X, Y, callbacks=recorder())
        sim.predict(X, callbacks=recorder())
    assert [len(found) for found in calls] == [12, 12, 12, 12]
    assert calls[:2] == calls[2:]


def test_evaluate_predict_and_single_minibatches_give_what_they_give_in_keras():
    net, model = network(), keras_model()
    compiled = {"loss": "mse", "metrics": ["mae"]}
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    expected = model.evaluate(X, Y, MINIBATCH, verbose=0, return_dict=True)
    with simulator(net) as sim:
        sim.compile(keras.optimizers.SGD(0.1), **compiled)
        assert_same_history(sim.evaluate(X, Y), expected)
        assert sim.keras_model.evaluate(X, Y) == pytest.approx([*expected.values()])
        sim.run_steps(3)
        found = sim.predict(X)
        assert sim.n_steps == 3 and sim.data[net.probe].shape == (MINIBATCH, 3, 2)
        np.testing.assert_allclose(found[net.probe], X @ np.ones((3, 2)))
        np.testing.assert_allclose(sim.keras_model.predict(X), found[net.probe])
        np.testing.assert_allclose(
            sim.predict_on_batch(X[:2])[net.probe], found[net.probe][:2]
        )
        tested = sim.test_on_batch(X[:4], Y[:4])
        losses = sim.train_on_batch(X[:4], Y[:4])
        assert tested["loss"] == pytest.approx(losses["loss"])
        model.train_on_batch(X[:4], Y[:4])
        np.testing.assert_allclose(
            sim.data[net.conn].weights.T, model.get_weights()[0], rtol=1e-6
        )


def datasets():
    pairs = [(X[i : i + 4], Y[i : i + 4]) for i in range(0, N_ITEMS, 4)]

    class Sequence(keras.utils.PyDataset):
        def __len__(self):
            return len(pairs)

        def __getitem__(self, index):
            return pairs[index]

    return {
        "by object": lambda net: ({net.node: X}, {net.probe: Y}),
        "by label": lambda net: ({"x": X}, {"y": Y}),
        "lists": lambda net: ([X], [Y]),
        "tf.data": lambda net: (
            tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),
            None,
        ),
        "tf.data by label": lambda net: (
            tf.data.Dataset.from_tensor_slices(({"x": X}, {"y": Y})).batch(4),
            None,
        ),
        "PyDataset": lambda net: (Sequence(), None),
        "function": lambda net: (lambda: iter(pairs), None),
    }


@pytest.mark.parametrize("form", datasets())
def test_forms_of_data(form):
    net = network()
    with simulator(net) as sim:
        sim.compile("sgd", {"y": "mse"})
        x, y = datasets()[form](net)
        history = sim.fit(x, y, epochs=2, verbose=0, shuffle=False)
        assert len(history.history["loss"]) == 2
        found = sim.data[net.conn].weights
        sim.reset()
        sim.compile("sgd", "mse")
        sim.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        np.testing.assert_allclose(found, sim.data[net.conn].weights)


def test_generators_go_on_from_epoch_to_epoch():
    net = network()

    def pairs():
        while True:
            for start in range(0, 16, 4):
                yield X[start : start + 4], Y[start : start + 4]

    with simulator(net) as sim:
        sim.compile("sgd", "mse")
        history = sim.fit(pairs(), epochs=2, steps_per_epoch=3, verbose=0)
        assert history.params["steps"] == 3
        loss = history.history["loss"]
        sim.reset()
        sim.compile("sgd", "mse")
        again = sim.fit(
            X[:16], Y[:16], epochs=2, steps_per_epoch=3, verbose=0, shuffle=False
        )
        assert again.history["loss"] == loss


def test_several_outputs_have_losses_weights_and_metrics_of_their_own():
    net = two_outputs()
    targets = {"y": Y, "z": Y[..., :1]}
    with simulator(net) as sim:
        sim.compile(
            keras.optimizers.SGD(0.0),
            {"y": "mse", net.other: lambda y_true, y_pred: abs(y_true - y_pred)},
            loss_weights={"z": 0.5},
            metrics={"y": ["mae"], "z": [keras.metrics.MeanSquaredError(name="m")]},
        )
        history = sim.fit({"x": X}, targets, verbose=0).history
        assert set(history) == {"loss", "y_loss", "z_loss", "y_mae", "z_m"}
        total = history["y_loss"][0] + 0.5 * history["z_loss"][0]
        assert history["loss"][0] == pytest.approx(total)
        predicted = sim.predict(X)
        assert [a.shape for a in predicted.values()] == [(18, 1, 2), (18, 1, 1)]
        error = predicted[net.other] - targets["z"]
        assert history["z_loss"][0] == pytest.approx(np.abs(error).mean())


def test_metrics_are_named_by_their_probe_where_there_are_several():
    with nengo.Network() as net:
        node = nengo.Node([0], label="x")
        nengo.Probe(node, label="y")
        nengo.Probe(node, label="z")
    with simulator(net) as sim:
        sim.compile(loss={"y": "mse"}, metrics={"y": ["mae"]})
        found = sim.evaluate(np.ones((8, 1, 1)), {"y": np.zeros((8, 1, 1))})
    assert found == {"loss": 1, "y_mae": 1}


def test_results_of_the_only_probe_have_names_with_it_and_without():
    with nengo.Network() as net:
        node = nengo.Node([0], label="x")
        nengo.Probe(node, label="y")
    with simulator(net) as sim:
        sim.compile(loss="mse", metrics=["mae"])
        found = sim.evaluate(np.ones((8, 1, 1)), np.zeros((8, 1, 1)))
    assert found == {"loss": 1, "mae": 1}
    assert found["y_loss"] == found["y_mae"] == found.get("y_mae") == 1
    assert found.get("val_y_mae") is None
    with pytest.raises(KeyError, match="z_mae"):
        found["z_mae"]


@pytest.mark.parametrize("n_classes", [1, 3])
def test_accuracy_is_that_of_the_kind_of_targets(n_classes):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(3))
        out = nengo.Node(size_in=n_classes)
        nengo.Connection(node, out, transform=np.eye(3)[:n_classes], synapse=None)
        nengo.Probe(out)
    if n_classes == 1:
        y, loss = (X[..., :1] > 0.5).astype(float), "binary_crossentropy"
    else:
        y = X.argmax(axis=-1)[..., None]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with simulator(net) as sim:
        sim.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"])
        assert sim.evaluate(X, y)["accuracy"] == 1.0


def test_networks_without_inputs_take_a_number_of_steps():
    with nengo.Network(seed=0) as net:
        out = nengo.Node(size_in=1)
        nengo.Connection(nengo.Node(lambda t: 1.0), out, transform=2.0, synapse=None)
        probe = nengo.Probe(out)
    with simulator(net) as sim:
        sim.compile(keras.optimizers.SGD(0.1), "mse")
        sim.fit(y=np.zeros((4, 5, 1)), n_steps=5, epochs=50, verbose=0)
        assert abs(sim.predict(n_steps=5)[probe]).max() < 0.1


# -- the model


def test_model_shows_the_users_objects():
    net = two_outputs()
    with simulator(net) as sim:
        model = sim.keras_model
        assert model is sim.keras_model and model.simulator is sim
        assert [layer.name for layer in model.layers] == ["dense", "net.connections.1"]
        assert [tuple(w.shape) for w in model.trainable_weights] == [(2, 3), (1, 3)]
        assert model.count_params() == 9
        assert model.input_names == ["x"] and model.output_names == ["y", "z"]
        lines = []
        model.summary(print_fn=lambda line, **kwargs: lines.append(line))
        assert "dense" in "\n".join(lines) and "9 (" in "\n".join(lines)


def test_variables_of_many_objects_have_few_names_in_tensorflow():
    """For each new name TensorFlow makes a kernel, longer than all else together."""
    with nengo.Network(seed=0) as net:
        made = [nengo.Ensemble(2, 1) for _ in range(20)]
        nengo.Probe(made[0])
    with simulator(net) as sim:
        variables = sim.keras_model.variables
        assert len(variables) == 40 == len({v.path for v in variables})
        assert {v.value.name for v in variables} == {"bias:0", "encoders:0"}


def test_weights_are_saved_and_loaded_by_keras(tmp_path):
    net = network()
    with simulator(net) as sim, simulator(network()) as other:
        sim.compile("sgd", "mse")
        sim.fit(X, Y, verbose=0)
        sim.keras_model.save_weights(tmp_path / "x.weights.h5")
        other.keras_model.load_weights(tmp_path / "x.weights.h5")
        np.testing.assert_array_equal(
            other.data[other.model.toplevel.conn].weights, sim.data[net.conn].weights
        )
        with pytest.raises(ValidationError, match=r"x\.keras.*save_weights"):
            sim.keras_model.save(tmp_path / "x.keras")


# -- what Keras ships


def test_training_goes_on_at_the_right_epoch_after_a_failure(tmp_path):
    class Fail(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)
            if epoch == 2 and fails:
                raise RuntimeError("power cut")

    seen, fails = [], True
    net = network()

    def fit(sim):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        sim.compile(keras.optimizers.Adam(0.1), "mse")
        return sim.fit(
            X, Y, epochs=4, verbose=0, shuffle=False, callbacks=[backup, Fail()]
        )

    with simulator(net) as sim, pytest.raises(RuntimeError, match="power cut"):
        fit(sim)
    fails = False
    with simulator(net) as sim:
        history = fit(sim)
        assert history.epoch == [2, 3]
        found = sim.data[net.conn].weights
    assert seen == [0, 1, 2, 2, 3]
    with simulator(net) as sim:
        sim.compile(keras.optimizers.Adam(0.1), "mse")
        sim.fit(X, Y, epochs=4, verbose=0, shuffle=False)
        np.testing.assert_allclose(found, sim.data[net.conn].weights)


def test_callbacks_of_keras_work(tmp_path):
    callbacks = keras.callbacks
    net = network()
    with simulator(net) as sim:
        optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
        sim.compile(optimizer, "mse", metrics=["mae"])
        history = sim.fit(
            X,
            Y,
            epochs=3,
            verbose=0,
            validation_data=(X, Y),
            callbacks=[
                callbacks.CSVLogger(str(tmp_path / "log.csv")),
                callbacks.TensorBoard(tmp_path / "board", histogram_freq=1),
                callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1e9),
                callbacks.ModelCheckpoint(
                    tmp_path / "{epoch}.weights.h5", save_weights_only=True
                ),
                callbacks.EarlyStopping("loss", restore_best_weights=True),
                callbacks.LearningRateScheduler(lambda epoch, rate: rate),
                callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
                callbacks.TerminateOnNaN(),
                callbacks.SwapEMAWeights(),
            ],
        )
        assert float(optimizer.learning_rate) < 0.1
        assert "learning_rate" in history.history
    names = {path.name for path in tmp_path.iterdir()}
    assert {"log.csv", "board", "1.weights.h5", "3.weights.h5"} <= names


def test_averaged_weights_are_evaluated_as_in_keras():
    def run(model, conn=None):
        optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8)
        model.compile(optimizer, "mse")
        kwargs = {} if conn is not None else {"batch_size": MINIBATCH}
        return model.fit(
            X,
            Y,
            epochs=3,
            verbose=0,
            shuffle=False,
            validation_data=(X, Y),
            callbacks=[keras.callbacks.SwapEMAWeights()],
            **kwargs,
        ).history

    net = network()
    with simulator(net) as sim:
        found = run(sim, net.conn)
        weights = sim.data[net.conn].weights.T
    model = keras_model()
    assert_same_history(found, run(model))
    np.testing.assert_allclose(weights, model.get_weights()[0], rtol=1e-6)


def test_remote_monitor_gets_the_logs(monkeypatch):
    sent = []
    monitor = keras.callbacks.RemoteMonitor(send_as_json=True)
    module = pytest.importorskip("requests")
    monkeypatch.setattr(
        module, "post", lambda url, json=None, **kwargs: sent.append(json)
    )
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        sim.fit(X, Y, verbose=0, callbacks=[monitor])
    assert set(sent[0]) == {"loss", "epoch"} and json.dumps(sent[0])


# -- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 5}, "minibatches of 4.*got 5"),
        ({"validation_batch_size": 5}, "leave validation_batch_size out"),
        ({"y": {"nothing": Y}}, "'nothing' is no probe.*it has y"),
        ({"x": {"nothing": X}}, "'nothing' is no node.*it has x"),
        ({"x": [X, X]}, "There are 2 arrays, but the network has 1"),
        ({"y": None, "x": None}, "number of steps"),
        ({"x": [[[1.0, 2.0, 3.0]], [[1.0]]]}, "There are 2 arrays"),
        ({"y": {"y": [[[1.0, 2.0]], [[1.0]]]}}, "all items and steps of one shape"),
        ({"validation_split": 1.5}, "between 0 and 1"),
        ({"validation_split": 0.999}, "one of the parts empty"),
        ({"epochs": 0}, "epochs"),
        ({"callbacks": [3]}, "Must be Keras callbacks"),
    ],
)
def test_bad_arguments_of_fit(arguments, message):
    with simulator(network()) as sim:
        sim.compile("sgd", "mse")
        arguments = {"x": X, "y": Y, "verbose": 0} | arguments
        with pytest.raises(ValidationError, match=message):
            sim.fit(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "nonsense"}, r"loss: 'nonsense' is not known.*f\(y_true, y_pred\)"),
        ({"loss": "nonsense", "loss_weights": [2.0]}, "loss: 'nonsense'"),
        ({"metrics": ["nonsense"]}, "metrics: 'nonsense'.*mean_squared_error"),
        ({"weighted_metrics": ["nonsense"]}, "metrics: 'nonsense'"),
        ({"run_eagerly": True}, "runs compiled functions"),
        ({"jit_compile": True}, "was made with jit_compile=None"),
        ({"loss": {"nothing": "mse"}}, "'nothing' is no probe"),
        ({"loss": ["mse", "mse"]}, "an entry for each of the 1 probes"),
        ({"optimizer": "foo"}, "no optimizer 'foo'"),
        ({"optimizer": 3}, "Must be a Keras optimizer"),
    ],
)
def test_bad_arguments_of_compile(arguments, message):
    with simulator(network()) as sim, pytest.raises(ValidationError, match=message):
        sim.compile(**arguments)


def test_optimizer_of_another_model_is_refused():
    optimizer = keras.optimizers.Adam()
    optimizer.build([keras.Variable(np.zeros(3))])
    with simulator(network()) as sim:
        with pytest.raises(ValidationError, match="belongs to other variables"):
            sim.compile(optimizer, "mse")


def test_compile_comes_first():
    with simulator(network()) as sim:
        for method in (sim.fit, sim.evaluate, sim.train_on_batch, sim.test_on_batch):
            with pytest.raises(ValidationError, match=r"Call compile\(optimizer"):
                method(X, Y)
        sim.compile("sgd")
        with pytest.raises(ValidationError, match="compile was given no loss"):
            sim.fit(X, Y)
    for method in (sim.compile, sim.fit, sim.evaluate, sim.predict):
        with pytest.raises(SimulatorClosed):
            method()


def test_reading_while_training_undoes_nothing(tmp_path):
    """Variables of the model show earlier values then, which nobody assigned."""
    net, losses = network(), []
    x = np.random.RandomState(0).uniform(-1, 1, (16, 1, 3))
    y = np.random.RandomState(1).uniform(-1, 1, (16, 1, 2))
    for summaries in (None, list(net.connections[:1])):
        with simulator(net, tensorboard=tmp_path) as sim:
            assert sim.keras_model.weights
            history = sim.train(
                x, y, keras.optimizers.SGD(0.01), n_epochs=4, summaries=summaries
            )
            losses.append(history.loss)
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
