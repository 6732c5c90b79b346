"""How training and sweeps become faster with processes; see ``--help``.

``python -m nengo_dl.benchmarks.scaling training`` and ``... sweep``. With ``--json``,
what was measured is kept in a file, of which ``docs/plots/scaling.py`` draws pictures.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime
import json
import multiprocessing
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nengo
import numpy as np

import nengo_dl
from nengo_dl.benchmarks.measure import machine
from nengo_dl.benchmarks.training.problems import CASES
from nengo_dl.launch.local import launch_local

__all__ = ["main"]

_FOUND = re.compile(r"\[0\] found (\{.*\})")

#: A point of a curve, on four lines.
_PAIR = re.compile(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]")

#: Points of a curve that are kept.
_MOST_POINTS = 40

#: Calls that compile each time, to compare with.
_COMPILED_CALLS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments. Default: those of this process.
    """
    given = _parser().parse_args(arguments)
    if given.command == "worker":
        _worker(given)
        return 0
    measure: Callable[[Any], Iterator[dict[str, Any]]]
    measure = {"training": _training, "sweep": _sweep}[given.command]
    found = list(measure(given))
    if given.json is not None:
        _keep(given, found)
    return 0


def _parser() -> argparse.ArgumentParser:
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
        if name == "training":
            command.add_argument(
                *("--rounds",),
                type=int,
                default=2,
                help="how often to measure everything, in turns; the best one counts "
                "(default: %(default)s)",
            )
            _add_json(command)
    command = commands.add_parser("sweep", help="many integrators, with other seeds")
    command.add_argument("--count", type=int, default=200)
    command.add_argument("--workers", type=int, default=2)
    command.add_argument("--time", type=float, default=1.0, help="seconds to simulate")
    _add_json(command)
    return parser


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        *("--json",),
        type=Path,
        metavar="FILE",
        help="keep what was measured in this file; what another command measured stays",
    )


def _keep(given: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    """Write measurements, with where and with what they were made."""
    text = given.json.read_text(encoding="utf-8") if given.json.exists() else "{}"
    kept = json.loads(text)
    packages = ("tensorflow", "keras", "nengo", "numpy")
    kept[given.command] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "command": " ".join(["python -m nengo_dl.benchmarks.scaling", *_said(given)]),
        "measured": found,
    }
    text = _PAIR.sub(r"[\1, \2]", json.dumps(kept, indent=1))
    given.json.write_text(text + "\n", encoding="utf-8")


def _said(given: argparse.Namespace) -> list[str]:
    """Return the arguments of the command, but for the file."""
    options = {k: v for k, v in vars(given).items() if k not in ("command", "json")}
    return [given.command, *(f"--{name} {value}" for name, value in options.items())]


