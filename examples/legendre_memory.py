"""
Legendre memory unit
====================

A Legendre memory unit keeps a sliding window of its input as coefficients of Legendre
polynomials: a linear system that is known, so that only what is read from it must be
learned [1]_. Here it is put together from Nengo objects, reads handwritten digits pixel
by pixel, and is trained through all 64 steps.

Run it as ``python examples/legendre_memory.py``, or cell by cell.
"""

# %%
import argparse
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
from scipy.linalg import expm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

parser = argparse.ArgumentParser(description="Train a Legendre memory unit.")
parser.add_argument("--output", type=Path, default=Path("legendre_memory.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

ORDER, N_HIDDEN, N_STEPS = 24, 128, 64
N_EPOCHS = 4 if args.quick else 40

# %%
# Sequences
# ---------
# The 8 by 8 pixels of a digit, one after the other.

digits = load_digits()
train, test, train_labels, test_labels = train_test_split(
    digits.data[..., None] / 16,
    digits.target,
    test_size=297,
    stratify=digits.target,
    random_state=0,
)

# %%
# The memory
# ----------
# The coefficients :math:`m` of a window of :math:`\theta` steps follow
# :math:`\theta \dot{m} = A m + B u`, discretised for an input that is constant
# within a step.


def legendre_system(order, window):
    """Return the discrete matrices A and B of a window of some steps."""
    i = np.arange(order)
    row, column = i[:, None], i[None, :]
    sign = np.where(row < column, -1.0, (-1.0) ** (row - column + 1))
    a = (2 * row + 1) * sign / window
    b = (2 * i + 1) * (-1.0) ** i / window
    both = np.zeros((order + 1, order + 1))
    both[:order, :order], both[:order, order] = a, b
    discrete = expm(both)
    return discrete[:order, :order], discrete[:order, order:]


A, B = legendre_system(ORDER, window=N_STEPS)

# %%
# Network
# -------
# The matrices are fixed, and so not trainable; a synapse of zero is one step of delay.
# Hidden neurons see the memory and the input, and each other's last output.

rng = np.random.RandomState(0)


def random_weights(size_out, size_in):
    bound = np.sqrt(6 / (size_in + size_out))
    return rng.uniform(-bound, bound, size=(size_out, size_in))


with nengo.Network(seed=0) as net:
    nengo_dl.configure_settings(trainable=None)
    pixel = nengo.Node([0])
    memory = nengo.Node(size_in=ORDER)
    hidden = nengo.Ensemble(
        N_HIDDEN,
        1,
        neuron_type=nengo.Tanh(tau_ref=1),
        gain=np.ones(N_HIDDEN),
        bias=np.zeros(N_HIDDEN),
    ).neurons
    digit = nengo.Node(size_in=10)
    fixed = [
        nengo.Connection(pixel, memory, transform=B, synapse=None),
        nengo.Connection(memory, memory, transform=A, synapse=0),
    ]
    for connection in fixed:
        net.config[connection].trainable = False
    nengo.Connection(
        memory, hidden, transform=random_weights(N_HIDDEN, ORDER), synapse=None
    )
    nengo.Connection(pixel, hidden, transform=random_weights(N_HIDDEN, 1), synapse=None)
    nengo.Connection(
        hidden, hidden, transform=0.5 * random_weights(N_HIDDEN, N_HIDDEN), synapse=0
    )
    nengo.Connection(
        hidden, digit, transform=random_weights(10, N_HIDDEN), synapse=None
    )
    answer = nengo.Probe(digit)
    window = nengo.Probe(memory)

# %%
# Training
# --------
# The loss looks at the last step only.

cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def loss_of_last_step(output, target):
    return cross_entropy(target, output[:, -1])


def accuracy_of_last_step(output, target):
    return keras.ops.mean(
        keras.ops.equal(keras.ops.argmax(output[:, -1], axis=-1), target)
    )


n_updates = N_EPOCHS * (len(train) // 50)
with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
    history = sim.train(
        {pixel: train},
        {answer: train_labels},
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(3e-3, n_updates)
        ),
        n_epochs=N_EPOCHS,
        objective=loss_of_last_step,
        metrics={"accuracy": accuracy_of_last_step},
    )

    feeds = np.zeros((300, N_STEPS, 1))
    feeds[: len(test)] = test
    correct = []
    for part in feeds.reshape(6, 50, N_STEPS, 1):
        sim.soft_reset(include_probes=True)
        sim.run_steps(N_STEPS, input_feeds={pixel: part})
        correct.append(sim.data[answer][:, -1].argmax(axis=-1))
    coefficients = sim.data[window][0]
accuracy = np.mean(np.concatenate(correct)[: len(test)] == test_labels)
n_trained = sum(int(np.prod(v.shape)) for v in sim.trainable_variables)
print(history)
print(f"{n_trained} parameters: {accuracy:.1%} of {len(test)} test images recognised")
if args.quick and accuracy < 0.7:
    raise SystemExit("the quick check failed: expected 70 %")

# %%
# .. image:: ../images/legendre_memory.png
#    :alt: An image, the sequence of its pixels, the memory's coefficients while it
#       reads them, the sequence that they stand for, and accuracy over epochs.
#
# .. literalinclude:: ../images/legendre_memory.txt
#    :language: none
#
# The window can be drawn back from its coefficients: at the end it is the whole image,
# without its finest detail.
#
# .. [1] A. R. Voelker, I. Kajić, C. Eliasmith. Legendre memory units: continuous-time
#    representation in recurrent neural networks. NeurIPS 2019, 15570-15579.

places = np.linspace(1, -1, N_STEPS)  # of the window, the oldest first
polynomials = np.polynomial.legendre.legvander(places, ORDER - 1)
shown = part[0, :, 0]
recalled = polynomials @ coefficients[-1]

figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
axes[0].imshow(shown.reshape(8, 8), cmap="gray_r")
axes[0].set(title="one test image", xticks=[], yticks=[])
axes[1].imshow(coefficients.T, cmap="coolwarm", aspect="auto", vmin=-1, vmax=1)
axes[1].set(title="memory", xlabel="step", ylabel="coefficient")
axes[2].step(range(1, N_STEPS + 1), shown, color="#b9bfc7", label="pixels")
axes[2].plot(range(1, N_STEPS + 1), recalled, color="#4269d0", label="recalled")
axes[2].set(title="window at the end", xlabel="pixel")
axes[2].legend(frameon=False, fontsize=8)
axes[3].plot(range(1, N_EPOCHS + 1), history["accuracy"], color="#4269d0")
axes[3].axhline(accuracy, color="#ff725c", lw=1, label=f"test: {accuracy:.1%}")
axes[3].set(title="training accuracy", xlabel="epoch")
axes[3].legend(frameon=False)
for ax in axes[2:]:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/legendre_memory.png'
