"""Progress bars for building and running simulations.

Nengo's own machinery decides when a bar is drawn (`nengo.utils.progress`); this module
adds a bar drawn by progressbar2, and accepts whatever Nengo's simulator accepts. In
notebooks, `nengo_dl.support.notebook_progress` shows it as HTML.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from typing import Any, TextIO

import progressbar
from nengo.exceptions import ValidationError
from nengo.rc import rc
from nengo.utils.ipython import get_ipython
from nengo.utils.progress import (
    AutoProgressBar,
    NoProgressBar,
    Progress,
    ProgressBar,
    ProgressTracker,
    get_default_progressbar,
)

from nengo_dl.support.notebook_progress import NotebookProgressBar
from nengo_dl.support.remaining import Remaining, clock

__all__ = ["TextProgressBar", "is_silent", "track"]


class _Above:
    """Takes the place of standard output, and writes above a bar instead of into it.

    Parameters
    ----------
    stream : file
        Standard output.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.lock = threading.RLock()
        self._line = ""  # the beginning of a line, without its end

    def write(self, text: str) -> int:
        """Write whole lines in the place of the bar, which is drawn again below."""
        with self.lock:
            *lines, self._line = (self._line + text).split("\n")
            if lines:
                width = shutil.get_terminal_size().columns - 1
                rows = "".join(f"{line}\n" for line in lines)
                self.stream.write(f"\r{' ' * width}\r{rows}")
        return len(text)

    def end(self) -> None:
        """Write what was kept back."""
        with self.lock:
            if self._line:
                self.stream.write(self._line)
                self._line = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _StandardOutput:
    """Whatever `sys.stdout` is at the moment, below what stands for it.

    Given `sys.stdout` itself, progressbar2 writes to the stream that had this name when
    it was imported, which may be closed by now.
    """

    def __getattr__(self, name: str) -> Any:
        stream = sys.stdout
        return getattr(stream.stream if isinstance(stream, _Above) else stream, name)


class TextProgressBar(ProgressBar):
    """A progress bar drawn by progressbar2 on a terminal.

    What is printed meanwhile appears above the bar.

    Parameters
    ----------
    stream : file, optional
        Where to draw. Default: standard output.
    """

    def __init__(self, stream: TextIO | None = None):
        super().__init__()
        self.stream = stream
        self._bar: progressbar.ProgressBar | None = None
        self._shown: Progress | None = None
        self._above: _Above | None = None
        self._name = progressbar.FormatCustomText("%(name)s ", {"name": ""})
        self._left = progressbar.FormatCustomText(" %(left)s", {"left": ""})
        self._remaining = Remaining()

    def update(self, progress: Progress) -> None:
        """Draw the state of a stage; each new stage begins a line of its own."""
        with self._above.lock if self._above is not None else contextlib.nullcontext():
            self._update(progress)

    def _update(self, progress: Progress) -> None:
        if progress is not self._shown:
            self._end_line()
            self._shown = progress
            self._remaining.begin()
            self._describe(progress)
            self._bar = self._new_bar(progress)
            self._bar.start()
            if self.stream is None and self._above is None:
                self._above = _Above(sys.stdout)
                sys.stdout = self._above
        if self._bar is None:
            return
        self._describe(progress)
        if progress.finished:
            self._end_line()
        elif progress.max_steps is None:
            self._bar.update()
        else:
            self._bar.update(min(progress.n_steps, progress.max_steps), force=True)

    def close(self) -> None:
        """End the current line."""
        self._end_line()
        if self._above is not None:
            if sys.stdout is self._above:
                sys.stdout = self._above.stream
            self._above.end()
            self._above = None

    def _end_line(self) -> None:
        """End the line of the stage that is shown; at 100 % if it went well."""
        shown = self._shown
        if self._bar is not None and shown is not None:
            self._shown = None
            went_well = shown.finished and shown.success
            self._describe(shown)
            self._bar.finish(dirty=not went_well)
            self._bar, self._shown = None, shown

    def _describe(self, progress: Progress) -> None:
        """Set the texts of the bar: the name of the stage, and the time."""
        self._name.update_mapping(name=progress.name_during)
        self._left.update_mapping(left=self._time(progress).ljust(12))

    def _time(self, progress: Progress) -> str:
        if progress.finished or progress.max_steps is None:
            return f"Time {clock(progress.elapsed_seconds())}"
        seconds = self._remaining.seconds(progress)
        return "ETA -:--:--" if seconds is None else f"ETA {clock(seconds)}"

    def _new_bar(self, progress: Progress) -> progressbar.ProgressBar:
        if progress.max_steps is None:
            widgets: list[Any] = [self._name, progressbar.AnimatedMarker(), self._left]
            end = progressbar.UnknownLength
        else:
            percentage = progressbar.Percentage()
            widgets = [self._name, percentage, " ", progressbar.Bar(), self._left]
            end = progress.max_steps
        return progressbar.ProgressBar(
            max_value=end,
            widgets=widgets,
            fd=self.stream if self.stream is not None else _StandardOutput(),
            line_breaks=False,
            # their codes would count as characters of the line
            enable_colors=False,
        )


def _in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows HTML."""
    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def track(
    progress_bar: bool | ProgressBar | None, during: str, after: str, n_steps=None
) -> ProgressTracker:
    """Return a context that shows the progress of a task.

    Parameters
    ----------
    progress_bar : bool or nengo.utils.progress.ProgressBar or None
        Whether to show progress, or the bar that shows it. With True, Nengo's
        configuration (``progress_bar`` in section ``progress``) can turn it off or
        name another class; short tasks show nothing.
    during, after : str
        Name of the task while it goes on, and when it is done.
    n_steps : int, optional
        Number of steps, if known.

    Returns
    -------
    nengo.utils.progress.ProgressTracker
        Its ``total_progress.step(n)`` advances the bar.
    """
    return ProgressTracker(_to_bar(progress_bar), Progress(during, after, n_steps))


def is_silent(progress_bar: bool | ProgressBar | None) -> bool:
    """Whether progress is not shown: by this argument, or Nengo's configuration."""
    return isinstance(_to_bar(progress_bar), NoProgressBar)


def _to_bar(progress_bar: bool | ProgressBar | None) -> ProgressBar:
    if progress_bar is None or progress_bar is False:
        return NoProgressBar()
    if progress_bar is not True:
        # Nengo asks for these two methods, not for its class
        if not all(
            callable(getattr(progress_bar, m, None)) for m in ("update", "close")
        ):
            raise ValidationError(
                "Must be True, False, or a progress bar of nengo.utils.progress "
                f"(got {progress_bar!r})",
                attr="progress_bar",
            )
        return progress_bar
    configured = rc["progress"]["progress_bar"].lower()
    if configured in ("auto", "true", "1", "yes", "on"):
        bar = NotebookProgressBar() if _in_notebook() else TextProgressBar()
        return AutoProgressBar(bar)
    return get_default_progressbar()
