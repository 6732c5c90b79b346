"""
Tutorial: from a Nengo script to a trained spiking network
==========================================================

A small network multiplies two numbers. It starts as a plain Nengo script; then the
simulator is swapped, many inputs run at once, the network is trained by gradient
descent, and what it has learned goes back into Nengo. Copy the cells one by one into
Python or a notebook, or run all of them with ``python examples/tutorial.py``. Together
they take less than a minute. (:doc:`/installation` says what to install.)
"""

# %%
# 1. A plain Nengo script
# -----------------------
# Forty spiking neurons represent two numbers, and a connection decodes their product.

import matplotlib.pyplot as plt
import nengo
import numpy as np

with nengo.Network(seed=0) as net:
    numbers = nengo.Node(lambda t: [np.sin(6 * t), np.cos(4 * t)])
    neurons = nengo.Ensemble(40, dimensions=2, radius=np.sqrt(2))
    product = nengo.Node(size_in=1)
    nengo.Connection(numbers, neurons, synapse=None)
    nengo.Connection(neurons, product, function=lambda x: x[0] * x[1], synapse=None)
    answer = nengo.Probe(product, synapse=0.05)

with nengo.Simulator(net, progress_bar=False) as sim:
    sim.run(2)

core_data = sim.data[answer]
print(f"nengo.Simulator: {core_data.shape}, last value {core_data[-1, 0]:.4f}")

# %%
# It prints:
#
# .. literalinclude:: ../images/tutorial.txt
#    :language: none
#    :start-at: nengo.Simulator:
#    :end-at: nengo.Simulator:
#
# 2. Another simulator
# --------------------
# ``nengo_dl.Simulator`` takes its place; nothing else changes. It computes in single
# precision unless told otherwise, which is why the values agree to about six digits.

import nengo_dl

with nengo_dl.Simulator(net, progress_bar=False) as sim:
    sim.run(2)

our_data = sim.data[answer]
print(
    f"nengo_dl.Simulator: {our_data.shape}, last value {our_data[-1, 0]:.4f}, "
    f"largest difference {np.abs(our_data - core_data).max():.0e}"
)

# %%
# It prints:
#
# .. literalinclude:: ../images/tutorial.txt
#    :language: none
#    :start-at: nengo_dl.Simulator:
#    :end-at: nengo_dl.Simulator:
#
# 3. Many inputs at once
# ----------------------
# With ``minibatch_size`` that many copies of the network run side by side.
# ``input_feeds`` gives each its own input, an array of shape (items, steps, size). Here
# it is a grid of 21 by 21 pairs, each held for 500 steps of one millisecond. Data has
# the items as its first axis.

axis = np.linspace(-1, 1, 21)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (441, 2)
held = np.repeat(grid[:, None], 500, axis=1)  # (441, 500, 2)


def error_map(sim):
    """Return the error of the mean answer to each pair of the grid."""
    sim.soft_reset(include_probes=True)
    sim.run_steps(500, input_feeds={numbers: held})
    answers = sim.data[answer][:, 200:, 0].mean(axis=1)
    return (answers - grid[:, 0] * grid[:, 1]).reshape(21, 21)


with nengo_dl.Simulator(net, minibatch_size=441, progress_bar=False) as sim:
    before = error_map(sim)

print(f"error of the network that Nengo built: {np.sqrt(np.mean(before**2)):.3f}")

# %%
# It prints:
#
# .. literalinclude:: ../images/tutorial.txt
#    :language: none
#    :start-at: error of the network
#    :end-at: error of the network
#
# 4. Training
# -----------
# ``train`` changes encoders, biases and decoders to make the output more like the
# target. Spikes have no derivative, so by default the firing rates of the same neurons
# are trained. Rates need no time to settle: items of a single step are enough, if the
# probe has no synapse that would have to settle, too.

import keras

N_EPOCHS = 100

with net:
    direct_answer = nengo.Probe(product)

rng = np.random.RandomState(0)
pairs = rng.uniform(-1, 1, size=(4096, 1, 2))  # (items, steps, size)
products = pairs[..., :1] * pairs[..., 1:]

sim = nengo_dl.Simulator(net, minibatch_size=64, seed=0, progress_bar=False)
history = sim.train(
    {numbers: pairs},
    {direct_answer: products},
    optimizer=keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(3e-4, N_EPOCHS * 64)
    ),
    n_epochs=N_EPOCHS,
)
print(history)

# %%
# It prints the loss of each epoch:
#
# .. literalinclude:: ../images/tutorial.txt
#    :language: none
#    :start-at: epoch
#    :end-before: error with spikes
#
# 5. What it learned, with spikes
# -------------------------------
# Parameters can be saved, and loaded by a simulator with another minibatch. Running
# always uses the spikes.

from pathlib import Path

sim.save_params("product.npz")
with nengo_dl.Simulator(net, minibatch_size=441, progress_bar=False) as evaluation:
    evaluation.load_params("product.npz")
    after = error_map(evaluation)

Path("product.npz").unlink()
print(
    f"error with spikes: {np.sqrt(np.mean(before**2)):.3f} before training, "
    f"{np.sqrt(np.mean(after**2)):.3f} after it"
)

# %%
# It prints:
#
# .. literalinclude:: ../images/tutorial.txt
#    :language: none
#    :start-at: error with spikes
#    :end-at: error with spikes
#
# 6. Back to Nengo
# ----------------
# ``freeze_params`` writes the parameters into the network, which then needs no
# nengo_dl any more.

sim.freeze_params(net)
sim.close()
with nengo.Simulator(net, progress_bar=False) as sim:
    sim.run(2)

trained_data = sim.data[answer]

# %%
# .. image:: ../images/tutorial.png
#    :alt: On the left the product over time: grey what it should be, red what the
#       network said before training, blue after it, which is closer. On the right two
#       maps of the error over all pairs of numbers; the one after training is paler.
#
# :doc:`/how_do_i` has short answers, :doc:`/user_guide/training` tells all about
# training, :doc:`/user_guide/simulator` about the arguments of the simulator, and the
# other examples show larger networks.

t = sim.trange()
figure, axes = plt.subplots(
    1, 3, figsize=(12, 3.4), layout="constrained", width_ratios=(2, 1.02, 1.2)
)
axes[0].plot(t, np.sin(6 * t) * np.cos(4 * t), color="#22272e", lw=3, alpha=0.3)
axes[0].plot(t, core_data, color="#ff725c", lw=1, label="before training")
axes[0].plot(t, trained_data, color="#4269d0", lw=1, label="after training")
axes[0].set(xlabel="time (s)", title="the product (grey) in nengo.Simulator")
axes[0].legend(frameon=False)
axes[0].spines[["top", "right"]].set_visible(False)
for ax, errors, when in zip(axes[1:], (before, after), ("before", "after")):
    shown = ax.imshow(
        errors,
        cmap="coolwarm",
        vmin=-0.3,
        vmax=0.3,
        extent=(-1, 1, -1, 1),
        origin="lower",
    )
    ax.set(title=f"error {when} training", xlabel="first number")

axes[1].set_ylabel("second number")
figure.colorbar(shown, ax=axes[2])
figure.savefig("tutorial.png", dpi=110)

assert np.mean(after**2) < np.mean(before**2)  # training has helped

# sphinx_gallery_thumbnail_path = 'images/tutorial.png'
