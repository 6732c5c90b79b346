"""
A trained network without TensorFlow
====================================

A classifier of Keras layers is trained here, and exported as a network of Nengo's own
objects: layers become transforms and neurons, batch normalization becomes a part of the
weights before it. Pickled, it runs where neither ``nengo_dl`` nor TensorFlow is
installed, and gives the same answers.

Run it as ``python examples/to_plain_nengo.py``, or cell by cell.
"""

# %%
import argparse
import pickle
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

parser = argparse.ArgumentParser(description="Export a network to plain Nengo.")
parser.add_argument("--output", type=Path, default=Path("to_plain_nengo.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_EPOCHS = 3 if args.quick else 15
keras.utils.set_random_seed(0)

# %%
# A network of layers
# -------------------
# A convolution and two dense layers read handwritten digits.

digits = load_digits()
train, test, train_labels, test_labels = train_test_split(
    digits.data / 16, digits.target, test_size=0.2, random_state=0
)
with nengo.Network(seed=0) as net:
    image = nengo.Node(np.zeros(64), label="image")
    x = nengo_dl.tensor_layer(
        image, keras.layers.Conv2D(8, 3, use_bias=False), shape_in=(8, 8, 1)
    )
    x = nengo_dl.tensor_layer(x, keras.layers.BatchNormalization(), shape_in=(6, 6, 8))
    x = nengo_dl.tensor_layer(x, keras.layers.ReLU())
    x = nengo_dl.tensor_layer(x, keras.layers.Dense(32, activation="relu"))
    x = nengo_dl.tensor_layer(x, keras.layers.Dense(10))
    scores = nengo.Probe(x, label="scores")


def cross_entropy(output, target):
    """Return the mean cross-entropy of scores and labels."""
    return keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(
            target[:, -1, 0], output[:, -1], from_logits=True
        )
    )


# %%
# Train, export, pickle
# ---------------------

folder = TemporaryDirectory()
path = Path(folder.name) / "plain.pkl"
with nengo_dl.Simulator(net, minibatch_size=32, seed=0, progress_bar=False) as sim:
    sim.train(
        {image: train[: len(train) // 32 * 32, None]},
        {scores: train_labels[: len(train) // 32 * 32, None, None]},
        keras.optimizers.Adam(3e-3),
        n_epochs=N_EPOCHS,
        objective=cross_entropy,
    )
    trained = sim.predict(test[:, None])[scores][:, -1]
    plain = nengo_dl.export_network(sim)
answers = trained.argmax(axis=1)
print(f"nengo_dl: {np.mean(answers == test_labels):.1%} of the test digits are right")

path.write_bytes(pickle.dumps(plain))
kinds = {type(obj).__module__.partition(".")[0] for obj in plain.all_objects}
print(f"classes of its objects are from: {', '.join(sorted(kinds))}")

# %%
# Elsewhere
# ---------
# Another process, which can import neither ``nengo_dl`` nor TensorFlow nor Keras, shows
# the network a test digit in each time step.

SCRIPT = """
import pickle, sys, warnings

for name in ("nengo_dl", "tensorflow", "keras"):
    sys.modules[name] = None  # importing it raises an error

import nengo
import numpy as np

# Nengo gives this warning for every Node that passes its input on
warnings.filterwarnings("ignore", "'Node.size_out' is being overwritten")
with open(sys.argv[1], "rb") as file:
    net = pickle.load(file)
images = np.load(sys.argv[2])
(image,) = (node for node in net.nodes if node.label == "image")
image.output = lambda t: images[round(t / 0.001) - 1]
with nengo.Simulator(net, progress_bar=False) as sim:
    sim.run_steps(len(images))
    np.save(sys.argv[3], sim.data[net.probes[0]])
"""
images, found = (Path(folder.name) / f"{name}.npy" for name in ("images", "found"))
np.save(images, test)
subprocess.run([sys.executable, "-c", SCRIPT, path, images, found], check=True)
elsewhere = np.load(found)

same = np.mean(elsewhere.argmax(axis=1) == answers)
difference = np.abs(elsewhere - trained).max()
print(f"nengo.Simulator, without TensorFlow: {same:.0%} of the answers are the same")
print("scores differ by less than 0.001:", difference < 1e-3)
if same < 1:
    raise SystemExit("the exported network gives other answers")
folder.cleanup()

# %%
# .. image:: ../images/to_plain_nengo.png
#    :alt: Scores in nengo.Simulator against those in nengo_dl.Simulator, all of them on
#       the diagonal; and eight digits with the answers of both.
#
# .. literalinclude:: ../images/to_plain_nengo.txt
#    :language: none

figure = plt.figure(figsize=(8, 3.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
ax = left.subplots()
limits = [trained.min(), trained.max()]
ax.plot(limits, limits, color="#b9bfc7", lw=1)
ax.plot(trained.ravel(), elsewhere.ravel(), ".", color="#4269d0", ms=3)
ax.set(xlabel="scores in nengo_dl.Simulator", ylabel="scores in nengo.Simulator")
ax.set_title(f"{len(test)} test digits, 10 scores each", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
right.suptitle("answers of both", fontsize=10)
for number, panel in enumerate(right.subplots(2, 4).ravel()):
    panel.imshow(test[number].reshape(8, 8), cmap="gray_r")
    both = answers[number], elsewhere[number].argmax()
    panel.set_title("{} and {}".format(*both), fontsize=9)
    panel.axis("off")
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/to_plain_nengo.png'
