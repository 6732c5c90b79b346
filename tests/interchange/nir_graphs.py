"""NIR graphs made at random, with the edges that take a step."""

from itertools import pairwise

import nir
import numpy as np


def numbers(rng, low, high, shape):
    return rng.uniform(low, high, size=shape)


def neurons(rng, kind, shape):
    """Make a node of neurons with parameters of its own for each."""
    tau = numbers(rng, 0.005, 0.04, shape)
    r, leak = numbers(rng, 0.5, 2, shape), numbers(rng, -0.2, 0.2, shape)
    threshold, reset = numbers(rng, 0.2, 0.6, shape), numbers(rng, -0.3, 0.1, shape)
    if rng.rand() < 0.4:
        tau, r, leak = (np.full(shape, x.flat[0]) for x in (tau, r, 0 * leak))
        threshold, reset = np.ones(shape), np.zeros(shape)
    tau_syn, w_in = numbers(rng, 0.003, 0.01, shape), numbers(rng, 0.5, 2, shape)
    return {
        "LIF": lambda: nir.LIF(tau, r, leak, threshold, reset),
        "IF": lambda: nir.IF(60 * r, threshold, reset),
        "CubaLIF": lambda: nir.CubaLIF(tau_syn, tau, r, leak, threshold, reset, w_in),
        "LI": lambda: nir.LI(tau, r, leak),
        "I": lambda: nir.I(r),
        "CubaLI": lambda: nir.CubaLI(tau_syn, tau, r, leak, w_in),
        "Threshold": lambda: nir.Threshold(threshold),
    }[kind]()


def matrix(rng, n_out, n_in, bias=None):
    weight = rng.normal(2, 3, size=(n_out, n_in)) / np.sqrt(n_in)
    if bias is None:
        bias = rng.rand() < 0.5
    if bias:
        return nir.Affine(weight, numbers(rng, 0.3, 1.5, n_out))
    return nir.Linear(weight)


SPIKING = ["LIF", "IF", "CubaLIF", "LIF"]


def feed_forward(seed):
    """Layers of matrices and neurons, some with scales, delays and a second output."""
    rng = np.random.RandomState(seed)
    sizes = rng.randint(3, 9, size=rng.randint(2, 5))
    nodes, edges = {"input": nir.Input(np.array([sizes[0]]))}, []
    last = "input"

    def chain(name, node):
        nonlocal last
        nodes[name] = node
        edges.append((last, name))
        last = name

    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        chain(f"weights{i}", matrix(rng, n_out, n_in))
        if rng.rand() < 0.3:
            chain(f"scale{i}", nir.Scale(numbers(rng, 0.5, 2, n_out)))
        chain(f"neurons{i}", neurons(rng, SPIKING[rng.randint(4)], (n_out,)))
        if rng.rand() < 0.5:
            steps = rng.randint(i % 2, 5, size=n_out)
            chain(f"delay{i}", nir.Delay(steps * 0.001))
    hidden = last
    kind = ["LI", "I", "CubaLI", "Threshold"][seed % 4]
    chain("readout_weights", matrix(rng, 3, sizes[-1]))
    chain("readout", neurons(rng, kind, (3,)))
    chain("output", nir.Output(np.array([3])))
    nodes["spikes"] = nir.Output(np.array([sizes[-1]]))
    edges.append((hidden, "spikes"))
    return nir.NIRGraph(nodes, edges), set()


