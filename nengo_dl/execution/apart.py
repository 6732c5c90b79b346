"""Runs that begin in the initial state, and leave everything as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from nengo_dl.execution.session import Session
from nengo_dl.support.interrupts import DeferredInterrupt

__all__ = ["apart"]


@contextlib.contextmanager
def apart(session: Session) -> Iterator[None]:
    """Return a context that begins at time 0 in the initial state.

    At its end, time and state are as they were; random streams go on. Until something
    else is done, the time that is shown is that at which the context ended.

    Parameters
    ----------
    session : Session
        What runs in the context.
    """
    with DeferredInterrupt():
        store = session.store
        store.take_changes()
        before = [np.array(values) for values in store.state_values()]
        n_steps, sources = session.n_steps, session.sources.position()
        session.start_anew(before)
        session.is_apart = True
    try:
        yield
    finally:
        with DeferredInterrupt():
            session.is_apart = False
            session.steps_apart, session.n_steps = session.n_steps, n_steps
            session.sources.return_to(sources)
            store.restore_state(before)
