"""Neurons with recurrent weights."""

import nengo
import numpy as np

from .parts import as_transform
from .registry import benchmark

__all__ = ["dense_recurrent", "recurrent"]


@benchmark("recurrent", "sparse recurrent network", {"n_neurons": 60})
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


@benchmark("dense_recurrent", "dense recurrent network", {"n_neurons": 60})
def dense_recurrent(n_neurons=2000, gain=0.5, seed=0):
    """Neurons that are all connected with each other, and have random drive."""
    rng = np.random.RandomState(seed)
    typical_rate = 50.0
    scale = gain / np.sqrt(n_neurons) / typical_rate
    weights = scale * rng.randn(n_neurons, n_neurons)
    with nengo.Network(seed=seed) as net:
        ens = nengo.Ensemble(
            n_neurons, 1, gain=np.ones(n_neurons), bias=rng.uniform(0.5, 2, n_neurons)
        )
        nengo.Connection(ens.neurons, ens.neurons, transform=as_transform(weights))
        nengo.Probe(ens.neurons[: min(10, n_neurons)], synapse=0.01)
    return net
