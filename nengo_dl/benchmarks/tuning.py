"""Measures the numbers of `nengo_dl.support.tuning` on this machine.

Costs of NumPy and of calls are measured directly. Where a number decides between two
ways to compute the same, networks run with several values of it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import nengo
import numpy as np

import nengo_dl
from nengo_dl.benchmarks.networks import NETWORKS, make_network
from nengo_dl.support import tuning
from nengo_dl.support.tables import Table

__all__ = ["CHOICES", "COSTS", "add_command", "measure_choice", "measure_costs"]

#: For each number that chooses a way: networks that show it, and values to try.
CHOICES: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "LONGEST_FUSED_SUM": (("convolution", "array"), (8, 16, 32, 64)),
    "COLUMNS_AT_ONCE": (("recurrent",), (1, 2, 8, 16)),
    "MOST_EVENTS": (("recurrent",), (1 / 64, 1 / 16, 1 / 8, 1 / 4)),
    "MOST_FUSED_TAPS": (("convnet",), (4, 16, 32, 64)),
    "FEWEST_PATCH_FILTERS": (("convnet",), (2, 8, 64)),
    "MOST_PIECES": (("separate", "spa"), (4, 16, 64)),
    "SMALL_SUMMED_BLOCK": (("spa",), (16, 64, 256)),
    "MOST_SLICED_RUNS": (("separate",), (1, 4, 16)),
    "WORTH_HOISTING": (("mlp", "convnet"), (2**10, 2**17, 2**30)),
    "SMALL_STATE": (("integrator",), (0, 64, 1024)),
    "SMALL_OUTPUT": (("spa",), (1, 64, 1024)),
}


def measure_costs(repeats: int = 5) -> Table:
    """Measure what steps cost in NumPy, and what calls of compiled programs cost.

    Parameters
    ----------
    repeats : int
        The smallest of so many measurements counts.

    Returns
    -------
    Table
        Names, the seconds in use, and those measured here.
    """
    rows = [
        (name, f"{getattr(tuning, name):.2g}", f"{measure(repeats):.2g}")
        for name, measure in COSTS.items()
    ]
    return Table("Seconds", ("number", "in use>", "measured>"), rows)


def measure_choice(
    name: str, values: Sequence[float] | None = None, n_steps: int = 2000
) -> Table:
    """Run networks with several values of a number.

    Parameters
    ----------
    name : str
        One of `CHOICES`.
    values : sequence of float, optional
        What to try. Default: those of `CHOICES`.
    n_steps : int
        Steps of each run.

    Returns
    -------
    Table
        Microseconds per step, the median of five runs, for each network and value.
    """
    networks, defaults = CHOICES[name]
    values = defaults if values is None else values
    rows = []
    for network in networks:
        cells = []
        for value in values:
            with _number(name, value):
                cells.append(f"{1e6 * _step_seconds(network, n_steps):.1f}")
        rows.append((network, *cells))
    in_use = getattr(tuning, name)
    headings = [f"{value:.4g}{'*' if value == in_use else ''}>" for value in values]
    return Table(f"µs per step, by {name} (*: in use)", ("network", *headings), rows)


def add_command(commands: Any) -> None:
    """Add the command ``tuning`` to those of the command line."""
    parser = commands.add_parser(
        "tuning",
        help="measure the numbers that decide between ways to compute the same",
        description="Without a name: what NumPy steps and calls cost, next to the "
        "numbers in use. With names: networks run with several values of a number.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        type=_name,
        metavar="NAME",
        help=", ".join(CHOICES),
    )
    parser.add_argument(
        "--values", type=float, nargs="+", help="values to try instead of the usual"
    )
    parser.add_argument("--steps", type=int, default=2000, help="steps of each run")
    parser.set_defaults(run=_run)


def _name(text: str) -> str:
    if text not in CHOICES:
        raise argparse.ArgumentTypeError(
            f"there is no number {text!r}; choose from {', '.join(CHOICES)}"
        )
    return text


def _run(options: argparse.Namespace) -> int:
    if not options.names:
        print(measure_costs().text())
    for name in options.names:
        print(measure_choice(name, options.values, options.steps).text())
    return 0


@contextlib.contextmanager
def _number(name: str, value: float) -> Iterator[None]:
    before = getattr(tuning, name)
    setattr(tuning, name, type(before)(value))
    try:
        yield
    finally:
        setattr(tuning, name, before)


def _step_seconds(network: str, n_steps: int) -> float:
    with nengo_dl.Simulator(
        make_network(network, {}),
        minibatch_size=NETWORKS[network].minibatch,
        jit_compile=True,
        progress_bar=False,
    ) as sim:
        sim.run_steps(n_steps)  # compiles
        found = []
        for _ in range(5):
            sim.clear_probes()
            began = time.perf_counter()
            sim.run_steps(n_steps)
            found.append((time.perf_counter() - began) / n_steps)
    del sim
    gc.collect()
    return float(np.median(found))


# -- costs


def _best(call: Callable[[], object], repeats: int, count: int) -> float:
    """Return the seconds of a call, the best of some series of calls."""
    call()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(count):
            call()
        found.append((time.perf_counter() - began) / count)
    return min(found)


def _core_step(net: nengo.Network, repeats: int, count: int = 300) -> float:
    with nengo.Simulator(net, optimize=False, progress_bar=False) as sim:
        return _best(sim.step, repeats, count)


def _operator_seconds(repeats: int) -> float:
    def chain(length: int) -> nengo.Network:
        with nengo.Network(seed=0) as net:
            nodes = [nengo.Node(size_in=4) for _ in range(length)]
            for pre, post in itertools.pairwise(nodes):
                nengo.Connection(pre, post, synapse=None, transform=np.eye(4))
        return net

    # each node has a reset and a product
    return (_core_step(chain(101), repeats) - _core_step(chain(1), repeats)) / 200


def _neuron_seconds(repeats: int) -> float:
    def neurons(n_neurons: int) -> nengo.Network:
        with nengo.Network(seed=0) as net:
            nengo.Ensemble(
                n_neurons, 1, gain=np.ones(n_neurons), bias=np.full(n_neurons, 2.0)
            )
        return net

    large, small = _core_step(neurons(40_000), repeats), _core_step(neurons(256), 5)
    return (large - small) / 40_000


def _neurons_seconds(repeats: int) -> float:
    neurons, current, output = nengo.LIF(), np.linspace(0, 3, 10), np.zeros(10)
    state = {name: np.zeros(10) for name in neurons.state}
    return _best(lambda: neurons.step(0.001, current, output, **state), repeats, 300)


def _weight_seconds(repeats: int) -> float:
    a, x, y = np.ones((2000, 2000)), np.ones(2000), np.zeros(2000)
    return _best(lambda: np.dot(a, x, out=y), repeats, 20) / a.size


def _tensor_node_seconds(repeats: int) -> float:
    import tensorflow as tf

    with nengo.Network(seed=0) as net:
        inp = nengo.Node(np.ones(4))
        node = nengo_dl.TensorNode(
            lambda x: tf.tanh(x @ tf.ones((4, 4), x.dtype)), shape_in=4, pass_time=False
        )
        nengo.Connection(inp, node, synapse=None)
    return _core_step(net, repeats, 50)


def _callback_step(n_callbacks: int, repeats: int) -> float:
    """Return the seconds of a compiled step with callbacks one after the other."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        for _ in range(n_callbacks):
            following = nengo.Node(lambda t, x: 0.5 * x, size_in=1)
            nengo.Connection(node, following, synapse=None, transform=0.9)
            node = following
        nengo.Probe(node)
    with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
        return _best(lambda: sim.run_steps(200), repeats, 1) / 200


