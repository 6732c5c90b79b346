"""
Swap the simulator
==================

A network written for ``nengo.Simulator`` runs in ``nengo_dl.Simulator`` as it is. Here
2,000 spiking neurons follow the Lorenz attractor, a chaotic system in which the
smallest difference soon changes everything. In double precision both simulators give
the same spikes all the same.

Run it as ``python examples/lorenz_attractor.py``, or cell by cell.
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

parser = argparse.ArgumentParser(description="Swap the simulator of a Nengo network.")
parser.add_argument("--output", type=Path, default=Path("lorenz_attractor.png"))
parser.add_argument("--quick", action="store_true", help="one second, fewer neurons")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_NEURONS = 500 if args.quick else 2000
SECONDS = 1.0 if args.quick else 10.0

# %%
# The network
# -----------
# A recurrent connection through a synapse with time constant :math:`\tau` computes
# :math:`\dot{x} = f(x)` if its function is :math:`\tau f(x) + x` [1]_. The third
# dimension is shifted by :math:`\rho`, so that all three stay near zero.

TAU, SIGMA, BETA, RHO = 0.1, 10, 8.0 / 3, 28


def feedback(x):
    dx0 = SIGMA * (x[1] - x[0])
    dx1 = -x[0] * x[2] - x[1]
    dx2 = x[0] * x[1] - BETA * (x[2] + RHO) - RHO
    return TAU * np.array([dx0, dx1, dx2]) + x


with nengo.Network(seed=0) as net:
    state = nengo.Ensemble(N_NEURONS, dimensions=3, radius=60)
    nengo.Connection(state, state, function=feedback, synapse=TAU)
    trajectory = nengo.Probe(state, synapse=0.03)
    spikes = nengo.Probe(state.neurons[:100])


# %%
# Two simulators, one script
# --------------------------
# The lines below are the same for both. The precision is the one that
# ``nengo.Simulator`` computes in; by default ``nengo_dl`` uses single precision.


def simulate(simulator, **options):
    with simulator(net, progress_bar=False, **options) as sim:
        sim.run_steps(100)  # the first run compiles
        start = time.perf_counter()
        sim.run(SECONDS)
        return time.perf_counter() - start, sim.data[trajectory], sim.data[spikes]


core_time, core_path, core_spikes = simulate(nengo.Simulator)
our_time, our_path, our_spikes = simulate(nengo_dl.Simulator, dtype="float64")
single_time, _, _ = simulate(nengo_dl.Simulator)
same = np.array_equal(core_spikes, our_spikes)
print(
    f"nengo.Simulator: {core_time:.2f} s\n"
    f"nengo_dl.Simulator: {our_time:.2f} s ({core_time / our_time:.1f} times as fast)\n"
    f"in single precision: {single_time:.2f} s ({core_time / single_time:.1f} times)\n"
    f"{np.count_nonzero(core_spikes)} spikes of 100 neurons, all the same: {same}\n"
    f"largest difference of the decoded state: {np.abs(core_path - our_path).max():.1e}"
)
if not same:
    raise SystemExit("the simulators disagree")

# %%
# .. image:: ../images/lorenz_attractor.png
#    :alt: The same butterfly-shaped path, simulated by nengo and by nengo_dl.
#
# .. literalinclude:: ../images/lorenz_attractor.txt
#    :language: none
#
# .. [1] C. Eliasmith, C. H. Anderson. Neural Engineering: Computation, Representation,
#    and Dynamics in Neurobiological Systems. MIT Press, 2003, chapter 8.

figure, axes = plt.subplots(
    1, 2, figsize=(9, 4.2), sharex=True, sharey=True, layout="constrained"
)
panels = (
    ("nengo.Simulator", core_time, core_path, "#7a8290"),
    ("nengo_dl.Simulator", our_time, our_path, "#4269d0"),
)
for ax, (name, seconds, path, colour) in zip(axes, panels):
    ax.plot(path[:, 0], path[:, 2] + RHO, color=colour, lw=0.8)
    ax.set_title(f"{name}: {seconds:.2f} s", color=colour, fontweight="bold")
    ax.set_xlabel("$x_0$")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("$x_2$")
figure.suptitle(
    f"{SECONDS:.0f} s of the Lorenz attractor in {N_NEURONS} LIF neurons, "
    "spike for spike the same"
)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/lorenz_attractor.png'