def _training(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure training with one core for each process, print ratios, and yield all."""
    cores = sorted(os.sched_getaffinity(0))[: given.workers]
    apart = [[core] for core in cores]
    # what the machine allows, without any sum, are processes that know of no others
    kinds = [(1, [cores[:1]]), (1, [cores]), (1, apart), (given.workers, [cores])]
    best: dict[int, dict[str, Any]] = {}
    for _ in range(given.rounds):
        for number, (n_workers, parts) in enumerate(kinds):
            found = _launched(given, n_workers, parts)
            known = best.setdefault(number, found)
            if found["items_per_second"] > known["items_per_second"]:
                best[number] = found
    first = best[0]["items_per_second"]
    for _, found in sorted(best.items()):
        title = f"processes: {found['processes']} on {found['cores']} cores"
        if found["processes"] > 1:
            title += ", together" if found["together"] else ", each on its own"
            if not found["together"]:
                title += f" ({found['in_step'] / first:.2f} x the slowest)"
        print(
            f"{title}: {found['items_per_second']:.0f} items/s "
            f"({found['items_per_second'] / first:.2f} x), "
            f"{found['seconds'] * 1e3:.1f} ms per update, "
            f"{found['cpu_seconds'] * 1e3:.1f} ms of CPU in worker 0, "
            f"sum of all workers {found['reduce_seconds'] * 1e3:.2f} ms "
            f"({found['reduce_seconds'] / found['seconds']:.1%} of an update)",
            flush=True,
        )
        yield found


def _launched(given, n_workers, parts) -> dict[str, Any]:
    """Return what processes measure: some that are joined, on each part of the cores.

    Of several parts at once, it is the sum of items, and the mean of all else;
    "in_step" is what remains if all wait for the slowest, as those that are joined do.
    """
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        started = [pool.submit(_launch, given, n_workers, part) for part in parts]
        found = [future.result() for future in started]
    result = found[0]
    for name in ("seconds", "cpu_seconds", "reduce_seconds"):
        result[name] = float(np.mean([one[name] for one in found]))
    return {
        "processes": n_workers * len(parts),
        "cores": sum(map(len, parts)),
        "together": n_workers > 1,
        **result,
        "items_per_second": sum(one["items_per_second"] for one in found),
        "in_step": len(found) * min(one["items_per_second"] for one in found),
    }


def _launch(given, n_workers, cores) -> dict[str, Any]:
    """Return what the first of some joined processes measures."""
    output = StringIO()
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__]
    command += ["worker", "--case", given.case]
    command += ["--updates", str(given.updates), "--repeats", str(given.repeats)]
    os.sched_setaffinity(0, cores)  # of this thread, and what it starts
    code = launch_local(command, n_workers, output=output)
    match = _FOUND.search(output.getvalue())
    if code or match is None:
        raise SystemExit(f"{n_workers} workers: {output.getvalue()[-2000:]}")
    return json.loads(match[1])


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
        "case": given.case,
        "minibatch": case.minibatch,
        "parameters": n_parameters,
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
    nengo.rc["decoder_cache"]["enabled"] = "False"  # in the processes, too
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


def _sweep(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure sweeps over seeds, and over time constants and numbers of neurons."""
    some = max(1, given.count // 20)
    seeds = {"seed": range(given.count)}
    sizes = {
        "seed": [0],
        "tau": np.linspace(0.05, 0.1, some).tolist(),
        "n_neurons": [50, 60, 70, 80, 90],
    }
    compiled = {"jit_compile": True}
    for title, parameters, options in (
        (f"{given.count} seeds", seeds, {}),
        (f"{given.count} seeds, compiled", seeds, compiled),
        (f"{5 * some} of tau and n_neurons", sizes, {}),
    ):
        alone, shared = (
            _timed_sweep(parameters, given.time, n, options) for n in (1, given.workers)
        )
        compiling = _compiling_loop(given.time)
        rates = [_rate(curve) for curve in (alone, shared)]
        print(
            f"{title}: {alone[-1][1]:.1f} s in one process, {shared[-1][1]:.1f} s in "
            f"{given.workers} ({alone[-1][1] / shared[-1][1]:.2f} x); first result "
            f"after {alone[0][1]:.1f} and {shared[0][1]:.1f} s, then {rates[0]:.1f} "
            f"and {rates[1]:.1f} in a second ({rates[1] / rates[0]:.2f} x); a loop "
            f"that compiles each time: {compiling:.2f} s for each "
            f"({compiling * rates[0]:.1f} x as long as in one process)",
            flush=True,
        )
        yield {
            "title": title,
            "compiling_seconds": compiling,
            "curves": {"1": _thinned(alone), str(given.workers): _thinned(shared)},
        }


def _timed_sweep(parameters, t, n_workers, options) -> list[tuple[int, float]]:
    """Return after how many seconds there were how many results.

    Both begin with starting processes, which import TensorFlow and compile.
    """
    curve: list[tuple[int, float]] = []
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        where: dict[str, Any] = {"n_workers": n_workers}
        if n_workers == 1:  # in a new one, too, which may use all cores
            spawn = multiprocessing.get_context("spawn")
            pool = concurrent.futures.ProcessPoolExecutor(1, spawn)
            where = {"client": stack.enter_context(pool)}
        nengo_dl.sweep(
            *(integrator, parameters, t, last_value),
            on_result=lambda record: curve.append(
                (len(curve) + 1, time.perf_counter() - began)
            ),
            simulator=options,
            progress_bar=False,
            **where,
        )
    curve[-1] = len(curve), time.perf_counter() - began  # the processes have ended
    return curve


def _rate(curve: Sequence[tuple[int, float]]) -> float:
    """Return how many results came in a second, in the second half of a sweep."""
    (n, start), (m, end) = curve[len(curve) // 2 - 1], curve[-2]
    return (m - n) / (end - start)


def _thinned(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    step = -(-len(curve) // _MOST_POINTS)
    chosen = [*curve[:1], *curve[step - 1 :: step], curve[-1]]
    return [(n, round(t, 3)) for n, t in sorted(set(chosen))]


def _compiling_loop(t: float) -> float:
    """Return how long a call takes if nothing is shared, in seconds."""
    began = time.perf_counter()
    for seed in range(_COMPILED_CALLS):
        nengo_dl.programs.clear()
        options: dict[str, Any] = {"jit_compile": True, "progress_bar": False}
        with nengo_dl.Simulator(integrator(seed), **options) as sim:
            sim.run(t)
    return (time.perf_counter() - began) / _COMPILED_CALLS


if __name__ == "__main__":
    sys.exit(main())
