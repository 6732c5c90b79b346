"""Networks of many parts that differ from each other."""

import nengo
import numpy as np

from .parts import as_transform, random_weights
from .registry import benchmark

__all__ = ["large_brain", "unlike"]


@benchmark("unlike", "ensembles of forty sizes", {"n_ensembles": 16, "n_sizes": 8})
def unlike(n_ensembles=160, n_sizes=40, seed=0):
    """Ensembles of many sizes and 1 to 3 dimensions; each gets input from another."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.sin)
        ensembles = [
            nengo.Ensemble(20 + number % n_sizes, 1 + number % 3)
            for number in range(n_ensembles)
        ]
        for post in ensembles:
            pre = ensembles[rng.randint(n_ensembles)]
            nengo.Connection(
                pre, post, transform=np.ones((post.dimensions, pre.dimensions)) / 2
            )
        nengo.Connection(stimulus, ensembles[0][0])
        nengo.Probe(ensembles[-1], synapse=0.01)
    return net


@benchmark(
    *("large_brain", "a brain of random parts", {"n_ensembles": 70, "n_sizes": 2}),
    takes_minutes=True,
)
def large_brain(
    n_ensembles=300, n_connections=4.5, n_sizes=10, dimensions=4, gain=0.002, seed=0
):
    """Ensembles of 20 to 200 neurons, connected at random, with given decoders.

    There are ``n_connections`` for each ensemble. At full size, 20,000 ensembles, these
    are the numbers of Spaun [1]_. Nengo's own simulator takes minutes to optimize a
    thousand, so there are fewer by default.

    References
    ----------
    .. [1] C. Eliasmith et al. A large-scale model of the functioning brain. Science
       338:1202-1205 (2012).
    """
    rng = np.random.RandomState(seed)
    sizes = np.linspace(20, 200, n_sizes).astype(int)
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node(np.sin)
        ensembles = [
            nengo.Ensemble(
                int(sizes[rng.randint(n_sizes)]), int(rng.randint(1, dimensions + 1))
            )
            for _ in range(n_ensembles)
        ]
        for _ in range(int(n_connections * n_ensembles)):
            pre = ensembles[rng.randint(n_ensembles)]
            post = ensembles[rng.randint(n_ensembles)]
            weights = random_weights(rng, post.dimensions, pre.n_neurons, gain**2)
            nengo.Connection(pre.neurons, post, transform=as_transform(weights))
        nengo.Connection(stimulus, ensembles[0][0])
        nengo.Probe(ensembles[-1].neurons[:10], synapse=0.01)
    return net