def recurrent(seed):
    """Two populations with recurrent weights, the second perhaps back to the first."""
    rng = np.random.RandomState(100 + seed)
    n, m = rng.randint(4, 9, size=2)
    nodes = {
        "input": nir.Input(np.array([3])),
        "first_weights": matrix(rng, n, 3),
        "first": neurons(rng, SPIKING[rng.randint(4)], (n,)),
        "first_recurrent": matrix(rng, n, n),
        "second_weights": matrix(rng, m, n),
        "second": neurons(rng, SPIKING[rng.randint(4)], (m,)),
        "readout": neurons(rng, "LI", (m,)),
        "output": nir.Output(np.array([m])),
        "spikes": nir.Output(np.array([n])),
    }
    edges = [
        ("input", "first_weights"),
        ("first_weights", "first"),
        ("first", "first_recurrent"),
        ("first_recurrent", "first"),
        ("first", "second_weights"),
        ("second_weights", "second"),
        ("second", "readout"),
        ("readout", "output"),
        ("first", "spikes"),
    ]
    waiting = {("first", "first_recurrent")}
    if seed % 2:
        nodes["back"] = matrix(rng, n, m)
        edges += [("second", "back"), ("back", "first")]
        waiting.add(("second", "back"))
    if seed % 3 == 0:
        # a delay makes the cycle one of several steps, and no edge waits
        nodes["late"] = nir.Delay(np.full(m, 0.003))
        nodes["late_weights"] = matrix(rng, m, m)
        edges += [
            ("second", "late"),
            ("late", "late_weights"),
            ("late_weights", "second"),
        ]
    return nir.NIRGraph(nodes, edges), waiting


def convolutional(seed):
    """Convolutions, neurons, pooling, a matrix; of one axis or two."""
    rng = np.random.RandomState(200 + seed)
    n_axes = 1 + (seed % 3 > 0)
    lengths = tuple(rng.randint(6, 9, size=n_axes))
    groups = 1 + seed % 2
    shape = (2, *lengths)
    nodes, edges = {"input": nir.Input(np.array(shape))}, []
    last = "input"

    def chain(name, node):
        nonlocal last
        nodes[name] = node
        edges.append((last, name))
        last = name

    kernel = tuple(rng.randint(1, 4, size=n_axes)) if seed % 4 else (3,) * n_axes
    kernel = kernel if n_axes == 1 else (kernel[0],) * 2  # nir 1.0.8's shapes
    weight = rng.normal(0.6, 1, size=(4, 2 // groups, *kernel))
    padding = [0, "same", 1, "valid"][rng.randint(4)]
    stride = 1 if padding == "same" else int(rng.randint(1, 3))
    dilation = int(rng.randint(1, 3)) if stride == 1 else 1
    conv = nir.Conv1d if n_axes == 1 else nir.Conv2d
    node = conv(
        lengths[0] if n_axes == 1 else lengths,
        weight,
        stride,
        padding,
        dilation,
        groups,
        numbers(rng, 0, 0.5, 4) if rng.rand() < 0.7 else np.zeros(4),
    )
    chain("convolution", node)
    after = tuple(int(n) for n in node.output_type["output"])
    chain("neurons", neurons(rng, SPIKING[rng.randint(4)], after))
    if n_axes == 2:
        pool = [nir.SumPool2d, nir.AvgPool2d][rng.randint(2)]
        pad = rng.randint(0, 2)
        chain("pool", pool(*np.array([[2, 2], [2, 1], [pad, 0]])))
        after = (4, (after[1] + 2 * pad - 2) // 2 + 1, after[2] - 1)
        chain("pooled", neurons(rng, "LIF", after))
    chain("flat", nir.Flatten({"input": np.array(after)}, 0, -1))
    chain("weights", matrix(rng, 5, int(np.prod(after))))
    chain("readout", neurons(rng, "LI", (5,)))
    chain("output", nir.Output(np.array([5])))
    # nir 1.0.8 takes the channels of a group for all
    return nir.NIRGraph(nodes, edges, type_check=False), set()


KINDS = {"feed-forward": feed_forward, "recurrent": recurrent, "images": convolutional}
#: Ten of each; all outputs of these change.
CASES = [
    (kind, seed)
    for kind, silent in (("feed-forward", 3), ("recurrent", 10), ("images", 7))
    for seed in range(11)
    if seed != silent
]


def random_inputs(graph, n_steps, seed=0):
    """Make spikes and currents for the inputs."""
    rng = np.random.RandomState(seed)
    return {
        name: (rng.uniform(size=(n_steps, *shape)) < 0.4)
        * rng.uniform(1, 3, size=shape)
        for name, node in graph.nodes.items()
        if isinstance(node, nir.Input)
        for shape in [tuple(node.input_type["input"])]
    }
