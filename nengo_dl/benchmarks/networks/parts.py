"""What several of the networks are made of."""

import nengo
import numpy as np

__all__ = ["as_transform", "plain_neurons", "random_weights"]


def random_weights(rng, n_out, n_in, scale=2.0):
    """Random weights that keep the size of activities from layer to layer."""
    return rng.randn(n_out, n_in) * np.sqrt(scale / n_in)


def as_transform(weights):
    """Weights as nengo takes them: before version 3 as an array, then as a `Dense`."""
    if hasattr(nengo, "Dense"):
        return nengo.Dense(weights.shape, init=weights)
    return weights


def plain_neurons(n_neurons, neuron_type, label=None):
    """Neurons that get their input current as it is, and a little more."""
    return nengo.Ensemble(
        n_neurons,
        1,
        neuron_type=neuron_type,
        gain=np.ones(n_neurons),
        bias=np.full(n_neurons, 0.1),
        label=label,
    ).neurons
