"""The standard networks, for any simulator of Nengo networks.

This file is also loaded by interpreters in which peers are installed. It therefore
imports nothing but nengo and NumPy, and works with nengo 2.8 to 4.1 and Python 3.6.
Every network is seeded: two processes build the same one. It has one probe.
"""

from collections import namedtuple

import nengo
import numpy as np

__all__ = ["NETWORKS", "Benchmark", "make_network"]

Benchmark = namedtuple("Benchmark", ["build", "title", "small", "minibatch", "method"])
Benchmark.__doc__ = """A standard network.

Attributes
----------
build : callable
    Makes the network and returns it. Its arguments are sizes, with defaults.
title : str
    What it is, in a few words.
small : dict of {str: int}
    Sizes for quick checks.
minibatch : int or None
    How many inputs a simulator runs at once if it can.
method : str
    How it is simulated: ``"run_steps"``, or one step at a time with ``"step"``.
"""

#: Filled by the decorator `_benchmark`: one entry for each name.
NETWORKS: dict = {}


def _benchmark(name, title, small, minibatch=None, method="run_steps"):
    def register(build):
        NETWORKS[name] = Benchmark(build, title, small, minibatch, method)
        return build

    return register


def make_network(name, sizes):
    """Return a standard network.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    sizes : dict of {str: int or float}
        Sizes that differ from the defaults.

    Returns
    -------
    nengo.Network
        The network, with one probe.
    """
    with np.errstate(all="ignore"):  # of nengo.spa, with vectors of length zero
        return NETWORKS[name].build(**sizes)


def _weights(rng, n_out, n_in, scale=2.0):
    """Random weights that keep the size of activities from layer to layer."""
    return rng.randn(n_out, n_in) * np.sqrt(scale / n_in)


def _transform(weights):
    """Weights as nengo takes them: before version 3 as an array, then as a `Dense`."""
    if hasattr(nengo, "Dense"):
        return nengo.Dense(weights.shape, init=weights)
    return weights


def _neurons(n_neurons, neuron_type, label=None):
    """Neurons that get their input current as it is, and a little more."""
    return nengo.Ensemble(
        n_neurons,
        1,
        neuron_type=neuron_type,
        gain=np.ones(n_neurons),
        bias=np.full(n_neurons, 0.1),
        label=label,
    ).neurons


