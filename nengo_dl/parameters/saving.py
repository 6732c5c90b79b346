"""Saving parameters and state in a file.

A file holds one array for each parameter, under a name that stands for the user's
object and not for how it was compiled (see `names`):

``net.ensembles[0].scaled_encoders``, ``.bias``, ``.gain``
    of each ensemble that has neurons;
``net.connections[0].weights``
    of each connection that has weights (of sparse ones, the stored values);
``net.probes[0].connection.weights``
    the decoders that Nengo solved for a probe;
``state/...``
    state of the simulation, one row for each item of the minibatch;
``streams/...``
    time and random streams of the simulation (see `continuation`);
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
from typing import Any, Protocol

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.continuation import Continuation
from nengo_dl.parameters.file.archive import check_path, write_arrays
from nengo_dl.parameters.file.header import HEADER, make_header
from nengo_dl.parameters.places import STREAMS_PREFIX, Places
from nengo_dl.parameters.values import ParameterValues

__all__ = ["Extra", "check_includes", "save_parameters"]


class Extra(Protocol):
    """Something else that is saved with the parameters, such as an optimizer's state.

    The names of its arrays should not depend on how a network was compiled either.
    """

    def save(self) -> Mapping[str, np.ndarray]:
        """Return arrays to save; their names get a prefix in the file."""

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise a ValidationError if these arrays cannot be loaded; change nothing."""

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue with these arrays, which were checked before."""


def save_parameters(
    values: ParameterValues,
    path: str | os.PathLike,
    include_global: bool = True,
    include_local: bool = False,
    extras: Mapping[str, Extra] | None = None,
) -> Path:
    """Save parameters, or state, or both.

    Parameters
    ----------
    values : ParameterValues
        Of a simulator.
    path : str or os.PathLike
        File name; ``.npz`` is appended if it is missing.
    include_global : bool
        Save the parameters, and what training needs to continue.
    include_local : bool
        Save the state of the simulation.
    extras : dict of {str: Extra}, optional
        What else is saved with the parameters, by the prefix of its entries.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValidationError
        If there is nothing to save, or the path is none.
    OSError
        If the file cannot be written. A file that was there before is not changed.
    """
    path = check_path(path)
    check_includes(include_global, include_local)
    places = Places(values)
    wanted = dict(places.parameters) if include_global else {}
    if include_local:
        wanted.update(places.state)
    arrays = places.read(wanted)
    per_item = {name for name, place in wanted.items() if place.per_item}
    if include_global:
        for prefix, extra in (extras or {}).items():
            for name, array in extra.save().items():
                arrays[f"{prefix}/{name}"] = np.asarray(array)
    if include_local:
        for name, array in Continuation(values).save().items():
            arrays[STREAMS_PREFIX + name] = array

    def summarize(checksums: Mapping[str, int]) -> dict[str, np.ndarray]:
        header = make_header(
            places.describe(),
            arrays,
            checksums,
            per_item,
            values.minibatch_size,
            include_global,
            include_local,
        )
        return {HEADER: header}

    write_arrays(path, arrays, summarize)
    return path


def check_includes(include_global: Any, include_local: Any) -> None:
    """Raise a ValidationError if nothing was asked for."""
    if not (include_global or include_local):
        raise ValidationError(
            "Neither include_global nor include_local is True, so there is nothing to "
            "save or load",
            attr="include_global",
        )
