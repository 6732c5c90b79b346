"""Saving parameters and state in a file, and loading them into a network.

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
``optimizer/...``
    what training needs to continue, if there was any;
``header``
    a text in UTF-8, in JSON: version of the format, type and shape of each entry, a
    description of the network and its hash.

``numpy.load(path, allow_pickle=False)`` reads all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.neurons import Direct

from nengo_dl.compiler.ir import n_values
from nengo_dl.parameters.archive import check_path, read_arrays, write_arrays
from nengo_dl.parameters.names import describe_objects, name_objects, name_state
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.version import __version__

__all__ = ["FORMAT_VERSION", "Extra", "LoadReport", "load_parameters", "save_parameters"]

FORMAT_VERSION = 1

_FORMAT = "nengo_dl parameters"
_HEADER = "header"
_STATE = "state/"

#: How many names an error message lists.
_MOST_LISTED = 8


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


@dataclass(frozen=True, eq=False)
class _Place:
    """Where an entry belongs in the simulated network.

    Attributes
    ----------
    obj : object
        Whose entry it is (None: state).
    signal : Signal or None
        The signal that holds it; None for gains.
    shape : tuple of int
        Shape for one item of a minibatch.
    per_item : bool
        Whether items of a minibatch have values of their own.
    optional : bool
        Whether a file can do without.
    """

    obj: Any
    signal: Signal | None
    shape: tuple[int, ...]
    per_item: bool
    optional: bool


class _Places:
    """The entries that a file for a simulated network has, by name."""

    def __init__(self, values: ParameterValues):
        self.values = values
        self.names = name_objects(values.model)
        self.parameters = self._find_parameters()
        self._state: dict[str, _Place] | None = None

    def _find_parameters(self) -> dict[str, _Place]:
        params = self.values.model.params
        placed = self.values.read(p.signal for p in self.values.parameters)
        found = {}
        for parameter in self.values.parameters:
            obj, signal = parameter.obj, parameter.signal
            attribute = parameter.attribute
            if isinstance(obj, Neurons):
                obj = obj.ensemble
            elif attribute == "encoders":
                attribute = "scaled_encoders"
                found[f"{self.names[obj]}.gain"] = _Place(
                    obj, None, params[obj].gain.shape, False, False
                )
            shape = (n_values(signal),) if signal.sparse else signal.shape
            found[f"{self.names[obj]}.{attribute}"] = _Place(
                obj, signal, shape, not placed[signal][1], parameter.internal
            )
        return found

    @property
    def state(self) -> dict[str, _Place]:
        """Places of the state that is no parameter."""
        if self._state is None:
            step = self.values.engine.program.step
            parameters = {p.signal for p in self.values.parameters}
            signals = {
                signal
                for block in step.state_blocks
                for signal in block.signals
                if signal not in parameters
            }
            named = name_state(self.values.model, self.names, signals)
            self._state = {
                _STATE + name: _Place(None, signal, signal.shape, True, False)
                for name, signal in named.items()
            }
        return self._state

    def read(self, places: Mapping[str, _Place]) -> dict[str, np.ndarray]:
        """Return current values; those of items have an axis for them first."""
        read = self.values.read(p.signal for p in places.values() if p.signal)
        result = {}
        for name, place in places.items():
            if place.signal is None:
                result[name] = np.asarray(self.values.gain(place.obj))
            else:
                value, _ = read[place.signal]
                result[name] = value if place.per_item else value[0]
        return result

    def describe(self) -> dict[str, dict[str, Any]]:
        """Describe the network, to compare it with that of a file."""
        return describe_objects(self.names)


# -- saving


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
    _check_includes(include_global, include_local)
    places = _Places(values)
    wanted = dict(places.parameters) if include_global else {}
    if include_local:
        wanted.update(places.state)
    arrays = places.read(wanted)
    per_item = {name for name, place in wanted.items() if place.per_item}
    if include_global:
        for prefix, extra in (extras or {}).items():
            for name, array in extra.save().items():
                arrays[f"{prefix}/{name}"] = np.asarray(array)
    described = places.describe()
    header = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "nengo_dl": __version__,
        "minibatch_size": values.minibatch_size,
        "includes": {"global": bool(include_global), "local": bool(include_local)},
        "signature": _signature(described),
        "objects": described,
        "entries": {
            name: {
                "dtype": array.dtype.newbyteorder("<").str,
                "shape": list(array.shape),
                "per_item": name in per_item,
            }
            for name, array in arrays.items()
        },
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    write_arrays(path, {_HEADER: np.frombuffer(text, np.uint8), **arrays})
    return path


def _check_includes(include_global: Any, include_local: Any) -> None:
    if not (include_global or include_local):
        raise ValidationError(
            "Neither include_global nor include_local is True, so there is nothing to "
            "save or load",
            attr="include_global",
        )


def _signature(described: Mapping[str, Any]) -> str:
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# -- loading


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
    _check_includes(include_global, include_local)
    places = _Places(values)
    arrays = read_arrays(path)
    header = _read_header(arrays.pop(_HEADER, None), path)
    _check_entries(header["entries"], arrays, path)
    source = _File(path, header, arrays, item)

    wanted: dict[str, tuple[str, _Place]] = {}
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
        raise source.refusal(f"it has no {_listed(missing)}, which the network needs")
    used = {name for name, _ in wanted.values()}
    prefixes = tuple(f"{prefix}/" for prefix in (*(extras or {}), "state", "optimizer"))
    extra_names = [
        name
        for name in arrays
        if name not in used
        and not name.startswith(prefixes)
        and not _belongs_to_probe(name)
    ]
    if include_global and objects is None and extra_names:
        raise source.refusal(
            f"it has {_listed(extra_names)}, which the network does not have"
        )
    if include_local:
        unknown = [n for n in arrays if n.startswith(_STATE) and n not in used]
        if unknown:
            raise source.refusal(f"it has {_listed(unknown)}, which this state lacks")

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
            gains[place.obj] = value
    with_extras = include_global and objects is None
    chosen: list[tuple[Extra, dict[str, np.ndarray]]] = []
    for prefix, extra in (extras or {}).items() if with_extras else ():
        part = {
            name.removeprefix(f"{prefix}/"): array
            for name, array in arrays.items()
            if name.startswith(f"{prefix}/")
        }
        extra.check(part)
        chosen.append((extra, part))
        report.loaded.extend(f"{prefix}/{name}" for name in part)
    for name in arrays:
        if name not in used and name not in report.loaded:
            report.skipped[name] = "not asked for"

    values.write({**signals, **values.gain_signals(gains)})
    values.set_gains(gains)
    for extra, part in chosen:
        extra.load(part)
    return report


def _existing(path: Path) -> Path:
    """Return the file as it was named if only that exists."""
    bare = path.with_name(path.name.removesuffix(".npz"))
    return bare if not path.exists() and bare.is_file() else path


def _belongs_to_probe(name: str) -> bool:
    return ".probes[" in name and name.endswith("].connection.weights")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _MOST_LISTED
    text = ", ".join(f"'{name}'" for name in names[:_MOST_LISTED])
    return f"{text} and {more} more" if more > 0 else text


def _select(places: _Places, objects: Any) -> dict[str, tuple[str, _Place]]:
    """Return the places of some objects, and the names that they have in a file."""
    if isinstance(objects, nengo.Network | NengoObject | Neurons):
        objects = [objects]
    renamed = dict(objects) if isinstance(objects, Mapping) else {}
    selected: dict[str, tuple[str, _Place]] = {}
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


class _File:
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
        return _refusal(self.path, reason)

    def compare(self, described: Mapping[str, Any]) -> None:
        """Raise an error if the file was saved from another network."""
        if self.header["signature"] == _signature(described):
            return
        saved = self.header["objects"]
        described = json.loads(json.dumps(described))
        lines = []
        for name in dict.fromkeys([*described, *saved]):
            if name not in saved:
                lines.append(f"'{name}' ({_summary(described[name])}) is missing")
            elif name not in described:
                lines.append(f"'{name}' ({_summary(saved[name])}) is extra")
            elif saved[name] != described[name]:
                lines.append(
                    f"'{name}' is {_summary(saved[name])} in the file, "
                    f"{_summary(described[name])} in the network"
                )
        more = len(lines) - _MOST_LISTED
        text = "; ".join(lines[:_MOST_LISTED])
        raise self.refusal(
            f"it was saved from another network: {text}"
            f"{f' and {more} more differences' if more > 0 else ''}. To load only "
            "some objects, or under other names, use the argument 'objects'"
        )

    def fit(self, name: str, place: _Place, minibatch_size: int) -> np.ndarray:
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


def _summary(description: Mapping[str, Any]) -> str:
    label = f" {description['label']!r}" if description.get("label") else ""
    kind = str(description.get("type"))
    details = ", ".join(
        f"{key}: {value}"
        for key, value in description.items()
        if key not in ("type", "label")
    )
    return f"{kind}{label} ({details})"


def _refusal(path: Path, reason: str) -> ValidationError:
    return ValidationError(
        f"Cannot load from '{path}': {reason}. Nothing was changed", attr="path"
    )


# -- the header


def _read_header(array: np.ndarray | None, path: Path) -> dict[str, Any]:
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise _refusal(path, "it has no header, so it was not saved by a simulator")
    try:
        header = json.loads(array.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"its header is damaged ({error})") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise _refusal(path, "its header is not that of a parameter file")
    version = header.get("version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise _refusal(
            path,
            f"it is in version {version!r} of the format, and this version of nengo_dl "
            f"({__version__}) reads version {FORMAT_VERSION}; it was written by "
            f"nengo_dl {header.get('nengo_dl')!r}",
        )
    problem = _refusal(path, "its header is damaged")
    objects, entries = header.get("objects"), header.get("entries")
    includes, n_items = header.get("includes"), header.get("minibatch_size")
    if (
        not isinstance(objects, dict)
        or not all(isinstance(obj, dict) for obj in objects.values())
        or not isinstance(entries, dict)
        or not isinstance(includes, dict)
        or not all(isinstance(includes.get(k), bool) for k in ("global", "local"))
        or type(n_items) is not int
        or n_items < 1
    ):
        raise problem
    for entry in entries.values():
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("dtype"), str)
            or not isinstance(entry.get("shape"), list)
            or not isinstance(entry.get("per_item"), bool)
            or (entry["per_item"] and entry["shape"][:1] != [n_items])
        ):
            raise problem
    if header.get("signature") != _signature(objects):
        raise _refusal(
            path, "its header is damaged: the description of the network was changed"
        )
    return header


def _check_entries(
    entries: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path
) -> None:
    """Compare what the header says with what the file holds."""
    missing = [name for name in entries if name not in arrays]
    if missing:
        raise _refusal(path, f"{_listed(missing)} is missing from it")
    extra = [name for name in arrays if name not in entries]
    if extra:
        raise _refusal(path, f"its header does not know {_listed(extra)}")
    for name, entry in entries.items():
        array = arrays[name]
        if (
            list(array.shape) != entry["shape"]
            or array.dtype.newbyteorder("<").str != entry["dtype"]
        ):
            raise _refusal(
                path,
                f"its entry '{name}' is {array.dtype} of shape {array.shape}, and its "
                f"header says {entry['dtype']} of shape {entry['shape']}",
            )
