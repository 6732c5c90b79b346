"""Loading parameters and state that were saved in a file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

from nengo_dl.parameters.checkpoint import Checkpoint, own_entries
from nengo_dl.parameters.file.messages import listed, shown
from nengo_dl.parameters.file.paths import check_path
from nengo_dl.parameters.file.reading import ArrayFile
from nengo_dl.parameters.parts import Part, SavedBatch
from nengo_dl.parameters.places import STATE_PREFIX, Place, Places
from nengo_dl.parameters.saved_file import SavedFile
from nengo_dl.parameters.saving import chosen_groups
from nengo_dl.support.user_warnings import warn_user

__all__ = ["LoadReport", "load_parameters"]

#: Prefixes of what files may hold besides parameters, whoever wrote them.
_OTHER_PREFIXES = (STATE_PREFIX, "streams/", "start/", "optimizer/")


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
        lines += [
            f"  skipped {shown(name, False)}: {why}"
            for name, why in self.skipped.items()
        ]
        return "\n".join(lines)


def load_parameters(
    checkpoint: Checkpoint,
    path: str | os.PathLike,
    include_global: bool = True,
    include_local: bool = False,
    objects: Iterable[Any] | Mapping[Any, Any] | None = None,
    item: int | None = None,
    only_finite: bool = False,
) -> LoadReport:
    """Load what `save_parameters` saved: all that is asked for, or nothing.

    Parameters
    ----------
    checkpoint : Checkpoint
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
    only_finite : bool
        Refuse numbers that are not finite in the precision of the simulation, instead
        of warning of them.

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
    groups = chosen_groups(include_global, include_local)
    if objects is not None and not include_global:
        raise ValidationError("Selects parameters; pass include_global", attr="objects")
    with ArrayFile(path) as file:
        saved = SavedFile(file, item)
        wanted = _wanted(saved, checkpoint.places, include_global, objects)
        if include_local:
            saved.check_includes("local")
            state = checkpoint.places.state
            wanted |= {name: (name, place) for name, place in state.items()}
        present = _check_names(saved, wanted, groups, objects is not None)
        extra = [
            part
            for part in checkpoint.extra
            if part.group in groups and (part.group == "local" or objects is None)
        ]
        values = _read_values(saved, checkpoint, present)
        arrays = _read_extra(saved, extra, item)

    loaded = {
        **{name: values[name] for name in present},
        **{p.prefix + name: a for p in extra for name, a in arrays[p.prefix].items()},
    }
    _check_finite(saved, loaded, checkpoint.values.session.step, only_finite)
    with np.errstate(over="ignore"):  # a warning came already
        for part in (checkpoint.parameters, checkpoint.state):
            part.load({name: values[name] for name in present if name in part.places()})
        for other in extra:
            other.load(arrays[other.prefix], item)
    report = LoadReport(path, list(loaded))
    for name in wanted:
        if name not in present:
            report.skipped[name] = "not in the file; kept as Nengo built it"
    used = {name for name, _ in wanted.values()} | set(loaded)
    report.skipped.update((n, "not asked for") for n in saved.forms if n not in used)
    return report


def _existing(path: Path) -> Path:
    """Return the file as it was named if only that exists."""
    bare = path.with_name(path.name.removesuffix(".npz"))
    found = bare.exists() and not bare.is_dir()
    return bare if not path.exists() and found else path


_Wanted = dict[str, tuple[str, Place]]


def _wanted(
    saved: SavedFile, places: Places, include_global: bool, objects: Any
) -> _Wanted:
    """Return places of parameters by name, with their names in the file."""
    if not include_global:
        return {}
    saved.check_includes("global")
    if objects is not None:
        return _select(places, objects)
    saved.compare(places.describe())
    return {name: (name, place) for name, place in places.parameters.items()}


