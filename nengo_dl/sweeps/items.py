"""Simulating the items of a minibatch in several processes: `run_items`."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
from nengo.exceptions import SimulationError, ValidationError

from nengo_dl.simulator import Simulator
from nengo_dl.support.arguments import check_positive
from nengo_dl.support.processor import n_cores
from nengo_dl.support.travel import best_pickler, explain
from nengo_dl.sweeps.executors import choose_runner
from nengo_dl.sweeps.jobs import Job, Outcome

__all__ = ["run_items"]


def run_items(
    sim: Simulator,
    n_steps: int,
    data: Mapping[Any, np.ndarray] | None = None,
    n_parts: int | None = None,
    client: Any = None,
) -> None:
    """Simulate some time steps, with the items of the minibatch in several processes.

    The result is that of ``sim.run_steps(n_steps, data)``: the data of probes, the
    state, the time, and what random streams give later. Each process simulates some of
    the items, from their state and with their random streams.

    Parameters
    ----------
    sim : Simulator
        A simulator with a ``minibatch_size``.
    n_steps : int
        Number of time steps.
    data : dict of {Node or str: ndarray}, optional
        As of ``sim.run_steps``.
    n_parts : int, optional
        Number of parts into which the items are divided. Default: one for each core
        that this process may use, but no more than there are items.
    client : concurrent.futures.Executor or dask.distributed.Client or module, optional
        What runs the parts, as for `nengo_dl.sweep`. Default: a process of this machine
        for each part.

    Raises
    ------
    ValidationError
        If there are more parts than items, an argument is of the wrong kind, or the
        model has something that cannot be sent to other processes.
    SimulationError
        If the simulation of some items fails; the simulator then is where it was.

    Notes
    -----
    Each process builds and compiles the network, so this pays for long runs of many
    items. What functions of Nodes keep in Python, they keep in the processes: the
    functions of this one do not know of the run.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     node = nengo.Node([0])
    ...     probe = nengo.Probe(node)
    >>> x = np.arange(12.0).reshape(4, 3, 1)  # items, steps, size
    >>> with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
    ...     nengo_dl.run_items(sim, 3, {node: x}, n_parts=1)
    ...     print(sim.n_steps, np.array_equal(sim.data[probe], x))
    3 True
    """
    if not isinstance(sim, Simulator):
        raise ValidationError(
            f"Must be a nengo_dl.Simulator (got {type(sim).__name__})", attr="sim"
        )
    n_items = sim.minibatch_size or 1
    n_steps = check_positive(n_steps, "n_steps")
    if n_parts is None:
        n_parts = min(n_items, n_cores())
    n_parts = check_positive(n_parts, "n_parts")
    if n_parts > n_items:
        raise ValidationError(
            f"There are {n_items} items, fewer than {n_parts} parts", attr="n_parts"
        )
    feeds = sim._checked_feeds(data, n_steps)
    edges = [n_items * number // n_parts for number in range(n_parts + 1)]
    shares = [slice(*pair) for pair in itertools.pairwise(edges)]
    packed = _pack(sim)
    calls = [
        {
            "packed": packed,
            "n_items": share.stop - share.start,
            "arrays": sim._item_arrays(share),
            "n_steps": n_steps,
            "feeds": [_items(values, share) for values in feeds],
        }
        for share in shares
    ]
    outcomes: dict[int, Outcome] = {}
    runner = choose_runner(client, n_parts if client is None else None, n_parts)
    for number, outcome in runner.run(Job(_simulate), calls):
        if outcome.error is not None:
            share = shares[number]
            raise SimulationError(
                f"Items {share.start} to {share.stop - 1} failed: {outcome.error}\n"
                f"{outcome.details}"
            )
        outcomes[number] = outcome
    sim._take_parts([outcomes[number].results["part"] for number in range(n_parts)])


def _simulate(
    packed: bytes, n_items: int, arrays: Any, n_steps: int, feeds: Any
) -> dict[str, Any]:
    """Simulate some items; what the process that started this one sent comes here."""
    options = pickle.loads(packed)
    options.update(minibatch_size=n_items, progress_bar=False)
    with Simulator(None, **options) as sim:
        return {"part": sim._run_part(arrays, n_steps, feeds)}


def _items(values: np.ndarray | None, share: slice) -> np.ndarray | None:
    """Return the values of some items, shape (n_steps, n_items or 1, size)."""
    if values is None or values.shape[1] == 1:
        return values
    return values[:, share]


def _pack(sim: Simulator) -> bytes:
    """Return the arguments of a simulator in a form that travels."""
    options = sim._options()
    pickler = best_pickler()
    try:
        return pickler.dumps(options)
    except Exception as error:
        _, reason = explain(pickler, {"simulator": sim})
        raise ValidationError(f"{reason} ({error})", attr="sim") from error
