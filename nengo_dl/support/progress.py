"""Progress bars for building and running simulations.

Nengo's own machinery decides when a bar is drawn (`nengo.utils.progress`); this module
adds a bar drawn by progressbar2, and accepts whatever Nengo's simulator accepts.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

import progressbar
from nengo.exceptions import ValidationError
from nengo.rc import rc
from nengo.utils.progress import (
    AutoProgressBar,
    NoProgressBar,
    Progress,
    ProgressBar,
    ProgressTracker,
    get_default_progressbar,
)

__all__ = ["TextProgressBar", "track"]


class _StandardOutput:
    """Whatever `sys.stdout` is at the moment.

    Given `sys.stdout` itself, progressbar2 writes to the stream that had this name when
    it was imported, which may be closed by now.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)


class TextProgressBar(ProgressBar):
    """A progress bar drawn by progressbar2 on a terminal or in a notebook.

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
        self._name = progressbar.FormatCustomText("%(name)s ", {"name": ""})

    def update(self, progress: Progress) -> None:
        """Draw the state of a stage; each new stage begins a line of its own."""
        if progress is not self._shown:
            self.close()
            self._shown = progress
            self._name.update_mapping(name=progress.name_during)
            self._bar = self._new_bar(progress)
            self._bar.start()
        if self._bar is None:
            return
        self._name.update_mapping(name=progress.name_during)
        if progress.finished:
            self._bar.finish(dirty=not progress.success)
            self._bar = None
        elif progress.max_steps is None:
            self._bar.update()
        else:
            self._bar.update(min(progress.n_steps, progress.max_steps))

    def close(self) -> None:
        """End the current line."""
        if self._bar is not None:
            self._bar.finish(dirty=True)
            self._bar = None

    def _new_bar(self, progress: Progress) -> progressbar.ProgressBar:
        if progress.max_steps is None:
            widgets = [
                self._name,
                progressbar.AnimatedMarker(),
                " ",
                progressbar.Timer(),
            ]
            end = progressbar.UnknownLength
        else:
            widgets = [
                self._name,
                progressbar.Percentage(),
                " ",
                progressbar.Bar(),
                " ",
                progressbar.ETA(),
            ]
            end = progress.max_steps
        stream = self.stream if self.stream is not None else _StandardOutput()
        return progressbar.ProgressBar(
            max_value=end, widgets=widgets, fd=stream, line_breaks=False
        )


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
        return AutoProgressBar(TextProgressBar())
    return get_default_progressbar()
