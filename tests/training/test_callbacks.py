"""Keras callbacks during training, and the progress that training shows."""

import csv
import io
import itertools
import re

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError
from nengo.utils.progress import ProgressBar

import nengo_dl
from nengo_dl.execution.state import StateStore
from nengo_dl.support.progress import TextProgressBar


def linear_network():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0, 0])
        net.out = nengo.Node(size_in=1)
        net.conn = nengo.Connection(
            net.node, net.out, transform=np.ones((1, 2)), synapse=None
        )
        net.probe = nengo.Probe(net.out)
    return net


X = np.random.RandomState(0).uniform(-1, 1, size=(16, 1, 2))
Y = X @ np.array([[1.0], [-2.0]])


def train(callbacks, optimizer=None, n_epochs=6, inspect=None, **kwargs):
    """Train weights (1, 1) to become (1, -2); return the history, and weights."""
    net = linear_network()
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        history = sim.train(
            X,
            Y,
            keras.optimizers.SGD(0.1) if optimizer is None else optimizer,
            n_epochs=n_epochs,
            callbacks=callbacks,
            **kwargs,
        )
        if inspect is not None:
            inspect(sim, net)
        return history, np.array(sim.data[net.conn].weights)


class Weights(keras.callbacks.Callback):
    """Keeps the weights of each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_end(self, epoch, logs=None):
        (values,) = self.model.get_weights()
        self.found.append(values.reshape(1, 2).copy())


# -- Keras callbacks


def test_checkpoints_are_files_of_weights(tmp_path):
    weights = Weights()
    checkpoint = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch:02d}.weights.h5", save_weights_only=True
    )

    def load_each(sim, net):
        files = sorted(tmp_path.iterdir())
        assert [path.name[:2] for path in files] == ["01", "02", "03"]
        for path, expected in zip(files, weights.found, strict=True):
            sim.keras_model.load_weights(path)
            assert np.array_equal(sim.data[net.conn].weights, expected)

    train([weights, checkpoint], n_epochs=3, inspect=load_each)


def test_checkpoints_of_whole_models_are_refused(tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    with pytest.raises(ValidationError, match=r"model\.keras.*save_weights_only=True"):
        train([checkpoint])


def test_checkpoint_of_the_best_epoch_can_be_restored(tmp_path):
    weights = Weights()
    checkpoint = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5",
        "loss",
        save_best_only=True,
        save_weights_only=True,
    )
    # the first steps are right; later ones are too large
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([12], [0.1, 20.0])

    def load_best(sim, net):
        sim.keras_model.load_weights(tmp_path / "best.weights.h5")
        assert np.array_equal(sim.data[net.conn].weights, weights.found[best])

    optimizer = keras.optimizers.SGD(schedule)
    best = 2
    history, _ = train([weights, checkpoint], optimizer, inspect=load_best)
    assert np.argmin(history.loss) == best
    assert [path.name for path in tmp_path.iterdir()] == ["best.weights.h5"]


def test_early_stopping_restores_the_weights_of_the_best_epoch():
    weights = Weights()
    stopping = keras.callbacks.EarlyStopping(
        "loss", patience=2, restore_best_weights=True
    )
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([12], [0.1, 20.0])
    optimizer = keras.optimizers.SGD(schedule)
    history, found = train([weights, stopping], optimizer, n_epochs=20)
    assert history.n_epochs == 5 and np.argmin(history.loss) == 2
    assert np.array_equal(found, weights.found[2])
    assert not np.array_equal(found, weights.found[4])


def test_early_stopping_can_watch_validation():
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, mode="max")
    history, _ = train(stopping, n_epochs=5, validation=(X, Y))
    assert history.n_epochs == 2


def test_learning_rate_scheduler_sets_the_rate_of_each_epoch():
    weights = Weights()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * (epoch == 1))
    train([scheduler, weights], n_epochs=3)
    assert np.array_equal(weights.found[0], np.ones((1, 2)))
    assert not np.array_equal(weights.found[1], weights.found[0])
    assert np.array_equal(weights.found[2], weights.found[1])


def test_learning_rate_is_reduced_on_a_plateau():
    optimizer = keras.optimizers.SGD(0.1)
    plateau = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=1e9
    )
    train(plateau, optimizer, n_epochs=3)
    assert np.isclose(optimizer.learning_rate, 0.1 * 0.5**2)


def test_csv_logger_writes_a_line_for_each_epoch(tmp_path):
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    history, _ = train(logger, n_epochs=3, validation=(X, Y))
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name in ("loss", "val_loss"):
        assert np.allclose([float(row[name]) for row in rows], history[name])


def test_lambda_callbacks_are_called_in_order():
    calls = []

    def note(name):
        return lambda *arguments, **logs: calls.append((name, *arguments[:1]))

    train(
        keras.callbacks.LambdaCallback(
            on_train_begin=note("begin"),
            on_epoch_begin=note("epoch"),
            on_train_batch_begin=note("batch"),
            on_train_batch_end=note("end of batch"),
            on_epoch_end=note("end of epoch"),
            on_train_end=note("end"),
        ),
        n_epochs=1,
    )
    batches = [(name, i) for i in range(4) for name in ("batch", "end of batch")]
    begin, *middle, end = calls
    assert begin[0] == "begin" and end[0] == "end"
    assert middle == [("epoch", 0), *batches, ("end of epoch", 0)]


def test_callbacks_see_parameters_and_the_simulator():
    class Count(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            found.append((self.params["epochs"], self.params["steps"]))
            found.append(self.model.simulator)

    found = []
    train(Count(), n_epochs=2, inspect=lambda sim, net: found.append(sim))
    assert found[0] == (2, 4) and found[1] is found[2]


class AfterBatches(keras.callbacks.Callback):
    """Has the older names of methods."""

    def on_batch_end(self, batch, logs=None):
        found = self.model.get_weights()[0].copy()
        (expected,) = self.model.simulator.trainable_variables
        assert np.array_equal(found, expected.numpy())
        self.seen.append(found.tolist())


def with_attribute():
    callback = keras.callbacks.Callback()
    callback.on_train_batch_end = lambda batch, logs=None: AfterBatches.on_batch_end(
        callback, batch
    )
    return callback


@pytest.mark.parametrize("make", [AfterBatches, with_attribute])
def test_callbacks_between_minibatches_see_parameters_however_they_are_written(make):
    callback = make()
    callback.seen = []
    train([callback], n_epochs=1)
    assert len(callback.seen) == 4
    assert all(a != b for a, b in itertools.pairwise(callback.seen))


LOOKING = {
    "best weights": (
        keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
        1,
    ),
    "stopping": (keras.callbacks.EarlyStopping("loss"), 0),
    "averages": (keras.callbacks.SwapEMAWeights(), 1),
    "functions": (keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate), 1),
    "of the user": (Weights(), 1),
    "plateau": (keras.callbacks.ReduceLROnPlateau("loss"), 0),
    "not finite": (keras.callbacks.TerminateOnNaN(), 0),
}


@pytest.mark.parametrize("name", LOOKING)
def test_parameters_are_shown_to_callbacks_that_may_look(name, monkeypatch):
    callback, looks = LOOKING[name]
    shown = []
    store = StateStore
    publish = store.publish_trained
    monkeypatch.setattr(
        store, "publish_trained", lambda self: (shown.append(1), publish(self))
    )
    optimizer = keras.optimizers.SGD(0.1, use_ema=True)
    _, weights = train([callback], optimizer, n_epochs=3)
    # beginning and end of training and epochs, and when all is done
    assert len(shown) == (1 + 2 * 3 + 1 + 1 if looks else 1)
    assert not np.allclose(weights, 1)


def test_any_callback_can_stop_training():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    history, _ = train([Stop()])
    assert history.n_epochs == 1 and len(history.batch_losses) == 2


def test_loss_that_is_not_finite_raises_before_callbacks_see_it():
    seen = []
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
        ),
    ]
    with pytest.raises(SimulationError, match="epoch 1, minibatch 2"):
        train(callbacks, keras.optimizers.SGD(1e30))
    assert len(seen) == 1 and np.all(np.isfinite(seen))


# -- progress


class Recorder(ProgressBar):
    """Keeps what a progress bar would show."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def update(self, progress):
        self.shown.append((progress.name_during, progress.n_steps, progress.max_steps))

    def close(self):
        self.shown.append("closed")


