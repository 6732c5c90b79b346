"""
Export to ONNX
==============

A trained network is written as an ONNX file, which needs neither Nengo nor TensorFlow
to run: as a loop over many steps, for data that is there as a whole, and as a single
step, for data that comes bit by bit. The outputs are those of the simulator.

Run it as ``python examples/export_onnx.py``, or cell by cell. The packages ``onnx`` and
``tf2onnx`` write the file; ``onnxruntime`` runs it, if it is there.
"""

# %%
import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
from nengo.dists import Choice
from sklearn.datasets import load_digits

import nengo_dl

parser = argparse.ArgumentParser(description="Export a trained network to ONNX.")
parser.add_argument("--output", type=Path, default=Path("export_onnx.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_STEPS = 50
folder = Path(tempfile.mkdtemp())

# %%
# A network and its training
# --------------------------
# Images of digits drive spiking neurons; their filtered spikes say which digit it is.

digits = load_digits()
images = (digits.data / 16).astype(np.float32)
labels = digits.target
train, test = slice(0, 1500), slice(1500, 1700)

with nengo.Network(seed=0) as net:
    image = nengo.Node(np.zeros(64), label="image")
    spikes = nengo_dl.Layer(keras.layers.Dense(100))(image)
    spikes = nengo_dl.Layer(nengo.SpikingRectifiedLinear(amplitude=0.005))(
        spikes, max_rates=Choice([200]), intercepts=Choice([0])
    )
    digit = nengo_dl.Layer(keras.layers.Dense(10))(spikes, synapse=0.02)
    probe = nengo.Probe(digit, label="digit")

with nengo_dl.Simulator(net, minibatch_size=50, seed=0) as sim:
    sim.compile(
        keras.optimizers.Adam(0.005),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    sim.fit(
        np.repeat(images[train, None], 20, axis=1),  # 20 steps
        np.repeat(labels[train, None, None], 20, axis=1),
        epochs=2 if args.quick else 10,
        verbose=0,
    )
    parameters = sim.save_params(folder / "parameters")

# %%
# Two files
# ---------
# The minibatch of a file is that of the simulator. One without minibatches loads the
# parameters, runs a digit for comparison, and writes the loop and the step.

with nengo_dl.Simulator(net, seed=0) as sim:
    sim.load_params(parameters)
    loop = sim.export(folder / "loop.onnx", "onnx", function="run")
    step = sim.export(folder / "step.onnx", "onnx")
    shown = np.repeat(images[test][:1, None], N_STEPS, axis=1)
    sim.run_steps(N_STEPS, input_feeds={image: shown})
    expected = sim.data[probe]
print(step)

# %%
# Running them
# ------------
# The loop takes all steps of the inputs. The state is where the file begins if it is
# not given; the step returns the next one, to be given back to it.

if importlib.util.find_spec("onnxruntime") is None:
    print("install onnxruntime to run the files")
    sys.exit()

import onnxruntime  # noqa: E402

options = onnxruntime.SessionOptions()
options.log_severity_level = 3  # it warns of each input that has a default
session = onnxruntime.InferenceSession(folder / "loop.onnx", options)
(outputs,) = session.run(["digit"], {"image": shown})
print("the loop differs by less than 1e-4:", np.abs(outputs[0] - expected).max() < 1e-4)

session = onnxruntime.InferenceSession(folder / "step.onnx", options)
names = [output.name for output in session.get_outputs()]
state, scores = {}, []
for n in range(N_STEPS):
    results = dict(zip(names, session.run(None, {"image": shown[:, n], **state})))
    state = {name: results[f"next_{name}"] for name in step.state}
    scores.append(results["digit"][0])
print("steps differ by less than 1e-4:", np.abs(scores - expected).max() < 1e-4)

# %%
# All test digits, one after the other
# ------------------------------------
# The mean answer of the last 20 steps counts.

session = onnxruntime.InferenceSession(folder / "loop.onnx", options)
found = []
for item in images[test]:
    shown = np.repeat(item[None, None], N_STEPS, axis=1)
    (outputs,) = session.run(["digit"], {"image": shown})
    found.append(outputs[0, -20:].mean(axis=0).argmax())
print(f"correct in onnxruntime: {np.mean(found == labels[test]):.0%}")

# %%
fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(np.arange(1, N_STEPS + 1), expected, lw=3, alpha=0.4)
ax.set_prop_cycle(None)
ax.plot(np.arange(1, N_STEPS + 1), scores, "k--", lw=1)
ax.set(xlabel="step", ylabel="score", title="nengo_dl (colours), onnxruntime (dashed)")
fig.tight_layout()
fig.savefig(args.output, dpi=120)
