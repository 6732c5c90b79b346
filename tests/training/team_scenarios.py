"""What several processes train together; started by ``test_team.py``, and on its own.

``python team_scenarios.py FOLDER`` trains in this process and those that were started
with it, and writes what each found into the folder.
"""

import atexit
import gc
import json
import os
import signal
import sys
import time
import zlib
from pathlib import Path

if __name__ == "__main__":
    # what Keras and Nengo import if it is there: a third of the time to start
    for name in ("sklearn", "matplotlib", "IPython"):
        sys.modules[name] = None

import keras
import nengo
import numpy as np
import tensorflow as tf

import nengo_dl
from nengo_dl.training.joined_team import JoinedTeam

#: Items of a minibatch, over all processes.
MINIBATCH = 8
N_STEPS = 8


def make_network(seed=0, trained_layer=False, noisy=False):
    """A network whose hidden neurons spike in nearly every step."""
    with nengo.Network(seed=seed) as net:
        nengo_dl.configure_settings(
            trainable=None, surrogate=nengo_dl.Surrogate("fast_sigmoid")
        )
        net.x = nengo.Node(np.zeros(4), label="x")
        hidden = nengo.Ensemble(
            16,
            1,
            neuron_type=nengo.LIF(
                amplitude=0.005, initial_state={"voltage": nengo.dists.Choice([0])}
            ),
            gain=nengo.dists.Choice([4]),
            bias=nengo.dists.Choice([8]),
        )
        net.config[hidden].trainable = False
        nengo.Connection(
            net.x, hidden.neurons, transform=nengo_dl.dists.Glorot(), synapse=None
        )
        net.y = nengo.Node(size_in=2)
        nengo.Connection(
            hidden.neurons, net.y, transform=nengo_dl.dists.Glorot(), synapse=0.002
        )
        if noisy:
            net.noise = nengo.Node(nengo.processes.WhiteNoise(seed=None), label="noise")
            nengo.Connection(net.noise, net.y[0], transform=0.1, synapse=None)
        out = net.y
        if trained_layer:
            layers = [keras.layers.BatchNormalization(momentum=0.5)]
            out = nengo_dl.Layer(keras.Sequential(layers))(net.y, shape_in=(2,))
        net.p = nengo.Probe(out, label="y")
    return net


def make_data(n_items=64):
    rng = np.random.RandomState(1)
    x = rng.randn(n_items, N_STEPS, 4).astype(np.float32)
    return x, np.tanh(x @ rng.randn(4, 2)).astype(np.float32)


def make_simulator(workers, net, minibatch=None, jit_compile=False):
    count = 1 if workers is None else workers.count
    return nengo_dl.Simulator(
        net,
        minibatch_size=(minibatch or MINIBATCH) // count,
        seed=3,
        progress_bar=False,
        jit_compile=jit_compile,
    )


def weights_of(sim):
    return [variable.numpy() for variable in sim.trainable_variables]


def checksum(arrays):
    return [zlib.crc32(np.ascontiguousarray(array).tobytes()) for array in arrays]


def found(sim, before, history, losses):
    after = weights_of(sim)
    return {
        "history": {name: list(values) for name, values in history.items()},
        "losses": list(losses),
        "weights": [array.tolist() for array in after],
        "checksum": checksum(after),
        "moved": max(float(abs(a - b).max()) for a, b in zip(after, before)),
    }


class Losses(keras.callbacks.Callback):
    """Records the losses of minibatches, where it is called."""

    def __init__(self):
        super().__init__()
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(logs["loss"])


def adam(workers):
    """Truncation, clipping by the global norm, averages of weights, a schedule."""
    net, (x, y) = make_network(), make_data()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 10, 0.5)
    optimizer = keras.optimizers.Adam(
        schedule, global_clipnorm=0.5, use_ema=True, ema_momentum=0.9
    )
    with make_simulator(workers, net, jit_compile=True) as sim:
        before = weights_of(sim)
        history = sim.train(
            {net.x: x},
            {net.p: y},
            optimizer,
            n_epochs=2,
            truncation=N_STEPS // 2,
            metrics={"mae": "mae", "rmse": keras.metrics.RootMeanSquaredError()},
            validation=({net.x: x[:16]}, {net.p: y[:16]}),
            workers=workers,
        )
        return found(sim, before, history.history, history.batch_losses)


