"""The time that is left, from steps alone: the first ones may wait for a compiler."""

from __future__ import annotations

import time

from nengo.utils.progress import Progress

__all__ = ["Remaining", "clock"]


def clock(seconds: float) -> str:
    """Return a length of time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Remaining:
    """Estimates how long a stage goes on, each time that it is looked at."""

    def __init__(self) -> None:
        # when the first steps were done, and how many they were
        self._start: tuple[float, int] | None = None

    def begin(self) -> None:
        """Begin another stage."""
        self._start = None

    def seconds(self, progress: Progress) -> float | None:
        """Return the seconds that are left; None as long as nothing tells.

        Parameters
        ----------
        progress : Progress
            A stage whose number of steps is known.
        """
        now = time.time(), progress.n_steps
        if self._start is None and progress.n_steps:
            self._start = now
        if self._start is None or now[1] == self._start[1]:
            return None
        rate = (now[0] - self._start[0]) / (now[1] - self._start[1])
        return rate * (progress.max_steps - now[1])
