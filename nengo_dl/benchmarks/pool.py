"""What many simulators of one structure cost: programs, memory and time of each."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nengo
import numpy as np

import nengo_dl
from nengo_dl.support.lazy_imports import keras

__all__ = ["Growth", "add_pool", "measure_growth"]

#: Simulators that are made before memory is compared: the first ones grow what all use.
_WARM_UP = 20


@dataclass(frozen=True)
class Growth:
    """What repetitions cost.

    Attributes
    ----------
    count : int
        How many repetitions there were.
    misses, hits : int
        How often a program was compiled, and how often it was found.
    first_seconds, seconds : float
        Time of the first repetition, and median time of the others.
    megabytes : float or None
        By how much the memory of the process grew with each, after the first ones. None
        where the system does not tell.
    """

    count: int
    misses: int
    hits: int
    first_seconds: float
    seconds: float
    megabytes: float | None


def measure_growth(action: Callable[[int], Any], count: int) -> Growth:
    """Do something many times with an empty pool.

    Parameters
    ----------
    action : callable
        Called with the number of the repetition.
    count : int
        How many repetitions.

    Returns
    -------
    Growth
        What they cost.
    """
    nengo_dl.programs.clear()
    seconds = []
    memory = None
    for number in range(count):
        if number == min(_WARM_UP, count - 1):
            gc.collect()
            memory = _memory()
        began = time.perf_counter()
        action(number)
        seconds.append(time.perf_counter() - began)
    gc.collect()
    after, rest = _memory(), count - min(_WARM_UP, count - 1)
    growth = None if memory is None or after is None else (after - memory) / rest / 1e6
    pool = nengo_dl.programs
    return Growth(
        count,
        pool.misses,
        pool.hits,
        seconds[0],
        float(np.median(seconds[1:] or seconds)),
        growth,
    )


def _memory() -> int | None:
    """Return how many bytes of memory this process uses."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * 4096


def _network(seed: int) -> nengo.Network:
    """Return a network of two ensembles, with a feedback connection."""
    with nengo.Network(seed=seed) as net:
        net.node = nengo.Node(np.zeros(2))
        a = nengo.Ensemble(100, 2, neuron_type=nengo.LIFRate())
        b = nengo.Ensemble(100, 2, neuron_type=nengo.LIFRate())
        nengo.Connection(net.node, a)
        nengo.Connection(a, b, function=np.square)
        nengo.Connection(b, b, synapse=0.1, transform=0.9)
        net.probe = nengo.Probe(b, synapse=0.01)
    return net


def _simulator(net: nengo.Network) -> nengo_dl.Simulator:
    return nengo_dl.Simulator(
        net, minibatch_size=4, jit_compile=True, progress_bar=False
    )


def _run(number: int) -> None:
    with _simulator(_network(number)) as sim:
        sim.run_steps(100)


def _train(sim: nengo_dl.Simulator, net: nengo.Network) -> None:
    x = np.linspace(-1, 1, 4 * 5 * 2).reshape(4, 5, 2)
    optimizer = keras.optimizers.Adam(1e-3, name="adam")  # see the user guide
    sim.train({net.node: x}, {net.probe: x}, optimizer)


def _make_and_train(number: int) -> None:
    net = _network(number)
    with _simulator(net) as sim:
        _train(sim, net)


def _show(options: argparse.Namespace) -> int:
    net = _network(0)
    rows = {"run": _run, "make and train": _make_and_train}
    print(f"{'':<24}compiled  found  first s  others s  MB each")
    with _simulator(net) as sim:
        rows["train again"] = lambda number: _train(sim, net)
        for name, action in rows.items():
            found = measure_growth(action, options.count)
            grown = "?" if found.megabytes is None else f"{found.megabytes:.3f}"
            print(
                f"{found.count} x {name:<18}{found.misses:>9}{found.hits:>7}"
                f"{found.first_seconds:>9.3f}{found.seconds:>10.3f}{grown:>9}",
                flush=True,
            )
    return 0


def add_pool(commands: Any) -> None:
    """Add the command that shows what many simulators of one structure cost.

    Parameters
    ----------
    commands : argparse action
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        "pool",
        help="measure many simulators of one structure",
        description="Make, run and close simulators of networks that differ in their "
        "seeds; make, train and close others; train one again, each time with a "
        "new optimizer. Shown are how often something was compiled, the time of the "
        "first and the median of the others, and the memory that each one left.",
    )
    parser.add_argument(
        "--count", type=int, default=200, help="how many of each (default: 200)"
    )
    parser.set_defaults(run=_show)
