"""Says once in a process that a first run compiles, or that many short runs do not."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

from nengo_dl.compiler.plan import Plan
from nengo_dl.program.compile_cache import where_kept

__all__ = ["SHORT_RUNS", "SLOW_START", "ShortRuns", "SlowStart", "kind_of"]

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
    reset give the same data. Runs of several simulators count together if one program
    would serve them.

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
        self._seconds: dict[int, float] = defaultdict(float)

    def note(self, kind: int, seconds: float, compile_seconds: float) -> None:
        """Note a run.

        Parameters
        ----------
        kind : int
            Equal for networks that a program could share; see `kind_of`.
        seconds, compile_seconds : float
            How long the run takes, and how long compiling would.
        """
        self._seconds[kind] += seconds
        if self.was_said or self._seconds[kind] < self.times * compile_seconds:
            return
        self.was_said = True
        self.say(
            "nengo_dl runs each of these short trials in NumPy. With jit_compile=True, "
            "the simulator compiles the network once, for later simulators of it too, "
            "and runs all of them faster."
        )


def kind_of(plan: Plan) -> int:
    """Return a number that is equal for networks which differ in values only.

    It is found without TensorFlow, and says less than the signature of a program.

    Parameters
    ----------
    plan : Plan
        What is simulated.
    """
    sizes = [(block.role.name, block.size) for block in plan.layout.blocks]
    # one of each group: hashing the objects of all would take longer than many a run
    first = [bound.group.ops[0] for bound in plan.layout.groups]
    made_of = [
        (type(op).__name__, getattr(op, "process", None), getattr(op, "neurons", None))
        for op in first
    ]
    return hash((tuple(sizes), tuple(made_of)))


#: The notices of this process.
SLOW_START = SlowStart()
SHORT_RUNS = ShortRuns()
