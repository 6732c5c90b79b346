"""Loading parameters and state that were saved in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

from nengo_dl.parameters.continuation import Continuation
from nengo_dl.parameters.file.archive import check_path, read_arrays
from nengo_dl.parameters.file.header import (
    HEADER,
    MOST_LISTED,
    check_entries,
    listed,
    read_header,
    refusal,
    signature_of,
)
from nengo_dl.parameters.places import (
    STATE_PREFIX,
    STREAMS_PREFIX,
    Place,
    Places,
)
from nengo_dl.parameters.saving import Extra, check_includes
from nengo_dl.parameters.values import ParameterValues

__all__ = ["LoadReport", "load_parameters"]


@dataclass(frozen=True)
class LoadReport:
    """What `Simulator.load_params` did.

    Attributes
    ----------
    path : Path
        The file.
    loaded : list of str
        Names of the entries that were loaded.
    skipped : dict of {str: str}
        Other entries of the file, and parameters of the network that were not loaded,
        with the reason.
    """

    path: Path
    loaded: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"Loaded {len(self.loaded)} entries from '{self.path}'"]
        lines += [f"  skipped {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)


def load_parameters(
    values: ParameterValues,
    path: str | os.PathLike,
    include_global: bool = True,
    include_local: bool = False,
    objects: Iterable[Any] | Mapping[Any, Any] | None = None,
    item: int | None = None,
    extras: Mapping[str, Extra] | None = None,
) -> LoadReport:
    """Load what `save_parameters` saved: all that is asked for, or nothing.

    Parameters
    ----------
    values : ParameterValues
        Of the simulator to load into.
    path : str or os.PathLike
        File name, with or without ``.npz``.
    include_global : bool
        Load parameters, and what training needs to continue.
    include_local : bool
        Load the state of the simulation.
    objects : sequence of objects, or dict of {object: str}, optional
        Load the parameters of these Ensembles, Connections, Probes and Networks only,
        whatever else the file holds. A dict gives the name that each one has in the
        file, such as ``"net.ensembles[3]"``.
    item : int, optional
        Use what the file says for this item of its minibatch, for all items here.
    extras : dict of {str: Extra}, optional
        What else is loaded with the parameters, by the prefix of its entries.

    Returns
    -------
    LoadReport
        What was loaded, and what was not.

    Raises
    ------
    ValidationError
        If the file is damaged, or does not fit the network. Nothing is changed then.
    OSError
        If the file cannot be read.
    """
    path = _existing(check_path(path))
    check_includes(include_global, include_local)
    places = Places(values)
    arrays, checksums = read_arrays(path)
    header = read_header(arrays.pop(HEADER, None), path)
    check_entries(header["entries"], arrays, checksums, path)
    source = SavedFile(path, header, arrays, item)

    wanted: dict[str, tuple[str, Place]] = {}
    report = LoadReport(path)
    if include_global:
        if not header["includes"]["global"]:
            raise source.refusal("it holds no parameters; use include_global=False")
        if objects is None:
            source.compare(places.describe())
            wanted = {name: (name, place) for name, place in places.parameters.items()}
        else:
            wanted = _select(places, objects)
    if include_local:
        if not header["includes"]["local"]:
            raise source.refusal(
                "it holds no state; save with include_local=True, or load with "
                "include_local=False"
            )
        wanted |= {name: (name, place) for name, place in places.state.items()}
    elif objects is not None and not include_global:
        raise ValidationError("Selects parameters; pass include_global", attr="objects")

    missing = [
        name
        for name, place in wanted.values()
        if name not in arrays and not place.optional
    ]
    if missing:
        raise source.refusal(f"it has no {listed(missing)}, which the network needs")
    used = {name for name, _ in wanted.values()}
    prefixes = tuple(
        f"{prefix}/" for prefix in (*(extras or {}), "state", "streams", "optimizer")
    )
    extra_names = [
        name
        for name in arrays
        if name not in used
        and not name.startswith(prefixes)
        and not _belongs_to_probe(name)
    ]
    if include_global and objects is None and extra_names:
        raise source.refusal(
            f"it has {listed(extra_names)}, which the network does not have"
        )
    if include_local:
        unknown = [n for n in arrays if n.startswith(STATE_PREFIX) and n not in used]
        if unknown:
            raise source.refusal(f"it has {listed(unknown)}, which this state lacks")

    signals: dict[Signal, np.ndarray] = {}
    gains: dict[nengo.Ensemble, np.ndarray] = {}
    for own_name, (name, place) in wanted.items():
        if name not in arrays:
            report.skipped[own_name] = "not in the file; kept as Nengo built it"
            continue
        value = source.fit(name, place, values.minibatch_size)
        report.loaded.append(own_name)
        if place.signal is not None:
            signals[place.signal] = value
        elif not np.array_equal(value, values.gain(place.obj)):
            if values.learns_encoders(place.obj):
                raise source.refusal(
                    f"it has other gains of {place.obj} than Nengo built, and a "
                    "learning rule of the built network computes with them; build the "
                    "network with the same seed as when it was saved"
                )
            gains[place.obj] = value
    with_extras = include_global and objects is None
    chosen: list[tuple[Extra, dict[str, np.ndarray]]] = []
    for prefix, extra in (extras or {}).items() if with_extras else ():
        part = _part(arrays, f"{prefix}/")
        extra.check(part)
        chosen.append((extra, part))
        report.loaded.extend(f"{prefix}/{name}" for name in part)
    streams = _part(arrays, STREAMS_PREFIX) if include_local else {}
    if include_local:
        continuation = Continuation(values)
        continuation.check(streams, header["minibatch_size"], item)
        report.loaded.extend(STREAMS_PREFIX + name for name in streams)
    loaded = {*used, *report.loaded}
    for name in arrays:
        if name not in loaded:
            report.skipped[name] = "not asked for"

    values.write(signals, gains)
    if include_local:
        continuation.load(streams, item)
    for extra, part in chosen:
        extra.load(part)
    return report


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _existing(path: Path) -> Path:
    """Return the file as it was named if only that exists."""
    bare = path.with_name(path.name.removesuffix(".npz"))
    return bare if not path.exists() and bare.is_file() else path


def _belongs_to_probe(name: str) -> bool:
    return ".probes[" in name and name.endswith("].connection.weights")


def _select(places: Places, objects: Any) -> dict[str, tuple[str, Place]]:
    """Return the places of some objects, and the names that they have in a file."""
    if isinstance(objects, nengo.Network | NengoObject | Neurons):
        objects = [objects]
    renamed = dict(objects) if isinstance(objects, Mapping) else {}
    selected: dict[str, tuple[str, Place]] = {}
    for obj in objects:
        try:
            known = places.names.get(obj)
        except TypeError:
            known = None
        if known is None:
            raise ValidationError(
                f"{obj!r} is not part of the simulated network", attr="objects"
            )
        owner = known.removesuffix(".neurons") if isinstance(obj, Neurons) else known
        name_in_file = renamed.get(obj, owner)
        if not isinstance(name_in_file, str):
            raise ValidationError(
                f"The name of {obj} in the file must be a string such as "
                f"'net.ensembles[3]'; got {name_in_file!r}",
                attr="objects",
            )
        found = {
            name: (name_in_file + name.removeprefix(owner), place)
            for name, place in places.parameters.items()
            if name.startswith(f"{owner}.")
        }
        if not found:
            raise ValidationError(f"{obj} has no parameters", attr="objects")
        selected |= found
    return selected


class SavedFile:
    """The checked contents of a file, and how they fit a network."""

    def __init__(self, path, header, arrays, item):
        self.path = path
        self.header = header
        self.arrays = arrays
        n_items = header["minibatch_size"]
        if item is not None and not (
            isinstance(item, int | np.integer) and 0 <= item < n_items
        ):
            raise ValidationError(
                f"Must be an item of the saved minibatch, 0 to {n_items - 1}; got "
                f"{item!r}",
                attr="item",
            )
        self.item = item

    def refusal(self, reason: str) -> ValidationError:
        return refusal(self.path, reason)

    def compare(self, described: Mapping[str, Any]) -> None:
        """Raise an error if the file was saved from another network."""
        if self.header["signature"] == signature_of(described):
            return
        saved = self.header["objects"]
        described = json.loads(json.dumps(described))
        lines = []
        for name in dict.fromkeys([*described, *saved]):
            if name not in saved:
                lines.append(f"'{name}' ({summary(described[name])}) is missing")
            elif name not in described:
                lines.append(f"'{name}' ({summary(saved[name])}) is extra")
            elif saved[name] != described[name]:
                lines.append(
                    f"'{name}' is {summary(saved[name])} in the file, "
                    f"{summary(described[name])} in the network"
                )
        more = len(lines) - MOST_LISTED
        text = "; ".join(lines[:MOST_LISTED])
        raise self.refusal(
            f"it was saved from another network: {text}"
            f"{f' and {more} more differences' if more > 0 else ''}. To load only "
            "some objects, or under other names, use the argument 'objects'"
        )

    def fit(self, name: str, place: Place, minibatch_size: int) -> np.ndarray:
        """Return an entry in the shape that a place needs."""
        array = self.arrays[name]
        per_item = self.header["entries"][name]["per_item"]
        shape = array.shape[1:] if per_item else array.shape
        if shape != place.shape:
            raise self.refusal(
                f"its entry '{name}' has shape {shape}, and the network needs "
                f"{place.shape}"
            )
        if place.signal is not None and not np.can_cast(
            array.dtype, place.signal.dtype, "same_kind"
        ):
            raise self.refusal(
                f"its entry '{name}' holds {array.dtype}, and the network needs "
                f"{place.signal.dtype}"
            )
        if not per_item:
            return array
        if self.item is not None:
            array = array[[self.item]]
        elif place.obj is not None and (array == array[:1]).all():
            array = array[:1]  # parameters that are the same for all items fit any
        if not place.per_item:
            if len(array) == 1:
                return array[0]
            raise self.refusal(
                f"its entry '{name}' was learned, with other values for each of the "
                f"{len(array)} items of the minibatch, and the network has one for "
                "all; choose with the argument 'item'"
            )
        if len(array) == minibatch_size or (
            len(array) == 1 and (place.obj is not None or self.item is not None)
        ):
            return np.broadcast_to(array, (minibatch_size, *place.shape))
        kind = "state" if place.obj is None else "learned parameters"
        raise self.refusal(
            f"its entry '{name}' holds {kind} for {len(array)} items of a minibatch, "
            f"and the simulator has {minibatch_size}. Use a simulator with that "
            "minibatch_size, or choose one item for all with the argument 'item'"
        )


def summary(description: Mapping[str, Any]) -> str:
    label = f" {description['label']!r}" if description.get("label") else ""
    kind = str(description.get("type"))
    details = ", ".join(
        f"{key}: {value}"
        for key, value in description.items()
        if key not in ("type", "label")
    )
    return f"{kind}{label} ({details})"
