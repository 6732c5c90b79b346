"""
Online learning in minibatches
==============================

The PES rule changes decoders while a network runs, from an error that the network
computes itself [1]_. In a minibatch each item learns for itself: here the same
population learns 16 functions of its input at once, in one run.

Run it as ``python examples/pes_minibatch.py``, or cell by cell.
"""

# %%
import argparse
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import nengo
import numpy as np

import nengo_dl

parser = argparse.ArgumentParser(description="Learn many functions with PES at once.")
parser.add_argument("--output", type=Path, default=Path("pes_minibatch.png"))
parser.add_argument("--quick", action="store_true", help="a shorter run, for a check")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

SECONDS = 4.0 if args.quick else 20.0
N_TEST = 1000  # steps at the end, without learning
N_ITEMS = 16

# %%
# Network
# -------
# The error is what is decoded, less what it should be. It is switched off by strong
# inhibition for the test at the end.

with nengo.Network(seed=0) as net:
    stimulus = nengo.Node([0])
    target = nengo.Node([0])
    stop = nengo.Node([0])
    pre = nengo.Ensemble(200, dimensions=1)
    post, wanted = nengo.Node(size_in=1), nengo.Node(size_in=1)
    error = nengo.Ensemble(200, dimensions=1, radius=2)
    nengo.Connection(stimulus, pre, synapse=None)
    learned = nengo.Connection(
        pre,
        post,
        function=lambda x: 0,
        synapse=0.02,
        learning_rule_type=nengo.PES(learning_rate=2e-4),
    )
    nengo.Connection(target, wanted, synapse=0.02)  # delayed as the answer is
    nengo.Connection(post, error)
    nengo.Connection(wanted, error, transform=-1)
    nengo.Connection(stop, error.neurons, transform=[[-20]] * 200, synapse=None)
    nengo.Connection(error, learned.learning_rule)
    answer = nengo.Probe(post, synapse=0.03)
    right_answer = nengo.Probe(wanted, synapse=0.03)

# %%
# Items
# -----
# All items see the same slow wave; each has a target of its own, a mixture of the first
# Chebyshev polynomials.

n_steps = int(SECONDS * 1000) + N_TEST
t = np.arange(1, n_steps + 1) * 0.001
x = np.sin(2 * np.pi * t)
rng = np.random.RandomState(0)
mixtures = rng.normal(size=(N_ITEMS, 4))
mixtures /= np.abs(mixtures).sum(axis=1, keepdims=True)
y = np.polynomial.chebyshev.chebval(x, mixtures.T)  # (items, steps)
stopped = np.zeros((1, n_steps, 1))
stopped[:, -N_TEST:] = 1
feeds = {stimulus: x[None, :, None], target: y[..., None], stop: stopped}

# %%
# Learning
# --------
# The weights of a learned connection have an axis for the items of the minibatch.

with nengo_dl.Simulator(net, minibatch_size=N_ITEMS, progress_bar=False) as sim:
    start = time.perf_counter()
    sim.run_steps(n_steps, input_feeds=feeds)
    seconds = time.perf_counter() - start
    decoded = sim.data[answer][..., 0]
    right = sim.data[right_answer][..., 0]
    weights = sim.data[learned].weights

squared = (decoded - right) ** 2
first, last = squared[:, :N_TEST].mean(axis=1), squared[:, -N_TEST:].mean(axis=1)
print(
    f"{N_ITEMS} items, {n_steps} steps in {seconds:.1f} s; weights {weights.shape}\n"
    f"root mean squared error in the first second {np.sqrt(first.mean()):.3f}, in the "
    f"last one, without learning, {np.sqrt(last.mean()):.3f}"
)
if not np.sqrt(last.mean()) < 0.5 * np.sqrt(first.mean()):
    raise SystemExit("the items did not learn")

# %%
# .. image:: ../images/pes_minibatch.png
#    :alt: Sixteen small plots, in each a function and what was learned of it.
#
# .. literalinclude:: ../images/pes_minibatch.txt
#    :language: none
#
# .. [1] T. Bekolay, C. Kolbeck, C. Eliasmith. Simultaneous unsupervised and supervised
#    learning of cognitive functions in biologically plausible spiking neural networks.
#    Proceedings of CogSci 2013, 169-174.

figure, axes = plt.subplots(
    2, 8, figsize=(12, 3.4), sharex=True, sharey=True, layout="constrained"
)
for item, ax in enumerate(axes.flat):
    ax.plot(right[item, -N_TEST:], color="#22272e", lw=2, alpha=0.6)
    ax.plot(decoded[item, -N_TEST:], color="#ff725c", lw=1)
    ax.spines[["top", "right"]].set_visible(False)
figure.suptitle(f"Target (black) and what was learned in {SECONDS:.0f} s (red)")
figure.supxlabel("time in the last second, without learning (ms)")
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/pes_minibatch.png'