@_benchmark("integrator", "integrator", {"n_neurons": 20})
def integrator(n_neurons=100, seed=0):
    """One ensemble that integrates a sine."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.sin)
        ens = nengo.Ensemble(n_neurons, 1)
        nengo.Connection(stimulus, ens, transform=0.1, synapse=0.1)
        nengo.Connection(ens, ens, synapse=0.1)
        nengo.Probe(ens, synapse=0.01)
    return net


@_benchmark("stepping", "integrator, step by step", {"n_neurons": 20}, method="step")
def stepping(n_neurons=100, seed=0):
    """Return the integrator, to be run with single calls of ``sim.step()``."""
    return integrator(n_neurons, seed)


@_benchmark("channel", "communication channel", {"n_neurons": 60, "dimensions": 3})
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


@_benchmark("array", "ensemble arrays", {"n_ensembles": 5, "n_neurons": 10})
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


@_benchmark("convolution", "circular convolution", {"dimensions": 4, "n_neurons": 20})
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


@_benchmark("pes", "learning with PES", {"n_neurons": 30, "dimensions": 2})
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


@_benchmark("basal_ganglia", "basal ganglia and thalamus", {"dimensions": 3})
def basal_ganglia(dimensions=10, n_neurons=100, seed=0):
    """Return a selection between actions whose utilities change."""
    phases = np.linspace(0, 2 * np.pi, dimensions, endpoint=False)
    with nengo.Network(seed=seed) as net:
        utilities = nengo.Node(lambda t: 0.5 + 0.4 * np.sin(10 * t + phases))
        bg = nengo.networks.BasalGanglia(dimensions, n_neurons_per_ensemble=n_neurons)
        thalamus = nengo.networks.Thalamus(dimensions, n_neurons_per_ensemble=n_neurons)
        nengo.Connection(utilities, bg.input, synapse=None)
        nengo.Connection(bg.output, thalamus.input)
        nengo.Probe(thalamus.output, synapse=0.01)
    return net


@_benchmark("spa", "SPA: state, memories, actions", {"dimensions": 16})
def spa(dimensions=32, seed=0):
    """Rules that lead a state through a cycle, and write to three memories."""
    with nengo.spa.SPA(
        seed=seed, vocabs=[_vocabulary(dimensions, ("A", "B", "C"), seed)]
    ) as model:
        model.state = nengo.spa.State(dimensions)
        model.memory1 = nengo.spa.State(dimensions, feedback=1)
        model.memory2 = nengo.spa.State(dimensions, feedback=1)
        model.memory3 = nengo.spa.State(dimensions, feedback=1)
        actions = nengo.spa.Actions(
            "dot(state, A) --> state=B, memory1=A",
            "dot(state, B) --> state=C, memory2=B",
            "dot(state, C) --> state=A, memory3=C",
        )
        model.bg = nengo.spa.BasalGanglia(actions)
        model.thalamus = nengo.spa.Thalamus(model.bg)
        nengo.Probe(model.memory1.output, synapse=0.03)
    return model


def _vocabulary(dimensions, names, seed):
    vocabulary = nengo.spa.Vocabulary(dimensions, rng=np.random.RandomState(seed))
    for name in names:
        vocabulary.parse(name)
    return vocabulary


@_benchmark("recurrent", "sparse recurrent network", {"n_neurons": 60})
def recurrent(n_neurons=2000, density=0.1, gain=0.5, seed=0):
    """Neurons with random excitatory and inhibitory connections, and random drive."""
    rng = np.random.RandomState(seed)
    mask = rng.rand(n_neurons, n_neurons) < density
    rows, columns = np.nonzero(mask)
    typical_rate = 50.0
    scale = gain / np.sqrt(density * n_neurons) / typical_rate
    values = scale * rng.randn(len(rows))
    if hasattr(nengo, "Sparse"):
        weights = nengo.Sparse(
            (n_neurons, n_neurons), indices=np.stack([rows, columns], 1), init=values
        )
    else:
        weights = np.zeros((n_neurons, n_neurons))
        weights[rows, columns] = values
    with nengo.Network(seed=seed) as net:
        ens = nengo.Ensemble(
            n_neurons, 1, gain=np.ones(n_neurons), bias=rng.uniform(0.5, 2, n_neurons)
        )
        nengo.Connection(ens.neurons, ens.neurons, transform=weights)
        nengo.Probe(ens.neurons[: min(10, n_neurons)], synapse=0.01)
    return net


@_benchmark("separate", "separate ensembles", {"n_ensembles": 6, "n_neurons": 10})
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


@_benchmark("mixed", "Izhikevich and adaptive LIF", {"n_neurons": 20})
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


@_benchmark("callback", "Python function in the loop", {"n_neurons": 20})
def callback(n_neurons=100, seed=0):
    """Return the integrator, with feedback through a Python function."""
    net = integrator(n_neurons, seed)
    with net:
        node = nengo.Node(lambda t, x: -x, size_in=1)
        nengo.Connection(net.ensembles[0], node)
        nengo.Connection(node, net.ensembles[0], transform=0.1)
    return net


@_benchmark("mlp", "spiking MLP", {"n_in": 16, "n_hidden": 12, "minibatch": 3}, 64)
def mlp(n_in=784, n_hidden=512, n_layers=2, n_out=10, seed=0):
    """Fully connected layers of spiking neurons, shown image after image."""
    rng = np.random.RandomState(seed)
    images = rng.rand(16, n_in)
    with nengo.Network(seed=seed) as net:
        source = nengo.Node(nengo.processes.PresentInput(images, 0.1))
        size = n_in
        for number in range(n_layers):
            layer = _neurons(n_hidden, nengo.LIF(amplitude=0.02), f"layer {number + 1}")
            nengo.Connection(
                source, layer, transform=_transform(_weights(rng, n_hidden, size, 8))
            )
            source, size = layer, n_hidden
        output = nengo.Node(size_in=n_out)
        nengo.Connection(
            source, output, transform=_transform(_weights(rng, n_out, size))
        )
        nengo.Probe(output, synapse=0.01)
    return net


@_benchmark(
    "convnet",
    "spiking convolutional net",
    {"n_pixels": 8, "n_filters": 4, "minibatch": 3},
    16,
)
def convnet(n_pixels=28, n_filters=16, n_out=10, seed=0):
    """Two convolutional layers of spiking neurons and a linear output."""
    if not hasattr(nengo, "Convolution"):
        raise NotImplementedError(
            "'convnet' needs nengo 3 or newer, for nengo.Convolution; this is nengo "
            + nengo.__version__
        )
    rng = np.random.RandomState(seed)
    images = rng.rand(16, n_pixels**2)
    with nengo.Network(seed=seed) as net:
        source = nengo.Node(nengo.processes.PresentInput(images, 0.1))
        shape = nengo.transforms.ChannelShape((n_pixels, n_pixels, 1))
        for filters in (n_filters, 2 * n_filters):
            kernel = rng.randn(3, 3, shape.n_channels, filters)
            transform = nengo.Convolution(
                filters,
                shape,
                strides=(2, 2),
                kernel_size=(3, 3),
                init=kernel * np.sqrt(20 / (9 * shape.n_channels)),
            )
            layer = _neurons(transform.output_shape.size, nengo.LIF(amplitude=0.02))
            nengo.Connection(source, layer, transform=transform)
            source, shape = layer, transform.output_shape
        output = nengo.Node(size_in=n_out)
        nengo.Connection(
            source, output, transform=_transform(_weights(rng, n_out, shape.size))
        )
        nengo.Probe(output, synapse=0.01)
    return net


@_benchmark("lmu", "Legendre memory unit", {"order": 4, "n_hidden": 5})
def lmu(order=256, n_hidden=212, theta=0.784, dt=0.001, seed=0):
    """Return a recurrent layer with a memory for the last ``theta`` seconds.

    References
    ----------
    .. [1] A. Voelker, I. Kajić, C. Eliasmith. Legendre memory units: continuous-time
       representation in recurrent neural networks. NeurIPS 2019.
    """
    rng = np.random.RandomState(seed)
    A, B = legendre_delay(order, theta, dt)
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(lambda t: np.sin(20 * t))
        memory = nengo.Node(size_in=order)
        inside = nengo.Node(size_in=1)
        hidden = _neurons(n_hidden, _tanh())
        nengo.Connection(stimulus, inside, synapse=None)
        nengo.Connection(inside, memory, transform=B, synapse=None)
        nengo.Connection(memory, memory, transform=_transform(A), synapse=0)
        for source, target, size, synapse in (
            (memory, inside, order, 0),
            (hidden, inside, n_hidden, 0),
            (stimulus, hidden, 1, None),
            (memory, hidden, order, None),
            (hidden, hidden, n_hidden, 0),
        ):
            # weak, so that what rounding changes is forgotten
            weights = 0.3 * _weights(rng, target.size_in, size, 1.0)
            nengo.Connection(
                source, target, transform=_transform(weights), synapse=synapse
            )
        nengo.Probe(hidden)
    return net


def _tanh():
    """Return units with values in (-1, 1); older versions of nengo only have others."""
    if hasattr(nengo, "Tanh"):
        return nengo.Tanh(tau_ref=1)
    return nengo.Sigmoid(tau_ref=1)


def legendre_delay(order, theta, dt):
    """Return the matrices of a delay line for one time step of constant input."""
    i = np.arange(order)
    rate = (2 * i + 1)[:, None] / theta
    below = np.where((i[:, None] - i) % 2 == 0, -1.0, 1.0)
    continuous = np.zeros((order + 1, order + 1))
    continuous[:order, :order] = rate * np.where(i[:, None] < i, -1.0, below)
    continuous[:order, order:] = rate * (-1.0) ** i[:, None]
    # the exponential, by scaling and squaring of its series
    n_squarings = max(0, int(np.ceil(np.log2(np.abs(continuous * dt).sum(1).max()))))
    term = np.eye(order + 1)
    exponential = np.eye(order + 1)
    for k in range(1, 20):
        term = term.dot(continuous * dt / 2**n_squarings) / k
        exponential = exponential + term
    for _ in range(n_squarings):
        exponential = exponential.dot(exponential)
    return exponential[:order, :order], exponential[:order, order:]
