"""
Train a memory over time
========================

A spiking network is shown a value for a moment, and must still know it much later. Only
the answer at the end is asked for: targets that are NaN leave the network free. What it
needs, feedback that keeps its state, it finds by backpropagation through time.

Run it as ``python examples/spiking_memory.py``, or cell by cell.
"""

# %%
import argparse
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np

import nengo_dl

parser = argparse.ArgumentParser(description="Train a spiking memory over time.")
parser.add_argument("--output", type=Path, default=Path("spiking_memory.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_STEPS, N_CUE, N_ANSWER = 300, 50, 50  # of 1 ms: all, with the cue, with a target
N_EPOCHS = 3 if args.quick else 20

# %%
# Network
# -------
# The feedback decodes zero at first, so that the memory is lost within the 100 ms of
# its synapse.

with nengo.Network(seed=0) as net:
    cue = nengo.Node([0])
    memory = nengo.Ensemble(100, dimensions=1, neuron_type=nengo.LIF())
    nengo.Connection(cue, memory, transform=2, synapse=0.1)
    nengo.Connection(memory, memory, function=lambda x: 0, synapse=0.1)
    remembered = nengo.Probe(memory, synapse=0.02)
    spikes = nengo.Probe(memory.neurons)

# %%
# Items
# -----
# A cue, then silence. The target is NaN until the last 50 ms: the mean squared error
# leaves those steps out.

rng = np.random.RandomState(0)
values = rng.uniform(-0.8, 0.8, size=(512, 1, 1))
cues = np.zeros((512, N_STEPS, 1))
cues[:, :N_CUE] = values
targets = np.full((512, N_STEPS, 1), np.nan)
targets[:, -N_ANSWER:] = values

test_values = np.linspace(-0.8, 0.8, 32)[:, None, None]
test_cues = np.zeros((32, N_STEPS, 1))
test_cues[:, :N_CUE] = test_values


# %%
# Training
# --------
# The loss of the untrained network, training on rates, and a test with spikes.


def simulate(sim):
    """Run with spikes, and return what is remembered."""
    sim.soft_reset(include_probes=True)
    sim.run_steps(N_STEPS, input_feeds={cue: test_cues})
    return sim.data[remembered][..., 0], sim.data[spikes][0]


# decoders of 100 neurons that fire at up to 400 Hz are small numbers, and so are steps
learning_rate = keras.optimizers.schedules.CosineDecay(3e-5, 16 * N_EPOCHS)

with nengo_dl.Simulator(net, minibatch_size=32, seed=0, progress_bar=False) as sim:
    before, _ = simulate(sim)
    history = sim.train(
        {cue: cues},
        {remembered: targets},
        optimizer=keras.optimizers.Adam(learning_rate),
        n_epochs=N_EPOCHS,
    )
    after, raster = simulate(sim)

test_answers = test_values[:, 0]
errors = [
    np.sqrt(np.mean((found[:, -N_ANSWER:] - test_answers) ** 2))
    for found in (before, after)
]
print(history)
print(
    f"error after {N_STEPS - N_CUE} ms of silence, with spikes: {errors[0]:.3f} before "
    f"training, {errors[1]:.3f} after it"
)
if args.quick and not errors[1] < 0.5 * errors[0]:
    raise SystemExit("the quick check failed: training did not help")

# %%
# .. image:: ../images/spiking_memory.png
#    :alt: Before training all values decay to zero within 200 ms; after training they
#       stay apart until the end.
#
# .. literalinclude:: ../images/spiking_memory.txt
#    :language: none

milliseconds = np.arange(1, N_STEPS + 1)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
colours = plt.get_cmap("coolwarm")(np.linspace(0, 1, len(test_values)))
for ax, found, when in zip(axes, (before, after), ("before", "after")):
    for line, colour in zip(found[::3], colours[::3]):
        ax.plot(milliseconds, line, color=colour, lw=1)
    ax.plot(
        np.full(len(test_values[::3]), N_STEPS + 4),
        test_values[::3, 0, 0],
        linestyle="none",
        marker=4,
        color="black",
        label="target",
    )
    ax.axvspan(0, N_CUE, color="0.93", label="cue")
    ax.set(title=f"{when} training", xlabel="time (ms)", ylim=(-1, 1))
axes[0].set_ylabel("remembered value")
axes[0].legend(frameon=False, loc="upper right")
times, neurons = np.nonzero(raster)
axes[2].scatter(times, neurons, s=0.6, color="#22272e", linewidths=0)
axes[2].set(title=f"spikes while it holds {test_values[0, 0, 0]:.1f}")
axes[2].set(xlabel="time (ms)", ylabel="neuron")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/spiking_memory.png'