def _callback_seconds(repeats: int) -> float:
    each = (_callback_step(9, repeats) - _callback_step(1, repeats)) / 8
    return each - tuning.PIECE_SECONDS


def _callback_function_seconds(repeats: int) -> float:
    """Return the seconds of one more function of a callback."""

    def step(n_functions: int) -> float:
        with nengo.Network(seed=0) as net:
            inp = nengo.Node([1.0])
            for _ in range(n_functions):
                node = nengo.Node(lambda t, x: 0.5 * x, size_in=1)
                nengo.Connection(inp, node, synapse=0.1)
        with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
            return _best(lambda: sim.run_steps(200), repeats, 1) / 200

    return (step(41) - step(1)) / 40


def _call_seconds(repeats: int) -> float:
    """Return the seconds of a run of one step in a compiled loop."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(50, 1)
        nengo.Connection(ens, ens, synapse=0.1)
        nengo.Probe(ens)
    with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
        return _best(lambda: sim.run_steps(1, progress_bar=False), repeats, 100)


#: How each cost is measured, given the number of repeats.
COSTS: dict[str, Callable[[int], float]] = {
    "OPERATOR_SECONDS": _operator_seconds,
    "NEURONS_SECONDS": _neurons_seconds,
    "NEURON_SECONDS": _neuron_seconds,
    "WEIGHT_SECONDS": _weight_seconds,
    "TENSOR_NODE_SECONDS": _tensor_node_seconds,
    "CALLBACK_SECONDS": _callback_seconds,
    "CALLBACK_FUNCTION_SECONDS": _callback_function_seconds,
    "SHORT_RUN_SECONDS": _call_seconds,
}
