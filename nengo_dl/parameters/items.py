"""Simulations of some of the items of a minibatch, and of all of them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nengo_dl.parameters.checkpoint import Checkpoint

__all__ = ["items_of", "joined_items"]

_STREAMS = "streams/"


def _axis(name: str, array: np.ndarray, checkpoint: Checkpoint) -> int | None:
    """Return the axis of items of an entry; None if it is the same for all."""
    places = {**checkpoint.parameters.places(), **checkpoint.state.places()}
    if name in places:
        return 0 if places[name].per_item else None
    if not name.startswith(_STREAMS):
        return None
    kind = name.rpartition("/")[2]
    if kind in ("steps", "made"):
        return None
    if kind == "ahead":  # steps come first, and all items may share values
        return 1 if array.shape[1] > 1 else None
    return 0


def items_of(
    arrays: Mapping[str, np.ndarray], checkpoint: Checkpoint, items: slice
) -> dict[str, np.ndarray]:
    """Return the arrays of a simulation of some of the items.

    Parameters
    ----------
    arrays : mapping of {str: ndarray}
        What ``checkpoint.save`` returned.
    checkpoint : Checkpoint
        Of the simulation.
    items : slice
        Which items.
    """
    found = {}
    for name, array in arrays.items():
        axis = _axis(name, array, checkpoint)
        where = items if axis == 0 else (slice(None), items)
        found[name] = array if axis is None else array[where]
    return found


def joined_items(
    parts: Sequence[Mapping[str, np.ndarray]], checkpoint: Checkpoint
) -> dict[str, np.ndarray]:
    """Return the arrays of all items, given those of parts in their order.

    Parameters
    ----------
    parts : sequence of mapping
        What ``checkpoint.save`` returned in the parts.
    checkpoint : Checkpoint
        Of a simulation of all items.
    """
    found = {}
    for name, first in parts[0].items():
        axis = _axis(name, first, checkpoint)
        n_first = len(parts[0]["streams/seeds"])
        if axis is None and name.endswith("/ahead") and n_first == 1:
            # of one item it cannot be seen whether others have values of their own
            axis = 1
        arrays = [part[name] for part in parts]
        found[name] = first if axis is None else np.concatenate(arrays, axis)
    return found
