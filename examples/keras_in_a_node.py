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
from pathlib import Path

import keras
import matplotlib
import nengo
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description="Train Keras and Nengo together.")
parser.add_argument("--output", type=Path, default=Path("keras_in_a_node.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
args = parser.parse_args()

N_EPOCHS = 5 if args.quick else 40
N_STEPS = 100  # of simulation with spikes

digits = load_digits()
train, test, train_labels, test_labels = train_test_split(
    digits.data / 16,
    digits.target,
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
        neuron_type=nengo.LIF(),
        max_rates=nengo.dists.Uniform(100, 200),
    )
    digit = nengo.Node(size_in=10)
    nengo.Connection(image, model, synapse=None)
    nengo.Connection(model, neurons, synapse=None)
    nengo.Connection(
        neurons.neurons,
        digit,
        transform=nengo_dl.dists.Glorot(scale=0.01),
        synapse=None,
    )
    direct = nengo.Probe(digit)
    answer = nengo.Probe(digit, synapse=0.02)
    spikes = nengo.Probe(neurons.neurons)


# %%
# Training and test
# -----------------
# One step with firing rates for each training image, 100 steps with spikes for each
# test image.


def accuracy(sim):
    """Run all test images with spikes."""
    sim.soft_reset(include_probes=True)
    frames = np.repeat(test[:, None], N_STEPS, axis=1)
    correct, first = [], None
    for start in range(0, len(test), 100):
        sim.run_steps(N_STEPS, input_feeds={image: frames[start : start + 100]})
        answers = sim.data[answer][:, -1].argmax(axis=-1)
        correct.append(answers == test_labels[start : start + 100])
        first = sim.data[spikes][:10].copy() if first is None else first
        sim.soft_reset(include_probes=True)
    return np.mean(np.concatenate(correct)), first


def share_of_right_answers(output, target):
    right = keras.ops.argmax(output[:, -1], axis=-1) == target
    return keras.ops.mean(keras.ops.cast(right, output.dtype))


n_updates = N_EPOCHS * (len(train) // 100)
with nengo_dl.Simulator(net, minibatch_size=100, seed=0, progress_bar=False) as sim:
    before, _ = accuracy(sim)
    history = sim.train(
        {image: train[:, None]},
        {direct: train_labels},
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, n_updates)
        ),
        objective=lambda output, target: (
            keras.losses.sparse_categorical_crossentropy(
                target, output[:, -1], from_logits=True
            )
        ),
        metrics={"accuracy": share_of_right_answers},
        n_epochs=N_EPOCHS,
    )
    after, raster = accuracy(sim)
    for name, weights in sim.data[model].weights.items():
        print(f"{name:24s} {weights.shape}")

print(history)
print(
    f"test accuracy with spikes: {before:.1%} before training, {after:.1%} after it"
)
if args.quick and after < 0.8:
    raise SystemExit("the quick check failed: expected 80 %")
