"""A progress bar for notebooks: one output of a cell, in HTML without scripts.

Nengo's bar for notebooks is drawn by scripts, which JupyterLab and saved notebooks do
not run. This one replaces its output as a whole, and leaves a line of text.
"""

from __future__ import annotations

import html
from typing import Any

from nengo.utils.progress import Progress, ProgressBar

from nengo_dl.support.remaining import Remaining, clock

__all__ = ["NotebookProgressBar"]

_LINE = '<div style="font-family: monospace; white-space: pre">{}</div>'
_BAR = '<progress max="1" {}style="width: 20em; vertical-align: middle"></progress>'


class NotebookProgressBar(ProgressBar):
    """A progress bar that is one output of a cell, and in the end one line.

    Notebooks that show no HTML show the same line as text.
    """

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None
        self._shown: Progress | None = None
        self._remaining = Remaining()

    def update(self, progress: Progress) -> None:
        """Show the state of a stage in the place of what was shown before."""
        if progress is not self._shown:
            self._shown = progress
            self._remaining.begin()
        self._display(self._texts(progress), progress)

    def _texts(self, progress: Progress) -> tuple[str, str]:
        """Return what stands before the bar, and what stands behind it."""
        elapsed = clock(progress.elapsed_seconds())
        if progress.finished:
            if progress.success:
                return f"{progress.name_after} finished in {elapsed}.", ""
            return f"{progress.name_during} ended after {elapsed}.", ""
        if progress.max_steps is None:
            return progress.name_during, elapsed
        seconds = self._remaining.seconds(progress)
        left = "" if seconds is None else f", {clock(seconds)} left"
        return progress.name_during, f"{progress.progress:.0%}{left}"

    def _display(self, texts: tuple[str, str], progress: Progress) -> None:
        from IPython.display import display

        before, behind = texts
        value = ""
        if progress.max_steps is not None:
            value = f'value="{progress.progress:.4f}" '
        bar = "" if progress.finished else f" {_BAR.format(value)} "
        shown = {
            "text/plain": f"{before} {behind}".rstrip(),
            "text/html": _LINE.format(html.escape(before) + bar + html.escape(behind)),
        }
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)
