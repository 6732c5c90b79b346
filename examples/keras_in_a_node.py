"""
A Keras model inside a network
==============================

A ``TensorNode`` is a Node whose output is TensorFlow code, such as a Keras model. Here
convolutions in Keras look at handwritten digits, spiking neurons of Nengo decide which
digit it is, and both are trained together.

Run it as ``python examples/keras_in_a_node.py``, or cell by cell.
"""

# %%
import argparse
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

parser = argparse.ArgumentParser(description="Train Keras and Nengo together.")
parser.add_argument("--output", type=Path, default=Path("keras_in_a_node.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_EPOCHS = 8 if args.quick else 40
N_STEPS = 100  # of simulation with spikes

digits = load_digits()
# 1,300 images to train, so that minibatches of 100 divide them, and 400 to test
train, test, train_labels, test_labels = train_test_split(
    digits.data / 16,
    digits.target,
    train_size=1300,
    test_size=400,
    stratify=digits.target,
    random_state=0,
)

# %%
# The model, in Keras
# -------------------
# It is copied by each simulator, so training does not change this object.

keras.utils.set_random_seed(0)
features = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="tanh"),
    ]
)

# %%
# The network
# -----------
# Nodes and ensembles are connected as ever; sizes are those of the flattened tensors.

with nengo.Network(seed=0) as net:
    image = nengo.Node(np.zeros(64))
    model = nengo_dl.TensorNode(
        features, shape_in=(8, 8, 1), pass_time=False, label="features"
    )
    neurons = nengo.Ensemble(
        200,
        dimensions=32,
        radius=4,
        neuron_type=nengo.LIF(amplitude=0.01),  # outputs of about 1, not 100
        max_rates=nengo.dists.Uniform(100, 200),
    )
    digit = nengo.Node(size_in=10)
    nengo.Connection(image, model, synapse=None)
    nengo.Connection(model, neurons, synapse=None)
    nengo.Connection(
        neurons.neurons,
        digit,
        transform=nengo_dl.dists.Glorot(),
        synapse=None,
    )
    direct = nengo.Probe(digit)
    answer = nengo.Probe(digit, synapse=0.02)


# %%
# Training and test
# -----------------
# One step with firing rates for each training image, 100 steps with spikes for each
# test image.


def accuracy(sim):
    """Run all test images with spikes."""
    sim.soft_reset(include_probes=True)
    correct = []
    for start in (0, 100, 200, 300):
        frames = np.repeat(test[start : start + 100, None], N_STEPS, axis=1)
        sim.run_steps(N_STEPS, input_feeds={image: frames})
        answers = sim.data[answer][:, -1].argmax(axis=-1)
        correct.append(answers == test_labels[start : start + 100])
        sim.soft_reset(include_probes=True)
    return np.mean(correct)


def cross_entropy(output, target):
    return keras.losses.sparse_categorical_crossentropy(
        target, output[:, -1], from_logits=True
    )


def share_of_right_answers(output, target):
    return keras.metrics.sparse_categorical_accuracy(target, output[:, -1])


n_updates = N_EPOCHS * (len(train) // 100)
with nengo_dl.Simulator(net, minibatch_size=100, seed=0, progress_bar=False) as sim:
    before = accuracy(sim)
    history = sim.train(
        {image: train[:, None]},
        {direct: train_labels},
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, n_updates)
        ),
        objective=cross_entropy,
        metrics={"accuracy": share_of_right_answers},
        n_epochs=N_EPOCHS,
    )
    after = accuracy(sim)
    trained = sim.data[model].weights
    for name, weights in trained.items():
        print(f"{name:24s} {weights.shape}")
    trained_filters = next(iter(trained.values()))

print(history)
print(f"test accuracy with spikes: {before:.1%} before training, {after:.1%} after it")
if args.quick and after < 0.8:
    raise SystemExit("the quick check failed: expected 80 %")

# %%
# .. image:: ../images/keras_in_a_node.png
#    :alt: The filters of the first layer before and after training, and accuracy.
#
# .. literalinclude:: ../images/keras_in_a_node.txt
#    :language: none

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(11, 3.2), layout="constrained"
)
filters = (features.get_weights()[0], trained_filters)
for ax, values, when in zip((left, middle), filters, ("before", "after")):
    tiles = values[..., 0, :].transpose(2, 0, 1).reshape(4, 4, 3, 3)
    ax.imshow(
        np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
        .transpose(0, 2, 1, 3)
        .reshape(16, 16),
        cmap="coolwarm",
        vmin=-0.6,
        vmax=0.6,
    )
    ax.set(title=f"filters in Keras {when} training")
    ax.axis("off")
right.plot(range(1, N_EPOCHS + 1), history["accuracy"], color="#4269d0", label="rates")
right.axhline(after, color="#ff725c", lw=1, label=f"test, spikes: {after:.1%}")
right.set(xlabel="epoch", title="accuracy")
right.legend(frameon=False)
right.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/keras_in_a_node.png'
