"""
Handwritten digits with spiking neurons
=======================================

This network recognises handwritten digits without gradient training.
One ensemble of leaky integrate-and-fire neurons looks at an 8 x 8 image. Nengo solves
for the decoders that turn its spikes into one value per digit, from the training
images; nothing else is learned. The test images then run as one minibatch in
``nengo_dl.Simulator``, and a few of them one by one in ``nengo.Simulator``, which must
give the same answers.

Run it as ``python examples/spiking_digits.py``, or cell by cell.
"""

# %%
import argparse
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import nengo
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

parser = argparse.ArgumentParser(description="Read digits with spiking neurons.")
parser.add_argument("--n-neurons", type=int, default=2000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=Path, default=Path("spiking_digits.png"))
parser.add_argument(
    "--quick", action="store_true", help="fewer neurons and images, for a quick check"
)
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_NEURONS = min(args.n_neurons, 1000) if args.quick else args.n_neurons
N_TEST = 180 if args.quick else 450
N_CORE = 5 if args.quick else 20  # images that nengo.Simulator classifies as well
N_STEPS = 100  # each image is shown for 0.1 s

# %%
# Images
# ------
# The ensemble sees the difference from the mean training image, scaled to length 1.

digits = load_digits()
train, test, train_labels, test_labels = train_test_split(
    digits.data / 16,
    digits.target,
    test_size=N_TEST,
    stratify=digits.target,
    random_state=args.seed,
)
mean_image = train.mean(axis=0)


def as_input(images):
    """Centre images and scale them to unit length."""
    centred = images - mean_image
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


train_inputs, test_inputs = as_input(train), as_input(test)

# %%
# Network
# -------
# The encoder of a neuron is the difference of two training images: it fires for what
# looks like the first digit and unlike the second.

rng = np.random.RandomState(args.seed)
liked = rng.randint(len(train), size=N_NEURONS)
disliked = np.array(
    [rng.choice(np.flatnonzero(train_labels != train_labels[i])) for i in liked]
)
# in the order of the digits that the neurons like, which is how the picture shows them
order = np.argsort(train_labels[liked], kind="stable")
liked, disliked = liked[order], disliked[order]

current_image = np.zeros(64)

with nengo.Network(seed=args.seed) as net:
    # a run of nengo_dl can replace what an input Node gives, for each item of a batch
    image = nengo.Node(lambda t: current_image)
    neurons = nengo.Ensemble(
        n_neurons=N_NEURONS,
        dimensions=64,
        encoders=train_inputs[liked] - train_inputs[disliked],
        intercepts=nengo.dists.Uniform(0, 0.6),
        max_rates=nengo.dists.Uniform(100, 200),
        neuron_type=nengo.LIF(),
    )
    nengo.Connection(image, neurons, synapse=None)
    classes = nengo.Node(size_in=10)
    nengo.Connection(
        neurons,
        classes,
        eval_points=train_inputs,
        scale_eval_points=False,
        function=np.eye(10)[train_labels],
        solver=nengo.solvers.LstsqL2(reg=0.02),
        synapse=0.02,
    )
    answer = nengo.Probe(classes)

# %%
# All test images at once
# -----------------------
# The first run of a simulator compiles it, so the second one is timed.

frames = np.repeat(test_inputs[:, None, :], N_STEPS, axis=1)  # (images, steps, pixels)

with nengo_dl.Simulator(net, minibatch_size=N_TEST, progress_bar=False) as sim:
    start = time.perf_counter()
    sim.run_steps(N_STEPS, input_feeds={image: frames})
    first_time = time.perf_counter() - start

    sim.soft_reset(include_probes=True)
    start = time.perf_counter()
    sim.run_steps(N_STEPS, input_feeds={image: frames})
    batch_time = time.perf_counter() - start

    decoded = sim.data[answer]  # (images, steps, digits)

predictions = decoded[:, -1].argmax(axis=-1)
accuracy = np.mean(predictions == test_labels)
print(
    f"{N_NEURONS} spiking neurons, {len(train)} training images: "
    f"{accuracy:.1%} of {N_TEST} test images recognised"
)

# %%
# Some of them in nengo.Simulator
# -------------------------------
# Nengo's own simulator takes one image at a time.

core_decoded = np.zeros((N_CORE, 10))
core_time = 0.0

with nengo.Simulator(net, progress_bar=False) as core_sim:
    for i in range(N_CORE):
        core_sim.reset()
        current_image[:] = test_inputs[i]
        start = time.perf_counter()
        core_sim.run_steps(N_STEPS)
        core_time += time.perf_counter() - start
        core_decoded[i] = core_sim.data[answer][-1]