def _check_names(
    saved: SavedFile, wanted: _Wanted, groups: Collection[str], is_selection: bool
) -> _Wanted:
    """Compare the names in a file with those that are wanted; return what is there."""
    missing = [
        name
        for name, place in wanted.values()
        if name not in saved.forms and not place.optional
    ]
    if missing:
        raise saved.refusal(f"it has no {listed(missing)}, which the network needs")
    used = {name for name, _ in wanted.values()}
    others = [name for name in saved.forms if name not in used]
    unknown = [
        name
        for name in others
        if not name.startswith(_OTHER_PREFIXES) and not _is_dispensable(name)
    ]
    if "global" in groups and not is_selection and unknown:
        raise saved.refusal(
            f"it has {listed(unknown)}, which the network does not have"
        )
    unknown = [name for name in others if name.startswith(STATE_PREFIX)]
    if "local" in groups and unknown:
        raise saved.refusal(f"it has {listed(unknown)}, which this state lacks")
    return {own: found for own, found in wanted.items() if found[0] in saved.forms}


def _is_dispensable(name: str) -> bool:
    """Whether an entry is of a probe, or a setting that the network need not have."""
    of_probe = ".probes[" in name and name.endswith("].connection.weights")
    return of_probe or (".ensembles[" in name and name.endswith("].zero_bias"))


def _read_values(
    saved: SavedFile, checkpoint: Checkpoint, wanted: _Wanted
) -> dict[str, np.ndarray]:
    """Read parameters and state, after all of their forms were checked."""
    values = checkpoint.values
    for name, place in wanted.values():
        saved.check_form(name, place, values.minibatch_size)
    found = {}
    for own_name, (name, place) in wanted.items():
        value = saved.fit(name, place, values.minibatch_size)
        gain = values.gain(place.obj) if place.is_gain else None
        if (
            gain is not None
            and not np.array_equal(value, gain)
            and values.learns_encoders(place.obj)
        ):
            raise saved.refusal(
                f"it has other gains of {place.obj} than Nengo built, and a learning "
                "rule of the built network computes with them; build the network with "
                "the same seed as when it was saved"
            )
        found[own_name] = value
    return found


def _read_extra(
    saved: SavedFile, parts: Iterable[Part], item: int | None
) -> dict[str, dict[str, np.ndarray]]:
    """Read what other parts need, after all of their forms were checked."""
    parts = list(parts)
    batch = SavedBatch(saved.n_items, item)
    forms = {part.prefix: own_entries(saved.forms, part.prefix) for part in parts}
    for part in parts:
        part.check_forms(forms[part.prefix], batch)
    arrays = {
        prefix: {name: saved.read(prefix + name) for name in found}
        for prefix, found in forms.items()
    }
    for part in parts:
        part.check(arrays[part.prefix])
    return arrays


def _check_finite(
    saved: SavedFile, arrays: Mapping[str, np.ndarray], step: Any, refuse: bool
) -> None:
    """Warn of numbers that are not finite, or not any more in another precision."""
    dtype = step.config.dtype
    infinite, large = [], []
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        if not np.isfinite(array).all():
            infinite.append(name)
        elif array.itemsize > dtype.itemsize:
            with np.errstate(over="ignore"):
                if not np.isfinite(array.astype(dtype)).all():
                    large.append(name)
    reasons = []
    if infinite:
        reasons.append(f"{listed(infinite)} of it holds numbers that are not finite")
    if large:
        reasons.append(f"{listed(large)} of it holds numbers too large for {dtype}")
    if not reasons:
        return
    reason = ", and ".join(reasons)
    if refuse:
        raise saved.refusal(reason)
    warn_user(
        f"Loading from '{saved.path}': {reason}. Simulations with them give NaN or "
        "infinite results. load_params(..., only_finite=True) refuses such files"
    )


def _select(places: Places, objects: Any) -> dict[str, tuple[str, Place]]:
    """Return the places of some objects, and the names that they have in a file."""
    if isinstance(objects, nengo.Network | NengoObject | Neurons):
        objects = [objects]
    if not isinstance(objects, Iterable) or isinstance(objects, str):
        raise ValidationError(
            "Must be objects of the simulated network, or a dict of {object: name in "
            f"the file}} (got {objects!r})",
            attr="objects",
        )
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
