"""Collecting garbage less often, while many objects are made that are all kept."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["rare_collections"]

# Objects between two collections of the youngest, and of those between two of all.
N_YOUNG = 50_000
N_COLLECTIONS = 1_000


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for garbage less often within a ``with`` block.

    Building a model makes hundreds of thousands of objects, and hardly any garbage.
    Each time that their number has grown by a quarter, Python looks at all of them and
    at those of TensorFlow, which took an eighth of the constructor's time for two
    thousand ensembles. Here, it looks at young objects only. The previous thresholds
    are set again at the end; a collector that is off stays off.

    Examples
    --------
    >>> import gc
    >>> from nengo_dl.support.garbage import rare_collections
    >>> before = gc.get_threshold()
    >>> with rare_collections():
    ...     gc.get_threshold()[0] > before[0]
    True
    >>> gc.get_threshold() == before
    True
    """
    before = gc.get_threshold()
    young, middle, old = before
    if young:
        gc.set_threshold(max(young, N_YOUNG), middle, max(old, N_COLLECTIONS))
    try:
        yield
    finally:
        gc.set_threshold(*before)
