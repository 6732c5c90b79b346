"""Networks of semantic pointers, and what selects their actions."""

import nengo
import numpy as np

from .registry import benchmark

__all__ = ["basal_ganglia", "spa"]


@benchmark("basal_ganglia", "basal ganglia and thalamus", {"dimensions": 3})
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


@benchmark("spa", "SPA: state, memories, actions", {"dimensions": 16})
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
