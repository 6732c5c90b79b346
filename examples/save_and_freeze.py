"""
Save, load, freeze
==================

What training found can be kept in a file, loaded by another simulator of the network,
and written back into the network itself. A network that is frozen in this way runs in
``nengo.Simulator``, on neuromorphic hardware, or wherever Nengo does.

Run it as ``python examples/save_and_freeze.py``, or cell by cell.
"""

# %%
import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np

import nengo_dl

parser = argparse.ArgumentParser(description="Keep what a network has learned.")
parser.add_argument("--output", type=Path, default=Path("save_and_freeze.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_EPOCHS = 20 if args.quick else 500
N_STEPS = 1000

# %%
# A network and its task
# ----------------------
# Thirty neurons between input and output are few for this function, so that it matters
# which ones they are.

with nengo.Network(seed=0) as net:
    nengo_dl.configure_settings(lif_smoothing=0.02)
    current_input = 0.0
    stimulus = nengo.Node(lambda t: current_input, label="stimulus")
    hidden = nengo.Ensemble(30, dimensions=1, neuron_type=nengo.LIF(), label="hidden")
    output = nengo.Node(size_in=1, label="output")
    nengo.Connection(stimulus, hidden, synapse=None)
    nengo.Connection(
        hidden, output, function=lambda x: np.sin(2 * np.pi * x), synapse=0.05
    )
    direct = nengo.Probe(output)

x = np.linspace(-1, 1, 128)[:, None, None]
y = np.sin(2 * np.pi * x)

# %%
# Train, and save
# ---------------
# Training steps are single steps of the rate network; the synapse would still be at
# its beginning, so it is left out while training.

(decoding,) = (conn for conn in net.connections if conn.post_obj is output)
decoding.synapse = None

folder = TemporaryDirectory()
path = Path(folder.name) / "trained.npz"
with nengo_dl.Simulator(net, minibatch_size=32, seed=0, progress_bar=False) as sim:
    history = sim.train(
        {stimulus: x},
        {direct: y},
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(1.5e-3, 4 * N_EPOCHS)
        ),
        n_epochs=N_EPOCHS,
    )
    sim.save_params(path)
print(f"loss {history.loss[0]:.4f} in the first epoch, {history.loss[-1]:.6f} at last")

decoding.synapse = 0.05

# %%
# The file holds arrays under the names of objects, and needs nothing but NumPy.

with np.load(path) as file:
    for name in file.files:
        if name.startswith("net."):
            print(f"{name:42s} {file[name].shape}")

# %%
# Load
# ----
# Another simulator, with another minibatch, runs the spikes.

frames = np.tile(x, (1, N_STEPS, 1))


def tuning(sim):
    """Return the mean output of the last half second for each input."""
    sim.run_steps(N_STEPS, input_feeds={stimulus: frames})
    found = sim.data[direct][:, -500:, 0].mean(axis=1)
    sim.soft_reset(include_probes=True)
    return found


with nengo_dl.Simulator(
    net, minibatch_size=len(x), dtype="float64", seed=0, progress_bar=False
) as sim:
    untrained = tuning(sim)
    report = sim.load_params(path)
    trained = tuning(sim)
    sim.freeze_params(net)
print(f"loaded {len(report.loaded)} entries, skipped {len(report.skipped)}")

# %%
# Freeze
# ------
# Now the network itself has the trained parameters, and Nengo's own simulator gives the
# same spikes.

shown = slice(4, None, 17)
frozen = []
with nengo.Simulator(net, seed=0, progress_bar=False) as core_sim:
    for value in x[shown, 0, 0]:
        current_input = value
        core_sim.reset()
        core_sim.run_steps(N_STEPS)
        frozen.append(core_sim.data[direct][-500:, 0].mean())
difference = np.abs(np.array(frozen) - trained[shown]).max()
errors = [np.sqrt(np.mean((v - y[:, 0, 0]) ** 2)) for v in (untrained, trained)]
print(
    f"error with spikes: {errors[0]:.3f} before training, {errors[1]:.3f} after it\n"
    f"frozen in nengo.Simulator: values differ by {difference:.1e} at most"
)
if difference > 1e-9 or not errors[1] < errors[0]:
    raise SystemExit("the frozen network differs, or training did not help")
folder.cleanup()

# %%
# .. image:: ../images/save_and_freeze.png
#    :alt: A sine wave, what the untrained network makes of it, and the trained one.
#
# .. literalinclude:: ../images/save_and_freeze.txt
#    :language: none

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(x[:, 0, 0], y[:, 0, 0], color="#22272e", lw=1, label="target")
ax.plot(x[:, 0, 0], untrained, color="#b9bfc7", lw=2, label="before training")
ax.plot(x[:, 0, 0], trained, color="#4269d0", lw=2, label="loaded, nengo_dl.Simulator")
ax.plot(x[shown, 0, 0], frozen, "o", color="#ff725c", label="frozen, nengo.Simulator")
ax.set(xlabel="input", ylabel="mean output of spiking neurons", ylim=(-1.2, 1.9))
ax.legend(frameon=False, fontsize=9, ncols=2, loc="upper center")
ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/save_and_freeze.png'