n_same = np.sum(core_decoded.argmax(axis=-1) == predictions[:N_CORE])
largest_difference = np.abs(core_decoded - decoded[:N_CORE, -1]).max()
per_image, core_per_image = batch_time / N_TEST, core_time / N_CORE
print(
    f"nengo_dl.Simulator: {N_TEST} images in {batch_time:.2f} s, "
    f"{1e3 * per_image:.2f} ms each (first run, with compilation: {first_time:.2f} s)\n"
    f"nengo.Simulator: {N_CORE} images in {core_time:.2f} s, "
    f"{1e3 * core_per_image:.2f} ms each\n"
    f"per image, nengo_dl is {core_per_image / per_image:.1f} times as fast\n"
    f"same answer for {n_same} of these {N_CORE} images, "
    f"decoded values differ by {largest_difference:.1e} at most"
)
if args.quick and (accuracy < 0.93 or n_same < N_CORE):
    raise SystemExit("the quick check failed: expected 93 % and the same answers")

# %%
# A picture
# ---------
# Without a batch, one image of each digit follows the other in one run.

shown = [int(np.flatnonzero(test_labels == digit)[0]) for digit in range(10)]
with net:
    spike_probe = nengo.Probe(neurons.neurons)

with nengo_dl.Simulator(net, progress_bar=False) as sim:
    film = frames[shown].reshape(1, 10 * N_STEPS, 64)
    sim.run_steps(10 * N_STEPS, input_feeds={image: film})
    milliseconds = 1000 * sim.trange()
    spike_steps, spike_neurons = np.nonzero(sim.data[spike_probe])
    values = sim.data[answer]

# %%
# .. image:: ../images/spiking_digits.png
#    :alt: Ten images, spikes of neurons grouped by the digit they like, decoded values.
#
# .. literalinclude:: ../images/spiking_digits.txt
#    :language: none

INK, PALE = "#22272e", "#b9bfc7"
# colours that stay apart for colour-blind eyes as far as ten can
COLOURS = [
    "#4269d0",
    "#efb118",
    "#ff725c",
    "#6cc5b0",
    "#3ca951",
    "#ff8ab7",
    "#a463f2",
    "#97bbf5",
    "#9c6b4e",
    "#7a8290",
]
plt.rcParams.update(
    {
        "font.size": 10,
        "axes.edgecolor": PALE,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)

figure = plt.figure(figsize=(11, 8), layout="constrained")
grid = figure.add_gridspec(3, 10, height_ratios=(1, 4, 2.2))
raster = figure.add_subplot(grid[1, :])
lines = figure.add_subplot(grid[2, :], sharex=raster)

guesses = values[N_STEPS - 1 :: N_STEPS].argmax(axis=-1)
for digit, guess in enumerate(guesses):
    axes = figure.add_subplot(grid[0, digit])
    axes.imshow(test[shown[digit]].reshape(8, 8), cmap="gray_r")
    axes.set(xticks=[], yticks=[])
    title = f"read as {guess}" if guess == digit else f"{digit} read as {guess}"
    axes.set_title(title, color=COLOURS[guess], fontweight="bold", fontsize=10)
    for spine in axes.spines.values():
        spine.set(visible=True, color=PALE)

liked_labels = train_labels[liked]
raster.scatter(
    milliseconds[spike_steps],
    spike_neurons,
    s=2.5 if args.quick else 1.5,
    c=np.array(COLOURS)[liked_labels[spike_neurons]],
    linewidths=0,
    rasterized=True,
)
raster.set(
    ylim=(N_NEURONS, 0),
    yticks=[np.mean(np.flatnonzero(liked_labels == digit)) for digit in range(10)],
    yticklabels=range(10),
    ylabel="neurons, by the digit they like",
)
raster.tick_params(axis="y", length=0)
raster.tick_params(axis="x", labelbottom=False)

for digit in range(10):
    lines.plot(milliseconds, values[:, digit], color=COLOURS[digit], lw=0.8, alpha=0.4)
for i, guess in enumerate(guesses):
    when = slice(i * N_STEPS, (i + 1) * N_STEPS)
    lines.plot(milliseconds[when], values[when, guess], color=COLOURS[guess], lw=2)
lines.set(
    xlabel="time (ms); each image is shown for 100 ms",
    ylabel="decoded value of each digit",
    xlim=(0, milliseconds[-1]),
    xticks=range(0, 10 * N_STEPS + 1, N_STEPS),
)
for axes in (raster, lines):
    for i in range(1, 10):
        axes.axvline(i * N_STEPS, color=PALE, lw=0.8, zorder=0)
figure.suptitle(
    f"{N_NEURONS} spiking neurons read handwritten digits", fontweight="bold"
)
figure.savefig(args.output, dpi=90)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/spiking_digits.png'
