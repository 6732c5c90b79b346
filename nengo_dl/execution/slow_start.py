"""Says once in a process that a first run compiles, so that it does not look stuck."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from nengo_dl.program.compile_cache import where_kept

__all__ = ["SLOW_START", "SlowStart"]

_COMPILES = (
    "nengo_dl is compiling the network for its first run; later runs start at once."
)
_KEEP = (
    " To keep what is compiled for other processes, call nengo_dl.cache_compiled() "
    "right after 'import nengo_dl'."
)


class SlowStart:
    """A notice about a run that takes long to begin.

    Parameters
    ----------
    seconds : float
        How long a run may take to begin without one.
    say : callable
        Is called with the notice, a line of text, at most once.
    """

    def __init__(self, seconds: float = 1.0, say: Callable[[str], object] = print):
        self.seconds = seconds
        self.say = say
        self.was_said = False

    def _notice(self) -> None:
        if not self.was_said:
            self.was_said = True
            self.say(_COMPILES + ("" if where_kept() is not None else _KEEP))

    @contextlib.contextmanager
    def watched(self, is_shown: bool) -> Iterator[Callable[[], None]]:
        """Return a context of a run that has to compile first.

        Parameters
        ----------
        is_shown : bool
            Whether to say anything.

        Yields
        ------
        callable
            To be called when the run has begun.
        """
        if self.was_said or not is_shown:
            yield lambda: None
            return
        timer = threading.Timer(self.seconds, self._notice)
        timer.daemon = True
        timer.start()
        try:
            yield timer.cancel
        finally:
            timer.cancel()


#: The notice of this process.
SLOW_START = SlowStart()