def fit(workers):
    """Early stopping, another learning rate, a minibatch that is not full."""
    net, (x, y) = make_network(), make_data(40)
    losses = Losses()
    stopping = keras.callbacks.EarlyStopping(
        "loss", min_delta=10, patience=2, restore_best_weights=True
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.1, patience=1, min_delta=10
    )
    with make_simulator(workers, net) as sim:
        before = weights_of(sim)
        optimizer = keras.optimizers.SGD(0.2, momentum=0.5)
        sim.compile(optimizer, "mse", metrics=[keras.metrics.MeanAbsoluteError()])
        history = sim.fit(
            x,
            y,
            epochs=20,
            verbose=0,
            callbacks=[stopping, plateau, losses],
            validation_split=0.1,
            workers=workers,
        )
        result = found(sim, before, history.history, losses.means)
        result["rate"] = float(optimizer.learning_rate.numpy())
        return result


def stream(workers):
    """Each worker has other minibatches, and another number of them."""
    net, (x, y) = make_network(), make_data(20)
    size = MINIBATCH // 2
    parts = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    own = parts if workers is None else workers.share(parts)
    with make_simulator(workers, net, None if workers else size) as sim:
        before = weights_of(sim)
        history = sim.train(
            lambda: (({net.x: a}, {net.p: b}) for a, b in own),
            None,
            keras.optimizers.Adam(0.02),
            n_epochs=2,
            objective={net.p: "mse"},
            workers=workers,
        )
        return found(sim, before, history.history, history.batch_losses)


def averages(workers):
    """Moving averages of batch normalization."""
    net, (x, y) = make_network(trained_layer=True), make_data()
    with make_simulator(workers, net) as sim:
        before = weights_of(sim)
        history = sim.train({net.x: x}, {net.p: y}, "sgd", workers=workers)
        result = found(sim, before, history.history, history.batch_losses)
        result["averages"] = sim.predict(x[:2])[net.p].tolist()
        return result


class Doubled(keras.callbacks.Callback):
    """Has other weights while something is evaluated, as `SwapEMAWeights` does."""

    def on_test_begin(self, logs=None):
        self.before = self.model.get_weights()
        self.model.set_weights([2 * weights for weights in self.before])

    def on_test_end(self, logs=None):
        self.model.set_weights(self.before)


def measured(workers):
    """Losses and metrics, of items that do not fill the last minibatch, and noise."""
    net, (x, y) = make_network(noisy=True), make_data(21)
    all_items = {net.x: x}, {net.p: y}
    some_items = {net.x: x[:5]}, {net.p: y[:5]}
    minibatch = {net.x: x[:MINIBATCH]}, {net.p: y[:MINIBATCH]}
    with make_simulator(workers, net) as sim:
        metrics = ["mae", keras.metrics.RootMeanSquaredError()]
        sim.compile(keras.optimizers.SGD(0.001), "mse", metrics=metrics)
        found = {
            "evaluate": sim.evaluate(*all_items, workers=workers),
            "callbacks": sim.evaluate(
                *all_items, callbacks=[Doubled()], workers=workers
            ),
            "test_on_batch": sim.test_on_batch(*some_items, workers=workers),
            "loss": {"loss": sim.loss({net.x: x[:16]}, y[:16], workers=workers)},
            "train_on_batch": sim.train_on_batch(*minibatch, workers=workers),
            "trained": sim.train_on_batch(*minibatch, workers=workers),
        }
    return {name: dict(values) for name, values in found.items()}


def predicted(workers):
    """Outputs; the last minibatch is the first worker's alone, and is not full."""
    net, (x, _) = make_network(), make_data(18)
    size = MINIBATCH // 2  # of one process in any case: its sums are the same to a bit
    parts = [({net.x: x[i : i + size]},) for i in range(0, 18, size)]
    parts = parts if workers is None else workers.share(parts)
    with make_simulator(workers, net, None if workers else size) as sim:
        found = {
            "arrays": sim.predict(x, workers=workers),
            "minibatches": sim.predict(lambda: iter(parts), workers=workers),
            "steps": sim.predict(x, steps=2 if workers else 4, workers=workers),
        }
        found["batch"] = found["arrays"]
        if workers is not None:
            found["batch"] = sim.predict_on_batch(x[:6], workers=workers)
    return {name: values[net.p].tolist() for name, values in found.items()}


def end_in_third_epoch(trainer, note):
    """Let this process end without a word in the middle of training."""
    flags = JoinedTeam.flags

    def end(team, weight):
        if trainer.n_updates >= 18:
            note.write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        return flags(team, weight)

    JoinedTeam.flags = end


