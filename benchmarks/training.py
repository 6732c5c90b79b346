"""Time and memory of training steps, against hand-written loops and plain Keras.

Usage: ``python benchmarks/training.py [cases ...] [--memory] [--list]``

All sides of a case run in one process, in turns, so that what else the machine does
affects all of them; shown are medians. With ``--memory``, each side runs in a process
of its own, and the most memory it used is shown instead. Both sides of a case do the
same computation with the same optimizer on the same data. Each takes random minibatches
from arrays in memory.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from functools import partial

import keras
import nengo
import numpy as np
import scipy.signal
import tensorflow as tf

import nengo_dl

TAU_RC, TAU_REF, AMPLITUDE, DT = 0.02, 0.002, 0.01, 0.001
N_MINIBATCHES = 6


def digits(n_items, n_steps, varying, n_inputs=784, seed=0):
    """Return random images held for some steps, or noise, and labels."""
    rng = np.random.default_rng(seed)
    shape = (n_items, n_steps if varying else 1, n_inputs)
    images = rng.random(shape, dtype=np.float32)
    if not varying:
        images = np.tile(images, (1, n_steps, 1))
    return images, rng.integers(10, size=n_items)


def weights(n_in, n_out, seed):
    limit = np.sqrt(6 / (n_in + n_out))
    rng = np.random.RandomState(seed)
    return rng.uniform(-limit, limit, size=(n_in, n_out)).astype(np.float32)


def mean_crossentropy(output, labels):
    """Return the loss of labels given the mean of an output over time."""
    logits = tf.reduce_mean(output, axis=1)
    labels = tf.reshape(labels, (-1,))
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )


def simulator_side(net, node, probe, minibatch, inputs, labels, **options):
    """Return a function that trains a network on some minibatches."""
    sim = nengo_dl.Simulator(net, minibatch_size=minibatch, progress_bar=False)
    optimizer = keras.optimizers.Adam(1e-3)
    targets = labels[:, None].astype(np.int32)

    def train(count):
        items = slice(0, count * minibatch)
        history = sim.train(
            {node: inputs[items]},
            {probe: targets[items]},
            optimizer,
            objective={probe: mean_crossentropy},
            **options,
        )
        return history.batch_losses[0]

    n_parameters = sum(int(np.prod(v.shape)) for v in sim.trainable_variables)
    return train, n_parameters


def loop_side(parameters, model, minibatch, inputs, labels, n_steps):
    """Return a function that trains a hand-written model on some minibatches.

    ``model(parameters, inputs)`` returns outputs, shape (minibatch, n_steps, 10).
    """
    variables = [tf.Variable(value) for value in parameters]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)
    rng = np.random.RandomState(0)
    labels = labels.astype(np.int32)

    @tf.function(jit_compile=True)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = mean_crossentropy(model(variables, x), y)
        gradients = tape.gradient(loss, variables)
        optimizer.apply(gradients, variables)
        return loss

    def train(count):
        order, losses = rng.permutation(count * minibatch), []
        for i in range(count):
            rows = order[i * minibatch : (i + 1) * minibatch]
            x, y = tf.convert_to_tensor(inputs[rows]), tf.constant(labels[rows])
            losses.append(float(step(x, y)))
        return losses[0]

    return train, sum(int(np.prod(v.shape)) for v in variables)


# -- spiking network of two layers, over time


def mlp(
    n_steps=50,
    minibatch=128,
    n_hidden=512,
    varying=True,
    synapse=None,
    how=None,
    segments=(),
):
    """Return the sides of a spiking network 784-512-10.

    ``synapse`` is that of the probe; ``how`` is a surrogate derivative, or None to
    train the rates of the neurons; ``segments`` are values of ``recompute``.
    """
    images, labels = digits(N_MINIBATCHES * minibatch, n_steps, varying)
    first, second = weights(784, n_hidden, 0), weights(n_hidden, 10, 1)
    bias = np.ones(n_hidden, dtype=np.float32)

    def simulator(recompute=None):
        with nengo.Network(seed=0) as net:
            nengo_dl.configure_settings(surrogate=how)
            node = nengo.Node(np.zeros(784))
            hidden = nengo.Ensemble(
                n_hidden,
                1,
                gain=np.ones(n_hidden),
                bias=bias,
                neuron_type=nengo.LIF(
                    TAU_RC,
                    TAU_REF,
                    amplitude=AMPLITUDE,
                    initial_state={"voltage": nengo.dists.Choice([0])},
                ),
            )
            out = nengo.Node(size_in=10)
            nengo.Connection(node, hidden.neurons, transform=first.T, synapse=None)
            nengo.Connection(hidden.neurons, out, transform=second.T, synapse=None)
            probe = nengo.Probe(out, synapse=synapse)
        return simulator_side(
            net, node, probe, minibatch, images, labels, recompute=recompute
        )

    def model(variables, x):
        w1, b1, w2 = variables
        rows = tf.transpose(x, (1, 0, 2)) if varying else x[:, 0]
        currents = tf.tensordot(rows, w1, 1) + b1

        if how is None:

            def neurons(J, state):
                return lif_rates(J), state

            state = ()
        else:
            neurons = lif_spikes
            state = (tf.zeros((minibatch, n_hidden)),) * 2
        decay = np.float32(np.exp(-DT / synapse)) if synapse else 0.0

        def body(i, state, y, outputs):
            J = currents[i] if varying else currents
            r, state = neurons(J, state)
            u = tf.matmul(r, w2)
            # as in Nengo, what a filter gets is seen in its output one step later
            outputs = outputs.write(i, y if synapse else u)
            return i + 1, state, decay * y + (1 - decay) * u, outputs

        arrays = tf.TensorArray(tf.float32, n_steps, element_shape=(minibatch, 10))
        *_, outputs = tf.while_loop(
            lambda i, *_: i < n_steps,
            body,
            (tf.constant(0), state, tf.zeros((minibatch, 10)), arrays),
            maximum_iterations=n_steps,
        )
        return tf.transpose(outputs.stack(), (1, 0, 2))

    def hand_written():
        return loop_side(
            [first, bias, second], model, minibatch, images, labels, n_steps
        )

    sides = {"nengo_dl": simulator, "TensorFlow loop": hand_written}
    for length in segments:
        sides[f"nengo_dl, recompute={length}"] = partial(simulator, length)
    return sides


def lif_rates(J):
    active = J > 1
    drive = tf.where(active, J - 1, tf.ones_like(J))
    rates = AMPLITUDE / (TAU_REF + TAU_RC * tf.math.log1p(1 / drive))
    return tf.where(active, rates, tf.zeros_like(J))


@tf.custom_gradient
def heaviside(x):
    return tf.cast(x > 0, x.dtype), lambda d: d / (1 + 5 * tf.abs(x)) ** 2


def lif_spikes(J, state):
    voltage, refractory = state
    refractory -= DT
    delta_t = tf.clip_by_value(DT - refractory, 0, DT)
    voltage -= (J - voltage) * tf.math.expm1(-delta_t / TAU_RC)
    spikes = heaviside(voltage - 1)
    spiked = voltage > 1
    x = tf.where(spiked, (voltage - 1) / tf.where(spiked, J - 1, 1.0), 0.0)
    t_spike = DT + TAU_RC * tf.math.log1p(-x)
    voltage = tf.where(spiked, 0.0, tf.maximum(voltage, 0))
    refractory = tf.where(spiked, TAU_REF + t_spike, refractory)
    return spikes * (AMPLITUDE / DT), (voltage, refractory)


# -- convolutional network of one step


def convnet(minibatch=64, layers=((32, 2), (64, 2))):
    """Return the sides of a rectified linear network of 3 x 3 convolutions.

    ``layers`` are pairs of number of filters and stride.
    """
    images, labels = digits(4 * N_MINIBATCHES * minibatch, 1, False)
    rng = np.random.RandomState(0)
    kernels, channels, size = [], 1, 28
    for n_filters, stride in layers:
        scale = np.sqrt(2 / (9 * channels))
        kernels.append((scale * rng.randn(3, 3, channels, n_filters)).astype("f4"))
        channels, size = n_filters, (size - 3) // stride + 1
    last = weights(size * size * channels, 10, 1)

    def simulator():
        with nengo.Network(seed=0) as net:
            nengo_dl.configure_settings(trainable=None)
            net.config[nengo.Ensemble].trainable = False
            pre = node = nengo.Node(np.zeros(784))
            shape = nengo.transforms.ChannelShape((28, 28, 1))
            for kernel, (n_filters, stride) in zip(kernels, layers, strict=True):
                conv = nengo.Convolution(
                    n_filters, shape, strides=(stride, stride), init=kernel
                )
                ens = nengo.Ensemble(
                    conv.output_shape.size,
                    1,
                    neuron_type=nengo.RectifiedLinear(),
                    gain=np.ones(conv.output_shape.size),
                    bias=np.zeros(conv.output_shape.size),
                )
                nengo.Connection(pre, ens.neurons, transform=conv, synapse=None)
                pre, shape = ens.neurons, conv.output_shape
            out = nengo.Node(size_in=10)
            nengo.Connection(pre, out, transform=last.T, synapse=None)
            probe = nengo.Probe(out)
        return simulator_side(net, node, probe, minibatch, images, labels)

    def model():
        network = keras.Sequential([keras.Input((28, 28, 1))])
        for (n_filters, stride), kernel in zip(layers, kernels, strict=True):
            conv = keras.layers.Conv2D(
                n_filters, 3, strides=stride, activation="relu", use_bias=False
            )
            network.add(conv)
            conv.set_weights([kernel])
        network.add(keras.layers.Flatten())
        network.add(keras.layers.Dense(10, use_bias=False))
        network.layers[-1].set_weights([last])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return network, loss

    pictures = images.reshape(-1, 28, 28, 1)

    def fit():
        network, loss = model()
        network.compile(keras.optimizers.Adam(1e-3), loss)

        def train(count):
            items = slice(0, count * minibatch)
            found = network.fit(pictures[items], labels[items], minibatch, verbose=0)
            return found.history["loss"][0]

        return train, network.count_params()

    def on_batch():
        network, loss = model()
        network.compile(keras.optimizers.Adam(1e-3), loss)

        def train(count):
            losses = []
            for i in range(count):
                items = slice(i * minibatch, (i + 1) * minibatch)
                losses.append(network.train_on_batch(pictures[items], labels[items]))
            return float(losses[0])

        return train, network.count_params()

    def bare(jit_compile):
        def make():
            network, loss = model()
            optimizer = keras.optimizers.Adam(1e-3)
            optimizer.build(network.trainable_variables)

            @tf.function(jit_compile=jit_compile)
            def step(x, y):
                with tf.GradientTape() as tape:
                    value = loss(y, network(x, training=True))
                gradients = tape.gradient(value, network.trainable_variables)
                optimizer.apply(gradients, network.trainable_variables)
                return value

            def train(count):
                losses = []
                for i in range(count):
                    items = slice(i * minibatch, (i + 1) * minibatch)
                    x, y = pictures[items], labels[items]
                    losses.append(
                        float(step(tf.convert_to_tensor(x), tf.convert_to_tensor(y)))
                    )
                return losses[0]

            return train, network.count_params()

        return make

    return {
        "nengo_dl": simulator,
        "Keras fit": fit,
        "Keras train_on_batch": on_batch,
        "bare step": bare(False),
        "bare step, XLA": bare(True),
    }


# -- Legendre memory unit


def lmu(n_steps=128, minibatch=100, order=256, n_units=212):
    """Return the sides of a Legendre memory unit with one input."""
    theta = n_steps
    inputs, labels = digits(N_MINIBATCHES * minibatch, n_steps, True, 1)
    q = np.arange(order)
    r = (2 * q + 1)[:, None] / theta
    j, i = np.meshgrid(q, q)
    a = np.where(i < j, -1, (-1.0) ** (i - j + 1)) * r
    b = (-1.0) ** q[:, None] * r
    a, b = scipy.signal.cont2discrete(
        (a, b, np.ones((1, order)), np.zeros((1, 1))), dt=1.0, method="zoh"
    )[:2]
    a, b = a.astype(np.float32), b.astype(np.float32)
    w_x, w_h = weights(1, n_units, 0), weights(n_units, n_units, 1)
    w_m, w_o = weights(order, n_units, 2), weights(n_units, 10, 3)
    e_x, e_h, e_m = np.ones((1, 1), "f4"), np.zeros((n_units, 1), "f4"), None
    e_m = np.zeros((order, 1), "f4")

    def simulator():
        with nengo.Network(seed=0) as net:
            nengo_dl.configure_settings(trainable=None)
            net.config[nengo.Ensemble].trainable = False
            net.config[nengo.Connection].synapse = None
            x = nengo.Node(np.zeros(1))
            u = nengo.Node(size_in=1)
            m = nengo.Node(size_in=order)
            h = nengo.Ensemble(
                n_units,
                1,
                neuron_type=nengo.Tanh(tau_ref=1),
                gain=np.ones(n_units),
                bias=np.zeros(n_units),
            ).neurons
            out = nengo.Node(size_in=10)
            nengo.Connection(x, u, transform=e_x.T)
            nengo.Connection(h, u, transform=e_h.T, synapse=0)
            nengo.Connection(m, u, transform=e_m.T, synapse=0)
            for pre, matrix, synapse in ((m, a, 0), (u, b, None)):
                conn = nengo.Connection(pre, m, transform=matrix, synapse=synapse)
                net.config[conn].trainable = False
            nengo.Connection(x, h, transform=w_x.T)
            nengo.Connection(h, h, transform=w_h.T, synapse=0)
            nengo.Connection(m, h, transform=w_m.T)
            nengo.Connection(h, out, transform=w_o.T)
            probe = nengo.Probe(out)
        return simulator_side(net, x, probe, minibatch, inputs, labels)

    def model(variables, x):
        e_x, e_h, e_m, w_x, w_h, w_m, w_o = variables
        x = tf.transpose(x, (1, 0, 2))

        def body(i, h, m, outputs):
            u = tf.matmul(x[i], e_x) + tf.matmul(h, e_h) + tf.matmul(m, e_m)
            m = tf.matmul(m, a.T) + tf.matmul(u, b.T)
            h = tf.tanh(tf.matmul(x[i], w_x) + tf.matmul(h, w_h) + tf.matmul(m, w_m))
            return i + 1, h, m, outputs.write(i, tf.matmul(h, w_o))

        arrays = tf.TensorArray(tf.float32, n_steps, element_shape=(minibatch, 10))
        start = tf.zeros((minibatch, n_units)), tf.zeros((minibatch, order))
        *_, outputs = tf.while_loop(
            lambda i, *_: i < n_steps,
            body,
            (tf.constant(0), *start, arrays),
            maximum_iterations=n_steps,
        )
        return tf.transpose(outputs.stack(), (1, 0, 2))

    def hand_written():
        parameters = [e_x, e_h, e_m, w_x, w_h, w_m, w_o]
        return loop_side(parameters, model, minibatch, inputs, labels, n_steps)

    return {"nengo_dl": simulator, "TensorFlow loop": hand_written}


SURROGATE = nengo_dl.Surrogate("fast_sigmoid", 5.0)

CASES = {
    "mlp-varying": lambda: mlp(),
    "mlp-varying-filtered": lambda: mlp(synapse=0.01),
    "mlp-varying-spiking": lambda: mlp(synapse=0.01, how=SURROGATE),
    "mlp-constant": lambda: mlp(varying=False),
    "mlp-constant-filtered": lambda: mlp(varying=False, synapse=0.01),
    "mlp-constant-spiking": lambda: mlp(varying=False, synapse=0.01, how=SURROGATE),
    "mlp-200-steps": lambda: mlp(
        200, synapse=0.01, how=SURROGATE, segments=(50, 20, 10)
    ),
    "convnet": lambda: convnet(),
    "convnet-3": lambda: convnet(layers=((32, 1), (64, 2), (128, 2))),
    "lmu": lambda: lmu(),
}


def compare(case, n_repeats):
    """Measure all sides of a case in turns."""
    sides, first, counts, losses = {}, {}, {}, {}
    for name, make in CASES[case]().items():
        train, counts[name] = make()
        start = time.perf_counter()
        losses[name] = train(1)
        first[name] = time.perf_counter() - start
        train(2)
        sides[name] = train
    # one minibatch of all items: the same in any order
    assert np.ptp(list(losses.values())) < 1e-3, losses
    times = {name: [] for name in sides}
    for _ in range(n_repeats):
        for name, train in sides.items():
            start = time.perf_counter()
            train(N_MINIBATCHES)
            times[name].append((time.perf_counter() - start) / N_MINIBATCHES)
    ours = statistics.median(times["nengo_dl"])
    for name, found in times.items():
        median = statistics.median(found)
        print(
            f"{case:24s} {name:22s} {1e3 * median:8.1f} ms "
            f"({1e3 * min(found):.1f} to {1e3 * max(found):.1f}), "
            f"nengo_dl / this {ours / median:5.2f}, first call {first[name]:5.1f} s, "
            f"{counts[name]} parameters",
            flush=True,
        )


def used_memory(case, name):
    """Return the most memory that this process used before and in training, in MB."""
    global N_MINIBATCHES
    N_MINIBATCHES = 1
    train, _ = CASES[case]()[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        train(1)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"before": before / 1024, "after": after / 1024}


def compare_memory(case):
    """Measure each side of a case in a process of its own."""
    for name in CASES[case]():
        command = [sys.executable, __file__, case, "--only", name]
        output = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(output.stdout.splitlines()[-1])
        print(
            f"{case:24s} {name:22s} {found['after']:8.0f} MB, of which training "
            f"{found['after'] - found['before']:.0f} MB",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--list", action="store_true", help="list cases and stop")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return
    for case in arguments.cases:
        if arguments.only:
            print(json.dumps(used_memory(case, arguments.only)))
        elif arguments.memory:
            compare_memory(case)
        else:
            compare(case, arguments.repeats)


if __name__ == "__main__":
    main()
