"""Warnings that point at the line of the user's script."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

__all__ = ["warn_user"]

_PACKAGE = str(Path(__file__).parents[1])


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, with the nearest line outside of this package as the place.

    Parameters
    ----------
    message : str
        What to say.
    category : type
        Subclass of Warning.
    """
    level = 1
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
