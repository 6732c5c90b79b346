"""
Handwritten digits
==================

A convolutional network learns to read digits by gradient descent: as a rate network,
for which one time step is enough. Its weights are then used with spiking neurons, as
they are, and after a little more training with spikes, whose derivative is replaced by
a smooth one. Both spiking networks see each test image for 50 time steps.

Run it as ``python examples/train_digits.py``, or cell by cell. The images are those of
scikit-learn, unless ``--dataset`` names others.
"""

# %%
import argparse
import time
from pathlib import Path

import keras
import matplotlib
import nengo
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description="Train digits.")
parser.add_argument("--n-neurons", type=int, default=256)
parser.add_argument("--n-epochs", type=int, default=60)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=Path, default=Path("train_digits.png"))
parser.add_argument("--quick", action="store_true", help="fewer neurons and epochs")
args = parser.parse_args()

N_NEURONS = min(args.n_neurons, 128) if args.quick else args.n_neurons
N_EPOCHS = min(args.n_epochs, 10) if args.quick else args.n_epochs
N_STEPS = 50  # time for which an image is shown, in ms
BATCH = 45

# %% [markdown]
# ## Images

# %%
digits = load_digits()
train, test, train_labels, test_labels = train_test_split(
    digits.data / 16,
    digits.target,
    test_size=450,
    stratify=digits.target,
    random_state=args.seed,
)
mean = train.mean(axis=0)
train, test = (train - mean).astype(np.float32), (test - mean).astype(np.float32)


# %% [markdown]
# ## Network
# With an amplitude of 0.01, a neuron that fires at 100 Hz has an output of 1. The
# probe's synapse averages spikes over time.


# %%
def make_network(**settings):
    """Return a network with two layers of spiking neurons, its input and its output."""
    glorot = [np.sqrt(6 / (n + N_NEURONS)) for n in (64, N_NEURONS, 10)]
    lif = nengo.LIF(amplitude=0.01)
    with nengo.Network(seed=args.seed) as net:
        nengo_dl.configure_settings(**settings)
        net.config[nengo.Connection].synapse = None
        net.config[nengo.Ensemble].neuron_type = lif
        net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
        net.config[nengo.Ensemble].bias = nengo.dists.Choice([1.5])
        image = nengo.Node(np.zeros(64))
        first = nengo.Ensemble(N_NEURONS, 1)
        second = nengo.Ensemble(N_NEURONS, 1)
        out = nengo.Node(size_in=10)
        for pre, post, limit in zip(
            (image, first.neurons, second.neurons),
            (first.neurons, second.neurons, out),
            glorot,
        ):
            weights = nengo.dists.Uniform(-limit, limit)
            nengo.Connection(pre, post, transform=weights)
        answer = nengo.Probe(out, synapse=0.01)
        answer.label = "answer"
        rates = nengo.Probe(out)
        spikes = nengo.Probe(second.neurons)
    return net, image, answer, rates, spikes


def held(images, n_steps):
    """Show images for some time; the repeated values take no memory."""
    return np.broadcast_to(images[:, None], (len(images), n_steps, 64))


def accuracy(output, target):
    """Return the share of items for which the last answer is right."""
    hits = tf.argmax(output[:, -1], axis=-1) == tf.cast(target[:, -1, 0], tf.int64)
    return tf.reduce_mean(tf.cast(hits, output.dtype))


def error(output, target):
    """Return the cross entropy of the answers at the end."""
    n_last = max(output.shape[1] // 5, 1)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.repeat(tf.cast(target[:, -1:, 0], tf.int32), n_last, axis=1),
        output[:, -n_last:],
    )


def run(title, n_steps, n_epochs, rate, **settings):
    """Train one network; return its history, accuracy with spikes, and spikes."""
    net, image, answer, rates, spikes = make_network(**settings)
    output = rates if n_steps == 1 else answer
    labels = [y[:, None, None] for y in (train_labels, test_labels)]
    start = time.perf_counter()
    with nengo_dl.Simulator(
        net, minibatch_size=BATCH, progress_bar=False, seed=args.seed
    ) as sim:
        schedule = keras.optimizers.schedules.CosineDecay(
            rate, n_epochs * (len(train) // BATCH)
        )
        history = sim.train(
            {image: held(train[: len(train) // BATCH * BATCH], n_steps)},
            {output: labels[0][: len(train) // BATCH * BATCH]},
            keras.optimizers.Adam(schedule),
            n_epochs=n_epochs,
            objective=error,
            metrics={"accuracy": {output: accuracy}},
        )
        trained = time.perf_counter() - start
        test_data = {image: held(test, n_steps)}, {output: labels[1]}
        as_trained = 1 - sim.loss(
            *test_data, lambda o, t: 1 - accuracy(o, t), training=True
        )
        growth = {}
        for n in (10, 20, 30, 50, 100):
            growth[n] = 1 - sim.loss(
                {image: held(test, n)},
                {answer: labels[1]},
                lambda o, t: 1 - accuracy(o, t),
            )
        sim.run_steps(N_STEPS, input_feeds={image: held(test[:BATCH], N_STEPS)})
        shown = sim.data[spikes][0]
    print(
        f"{title}: {100 * as_trained:.1f} % of the test images as in training, with "
        "spikes " + ", ".join(f"{100 * a:.1f} % ({n} steps)" for n, a in growth.items())
    )
    print(f"  {trained:.0f} s of training, {shown.mean() * 100:.0f} Hz")
    return history, growth, shown


# %% [markdown]
# ## Training
# With rates, time does not matter, so one step is enough. With spikes it does.

# %%
results = {
    "rates": run("Trained with rates", 1, 3 * N_EPOCHS, 3e-3, lif_smoothing=0.1),
    "spikes": run(
        "Trained with spikes",
        N_STEPS,
        N_EPOCHS // 2,
        3e-3,
        surrogate="fast_sigmoid",
    ),
}

# %% [markdown]
# ## Picture

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for name, (history, growth, _) in results.items():
    history.plot(["accuracy"], axes[0])
    axes[0].lines[-1].set_label(name)
    axes[1].plot(list(growth), list(growth.values()), "o-", label=name)
axes[0].set(title="accuracy in training", ylim=(0.8, 1))
axes[1].set(title="test images, by training", xlabel="time steps of spikes")
axes[1].set_ylim(0.5, 1)
times, neurons = np.nonzero(results["spikes"][2])
axes[2].plot(times, neurons, "|", markersize=2)
axes[2].set(title="spikes for one image", xlabel="time step", ylabel="neuron")
for ax in axes[:2]:
    ax.legend()
figure.savefig(args.output)
print(f"Picture: {args.output}")
