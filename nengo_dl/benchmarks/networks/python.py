"""Networks that call Python functions in each step."""

import nengo
import numpy as np

from .ensembles import integrator
from .registry import benchmark

__all__ = ["callback", "direct", "python_functions"]


@benchmark("callback", "Python function in the loop", {"n_neurons": 20})
def callback(n_neurons=100, seed=0):
    """Return the integrator, with feedback through a Python function."""
    net = integrator(n_neurons, seed)
    with net:
        node = nengo.Node(lambda t, x: -x, size_in=1)
        nengo.Connection(net.ensembles[0], node)
        nengo.Connection(node, net.ensembles[0], transform=0.1)
    return net


@benchmark("direct", "ensembles in Direct mode", {"n_ensembles": 3})
def direct(n_ensembles=30, seed=0):
    """Ensembles that compute functions exactly, and by calling them."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(lambda t: [np.sin(t), np.cos(t)])
        output = nengo.Node(size_in=1)
        for _ in range(n_ensembles):
            ens = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
            nengo.Connection(stimulus, ens)
            nengo.Connection(ens, output, function=lambda x: x[0] * x[1])
        nengo.Probe(output, synapse=0.01)
    return net


@benchmark(
    "python_functions",
    "a Python function for each ensemble",
    {"n_ensembles": 3, "n_neurons": 20},
)
def python_functions(n_ensembles=40, n_neurons=50, seed=0):
    """Ensembles, each with feedback through a function of its own."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.sin)
        output = nengo.Node(size_in=1)
        for number in range(n_ensembles):
            ens = nengo.Ensemble(n_neurons, 1)
            node = nengo.Node(lambda t, x, k=number: np.tanh(x - 0.01 * k), size_in=1)
            nengo.Connection(stimulus, ens, transform=0.5)
            nengo.Connection(ens, node)
            nengo.Connection(node, ens, transform=0.5)
            nengo.Connection(ens, output, transform=1 / n_ensembles)
        nengo.Probe(output, synapse=0.01)
    return net
