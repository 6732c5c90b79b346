"""The training problems as Nengo networks, trained by ``nengo_dl.Simulator``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import nengo
import numpy as np

import nengo_dl
from nengo_dl.benchmarks.training.tensorflow_sides import mean_crossentropy

__all__ = ["train"]


def train(
    problem: Any,
    recompute: int | None = None,
    workers: Any = None,
    **arguments: Any,
) -> tuple[Callable[[int], float], int]:
    """Return a function that trains the network of a problem.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.
    recompute : int, optional
        As of ``Simulator.train``.
    workers : Workers, optional
        As of ``Simulator.train``.
    **arguments
        Further arguments of the simulator.

    Returns
    -------
    train : callable
        Trains with a number of minibatches, and returns the first loss; its attribute
        ``close`` closes the simulator.
    n_parameters : int
        Number of trained values.
    """
    network = {"mlp": _mlp, "convnet": _convnet, "lmu": _lmu}[problem.kind]
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None, surrogate=None)
        net.config[nengo.Connection].synapse = None
        node, probe = network(net, problem)
    options = {"minibatch_size": problem.minibatch, "progress_bar": False, **arguments}
    sim = nengo_dl.Simulator(net, **options)
    optimizer = keras.optimizers.Adam(1e-3)
    inputs = problem.arrays["inputs"]
    # inputs that do not change are one step, shown as many
    inputs = np.broadcast_to(
        inputs, (len(inputs), problem.n_steps, int(inputs.shape[2]))
    )
    targets = problem.arrays["labels"][:, None].astype(np.int32)

    def run(count: int) -> float:
        n_workers = 1 if workers is None else workers.count
        items = slice(0, count * problem.minibatch * n_workers)
        history = sim.train(
            {node: inputs[items]},
            {probe: targets[items]},
            optimizer,
            objective={probe: mean_crossentropy},
            recompute=recompute,
            workers=workers,
        )
        return history.batch_losses[0]

    run.close = sim.close  # type: ignore[attr-defined]  # functions take attributes
    return run, sim.trainable_parameters.size


def _mlp(net, problem):
    if problem.spiking:
        surrogate = nengo_dl.Surrogate("fast_sigmoid", problem.slope)
        with net:
            nengo_dl.configure_settings(surrogate=surrogate)
    arrays = problem.arrays
    n_hidden = len(arrays["bias"])
    neurons = nengo.LIF(
        problem.tau_rc,
        problem.tau_ref,
        amplitude=problem.amplitude,
        initial_state={"voltage": nengo.dists.Choice([0])},
    )
    node = nengo.Node(np.zeros(len(arrays["w_in"])))
    ens = nengo.Ensemble(
        n_hidden, 1, gain=np.ones(n_hidden), bias=arrays["bias"], neuron_type=neurons
    )
    net.config[ens].trainable = False  # its encoders, which nothing uses
    hidden = ens.neurons
    out = nengo.Node(size_in=arrays["w_out"].shape[1])
    nengo.Connection(node, hidden, transform=arrays["w_in"].T)
    nengo.Connection(hidden, out, transform=arrays["w_out"].T)
    return node, nengo.Probe(out, synapse=problem.synapse)


def _units(net, n_units, neuron_type):
    """Return neurons without biases: those of peers have none, so none are trained."""
    ens = nengo.Ensemble(
        n_units,
        1,
        gain=np.ones(n_units),
        bias=np.zeros(n_units),
        neuron_type=neuron_type,
    )
    net.config[ens].trainable = False
    net.config[ens.neurons].trainable = False
    return ens.neurons


def _convnet(net, problem):
    pre = node = nengo.Node(np.zeros(28 * 28))
    shape = nengo.transforms.ChannelShape((28, 28, 1))
    for number, (n_filters, stride) in enumerate(problem.layers):
        convolution = nengo.Convolution(
            n_filters,
            shape,
            strides=(stride, stride),
            init=problem.arrays[f"kernel_{number}"],
        )
        shape = convolution.output_shape
        post = _units(net, shape.size, nengo.RectifiedLinear())
        nengo.Connection(pre, post, transform=convolution)
        pre = post
    weights = problem.arrays["w_out"]
    out = nengo.Node(size_in=weights.shape[1])
    nengo.Connection(pre, out, transform=weights.T)
    return node, nengo.Probe(out)


def _lmu(net, problem):
    arrays = problem.arrays
    x = nengo.Node(np.zeros(1))
    u = nengo.Node(size_in=1)
    m = nengo.Node(size_in=problem.order)
    h = _units(net, problem.n_units, nengo.Tanh(tau_ref=1))
    out = nengo.Node(size_in=arrays["w_out"].shape[1])
    for pre, matrix, synapse in ((m, arrays["A"], 0), (u, arrays["B"], None)):
        connection = nengo.Connection(pre, m, transform=matrix, synapse=synapse)
        net.config[connection].trainable = False
    for pre, post, weights, synapse in (
        (x, u, "e_x", None),
        (h, u, "e_h", 0),
        (m, u, "e_m", 0),
        (x, h, "w_x", None),
        (h, h, "w_h", 0),
        (m, h, "w_m", None),
        (h, out, "w_out", None),
    ):
        nengo.Connection(pre, post, transform=arrays[weights].T, synapse=synapse)
    return x, nengo.Probe(out)
