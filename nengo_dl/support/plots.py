"""Figures of Matplotlib, which is imported only when something is drawn."""

from __future__ import annotations

from typing import Any

__all__ = ["new_figure"]


def new_figure(instead: str, **options: Any) -> Any:
    """Return a new figure, which notebooks show.

    Parameters
    ----------
    instead : str
        What has the same content without a plot, for the error message.
    **options
        As for `matplotlib.pyplot.figure`.

    Raises
    ------
    ImportError
        If Matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"Plots need Matplotlib (pip install matplotlib); {instead}"
        ) from error
    return plt.figure(**options)
