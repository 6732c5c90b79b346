"""
Training as in Keras
====================

``sim.compile``, ``sim.fit``, ``sim.evaluate`` and ``sim.predict`` are those of a Keras
model, callbacks included. Here they train a small spiking network to read handwritten
digits, stop when it does not get better, and test it with spikes.

Run it as ``python examples/compile_fit.py``, or cell by cell.
"""

# %%
import argparse
import sys
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

parser = argparse.ArgumentParser(description="Train as in Keras.")
parser.add_argument("--output", type=Path, default=Path("compile_fit.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_EPOCHS = 5 if args.quick else 40
N_STEPS = 60  # of simulation with spikes

digits = load_digits()
train, test, train_labels, test_labels = train_test_split(
    digits.data / 16, digits.target, test_size=400, random_state=0
)

# %%
# The network
# -----------
# Pixels are weighted and summed by spiking neurons, and these by ten outputs. The
# weights are trained; there are no encoders or decoders.

with nengo.Network(seed=0) as net:
    nengo_dl.configure_settings(trainable=None)
    net.config[nengo.Ensemble].trainable = False
    image = nengo.Node(np.zeros(64), label="image")
    hidden = nengo.Ensemble(
        150,
        dimensions=1,
        neuron_type=nengo.SpikingRectifiedLinear(amplitude=0.01),
        gain=nengo.dists.Choice([100]),
        bias=nengo.dists.Choice([0]),
        label="hidden",
    )
    net.config[hidden.neurons].trainable = True
    digit = nengo.Node(size_in=10)
    nengo.Connection(
        image,
        hidden.neurons,
        transform=nengo_dl.dists.Glorot(),
        synapse=None,
        label="to_hidden",
    )
    nengo.Connection(
        hidden.neurons,
        digit,
        transform=nengo_dl.dists.Glorot(),
        synapse=None,
        label="to_digit",
    )
    direct = nengo.Probe(digit, label="direct")
    smooth = nengo.Probe(digit, synapse=0.02, label="smooth")

# %%
# Compile and fit
# ---------------
# Training uses firing rates, and one step is enough for them. A fifth of the training
# images decides when to stop, and which weights to keep.

sim = nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False)
sim.compile(
    optimizer=keras.optimizers.AdamW(3e-3, weight_decay=1e-2),
    loss={"direct": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    metrics={"direct": ["accuracy"]},
)
sim.keras_model.summary(line_length=70)

with tempfile.TemporaryDirectory() as folder:
    history = sim.fit(
        train[:, None],
        {"direct": train_labels[:, None, None]},
        epochs=N_EPOCHS,
        validation_split=0.2,
        validation_rates=True,  # as in training, not one step of spikes
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau(patience=3),
            keras.callbacks.ModelCheckpoint(
                Path(folder) / "{epoch:02d}.weights.h5", save_weights_only=True
            ),
        ],
    )
    print(f"{len(list(Path(folder).iterdir()))} checkpoints, one for each epoch")

# %%
# Predict
# -------
# Each test image is shown for 60 ms. ``predict`` takes any number of items, and leaves
# the simulation and its data alone.

frames = np.repeat(test[:, None], N_STEPS, axis=1)
shown = sim.predict(frames)[smooth]
right = (shown.argmax(axis=-1) == test_labels[:, None]).mean(axis=0)
print(f"test accuracy with spikes, after {N_STEPS} ms: {right[-1]:.1%}")
sim.close()
if right[-1] < 0.8:
    raise SystemExit("expected 80 %")

# %%
# .. image:: ../images/compile_fit.png
#    :alt: Loss and accuracy over epochs, and accuracy with spikes over time.
#
# .. literalinclude:: ../images/compile_fit.txt
#    :language: none

figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
epochs = np.arange(1, len(history.epoch) + 1)
# of several probes, metrics have the name in front
for ax, name in zip(axes, ("loss", "direct_accuracy")):
    for prefix, label, color in (
        ("", "training", "#4269d0"),
        ("val_", "validation", "#ff725c"),
    ):
        ax.plot(epochs, history.history[prefix + name], color=color, label=label)
    ax.set(xlabel="epoch", title=name.removeprefix("direct_"))
    ax.legend(frameon=False)
axes[2].plot(np.arange(1, N_STEPS + 1), right, color="#3ca951")
axes[2].set(xlabel="time (ms)", title="test accuracy with spikes", ylim=(0, 1))
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/compile_fit.png'
