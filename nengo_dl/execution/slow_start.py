"""Says once in a process that a first run compiles, or that many short runs do not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from nengo_dl.program.compile_cache import where_kept

__all__ = ["SHORT_RUNS", "SLOW_START", "ShortRuns", "SlowStart"]

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


class ShortRuns:
    """A notice about many short runs, which together take longer than compiling would.

    Whether a run compiles depends on its length only, so that the same steps after a
    reset give the same data.

    Parameters
    ----------
    times : float
        How many times the seconds of compiling they may take.
    say : callable
        Is called with the notice, a line of text, at most once.
    """

    def __init__(self, times: float = 20.0, say: Callable[[str], object] = print):
        self.times = times
        self.say = say
        self.was_said = False

    def note(self, seconds: float, compile_seconds: float) -> None:
        """Note how long the runs of a simulator took so far, and compiling would."""
        if self.was_said or seconds < self.times * compile_seconds:
            return
        self.was_said = True
        self.say(
            "nengo_dl runs each of these short trials in NumPy. With jit_compile=True, "
            "the simulator compiles the network once, and runs all of them faster."
        )


#: The notices of this process.
SLOW_START = SlowStart()
SHORT_RUNS = ShortRuns()
