"""
From Keras to spikes
====================

A convolutional network is trained in Keras to read digits, as always. A converter makes
a Nengo network of it, first with rates, which compute the same; then with spiking
neurons, which need some time to be right. How much, and how many spikes, is up to the
rates at which neurons fire: here they are chosen by looking at some of the images. At
the end, the spiking network is trained a little more, so that fewer steps are enough.

Run it as ``python examples/keras_to_spikes.py``, or cell by cell. The images are those
of scikit-learn, unless ``--dataset`` names others.
"""

# %%
import argparse
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl
from nengo_dl.interchange.keras import firing_rate_scales

parser = argparse.ArgumentParser(description="Convert a network that reads digits.")
parser.add_argument(
    "--dataset",
    default="digits",
    help="'digits' (1,797 images of 8 x 8 pixels), or a file with MNIST's keys and "
    "layout, PATH.npz",
)
parser.add_argument("--output", type=Path, default=Path("keras_to_spikes.png"))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--quick", action="store_true", help="a short check: few epochs")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_STEPS = 40  # for which an image is shown to spiking neurons, of 1 ms each
RATE = 1000  # Hz of the strongest activations of each layer
N_TRAINING_STEPS = 15  # of an image while the spiking network is trained
if args.dataset == "digits":
    N_EPOCHS, MINIBATCH, N_SPIKING_EPOCHS = 20, 50, 3
    FIRST = {"filters": 32, "kernel_size": 3}
else:
    N_EPOCHS, MINIBATCH, N_SPIKING_EPOCHS = 4, 100, 1
    FIRST = {"filters": 32, "kernel_size": 5, "strides": 2}
if args.quick:
    N_EPOCHS = max(3 * N_EPOCHS // 4, 1)
keras.utils.set_random_seed(args.seed)

# %%
# Training in Keras
# -----------------
# Two things make the conversion work well: rectified linear units, and pooling by
# averages. Batch normalization and dropout cost nothing afterwards: the one becomes
# part of the weights, the other is left out.


def load_images():
    """Return images with values between 0 and 1, and labels, in two parts."""
    if args.dataset == "digits":
        digits = load_digits()
        train, test, train_labels, test_labels = train_test_split(
            digits.images / 16,
            digits.target,
            test_size=450,
            stratify=digits.target,
            random_state=args.seed,
        )
    else:
        try:
            with np.load(args.dataset) as file:
                train, train_labels = file["x_train"] / 255, file["y_train"]
                test, test_labels = file["x_test"] / 255, file["y_test"]
        except (OSError, KeyError, ValueError) as error:
            raise SystemExit(
                f"{args.dataset} is no .npz file with x_train, y_train, x_test, "
                f"y_test: {error}"
            ) from None
    return (
        (train[..., None].astype(np.float32), train_labels),
        (test[..., None].astype(np.float32), test_labels),
    )


train, test = load_images()

image = keras.Input(train[0].shape[1:], name="image")
x = layers.Conv2D(**FIRST, use_bias=False, name="first")(image)
x = layers.BatchNormalization()(x)
x = layers.ReLU(name="first_relu")(x)
x = layers.Conv2D(64, 3, use_bias=False, name="second")(x)
x = layers.BatchNormalization()(x)
x = layers.ReLU(name="second_relu")(x)
x = layers.AveragePooling2D(2, name="pool")(x)
x = layers.Flatten()(x)
x = layers.Dropout(0.4)(x)
model = keras.Model(image, layers.Dense(10, name="answer")(x), name="digits")

start = time.perf_counter()
n_updates = N_EPOCHS * (len(train[0]) // MINIBATCH)
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, n_updates)),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(*train, batch_size=MINIBATCH, epochs=N_EPOCHS, verbose=0)
_, keras_accuracy = model.evaluate(*test, verbose=0)
print(f"Keras reads {keras_accuracy:.2%} of the test images correctly")
print(f"{N_EPOCHS} epochs of training in {time.perf_counter() - start:.0f} s\n")

# %%
# The same with rates
# -------------------
# Without further arguments, the network computes what Keras does. One step is enough.

converter = nengo_dl.Converter(model)
converter.verify(inputs=test[0][:10])
print(converter.report, end="\n\n")

# %%
# Spikes
# ------
# Spiking neurons take the place of rectified linear units. ``firing_rate_scales`` looks
# at some images, and finds for each layer how many spikes stand for an activation of 1,
# so that the strongest activations are ``RATE`` everywhere.