def checkpointed(workers, path, resumed=False, killed=False):
    """Train for four epochs, or the last two of them."""
    net, (x, y) = make_network(), make_data()

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and not resumed:
                sim.save_params(path)

    with make_simulator(workers, net) as sim:
        before = weights_of(sim)
        if resumed:
            sim.load_params(path)
        trainer = sim._get_training().trainer
        if killed and not workers.is_first:
            end_in_third_epoch(trainer, path.with_name("killed"))
        history = sim.train(
            {net.x: x},
            {net.p: y},
            keras.optimizers.Adam(0.02),
            n_epochs=2 if resumed else 4,
            callbacks=[Save()],
            workers=workers,
        )
        return found(sim, before, history.history, history.batch_losses)


def message_of(action):
    """Return type and text of the error of an action."""
    try:
        action()
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return None


def errors(workers):
    """What all workers raise together."""
    net, (x, y) = make_network(), make_data()
    first = workers.is_first
    messages = {}

    def train(net, x, y, sim, optimizer="adam", **kwargs):
        kwargs.setdefault("shuffle", False)
        return sim.train({net.x: x}, {net.p: y}, optimizer, workers=workers, **kwargs)

    with make_simulator(workers, net) as sim:
        n_items = 64 if first else 56
        messages["length"] = message_of(
            lambda: train(net, x[:n_items], y[:n_items], sim)
        )
        sim.compile("sgd", "mse")
        messages["evaluated length"] = message_of(
            lambda: sim.evaluate(x[:n_items], y[:n_items], workers=workers)
        )
        action = (
            sim.evaluate if first else lambda x, y, **kwargs: sim.predict(x, **kwargs)
        )
        messages["action"] = message_of(lambda: action(x, y, workers=workers))
        messages["few items"] = message_of(lambda: train(net, x[:1], y[:1], sim))
        bad = np.array(x)
        bad[MINIBATCH // 2 + 1, 2, 0] = np.nan  # of the second worker
        before = checksum(weights_of(sim))
        messages["nan"] = message_of(lambda: train(net, bad, y, sim))
        messages["weights stay"] = before == checksum(weights_of(sim))

        def interrupted():
            for number in range(0, 64, 4):
                if number == 12 and not first:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.1)
                yield {net.x: x[number : number + 4]}, {net.p: y[number : number + 4]}

        signal.signal(signal.SIGINT, signal.default_int_handler)
        messages["interrupt"] = message_of(
            lambda: sim.train(
                interrupted, None, "adam", objective={net.p: "mse"}, workers=workers
            )
        )
        messages["updates"] = sim._get_training().trainer.n_updates
        messages["stateful"] = message_of(
            lambda: sim.fit(x, y, stateful=True, workers=workers)
        )
        messages["stateful prediction"] = message_of(
            lambda: sim.predict(x, stateful=True, workers=workers)
        )
    other = make_network(seed=0 if first else 1)
    other.ensembles[0].gain = nengo.dists.Uniform(3, 5)
    with make_simulator(workers, other) as sim:
        messages["constants"] = message_of(lambda: train(other, x, y, sim))
    another = make_network(noisy=first)
    with make_simulator(workers, another) as sim:
        messages["network"] = message_of(lambda: train(another, x, y, sim))
    messages["connected"] = message_of(
        lambda: nengo_dl.Workers(["127.0.0.1:1", "127.0.0.1:2"], 0)
    )
    return messages


def wait_for(path, seconds=120):
    """Wait until there is a file."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} has not been made"
        time.sleep(0.05)


def main(folder, mode):
    folder = Path(folder)
    workers = nengo_dl.Workers(timeout=120)
    checkpoint = folder / "checkpoint"
    if mode == "crash":
        checkpointed(workers, checkpoint, killed=True)
        return

    def resumed(workers):
        wait_for(folder / "crashed")  # by processes that started with these
        return checkpointed(workers, checkpoint, resumed=True)

    together = {
        "adam": adam,
        "fit": fit,
        "measured": measured,
        "predicted": predicted,
        "stream": stream,
        "averages": averages,
        "whole": lambda workers: checkpointed(workers, folder / "other"),
        "errors": errors,
        "resumed": resumed,
    }
    results = {name: scenario(workers) for name, scenario in together.items()}
    # what one process finds, each a part of it that takes about as long
    alone = ["adam", "fit", "measured", "resumed", "predicted"]
    results["alone"] = {name: together[name](None) for name in workers.share(alone)}
    (folder / f"{workers.rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    atexit.register(gc.freeze)  # else Python looks for garbage for a second at its end
    main(*sys.argv[1:])
