"""
Optimise a model of symbols
===========================

In a semantic pointer architecture a structure is one vector: the sum of roles, each
bound to its filler by circular convolution [1]_. Asked for a role, a network unbinds it
and answers with something close to the filler. Built with Nengo's default parameters
and few neurons, its answers are noisy; training its encoders and decoders by gradient
descent mends that.

Run it as ``python examples/spa_retrieval.py``, or cell by cell.
"""

# %%
import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nengo
import nengo.spa
import numpy as np

import nengo_dl

parser = argparse.ArgumentParser(description="Train the retrieval of bound symbols.")
parser.add_argument("--output", type=Path, default=Path("spa_retrieval.png"))
parser.add_argument("--quick", action="store_true", help="fewer epochs, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

DIMENSIONS = 32
N_ROLES, N_FILLERS, N_PAIRS = 4, 20, 2
N_EPOCHS = 5 if args.quick else 30
N_STEPS = 100  # of simulation with spikes

# %%
# Structures and questions
# ------------------------
# Each item is a structure of two bound pairs, a role to ask for, and its filler.

rng = np.random.RandomState(0)
vocabulary = nengo.spa.Vocabulary(DIMENSIONS, rng=rng, max_similarity=0.4)
roles = [vocabulary.parse(f"ROLE{i}") for i in range(N_ROLES)]
fillers = [vocabulary.parse(f"FILLER{i}") for i in range(N_FILLERS)]
filler_vectors = np.array([filler.v for filler in fillers])


def make_items(n_items):
    structures, questions, answers = [], [], []
    for _ in range(n_items):
        asked = rng.permutation(N_ROLES)[:N_PAIRS]
        given = rng.randint(N_FILLERS, size=N_PAIRS)
        bound = [roles[r] * fillers[f] for r, f in zip(asked, given)]
        structures.append((bound[0] + bound[1]).v / np.sqrt(N_PAIRS))
        questions.append(roles[asked[0]].v)
        answers.append(given[0])
    return np.array(structures), np.array(questions), np.array(answers)


train_structures, train_questions, train_answers = make_items(4096)
test_structures, test_questions, test_answers = make_items(512)

# %%
# Network
# -------
# ``invert_b=True`` unbinds instead of binding. Nengo computes circular convolution as
# products in the Fourier domain, one small ensemble array for each.

with nengo.Network(seed=0) as net:
    net.config[nengo.Ensemble].neuron_type = nengo.LIF()
    structure = nengo.Node(np.zeros(DIMENSIONS))
    question = nengo.Node(np.zeros(DIMENSIONS))
    retrieval = nengo.networks.CircularConvolution(20, DIMENSIONS, invert_b=True)
    nengo.Connection(structure, retrieval.input_a, synapse=None)
    nengo.Connection(question, retrieval.input_b, synapse=None)
    # for training: one step, and no synapse that would still be at its beginning
    direct = nengo.Probe(retrieval.output, synapse=None)
    answer = nengo.Probe(retrieval.output, synapse=0.03)
for connection in retrieval.all_connections:
    connection.synapse = None


# %%
# Training
# --------
# Training runs single time steps with the firing *rates* of the neurons, which have a
# derivative; the test below runs their spikes.


def accuracy(sim, structures, questions):
    """Run with spikes; return similarities of the last answers to all fillers."""
    sim.soft_reset(include_probes=True)
    feeds = {
        structure: np.repeat(structures[:, None], N_STEPS, axis=1),
        question: np.repeat(questions[:, None], N_STEPS, axis=1),
    }
    sim.run_steps(N_STEPS, input_feeds=feeds)
    found = sim.data[answer][:, -1]
    return found @ filler_vectors.T / np.linalg.norm(found, axis=1, keepdims=True)


with nengo_dl.Simulator(net, minibatch_size=512, seed=0, progress_bar=False) as sim:
    before = accuracy(sim, test_structures, test_questions)
    history = sim.train(
        {structure: train_structures[:, None], question: train_questions[:, None]},
        {direct: filler_vectors[train_answers][:, None]},
        optimizer="adam",
        n_epochs=N_EPOCHS,
    )
    after = accuracy(sim, test_structures, test_questions)

correct_before = np.mean(before.argmax(axis=1) == test_answers)
correct_after = np.mean(after.argmax(axis=1) == test_answers)
rows = np.arange(len(test_answers))
print(history)
print(
    f"{sum(e.n_neurons for e in net.all_ensembles)} neurons, {N_FILLERS} fillers: "
    f"{correct_before:.1%} of answers right before training, "
    f"{correct_after:.1%} after it\n"
    f"similarity to the right filler: {before[rows, test_answers].mean():.2f} before, "
    f"{after[rows, test_answers].mean():.2f} after"
)
if args.quick and not correct_after > correct_before:
    raise SystemExit("the quick check failed: training did not help")

# %%
# .. image:: ../images/spa_retrieval.png
#    :alt: Similarities to the right and to the best wrong filler overlap before
#       training, and are apart after it.
#
# .. literalinclude:: ../images/spa_retrieval.txt
#    :language: none
#
# .. [1] T. A. Plate. Holographic reduced representations. IEEE Transactions on Neural
#    Networks 6(3), 1995, 623-641.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
bins = np.linspace(-0.2, 1, 41)
panels = (("before", before, correct_before), ("after", after, correct_after))
for ax, (when, similarity, correct) in zip(axes, panels):
    wrong = similarity.copy()
    wrong[rows, test_answers] = -1
    right = similarity[rows, test_answers]
    ax.hist(right, bins, color="#4269d0", alpha=0.8, label="right filler")
    ax.hist(wrong.max(axis=1), bins, color="#ff725c", alpha=0.7, label="best wrong one")
    ax.set(title=f"{when} training: {correct:.1%} right", xlabel="cosine similarity")
axes[0].set_ylabel("test questions")
axes[0].legend(frameon=False)
axes[1].sharey(axes[0])
axes[2].plot(range(1, len(history.loss) + 1), history.loss, color="#4269d0")
axes[2].set(title="training", xlabel="epoch", ylabel="mean squared error", yscale="log")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/spa_retrieval.png'
