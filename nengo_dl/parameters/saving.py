"""Saving parameters and state in a file.

A file holds one array for each parameter, under a name that stands for the user's
object and not for how it was compiled (see `names`):

``net.ensembles[0].scaled_encoders``, ``.bias``, ``.gain``
    of each ensemble that has neurons;
``net.ensembles[0].zero_bias``
    of each for which this setting says which bias belongs to an input of zero;
``net.connections[0].weights``
    of each connection that has weights (of sparse ones, the stored values);
``net.probes[0].connection.weights``
    the decoders that Nengo solved for a probe;
``state/...``
    state of the simulation, one row for each item of the minibatch;
``streams/...``
    time and random streams of the simulation (see `continuation`);
``start/...``
    where weights start that training set and a learning rule has changed since;
``optimizer/...``
    what training needs to continue, if there was any;
``header``
    a text in UTF-8, in JSON: version of the format, type, shape and checksum of each
    entry, a description of the network and its hash.

``numpy.load(path, allow_pickle=False)`` reads all of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.checkpoint import Checkpoint
from nengo_dl.parameters.file.header import HEADER, make_header
from nengo_dl.parameters.file.paths import check_path
from nengo_dl.parameters.file.writing import write_arrays
from nengo_dl.parameters.parts import Group

__all__ = ["chosen_groups", "save_parameters"]


def save_parameters(
    checkpoint: Checkpoint,
    path: str | os.PathLike,
    include_global: bool = True,
    include_local: bool = False,
) -> Path:
    """Save parameters, or state, or both.

    Parameters
    ----------
    checkpoint : Checkpoint
        Of a simulator.
    path : str or os.PathLike
        File name; ``.npz`` is appended if it is missing.
    include_global : bool
        Save the parameters, and what training needs to continue.
    include_local : bool
        Save the state of the simulation.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValidationError
        If there is nothing to save, or the path is none, or that of a pipe or device.
    OSError
        If the file cannot be written. A file that was there before is not changed.
    """
    path = check_path(path)
    groups = chosen_groups(include_global, include_local)
    arrays = checkpoint.save(groups)
    places = checkpoint.places
    placed = {**places.parameters, **(places.state if include_local else {})}
    per_item = {name for name, place in placed.items() if place.per_item}

    def summarize(checksums: Mapping[str, int]) -> dict[str, np.ndarray]:
        header = make_header(
            places.describe(),
            arrays,
            checksums,
            per_item,
            checkpoint.values.minibatch_size,
            include_global,
            include_local,
        )
        return {HEADER: header}

    write_arrays(path, arrays, summarize)
    return path


def chosen_groups(include_global: Any, include_local: Any) -> list[Group]:
    """Return which parts are to be saved or loaded.

    Raises
    ------
    ValidationError
        If nothing was asked for.
    """
    groups: list[Group] = []
    if include_global:
        groups.append("global")
    if include_local:
        groups.append("local")
    if not groups:
        raise ValidationError(
            "Neither include_global nor include_local is True, so there is nothing to "
            "save or load",
            attr="include_global",
        )
    return groups
