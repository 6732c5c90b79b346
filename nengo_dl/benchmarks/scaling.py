"""How training and sweeps become faster with processes; see ``--help``.

``python -m nengo_dl.benchmarks.scaling training`` and ``... sweep``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from io import StringIO
from types import SimpleNamespace
from typing import Any

import nengo
import numpy as np

import nengo_dl
from nengo_dl.benchmarks.training.problems import CASES
from nengo_dl.launch.local import launch_local

__all__ = ["main"]

_FOUND = re.compile(r"\[0\] found (\{.*\})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments. Default: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nengo_dl.benchmarks.scaling", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("training", "one process on one core and on all, and one process on each"),
        ("worker", "what the processes of 'training' do"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--case", choices=CASES, default="mlp-varying-spiking")
        command.add_argument("--updates", type=int, default=12)
        command.add_argument("--workers", type=int, default=2)
        command.add_argument("--repeats", type=int, default=3)
    command = commands.add_parser("sweep", help="many integrators, with other seeds")
    command.add_argument("--count", type=int, default=200)
    command.add_argument("--workers", type=int, default=2)
    command.add_argument("--time", type=float, default=1.0, help="seconds to simulate")
    given = parser.parse_args(arguments)
    run = {"training": _training, "worker": _worker, "sweep": _sweep}[given.command]
    run(given)
    return 0


def _training(given: argparse.Namespace) -> None:
    """Measure training with one core for each process, and print ratios."""
    cores = sorted(os.sched_getaffinity(0))[: given.workers]
    first = None
    for title, n_workers, used in (
        ("1 worker, 1 core", 1, cores[:1]),
        (f"1 worker, {len(cores)} cores", 1, cores),
        (f"{given.workers} workers, 1 core each", given.workers, cores),
    ):
        output = StringIO()
        command = [sys.executable, "-m", __spec__.name if __spec__ else __name__]
        command += ["worker", "--case", given.case]
        command += ["--updates", str(given.updates), "--repeats", str(given.repeats)]
        os.sched_setaffinity(0, used)
        code = launch_local(command, n_workers, output=output)
        match = _FOUND.search(output.getvalue())
        if code or match is None:
            sys.exit(f"{title}: {output.getvalue()[-2000:]}")
        found = json.loads(match[1])
        first = first or found["items_per_second"]
        print(
            f"{title}: {found['items_per_second']:.0f} items/s "
            f"({found['items_per_second'] / first:.2f} x), "
            f"{found['seconds'] * 1e3:.1f} ms per update, "
            f"{found['cpu_seconds'] * 1e3:.1f} ms of CPU in worker 0, "
            f"sum of all workers {found['reduce_seconds'] * 1e3:.2f} ms "
            f"({found['reduce_seconds'] / found['seconds']:.0%} of an update)",
            flush=True,
        )


def _worker(given: argparse.Namespace) -> None:
    """Train, and print how long an update takes."""
    workers = nengo_dl.Workers()
    from nengo_dl.benchmarks.training.simulator_sides import train

    problem = CASES[given.case].make({"n_minibatches": given.updates * workers.count})
    case = SimpleNamespace(**problem.settings, arrays=problem.arrays)
    run, n_parameters = train(case, workers=workers)
    run(1)
    best = cpu = np.inf
    for _ in range(given.repeats):
        began, cpu_began = time.perf_counter(), time.process_time()
        run(given.updates)
        best = min(best, (time.perf_counter() - began) / given.updates)
        cpu = min(cpu, (time.process_time() - cpu_began) / given.updates)
    vector = np.zeros(n_parameters + 4, np.float32)
    workers.total(vector)
    began = time.perf_counter()
    for _ in range(20):
        workers.total(vector).numpy()
    found = {
        "items_per_second": workers.count * case.minibatch / best,
        "seconds": best,
        "cpu_seconds": cpu,
        "reduce_seconds": (time.perf_counter() - began) / 20,
    }
    print("found", json.dumps(found), flush=True)
    run.close()  # type: ignore[attr-defined]


def integrator(seed: int, n_neurons: int = 100, tau: float = 0.1) -> nengo.Network:
    """Return an integrator.

    Parameters
    ----------
    seed, n_neurons, tau
        What a sweep varies.
    """
    with nengo.Network(seed=seed) as net:
        step = nengo.Node(lambda t: float(t < 0.2))
        ens = nengo.Ensemble(n_neurons, 1)
        nengo.Connection(step, ens, transform=tau, synapse=tau)
        nengo.Connection(ens, ens, synapse=tau)
        nengo.Probe(ens, synapse=0.01, label="x")
    return net


def last_value(sim: Any) -> dict[str, float]:
    """Return the last value of the only probe.

    Parameters
    ----------
    sim : Simulator
        After a simulation.
    """
    (probe,) = sim.model.probes
    return {"last": float(sim.data[probe][-1, 0])}


def _sweep(given: argparse.Namespace) -> None:
    """Measure sweeps over seeds, and over time constants and numbers of neurons."""
    nengo.rc["decoder_cache"]["enabled"] = "False"
    some = max(1, given.count // 20)
    for title, parameters in (
        (f"{given.count} seeds", {"seed": range(given.count)}),
        (
            f"{5 * some} of tau and n_neurons",
            {
                "seed": [0],
                "tau": np.linspace(0.05, 0.1, some).tolist(),
                "n_neurons": [50, 60, 70, 80, 90],
            },
        ),
    ):
        times = {}
        for n_workers in (1, given.workers):
            began = time.perf_counter()
            results = nengo_dl.sweep(
                *(integrator, parameters, given.time, last_value, n_workers),
                progress_bar=False,
            )
            times[n_workers] = time.perf_counter() - began
        ratio = times[1] / times[given.workers]
        print(
            f"{title}: {times[1]:.1f} s in this process, {times[given.workers]:.1f} s "
            f"in {given.workers} ({ratio:.2f} x), {len(results)} results",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
