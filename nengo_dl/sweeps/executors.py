"""Where the calls of a sweep run: here, in other processes, on a cluster."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from nengo.exceptions import SimulationError, ValidationError

from nengo_dl.program.compile_cache import CACHE_VARIABLE, programs_folder
from nengo_dl.sweeps.jobs import (
    Job,
    Outcome,
    pack_job,
    pack_parameters,
    run_job,
    run_packed,
)

__all__ = ["Runner", "choose_runner", "n_cores"]

Parameters = Mapping[str, Any]

#: Number of a call, and its parameters in a form that travels.
Call = tuple[int, Parameters | bytes]

#: What libraries of linear algebra, and TensorFlow, read the number of threads from.
_THREADS = (
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


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


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on all systems
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        with _shared_programs(), _shared_cores(self.n_workers):
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
            initializer=_begin,
            initargs=(context.Value("i", 0), self.n_workers),
        )
        running: dict[concurrent.futures.Future, Call] = {}
        suspects: list[Call] = []
        try:
            while (waiting or running) and not suspects:
                # no more than there are processes: these are what may have killed one
                while waiting and len(running) < n_workers:
                    call = waiting.popleft()
                    running[pool.submit(run_packed, packed, call[1])] = call
                done, _ = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    call = running.pop(future)
                    try:
                        yield call[0], future.result()
                    except BrokenProcessPool:
                        suspects.append(call)
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


def _begin(counter: Any, n_workers: int) -> None:
    """Let a new process have its share of the cores, and leave Ctrl-C to the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # else Python looks for garbage for a second at the end, if TensorFlow was imported
    atexit.register(gc.freeze)
    # of several processes, one keeps decoders that Nengo has solved for
    warnings.filterwarnings("ignore", message="Decoder cache could not acquire lock")
    if not hasattr(os, "sched_setaffinity"):  # not on all systems
        return
    with counter.get_lock():
        number = counter.value % n_workers
        counter.value += 1
    cores = sorted(os.sched_getaffinity(0))
    size = len(cores) // n_workers
    if size:
        os.sched_setaffinity(0, cores[number * size :][:size])


def _end_with_parent() -> None:
    """Wait until the process that started this one has ended, and end, too.

    Otherwise, a process would wait for its next call forever if the first was killed.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a new process"
    parent.join()
    os._exit(1)


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


@contextlib.contextmanager
def _shared_programs() -> Iterator[None]:
    """Let new processes share compiled programs, for as long as they are needed."""
    if programs_folder() is not None or os.environ.get(CACHE_VARIABLE):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="nengo_dl_sweep_") as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[CACHE_VARIABLE]


@contextlib.contextmanager
def _shared_cores(n_workers: int) -> Iterator[None]:
    """Let new processes have one thread for each core, unless told otherwise.

    Linear algebra starts its threads when NumPy is imported, before a process can know
    its share, and threads that wait for each other on one core are slow.
    """
    known = getattr(os, "sched_getaffinity", None)
    n_cores = len(known(0)) if known is not None else os.cpu_count() or 1
    n_threads = str(max(n_cores // n_workers, 1))
    names = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(names, n_threads))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def _check_parent() -> None:
    """Raise in a process that was itself started by such a sweep."""
    if multiprocessing.parent_process() is not None:
        raise SimulationError(
            "A sweep over processes was started in a process that another one started. "
            "Scripts are imported by the processes that they start: put the sweep "
            'behind  if __name__ == "__main__":  or, if it is meant to be within '
            "another one, use n_workers=1"
        )
