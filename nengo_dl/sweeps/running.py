"""Run many networks that differ in their parameters: `sweep`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_number
from nengo.utils.progress import ProgressBar

from nengo_dl.support.arguments import check_positive
from nengo_dl.support.progress import track
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.sweeps.executors import choose_runner
from nengo_dl.sweeps.folder import SweepFolder
from nengo_dl.sweeps.jobs import Job, Outcome
from nengo_dl.sweeps.parameters import combinations
from nengo_dl.sweeps.results import SweepResults

__all__ = ["sweep"]


def sweep(
    factory: Callable[..., Any],
    parameters: Any,
    t: float | None = None,
    measure: Callable[[Any], Mapping[str, Any]] | None = None,
    n_workers: int | None = None,
    client: Any = None,
    folder: str | os.PathLike | None = None,
    simulator: Mapping[str, Any] | None = None,
    on_result: Callable[[dict[str, Any]], None] | None = None,
    progress_bar: bool | ProgressBar = True,
) -> SweepResults:
    """Call a function with many sets of parameters, in several processes.

    The processes are started once and used for all calls. Networks that differ only in
    seeds and values share a compiled program (see `nengo_dl.programs`). Short runs are
    not compiled, unless ``simulator={"jit_compile": True}`` says so, which pays from
    some hundred calls on.

    Parameters
    ----------
    factory : callable
        Is called with the parameters by name. It returns a network, which is simulated,
        or a dict of results that it found itself.
    parameters : dict of {str: sequence}, or iterable of dict
        All combinations of some values, or one dict for each call.
    t : float, optional
        For how many seconds networks are simulated.
    measure : callable, optional
        Is called with the simulator at the end, and returns a dict of results. Default:
        the data of all probes, by label or place in the network.
    n_workers : int, optional
        Number of processes. Default: one for each core that this process may use. 1
        runs everything in this process.
    client : concurrent.futures.Executor or dask.distributed.Client or module, optional
        What runs the calls instead: an executor (such as that of joblib), a client of
        Dask, or the module ``ray`` after ``ray.init()``.
    folder : str or os.PathLike, optional
        Where results are kept. What is there from before is not computed again.
    simulator : dict, optional
        Arguments of the simulators.
    on_result : callable, optional
        Is called with each record as it comes, in this process.
    progress_bar : bool or nengo.utils.progress.ProgressBar
        Whether to show progress, of all calls together.

    Returns
    -------
    SweepResults
        A record of parameters and results for each call, in the order of the
        parameters, and the calls that failed. An error in one call does not stop the
        others; a warning tells how many calls failed.

    Raises
    ------
    ValidationError
        If an argument is of the wrong kind, or the factory cannot be sent to other
        processes.
    SimulationError
        In a process that was started by a sweep: scripts need
        ``if __name__ == "__main__":`` around it.

    Examples
    --------
    >>> def make(seed, tau):
    ...     with nengo.Network(seed=seed) as net:
    ...         step = nengo.Node(1)
    ...         ens = nengo.Ensemble(20, 1)
    ...         nengo.Connection(step, ens, synapse=tau)
    ...         net.probe = nengo.Probe(ens, synapse=0.02, label="decoded")
    ...     return net
    >>> def measure(sim):
    ...     (probe,) = sim.model.probes
    ...     return {"end": float(sim.data[probe][-1, 0])}
    >>> results = nengo_dl.sweep(
    ...     make, {"seed": range(3), "tau": [0.01, 0.1]}, 0.2, measure, n_workers=1
    ... )
    >>> len(results), sorted(results[0])
    (6, ['end', 'seed', 'tau'])
    """
    calls = combinations(parameters)
    job = _check(factory, t, measure, simulator)
    if n_workers is not None:
        n_workers = check_positive(n_workers, "n_workers")
    kept = None if folder is None else SweepFolder(folder, job)
    outcomes: dict[int, Outcome] = {}
    for number, given in enumerate(calls):
        found = None if kept is None else kept.load(given)
        if found is not None:
            outcomes[number] = found
    left = [number for number in range(len(calls)) if number not in outcomes]
    runner = choose_runner(client, n_workers, max(1, len(left)))
    with track(progress_bar, "Sweep", "Sweep", len(calls)) as tracker:
        tracker.total_progress.step(len(outcomes))
        todo = [calls[number] for number in left]
        for place, outcome in runner.run(job, todo) if left else ():
            number = left[place]
            outcomes[number] = outcome
            if outcome.error is None:
                if kept is not None:
                    kept.save(calls[number], outcome)
                if on_result is not None:
                    on_result({**calls[number], **outcome.results})
            tracker.total_progress.step()
    results = SweepResults(calls, [outcomes[number] for number in range(len(calls))])
    if results.failures:
        warn_user(
            f"{len(results.failures)} of {len(calls)} calls failed; see .failures. The "
            f"first one: {results.failures[0]}"
        )
    return results


def _check(factory: Any, t: Any, measure: Any, simulator: Any) -> Job:
    for name, value in (("factory", factory), ("measure", measure)):
        if not callable(value) and not (name == "measure" and value is None):
            raise ValidationError(
                f"Must be a function (got {type(value).__name__})", attr=name
            )
    if t is not None and (not is_number(t) or not t > 0):
        raise ValidationError(
            f"Must be a number of seconds above 0 (got {t!r})", attr="t"
        )
    if simulator is not None and not isinstance(simulator, Mapping):
        raise ValidationError(
            "Must be a dict of arguments of the simulator (got "
            f"{type(simulator).__name__})",
            attr="simulator",
        )
    return Job(factory, None if t is None else float(t), measure, simulator or {})
