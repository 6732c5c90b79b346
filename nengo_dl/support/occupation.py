"""What an object is doing, so that nothing else is done with it meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator

from nengo.exceptions import SimulationError

__all__ = ["Occupation"]


class Occupation:
    """Marks what is being done with something, and refuses anything else meanwhile.

    One action at a time, of one thread. Whoever comes second gets an error instead of
    waiting: if it is called by the first, it would wait for ever.

    Attributes
    ----------
    lock : threading.Lock
        Held during an action. Whoever takes it without calling `begin` runs.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.action = ""
        self.thread = 0

    def begin(self, action: str, within: Collection[str] = ()) -> bool:
        """Begin an action.

        Parameters
        ----------
        action : str
            What is begun, as it reads after "Cannot".
        within : collection of str
            Actions that allow this one to those whom they call.

        Returns
        -------
        bool
            Whether `end` has to be called: not if this is a part of another action.

        Raises
        ------
        SimulationError
            If something else is being done.
        """
        if self.lock.acquire(blocking=False):
            self.action, self.thread = action, threading.get_ident()
            return True
        current, same = self.action or "run", self.thread == threading.get_ident()
        if same and current in within:
            return False
        raise SimulationError(
            f"Cannot {action}: the simulator is busy with another call ({current}), "
            "which has not returned. Functions that a simulation calls, such as those "
            "of Nodes, cannot control it, and threads cannot share a simulator: let "
            "the other call return first, or give each its own simulator"
        )

    def end(self) -> None:
        """End the action."""
        self.action, self.thread = "", 0
        self.lock.release()

    @contextlib.contextmanager
    def during(self, action: str, within: Collection[str] = ()) -> Iterator[None]:
        """Return a context for an action; see `begin`."""
        begun = self.begin(action, within)
        try:
            yield
        finally:
            if begun:
                self.end()
