"""
Exchange with other frameworks
==============================

NIR is a format for spiking networks that many frameworks and neuromorphic chips share.
Here, a spiking network is trained, written as a NIR file, and read back: it spikes
equally. Then a graph is made as another framework would write it, with recurrent
weights in a graph of its own, and runs as a Nengo network.

Run it as ``python examples/nir_exchange.py``, or cell by cell. It needs the package
``nir``.
"""

# %%
import argparse
import sys
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import nir
import numpy as np

import nengo_dl

parser = argparse.ArgumentParser(description="Write and read NIR files.")
parser.add_argument("--output", type=Path, default=Path("nir_exchange.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

DT = 0.001
N_STEPS = 40
rng = np.random.RandomState(0)

# %%
# A network and its training
# --------------------------
# The task: which of three groups of channels is more active than the others? Neurons
# that are reset at the end of a step are those of NIR. With ``amplitude=DT`` a spike is
# the number 1, and with a surrogate derivative they spike also in training.


def patterns(n_items):
    """Spikes of 12 channels, four of which are more active, and which these are."""
    labels = rng.randint(3, size=n_items)
    rates = 0.1 + 0.25 * np.repeat(np.eye(3)[labels], 4, axis=1)
    spikes = rng.uniform(size=(n_items, N_STEPS, 12)) < rates[:, None]
    return spikes.astype(np.float32), labels


with nengo.Network(seed=0) as net:
    nengo_dl.configure_settings(surrogate="fast_sigmoid")
    channels = nengo.Node(np.zeros(12), label="channels")
    hidden = nengo.Ensemble(
        30,
        1,
        neuron_type=nengo_dl.ResetLIF(0.01, amplitude=DT),
        gain=np.ones(30),
        bias=np.zeros(30),
        label="hidden",
    ).neurons
    classes = nengo.Ensemble(
        3,
        1,
        neuron_type=nengo_dl.LeakyIntegrator(0.03),
        gain=np.ones(3),
        bias=np.zeros(3),
        label="classes",
    ).neurons
    nengo.Connection(
        channels,
        hidden,
        transform=rng.normal(1, 2, size=(30, 12)),
        synapse=None,
        label="first",
    )
    nengo.Connection(
        hidden,
        classes,
        transform=rng.normal(0, 0.5, size=(3, 30)),
        synapse=None,
        label="second",
    )
    spikes = nengo.Probe(hidden, label="spikes")
    scores = nengo.Probe(classes, label="scores")

inputs, labels = patterns(300)
targets = np.repeat(np.eye(3)[labels][:, None], N_STEPS, axis=1)
path = Path(tempfile.mkdtemp()) / "classifier.nir"
with nengo_dl.Simulator(
    net, dt=DT, minibatch_size=50, seed=0, progress_bar=False
) as sim:
    sim.train(
        {channels: inputs},
        {scores: targets},
        keras.optimizers.Adam(0.02),
        n_epochs=3 if args.quick else 20,
        objective="mse",
    )
    graph, report = nengo_dl.to_nir(sim, path, strict=True)
    tests, test_labels = patterns(50)
    sim.run_steps(N_STEPS, input_feeds={channels: tests})
    trained_spikes, trained_scores = sim.data[spikes], sim.data[scores]

print("nodes:", ", ".join(graph.nodes))
print("report:", report)
accuracy = np.mean(trained_scores[:, -1].argmax(axis=1) == test_labels)
print(f"correct: {accuracy:.0%}")

# %%
# Reading it back
# ---------------
# The metadata of the file say for which steps it was written, and how the equations are
# solved. The network that is read needs nothing of the first one.

copy, copy_inputs, copy_outputs = nengo_dl.from_nir(path)
with nengo_dl.Simulator(copy, dt=DT, minibatch_size=50, progress_bar=False) as sim:
    sim.run_steps(N_STEPS, input_feeds={copy_inputs["channels"]: tests})
    same = sim.data[copy_outputs["spikes"]] == trained_spikes
    read_scores = sim.data[copy_outputs["scores"]]
difference = np.abs(read_scores - trained_scores).max()
print(
    f"equal spikes: {same.mean():.2%}, scores differ by less than 1e-4:",
    difference < 1e-4,
)

# %%
# A graph of another framework
# ----------------------------
# Others write recurrent layers as a graph in the graph, and a number for each neuron.
# The edge that closes the cycle takes one step.

N = 20
ones = np.ones(N)
recurrent = nir.NIRGraph(
    nodes={
        "input": nir.Input(np.array([N])),
        "lif": nir.CubaLIF(
            tau_syn=0.005 * ones,
            tau_mem=np.linspace(0.01, 0.03, N),
            r=ones,
            v_leak=0 * ones,
            v_threshold=ones,
            v_reset=0 * ones,
            w_in=ones,
        ),
        "w_rec": nir.Linear(rng.normal(0, 1.5, size=(N, N)) / np.sqrt(N)),
        "output": nir.Output(np.array([N])),
    },
    edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
)
foreign = nir.NIRGraph(
    nodes={
        "input": nir.Input(np.array([2])),
        "fc": nir.Affine(rng.normal(0, 2, size=(N, 2)), rng.uniform(0.5, 1.5, size=N)),
        "rnn": recurrent,
        "output": nir.Output(np.array([N])),
    },
    edges=[("input", "fc"), ("fc", "rnn"), ("rnn", "output")],
)
net, net_inputs, net_outputs = nengo_dl.from_nir(foreign, dt=DT)
net_inputs["input"].output = lambda t: [np.sin(30 * t), np.cos(30 * t)]
with nengo_dl.Simulator(net, dt=DT, progress_bar=False) as sim:
    sim.run(0.3)
    raster = sim.data[net_outputs["output"]]
print(f"the recurrent network spikes {raster.sum():.0f} times")

# %%
# .. image:: ../images/nir_exchange.png
#    :alt: Scores of three classes over time, of which the right one grows, in lines for
#       the trained network and dots on them for the one that was read; and spikes of
#       twenty neurons.
#
# .. literalinclude:: ../images/nir_exchange.txt
#    :language: none

steps = np.arange(1, N_STEPS + 1)
colors = ("#4269d0", "#efb118", "#ff725c")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for number, color in enumerate(colors):
    is_right = " (the right one)" if number == test_labels[0] else ""
    label = f"class {number}{is_right}"
    left.plot(steps, trained_scores[0, :, number], color=color, lw=1.5, label=label)
    left.plot(steps[::3], read_scores[0, ::3, number], "o", color=color, ms=4)
left.plot([], [], "o", color="#9aa0a6", ms=4, label="read from the file")
left.set(xlabel="step", ylabel="score", title="a test item")
left.legend(frameon=False, fontsize=8, loc="upper left")
times = nengo_dl.spike_times(raster, DT)
right.eventplot(times, colors="#22272e", lineoffsets=range(N), linelengths=0.7)
right.set(xlabel="time (s)", ylabel="neuron", title="the recurrent graph")
right.set_yticks(range(0, N, 5))
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/nir_exchange.png'
