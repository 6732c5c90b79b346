"""Small networks of all kinds, simulated, and calls of what was exported of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import keras
import nengo
import numpy as np
import tensorflow as tf

import nengo_dl

N_STEPS = 100


def _ensemble(n=20, dimensions=1, **kwargs):
    return nengo.Ensemble(n, dimensions, **kwargs)


def integrator():
    x = nengo.Node([0.0], label="x")
    ens = _ensemble()
    nengo.Connection(x, ens, transform=0.1, synapse=0.1)
    nengo.Connection(ens, ens, synapse=0.1)
    nengo.Probe(ens, synapse=0.01, label="out")


def recurrent_neurons():
    x = nengo.Node([0.0] * 3, label="x")
    ens = _ensemble(20, 3, neuron_type=nengo.AdaptiveLIF())
    rng = np.random.RandomState(0)
    nengo.Connection(x, ens)
    nengo.Connection(
        ens.neurons, ens.neurons, transform=rng.normal(0, 0.01, (20, 20)), synapse=0.005
    )
    nengo.Probe(ens.neurons, label="spikes")
    nengo.Probe(ens.neurons, "voltage", label="voltage")


def pes():
    x = nengo.Node([0.0] * 2, label="x")
    pre, post, error = _ensemble(30, 2), _ensemble(30, 2), nengo.Node(size_in=2)
    nengo.Connection(x, pre)
    learned = nengo.Connection(
        pre,
        post,
        function=lambda x: [0, 0],
        learning_rule_type=nengo.PES(learning_rate=1e-2),
    )
    nengo.Connection(post, error)
    nengo.Connection(x, error, transform=-1)
    nengo.Connection(error, learned.learning_rule)
    nengo.Probe(post, synapse=0.01, label="post")
    nengo.Probe(learned, "weights", label="weights")


def legendre_memory():
    order, theta, tau = 6, 0.05, 0.1
    n = np.arange(order)
    rows, columns = np.meshgrid(n, n, indexing="ij")
    signs = np.where(rows < columns, -1.0, (-1.0) ** (rows - columns + 1))
    A = (2 * n[:, None] + 1) / theta * signs
    B = ((2 * n + 1) * (-1.0) ** n)[:, None] / theta
    x = nengo.Node([0.0], label="x")
    memory = nengo.Node(size_in=order, label="memory")
    nengo.Connection(x, memory, transform=tau * B, synapse=tau)
    nengo.Connection(memory, memory, transform=tau * A + np.eye(order), synapse=tau)
    nengo.Probe(memory, label="memory")


def binding():
    x = nengo.Node([0.0] * 4, label="x")
    bind = nengo.networks.CircularConvolution(10, 4)
    ganglia = nengo.networks.BasalGanglia(4, n_neurons_per_ensemble=10)
    nengo.Connection(x, bind.input_a)
    nengo.Connection(x, bind.input_b, synapse=nengo.Alpha(0.01))
    nengo.Connection(x, ganglia.input)
    nengo.Probe(bind.output, synapse=0.01, label="bound")
    nengo.Probe(ganglia.output, label="actions")


def convolutions():
    x = nengo.Node([0.0] * 36, label="image")
    h = nengo_dl.Layer(keras.layers.Conv2D(3, 3, activation="relu"))(
        x, shape_in=(6, 6, 1)
    )
    kernel = nengo.Convolution(4, (4, 4, 3), strides=(2, 2), padding="same")
    size = kernel.output_shape.size
    neurons = nengo.Ensemble(
        size,
        1,
        neuron_type=nengo.SpikingRectifiedLinear(amplitude=0.01),
        gain=np.full(size, 100.0),
        bias=np.zeros(size),
    ).neurons
    nengo.Connection(h, neurons, transform=kernel, synapse=None)
    nengo.Probe(neurons, label="spikes")


def surrogates():
    nengo_dl.configure_settings(surrogate=nengo_dl.config.Surrogate("fast_sigmoid"))
    x = nengo.Node([0.0] * 5, label="x")
    strong = keras.initializers.RandomNormal(stddev=100)
    h = nengo_dl.Layer(keras.layers.Dense(8, kernel_initializer=strong))(x)
    h = nengo_dl.Layer(nengo.SpikingRectifiedLinear(amplitude=0.01))(h)
    y = nengo_dl.Layer(keras.layers.Dense(2))(h, synapse=0.01)
    nengo.Probe(y, label="y")


def batch_normalization():
    x = nengo.Node([0.0] * 5, label="x")
    h = nengo_dl.Layer(keras.layers.BatchNormalization())(x)
    wave = nengo_dl.TensorNode(
        lambda t, x: tf.math.log1p(x**2) * tf.sin(20 * t), size_in=5, size_out=5
    )
    nengo.Connection(h, wave, synapse=None)
    nengo.Probe(nengo_dl.Layer(keras.layers.Dense(2, "softplus"))(wave), label="y")


def delays():
    x = nengo.Node([0.0] * 2, label="x")
    late = nengo.Node(size_in=2)
    nengo.Connection(x, late, synapse=nengo_dl.Delay(0.005))
    nengo.Connection(x[0], late[1], synapse=nengo.synapses.Triangle(0.004))
    nengo.Probe(late, label="late", sample_every=0.005)


def neuron_types():
    x = nengo.Node([0.0] * 2, label="x")
    for kind in (
        nengo_dl.ResetLIF(),
        nengo_dl.CubaLIF(),
        nengo_dl.LeakyIntegrator(),
        nengo.Izhikevich(),
        nengo.RegularSpiking(nengo.Sigmoid()),
        nengo.LIFRate(),
        nengo.AdaptiveLIFRate(),
        nengo.Tanh(),
        nengo_dl.SoftLIFRate(),
    ):
        ens = _ensemble(6, 2, neuron_type=kind)
        nengo.Connection(x, ens, synapse=None)
        nengo.Probe(ens.neurons, label=type(kind).__name__)


EXAMPLES = {
    f.__name__: f
    for f in (
        *(integrator, recurrent_neurons, pes, legendre_memory, binding),
        *(convolutions, surrogates, batch_normalization, delays, neuron_types),
    )
}

#: onnxruntime has no convolutions in double precision
SINGLE = {"convolutions"}


@dataclass
class Example:
    """A simulator in its initial state, inputs, and what a run gave for them."""

    sim: Any
    inputs: dict[str, np.ndarray]
    results: dict[str, np.ndarray]
    tolerance: float

    def check(self, outputs):
        """Compare outputs of all steps with those of the simulator."""
        assert set(outputs) == set(self.results)
        for probe in self.sim.model.probes:
            expected, found = (
                self.results[probe.label],
                np.asarray(outputs[probe.label]),
            )
            if probe.sample_every is not None:
                every = round(probe.sample_every / self.sim.dt)
                found = found[:, every - 1 :: every]
            assert found.shape == expected.shape
            assert found.dtype == self.sim.dtype
            largest = abs(expected).max()
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=self.tolerance * largest
            )
            assert np.ptp(expected) > 0.01 * largest, "nothing happened"

    def check_steps(self, export, call):
        """Do so for a function of one step, which is called again and again."""
        state = {name: entry.default for name, entry in export.state.items()}
        outputs = []
        for step in range(N_STEPS):
            given = {
                k: np.ascontiguousarray(v[:, step]) for k, v in self.inputs.items()
            }
            results = call({**state, **given})
            state = {name: np.asarray(results[f"next_{name}"]) for name in state}
            outputs.append({name: results[name] for name in export.outputs})
        self.check(
            {
                name: np.stack([output[name] for output in outputs], axis=1)
                for name in export.outputs
            }
        )


@functools.cache
def simulated(name, minibatch_size=None, dtype=None):
    """Return an example; its simulator is never closed."""
    with nengo.Network(seed=3) as net:
        EXAMPLES[name]()
    for number, probe in enumerate(net.all_probes):
        probe.label = probe.label or f"probe{number}"
    dtype = dtype or ("float32" if name in SINGLE else "float64")
    keras.utils.set_random_seed(0)
    sim = nengo_dl.Simulator(
        net, minibatch_size=minibatch_size, dtype=dtype, progress_bar=False
    )
    rng = np.random.RandomState(1)
    inputs = {
        node: rng.uniform(-1, 1, (minibatch_size or 1, N_STEPS, node.size_out))
        for node in net.all_nodes
        if node.size_in == 0 and not isinstance(node, nengo_dl.TensorNode)
    }
    sim.run_steps(N_STEPS, input_feeds=inputs)
    results = {p.label: np.array(sim.data[p]) for p in net.all_probes}
    if minibatch_size is None:
        results = {name: value[None] for name, value in results.items()}
    sim.reset()
    return Example(
        sim,
        {node.label: value.astype(dtype) for node, value in inputs.items()},
        results,
        1e-6,
    )