scales = firing_rate_scales(model, train[0][:500], rate=RATE)
spiking = nengo_dl.Converter(
    model,
    swap_activations={"relu": nengo.SpikingRectifiedLinear()},
    scale_firing_rates=scales,
    synapse=0.003,
    initial_voltage=0.5,
)
node, answer = spiking.inputs[image], spiking.outputs[0]
with spiking.net:
    nengo_dl.configure_settings(surrogate="straight_through")
    # a sample of the neurons of each layer
    spikes = [
        nengo.Probe(ensemble.neurons[:: max(ensemble.n_neurons // 200, 1)])
        for ensemble in spiking.net.ensembles
    ]


def held(images, n_steps):
    """Show images for some time; the repeated values take no memory."""
    flat = images.reshape(len(images), 1, -1)
    return np.broadcast_to(flat, (len(images), n_steps, flat.shape[2]))


def run_test_images(sim):
    """Return outputs of all steps, spikes of the last minibatch, and rates in Hz."""
    outputs, rates = [], []
    for begin in range(0, len(test[0]), MINIBATCH):
        feeds = {node: held(test[0][begin : begin + MINIBATCH], N_STEPS)}
        sim.soft_reset(include_probes=True)
        sim.run_steps(N_STEPS, input_feeds=feeds)
        outputs.append(sim.data[answer].copy())
        rates.append([entry.mean for entry in sim.spike_rates()])
    counts = [sim.data[probe][-1] > 0 for probe in spikes]
    return np.concatenate(outputs), counts, np.mean(rates, axis=0)


def growth(outputs):
    """Return the accuracy after each number of steps."""
    share = []
    for n_steps in range(1, N_STEPS + 1):
        late = outputs[:, n_steps // 2 : n_steps].mean(axis=1)
        share.append(np.mean(late.argmax(axis=1) == test[1]))
    return np.array(share)


# %%
# Fine-tuning
# -----------
# Training with spikes through a surrogate derivative, for a few steps only, makes the
# answer come earlier. It starts from what Keras has learned. What is right after more
# steps than it was trained for suffers a little.


def error(output, target):
    """Return the cross entropy of the mean answer of the second half of the time."""
    late = tf.reduce_mean(output[:, output.shape[1] // 2 :], axis=1)
    labels = tf.cast(target[:, 0, 0], tf.int32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, late)


results = {}
start = time.perf_counter()
with nengo_dl.Simulator(
    spiking.net, minibatch_size=MINIBATCH, seed=args.seed, progress_bar=False
) as sim:
    results["converted"] = run_test_images(sim)
    n_images = len(train[0]) // MINIBATCH * MINIBATCH
    n_updates = N_SPIKING_EPOCHS * n_images // MINIBATCH
    sim.train(
        {node: held(train[0][:n_images], N_TRAINING_STEPS)},
        {answer: train[1][:n_images, None, None]},
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-4, n_updates)),
        n_epochs=N_SPIKING_EPOCHS,
        objective={answer: error},
    )
    results["fine-tuned"] = run_test_images(sim)
print(f"Spiking networks tested and trained in {time.perf_counter() - start:.0f} s")

curves = {name: growth(outputs) for name, (outputs, *_) in results.items()}
print("Test images read correctly, by number of steps:")
print("  steps" + "".join(f"{name:>14}" for name in curves))
for n_steps in (5, 10, 15, 20, 30, 40):
    shown = "".join(f"{100 * curve[n_steps - 1]:12.2f} %" for curve in curves.values())
    print(f"  {n_steps:5}{shown}")
for name, (_, _, rates) in results.items():
    layer_rates = ", ".join(f"{rate:.0f}" for rate in rates)
    print(f"Mean rates of the layers, {name}: {layer_rates} Hz")

# %%
# Picture
# -------

figure = plt.figure(figsize=(11, 7), layout="constrained")
grid = figure.add_gridspec(2, 6, height_ratios=[1, 1.1])
axes = figure.add_subplot(grid[0, :3])
for name, curve in curves.items():
    axes.plot(range(1, N_STEPS + 1), curve, label=name)
axes.axhline(keras_accuracy, color="grey", linestyle=":", label="Keras")
axes.set(title="Accuracy of the spiking network", xlabel="time steps")
axes.set_ylim(max(keras_accuracy - 0.1, 0), 1.001)
axes.legend(loc="lower right")

axes = figure.add_subplot(grid[0, 3:])
for name, (outputs, *_) in results.items():
    mean = outputs[:, N_STEPS // 2 :].mean(axis=1)
    if name == "converted":
        wanted = model.predict(test[0], verbose=0)
        axes.plot(wanted.ravel(), mean.ravel(), ".", markersize=1, alpha=0.5)
        axes.axline((0, 0), slope=1, color="grey", linestyle=":")
axes.set(title="Outputs", xlabel="of Keras", ylabel="mean of the last 20 steps")

outputs, counts, _ = results["fine-tuned"]
shown = len(outputs) - 1
axes = figure.add_subplot(grid[1, 0])
axes.imshow(test[0][shown, :, :, 0], cmap="gray_r")
axes.set(title=f"A test image: {test[1][shown]}", xticks=[], yticks=[])

axes = figure.add_subplot(grid[1, 1:4])
first = 0
for number, (spiked, ensemble) in enumerate(zip(counts, spiking.net.ensembles)):
    active = spiked.T[spiked.any(axis=0)][:60]
    neurons, times = np.nonzero(active)
    axes.plot(times + 1, first + neurons, "|", markersize=3, color=f"C{number}")
    axes.text(N_STEPS + 1.5, first + len(active) / 2, ensemble.label)
    first += len(active) + 5
axes.set(title="Spikes of neurons that are active", xlabel="time step", yticks=[])
axes.set_xlim(0, 1.2 * N_STEPS)
axes.set_xticks(range(0, N_STEPS + 1, 10))

axes = figure.add_subplot(grid[1, 4:])
mean = np.cumsum(outputs[shown], axis=0) / np.arange(1, N_STEPS + 1)[:, None]
axes.plot(range(1, N_STEPS + 1), mean, label=range(10))
axes.set(title="Mean answer so far, by digit", xlabel="time step")
axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")
if args.quick and args.dataset == "digits" and not curves["fine-tuned"][-1] > 0.9:
    raise SystemExit("the quick check failed: expected 90 %")

# %%
# .. image:: ../images/keras_to_spikes.png
#    :alt: Accuracy over time steps, outputs against those of Keras, spikes, answers.
#
# It prints
#
# .. literalinclude:: ../images/keras_to_spikes.txt
#    :language: none

# sphinx_gallery_thumbnail_path = 'images/keras_to_spikes.png'
