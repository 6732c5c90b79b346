"""Layers of neurons, as machine learning has them."""

import nengo
import numpy as np

from .parts import as_transform, plain_neurons, random_weights
from .registry import benchmark

__all__ = ["convnet", "legendre_delay", "lmu", "mlp"]


@benchmark("mlp", "spiking MLP", {"n_in": 16, "n_hidden": 12, "minibatch": 3}, 64)
def mlp(n_in=784, n_hidden=512, n_layers=2, n_out=10, seed=0):
    """Fully connected layers of spiking neurons, shown image after image."""
    rng = np.random.RandomState(seed)
    images = rng.rand(16, n_in)
    with nengo.Network(seed=seed) as net:
        source = nengo.Node(nengo.processes.PresentInput(images, 0.1))
        size = n_in
        for number in range(n_layers):
            layer = plain_neurons(
                n_hidden, nengo.LIF(amplitude=0.02), f"layer {number + 1}"
            )
            nengo.Connection(
                source,
                layer,
                transform=as_transform(random_weights(rng, n_hidden, size, 8)),
            )
            source, size = layer, n_hidden
        output = nengo.Node(size_in=n_out)
        nengo.Connection(
            source, output, transform=as_transform(random_weights(rng, n_out, size))
        )
        nengo.Probe(output, synapse=0.01)
    return net


@benchmark(
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
            layer = plain_neurons(
                transform.output_shape.size, nengo.LIF(amplitude=0.02)
            )
            nengo.Connection(source, layer, transform=transform)
            source, shape = layer, transform.output_shape
        output = nengo.Node(size_in=n_out)
        nengo.Connection(
            source,
            output,
            transform=as_transform(random_weights(rng, n_out, shape.size)),
        )
        nengo.Probe(output, synapse=0.01)
    return net


@benchmark("lmu", "Legendre memory unit", {"order": 4, "n_hidden": 5})
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
        hidden = plain_neurons(n_hidden, _tanh())
        nengo.Connection(stimulus, inside, synapse=None)
        nengo.Connection(inside, memory, transform=B, synapse=None)
        nengo.Connection(memory, memory, transform=as_transform(A), synapse=0)
        for source, target, size, synapse in (
            (memory, inside, order, 0),
            (hidden, inside, n_hidden, 0),
            (stimulus, hidden, 1, None),
            (memory, hidden, order, None),
            (hidden, hidden, n_hidden, 0),
        ):
            # weak, so that what rounding changes is forgotten
            weights = 0.3 * random_weights(rng, target.size_in, size, 1.0)
            nengo.Connection(
                source, target, transform=as_transform(weights), synapse=synapse
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
