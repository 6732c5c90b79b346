"""
Watch training in TensorBoard
=============================

With ``tensorboard="folder"`` a simulator writes the graph of its step, and what
``summaries`` names is recorded during training: losses, histograms of parameters, and
anything else that ``tf.summary`` can write. The same numbers are drawn below, for those
who have no browser at hand.

Run it as ``python examples/tensorboard_summaries.py``, or cell by cell; then
``tensorboard --logdir board`` shows the folder at http://localhost:6006. It needs
``pip install tensorboard``.
"""

# %%
import argparse
import shutil
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
import tensorflow as tf

import nengo_dl

parser = argparse.ArgumentParser(description="Record a training for TensorBoard.")
parser.add_argument("--output", type=Path, default=Path("tensorboard_summaries.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_EPOCHS = 3 if args.quick else 30
FOLDER = args.output.with_name("board")

# %%
# A network with labels
# ---------------------
# Labels become the names in TensorBoard.

with nengo.Network(seed=0) as net:
    angle = nengo.Node([0], label="angle")
    hidden = nengo.Ensemble(50, dimensions=1, radius=np.pi, label="hidden")
    point = nengo.Node(size_in=2, label="point")
    nengo.Connection(angle, hidden, synapse=None)
    decoding = nengo.Connection(
        hidden, point, function=lambda x: [0, 0], synapse=None, label="decoding"
    )
    probe = nengo.Probe(point, label="answer")

x = np.linspace(-np.pi, np.pi, 256)[:, None, None]
y = np.concatenate([np.cos(x), np.sin(x)], axis=-1)

# %%
# What to record
# --------------
# The loss; encoders, biases and weights of objects; and a function of one's own, which
# is called after each update. It can use whatever is around it, such as the simulator.


def record_norm():
    """Record the length of the longest decoder."""
    longest = np.linalg.norm(sim.data[decoding].weights, axis=0).max()
    tf.summary.scalar("longest decoder", longest)


learning_rate = keras.optimizers.schedules.CosineDecay(3e-4, 8 * N_EPOCHS)
with nengo_dl.Simulator(
    net, minibatch_size=32, seed=0, tensorboard=str(FOLDER), progress_bar=False
) as sim:
    snapshots = [sim.data[decoding].weights.ravel().copy()]
    history = sim.train(
        {angle: x},
        {probe: y},
        optimizer=keras.optimizers.Adam(learning_rate),
        n_epochs=N_EPOCHS,
        summaries=["loss", hidden, hidden.neurons, decoding, record_norm],
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: snapshots.append(
                    sim.data[decoding].weights.ravel().copy()
                )
            )
        ],
    )

written = sorted(path for path in FOLDER.rglob("events*"))
print(f"loss {history.loss[0]:.4f} in the first epoch, {history.loss[-1]:.4f} at last")
print(f"the last run is in {FOLDER.name}/{written[-1].parent.name}")
if args.quick and not history.loss[-1] < history.loss[0]:
    raise SystemExit("the quick check failed: the loss did not fall")

# %%
# .. image:: ../images/tensorboard_summaries.png
#    :alt: The loss over the updates, and histograms of the weights over the epochs.
#
# .. literalinclude:: ../images/tensorboard_summaries.txt
#    :language: none
#
# :doc:`/user_guide/tensorboard` shows how TensorBoard looks.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
left.semilogy(history.batch_losses, color="#4269d0")
left.set(xlabel="update", title="loss")
bins = np.linspace(-2.5, 2.5, 60)
rows = [np.histogram(1000 * weights, bins)[0] for weights in snapshots]
right.imshow(
    np.sqrt(rows),
    cmap="Blues",
    aspect="auto",
    origin="lower",
    extent=(bins[0], bins[-1], 0, len(rows)),
)
right.set(
    xlabel="weight (thousandths)", ylabel="epoch", title="histograms of the decoders"
)
left.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")
if args.quick:
    shutil.rmtree(FOLDER)

# sphinx_gallery_thumbnail_path = 'images/tensorboard_summaries.png'
