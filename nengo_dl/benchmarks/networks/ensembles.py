"""Networks of ensembles: integrators, channels, arrays, and learning."""

import nengo
import numpy as np

from .registry import benchmark

__all__ = [
    "channel",
    "circular_convolution",
    "ensemble_array",
    "integrator",
    "mixed",
    "pes",
    "separate",
    "stepping",
]


@benchmark("integrator", "integrator", {"n_neurons": 20})
def integrator(n_neurons=100, seed=0):
    """One ensemble that integrates a sine."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.sin)
        ens = nengo.Ensemble(n_neurons, 1)
        nengo.Connection(stimulus, ens, transform=0.1, synapse=0.1)
        nengo.Connection(ens, ens, synapse=0.1)
        nengo.Probe(ens, synapse=0.01)
    return net


@benchmark("stepping", "integrator, step by step", {"n_neurons": 20}, method="step")
def stepping(n_neurons=100, seed=0):
    """Return the integrator, to be run with single calls of ``sim.step()``."""
    return integrator(n_neurons, seed)


@benchmark("channel", "communication channel", {"n_neurons": 60, "dimensions": 3})
def channel(n_neurons=10000, dimensions=64, n_eval_points=500, seed=0):
    """Two large ensembles of many dimensions, one after the other."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.ones(dimensions) * 0.1)
        net.config[nengo.Ensemble].eval_points = nengo.dists.UniformHypersphere()
        net.config[nengo.Ensemble].n_eval_points = n_eval_points
        net.config[nengo.Connection].solver = nengo.solvers.LstsqL2(
            solver=nengo.utils.least_squares_solvers.Cholesky(transpose=True)
        )
        a = nengo.Ensemble(n_neurons, dimensions)
        b = nengo.Ensemble(n_neurons, dimensions)
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b)
        nengo.Probe(b, synapse=0.01)
    return net


@benchmark("array", "ensemble arrays", {"n_ensembles": 5, "n_neurons": 10})
def ensemble_array(n_ensembles=1000, n_neurons=50, seed=0):
    """Two arrays of one-dimensional ensembles, one after the other."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.ones(n_ensembles) * 0.1)
        a = nengo.networks.EnsembleArray(n_neurons, n_ensembles)
        b = nengo.networks.EnsembleArray(n_neurons, n_ensembles)
        nengo.Connection(stimulus, a.input)
        nengo.Connection(a.output, b.input)
        nengo.Probe(b.output, synapse=0.01)
    return net


@benchmark("convolution", "circular convolution", {"dimensions": 4, "n_neurons": 20})
def circular_convolution(dimensions=64, n_neurons=200, seed=0):
    """Circular convolution of two constant vectors."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.ones(dimensions) * 0.1)
        conv = nengo.networks.CircularConvolution(n_neurons, dimensions)
        # the names of the inputs changed between nengo 2 and 3
        for name in ("a", "b"):
            target = getattr(conv, "input_" + name, None) or getattr(conv, name.upper())
            nengo.Connection(stimulus, target)
        nengo.Probe(conv.output, synapse=0.01)
    return net


@benchmark("pes", "learning with PES", {"n_neurons": 30, "dimensions": 2})
def pes(n_neurons=1000, dimensions=8, seed=0):
    """Return a communication channel that is learned."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(lambda t: np.sin(t * np.arange(1, dimensions + 1)))
        pre = nengo.Ensemble(n_neurons, dimensions)
        post = nengo.Node(size_in=dimensions)
        error = nengo.Node(size_in=dimensions)
        nengo.Connection(stimulus, pre)
        learned = nengo.Connection(
            pre, post, function=np.zeros_like, learning_rule_type=nengo.PES()
        )
        nengo.Connection(post, error)
        nengo.Connection(stimulus, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        nengo.Probe(post, synapse=0.01)
    return net


@benchmark("separate", "separate ensembles", {"n_ensembles": 6, "n_neurons": 10})
def separate(n_ensembles=500, n_neurons=20, seed=0):
    """Many small ensembles; each gets input from a random other one."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.sin)
        ensembles = [nengo.Ensemble(n_neurons, 1) for _ in range(n_ensembles)]
        for post in ensembles:
            nengo.Connection(ensembles[rng.randint(n_ensembles)], post)
        nengo.Connection(stimulus, ensembles[0])
        nengo.Probe(ensembles[-1], synapse=0.01)
    return net


@benchmark("mixed", "Izhikevich and adaptive LIF", {"n_neurons": 20})
def mixed(n_neurons=1000, dimensions=2, seed=0):
    """Two ensembles of different neuron types, connected in a loop."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(lambda t: np.sin(t * np.arange(1, dimensions + 1)))
        a = nengo.Ensemble(n_neurons, dimensions, neuron_type=nengo.Izhikevich())
        b = nengo.Ensemble(n_neurons, dimensions, neuron_type=nengo.AdaptiveLIF())
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b)
        nengo.Connection(b, a, transform=0.5, synapse=0.1)
        nengo.Probe(b, synapse=0.01)
    return net