def test_progress_names_epoch_and_loss_of_the_last_minibatch():
    recorder = Recorder()
    history, _ = train(None, n_epochs=2, progress_bar=recorder)
    *updates, last = recorder.shown
    assert last == "closed"
    by_step = {step: name for name, step, total in updates if total == 8}
    assert by_step.pop(0) == "Training"
    assert 8 in by_step  # others are skipped if they follow too soon
    for step, name in by_step.items():
        epoch, loss = (step - 1) // 4 + 1, history.batch_losses[step - 1]
        assert name == f"Training (epoch {epoch} of 2, loss {loss:.4g})"


def test_progress_bar_shows_epoch_loss_and_remaining_time():
    stream = io.StringIO()
    history, _ = train(None, n_epochs=2, progress_bar=TextProgressBar(stream))
    text = stream.getvalue()
    assert re.search(r"Training \(epoch 2 of 2, loss [0-9.]+\).*100%.*Time", text)
    assert "ETA" in text
    assert f"loss {history.batch_losses[-1]:.4g}" in text


def test_progress_of_unknown_length_shows_epoch_and_loss():
    net = linear_network()
    stream = io.StringIO()

    def minibatches():
        for start in range(0, 16, 4):
            yield X[start : start + 4], Y[start : start + 4]

    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        bar = TextProgressBar(stream)
        sim.train(minibatches, None, "sgd", n_epochs=2, progress_bar=bar)
    assert "epoch 2 of 2, loss" in stream.getvalue()


def test_without_a_progress_bar_nothing_is_printed(capfd):
    train(None, n_epochs=2, progress_bar=False)
    assert capfd.readouterr() == ("", "")


def test_interrupted_training_closes_the_progress_bar():
    recorder = Recorder()
    with pytest.raises(SimulationError):
        train(None, keras.optimizers.SGD(1e30), progress_bar=recorder)
    assert recorder.shown[-1] == "closed"
