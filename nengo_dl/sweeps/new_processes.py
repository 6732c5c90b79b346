"""What the processes of a sweep share, and how they begin and end."""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from nengo_dl.program.compile_cache import CACHE_VARIABLE, programs_folder
from nengo_dl.support.processor import n_cores, shares_of_cores

__all__ = ["begin", "shared_cores", "shared_programs"]

#: What libraries of linear algebra, and TensorFlow, read the number of threads from.
_THREADS = (
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def begin(counter: Any, n_workers: int) -> None:
    """Let a new process have its share of the cores, and leave Ctrl-C to the first.

    Parameters
    ----------
    counter : multiprocessing.Value
        How many processes have begun.
    n_workers : int
        How many share the cores.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # else Python looks for garbage for a second at the end, if TensorFlow was imported
    atexit.register(gc.freeze)
    # of several processes, one keeps decoders that Nengo has solved for
    warnings.filterwarnings("ignore", message="Decoder cache could not acquire lock")
    shares = shares_of_cores(n_workers)
    if shares:
        with counter.get_lock():
            number = counter.value % n_workers
            counter.value += 1
        os.sched_setaffinity(0, shares[number])


def _end_with_parent() -> None:
    """Wait until the process that started this one has ended, and end, too.

    Otherwise, a process would wait for its next call forever if the first was killed.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a new process"
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def shared_programs() -> Iterator[None]:
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
def shared_cores(n_workers: int) -> Iterator[None]:
    """Let new processes have one thread for each core, unless told otherwise.

    Linear algebra starts its threads when NumPy is imported, before a process can know
    its share, and threads that wait for each other on one core are slow.

    Parameters
    ----------
    n_workers : int
        How many processes share the cores.
    """
    n_threads = str(max(n_cores() // n_workers, 1))
    names = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(names, n_threads))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
