"""
A neuron type of one's own
==========================

Nengo lets anyone write a neuron type in NumPy. ``nengo_dl`` runs such a type as it is,
in Python, and says so in a warning. A builder of a few lines of TensorFlow makes it as
fast as the types that come with it. The example is the quadratic integrate-and-fire
neuron [1]_.

Run it as ``python examples/own_neuron_type.py``, or cell by cell.
"""

# %%
import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import nengo
import numpy as np
import tensorflow as tf

import nengo_dl
from nengo_dl.builders.neurons import NeuronBuilder

parser = argparse.ArgumentParser(description="Write a builder for a neuron type.")
parser.add_argument("--output", type=Path, default=Path("own_neuron_type.png"))
parser.add_argument("--quick", action="store_true", help="fewer neurons, shorter run")
# a notebook has arguments of its own
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

N_NEURONS = 200 if args.quick else 1000
SECONDS = 0.5 if args.quick else 2.0

# %%
# The type, in NumPy
# ------------------
# The voltage follows :math:`\tau \dot{v} = v^2 + J`, which runs away for :math:`J > 0`.
# When it is above ``PEAK`` it is set back to ``-PEAK``, and that is a spike. This takes
# the time :math:`2 \tau \arctan(\mathrm{PEAK} / \sqrt{J}) / \sqrt{J}`, about
# :math:`\pi \tau / \sqrt{J}`: hence the rates, and gains for given maximum rates.

PEAK = 8.0


class QuadraticIF(nengo.neurons.NeuronType):
    """Quadratic integrate-and-fire neurons with membrane time constant ``tau``."""

    negative = False
    spiking = True
    state: ClassVar = {"voltage": nengo.dists.Uniform(-1, 0)}
    tau = nengo.params.NumberParam("tau", low=0, low_open=True)

    def __init__(self, tau=0.01, initial_state=None):
        super().__init__(initial_state=initial_state)
        self.tau = tau

    def gain_bias(self, max_rates, intercepts):
        gain = (np.pi * self.tau * np.asarray(max_rates)) ** 2 / (1 - intercepts)
        return gain, -gain * intercepts

    def max_rates_intercepts(self, gain, bias):
        return np.sqrt(np.maximum(gain + bias, 0)) / (np.pi * self.tau), -bias / gain

    def rates(self, x, gain, bias):
        root = np.sqrt(np.maximum(self.current(x, gain, bias), 1e-12))
        return root / (2 * self.tau * np.arctan(PEAK / root))

    def step(self, dt, J, output, voltage):
        voltage += dt / self.tau * (voltage**2 + J)
        spiked = voltage > PEAK
        output[:] = spiked / dt
        voltage[spiked] = -PEAK


# %%
# A network of them
# -----------------

with nengo.Network(seed=0) as net:
    net.config[nengo.Ensemble].neuron_type = QuadraticIF()
    net.config[nengo.Ensemble].max_rates = nengo.dists.Uniform(50, 100)
    stimulus = nengo.Node(lambda t: [np.sin(8 * t), np.cos(8 * t)])
    first = nengo.Ensemble(N_NEURONS, dimensions=2)
    second = nengo.Ensemble(N_NEURONS, dimensions=2, neuron_type=QuadraticIF(tau=0.02))
    nengo.Connection(stimulus, first)
    nengo.Connection(first, second)
    decoded = nengo.Probe(second, synapse=0.03)
    spikes = nengo.Probe(second.neurons[:50])


def simulate(simulator, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sim = simulator(net, progress_bar=False, **options)
    for warning in caught:
        print(f"{warning.category.__name__}: {warning.message}")
    with sim:
        sim.run_steps(100)  # the first run compiles
        start = time.perf_counter()
        sim.run(SECONDS)
        return time.perf_counter() - start, sim.data[decoded], sim.data[spikes]


core_time, core_decoded, core_spikes = simulate(nengo.Simulator)
python_time, python_decoded, _ = simulate(nengo_dl.Simulator, dtype="float64")


# %%
# The same in TensorFlow
# ----------------------
# ``neuron_step`` gets the currents and the state of *all* populations of this type,
# side by side: ``parameter`` collects what may differ between them. It returns the
# output, then the state in the order of ``state_names``.


@nengo_dl.builders.register(QuadraticIF)
class QuadraticIFBuilder(NeuronBuilder):
    """Simulates the neurons of all `QuadraticIF` ensembles as one."""

    state_names = ("voltage",)

    def __init__(self, ops, config):
        super().__init__(ops, config)
        self.rate = self.parameter(lambda neurons: config.dt / neurons.tau)

    def neuron_step(self, J, voltage):
        voltage = voltage + self.rate * (voltage**2 + J)
        spiked = voltage > PEAK
        spikes = tf.cast(spiked, J.dtype) / self.config.dt
        return spikes, tf.where(spiked, tf.constant(-PEAK, J.dtype), voltage)


our_time, our_decoded, our_spikes = simulate(nengo_dl.Simulator, dtype="float64")

differing = np.count_nonzero(core_spikes != our_spikes)
print(
    f"{SECONDS:.1f} s of {2 * N_NEURONS} neurons\n"
    f"nengo.Simulator:                    {core_time:.2f} s\n"
    f"nengo_dl.Simulator without builder: {python_time:.2f} s\n"
    f"nengo_dl.Simulator with builder:    {our_time:.2f} s, "
    f"{core_time / our_time:.1f} times as fast as nengo.Simulator\n"
    f"{np.count_nonzero(core_spikes)} spikes of 50 neurons, {differing} at another time"
)
if not np.allclose(core_decoded, python_decoded) or differing > 10:
    raise SystemExit("the simulators disagree")

# %%
# .. image:: ../images/own_neuron_type.png
#    :alt: Decoded values from both simulators on top of each other, and spikes.
#
# .. literalinclude:: ../images/own_neuron_type.txt
#    :language: none
#
# .. [1] P. E. Latham et al. Intrinsic dynamics in neuronal networks. I. Theory. Journal
#    of Neurophysiology 83(2), 2000, 808-827.

milliseconds = np.arange(len(our_decoded))
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
left.plot(milliseconds, core_decoded, color="#b9bfc7", lw=4)
left.plot(milliseconds, our_decoded, color="#4269d0", lw=1)
left.set(title="decoded: nengo (grey), nengo_dl (blue)", xlabel="time (ms)")
times, neurons = np.nonzero(our_spikes)
right.scatter(times, neurons, s=1.5, color="#22272e", linewidths=0)
right.set(title="spikes of 50 neurons", xlabel="time (ms)", ylabel="neuron")
for ax in (left, right):
    ax.set_xlim(0, 800)
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(args.output, dpi=110)
print(f"picture: {args.output}")

# sphinx_gallery_thumbnail_path = 'images/own_neuron_type.png'
