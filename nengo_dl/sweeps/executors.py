"""Where the calls of a sweep run: here, in other processes, on a cluster."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from nengo.exceptions import SimulationError, ValidationError

from nengo_dl.support.processor import n_cores
from nengo_dl.sweeps.jobs import (
    Job,
    Outcome,
    pack_job,
    pack_parameters,
    run_job,
    run_packed,
)
from nengo_dl.sweeps.new_processes import begin, shared_cores, shared_programs

__all__ = ["Runner", "choose_runner"]

Parameters = Mapping[str, Any]

#: Number of a call, and its parameters in a form that travels.
Call = tuple[int, Parameters | bytes]


class Runner(Protocol):
    """Runs a job with many sets of parameters."""

    def run(
        self, job: Job, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Outcome]]:
        """Yield the number of each set, and how it ended, as soon as it did."""


def choose_runner(client: Any, n_workers: int | None, count: int) -> Runner:
    """Return what runs a sweep.

    Parameters
    ----------
    client : concurrent.futures.Executor or dask.distributed.Client or module or None
        Who runs it. None: processes of this machine.
    n_workers : int or None
        Number of processes. None: one for each core.
    count : int
        Number of calls.

    Raises
    ------
    ValidationError
        If the client is none that is known.
    """
    if client is None:
        n_workers = min(n_cores() if n_workers is None else n_workers, count)
        return Here() if n_workers == 1 else Processes(n_workers)
    if n_workers is not None:
        raise ValidationError(
            "The client knows how many workers there are; leave n_workers out",
            attr="n_workers",
        )
    if isinstance(client, concurrent.futures.Executor):
        return Futures(client)
    kind = type(client).__module__.partition(".")[0]
    if kind == "distributed":
        return Dask(client)
    if getattr(client, "__name__", None) == "ray":
        return Ray(client)
    raise ValidationError(
        "Must be None, a concurrent.futures.Executor, a dask.distributed.Client, or "
        f"the module ray (got {type(client).__name__})",
        attr="client",
    )


class Here:
    """Runs everything in this process, one after the other."""

    def run(
        self, job: Job, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Outcome]]:
        """See `Runner`."""
        for number, given in enumerate(parameters):
            yield number, run_job(lambda: job, given)


class Processes:
    """Runs jobs in processes of this machine, which are started once.

    They are new ones (spawned, not forked, which TensorFlow does not survive), share
    the cores of the processor, and a folder of compiled programs.

    Parameters
    ----------
    n_workers : int
        How many.
    """

    def __init__(self, n_workers: int):
        self.n_workers = n_workers

    def run(
        self, job: Job, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Outcome]]:
        """See `Runner`."""
        _check_parent()
        packed = pack_job(job)
        calls, failed = _packed(parameters)
        yield from failed
        waiting = deque(calls)
        with shared_programs(), shared_cores(self.n_workers):
            while waiting:
                # a process that dies takes its pool along; the rest runs in a new one
                yield from self._until_broken(packed, waiting, self.n_workers)

    def _until_broken(
        self, packed: bytes, waiting: deque[Call], n_workers: int
    ) -> Iterator[tuple[int, Outcome]]:
        """Run what waits, until all is done or a process has died."""
        context = multiprocessing.get_context("spawn")
        others = set(multiprocessing.active_children())
        pool = concurrent.futures.ProcessPoolExecutor(
            n_workers,
            mp_context=context,
            initializer=begin,
            initargs=(context.Value("i", 0), self.n_workers),
        )
        running: dict[concurrent.futures.Future, Call] = {}
        suspects: list[Call] = []

        def fill() -> None:
            # no more than there are processes: these are what may have killed one
            while waiting and len(running) < n_workers:
                try:
                    future = pool.submit(run_packed, packed, waiting[0][1])
                except BrokenProcessPool:
                    return  # what runs will say so
                running[future] = waiting.popleft()

        try:
            fill()
            while running and not suspects:
                done, _ = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                found = []
                for future in done:
                    call = running.pop(future)
                    try:
                        found.append((call[0], future.result()))
                    except BrokenProcessPool:
                        suspects.append(call)
                fill()  # first, since what is done with results may take long
                yield from found
            suspects += running.values()
        finally:
            _end(pool, others)
        if len(suspects) == 1:
            yield suspects[0][0], Outcome({}, _DIED)
            return
        for call in suspects:  # which one was it? each again, on its own
            yield from self._until_broken(packed, deque([call]), 1)


_DIED = (
    "RuntimeError: The process ended without an error of Python (out of memory, or a "
    "fault in a library)"
)


class Futures:
    """Runs jobs on an executor of the standard library, or one like them.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Its processes must be new ones (spawned, not forked).
    """

    def __init__(self, executor: concurrent.futures.Executor):
        self.executor = executor

    def run(
        self, job: Job, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Outcome]]:
        """See `Runner`."""
        packed = pack_job(job)
        calls, failed = _packed(parameters)
        yield from failed
        futures = {
            self.executor.submit(run_packed, packed, given): number
            for number, given in calls
        }
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], _outcome_of(future.result)
        finally:
            for future in futures:
                future.cancel()


class Dask:
    """Runs jobs on a cluster of Dask.

    Parameters
    ----------
    client : dask.distributed.Client
        The cluster.
    """

    def __init__(self, client: Any):
        self.client = client

    def run(
        self, job: Job, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Outcome]]:
        """See `Runner`."""
        from distributed import as_completed

        packed = self.client.scatter(pack_job(job), broadcast=True)
        calls, failed = _packed(parameters)
        yield from failed
        futures = {
            # calls with equal arguments are calls nevertheless
            self.client.submit(run_packed, packed, given, pure=False): number
            for number, given in calls
        }
        try:
            for future in as_completed(list(futures)):
                yield futures[future], _outcome_of(future.result)
        finally:
            self.client.cancel(list(futures))


class Ray:
    """Runs jobs on a cluster of Ray.

    Parameters
    ----------
    ray : module
        ``ray``, initialized.
    """

    def __init__(self, ray: Any):
        self.ray = ray

    def run(
        self, job: Job, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Outcome]]:
        """See `Runner`."""
        remote = self.ray.remote(run_packed)
        packed = self.ray.put(pack_job(job))
        calls, failed = _packed(parameters)
        yield from failed
        numbers = {remote.remote(packed, given): number for number, given in calls}
        try:
            while numbers:
                (ready, *_), _ = self.ray.wait(list(numbers), num_returns=1)
                result = functools.partial(self.ray.get, ready)
                yield numbers.pop(ready), _outcome_of(result)
        finally:
            for reference in numbers:
                self.ray.cancel(reference)


def _packed(
    parameters: Sequence[Parameters],
) -> tuple[list[Call], list[tuple[int, Outcome]]]:
    """Return calls whose parameters can travel, and how the others ended."""
    calls: list[Call] = []
    failed = []
    for number, given in enumerate(parameters):
        try:
            calls.append((number, pack_parameters(given)))
        except ValidationError as error:
            failed.append((number, Outcome({}, f"ValidationError: {error}")))
    return calls, failed


def _outcome_of(result: Callable[[], Outcome]) -> Outcome:
    """Return an outcome, also if not the call failed, but what ran it."""
    try:
        return result()
    except Exception as error:
        return Outcome({}, f"{type(error).__name__}: {error}")


def _end(pool: concurrent.futures.ProcessPoolExecutor, others: set[Any]) -> None:
    """End the processes of a pool; if it was left early, at once.

    Parameters
    ----------
    pool : ProcessPoolExecutor
        The pool.
    others : set of Process
        Processes that had been started before it.
    """
    if sys.exc_info()[1] is not None:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
    pool.shutdown(cancel_futures=True)


def _check_parent() -> None:
    """Raise in a process that was itself started by such a sweep."""
    if multiprocessing.parent_process() is not None:
        raise SimulationError(
            "A sweep over processes was started in a process that another one started. "
            "Scripts are imported by the processes that they start: put the sweep "
            'behind  if __name__ == "__main__":  or, if it is meant to be within '
            "another one, use n_workers=1"
        )
