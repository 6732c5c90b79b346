"""A parameter file whose header was checked, and how its entries fit a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.file.header import (
    check_entries,
    forms_of,
    read_entry,
    read_header,
    signature_of,
)
from nengo_dl.parameters.file.messages import MOST_LISTED, refusal, shown
from nengo_dl.parameters.file.reading import ArrayFile
from nengo_dl.parameters.places import Place

__all__ = ["SavedFile"]


class SavedFile:
    """The checked header of a file, and how its contents fit a network.

    Parameters
    ----------
    file : ArrayFile
        An open file.
    item : int or None
        Which item of its minibatch to use for all items here.

    Attributes
    ----------
    path : Path
        The file.
    n_items : int
        Size of the minibatch that was saved.
    forms : dict of {str: Form}
        Shapes and types of the entries, in the order of the file.
    """

    def __init__(self, file: ArrayFile, item: int | None):
        self.path = file.path
        self.header = read_header(file)
        forms = forms_of(self.header["entries"])
        check_entries(forms, file)
        self.forms = {name: forms[name] for name in file.sizes if name in forms}
        self._file = file
        self.n_items = self.header["minibatch_size"]
        if item is not None and not (
            isinstance(item, int | np.integer) and 0 <= item < self.n_items
        ):
            raise ValidationError(
                f"Must be an item of the saved minibatch, 0 to {self.n_items - 1}; got "
                f"{item!r}",
                attr="item",
            )
        self.item = item

    def read(self, name: str) -> np.ndarray:
        """Return an entry as it is."""
        return read_entry(self._file, name, self.header["entries"][name])

    def check_includes(self, group: Literal["global", "local"]) -> None:
        """Raise an error if the file has no parameters, or no state."""
        if self.header["includes"][group]:
            return
        if group == "global":
            raise self.refusal("it holds no parameters; use include_global=False")
        raise self.refusal(
            "it holds no state; save with include_local=True, or load with "
            "include_local=False"
        )

    def refusal(self, reason: str) -> ValidationError:
        """Return the error to raise if the file cannot be loaded."""
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
                lines.append(f"{shown(name)} ({_summary(described[name])}) is missing")
            elif name not in described:
                lines.append(f"{shown(name)} ({_summary(saved[name])}) is extra")
            elif saved[name] != described[name]:
                lines.append(
                    f"{shown(name)} is {_summary(saved[name])} in the file, "
                    f"{_summary(described[name])} in the network"
                )
        more = len(lines) - MOST_LISTED
        text = "; ".join(lines[:MOST_LISTED])
        raise self.refusal(
            f"it was saved from another network: {text}"
            f"{f' and {more} more differences' if more > 0 else ''}. To load only "
            "some objects, or under other names, use the argument 'objects'"
        )

    def check_form(self, name: str, place: Place, minibatch_size: int) -> None:
        """Raise an error if an entry cannot be fitted, as far as its shape tells."""
        shape, dtype = self.forms[name]
        per_item = self._is_per_item(name)
        if (shape[1:] if per_item else shape) != place.shape:
            raise self.refusal(
                f"its entry {shown(name)} has shape "
                f"{shown(shape[1:] if per_item else shape)}, and the network needs "
                f"{place.shape}"
            )
        wanted = np.dtype(float) if place.signal is None else place.signal.dtype
        if not np.can_cast(dtype, wanted, "same_kind"):
            raise self.refusal(
                f"its entry {shown(name)} holds {dtype}, and the network needs {wanted}"
            )
        if per_item and self.item is None and place.obj is None:
            if place.per_item and shape[0] == minibatch_size:
                return
            raise self._wrong_number(name, "state", minibatch_size)

    def fit(self, name: str, place: Place, minibatch_size: int) -> np.ndarray:
        """Return an entry in the shape that a place needs."""
        array = self.read(name)
        if not self._is_per_item(name):
            return array
        if self.item is not None:
            array = array[[self.item]]
        elif place.obj is not None and (array == array[:1]).all():
            array = array[:1]  # parameters that are the same for all items fit any
        if not place.per_item:
            if len(array) == 1:
                return array[0]
            raise self.refusal(
                f"its entry {shown(name)} was learned, with other values for each of "
                f"the {len(array)} items of the minibatch, and the network has one for "
                "all; choose with the argument 'item'"
            )
        if len(array) == minibatch_size or (
            len(array) == 1 and (place.obj is not None or self.item is not None)
        ):
            return np.broadcast_to(array, (minibatch_size, *place.shape))
        raise self._wrong_number(name, "learned parameters", minibatch_size)

    def _is_per_item(self, name: str) -> bool:
        return bool(self.header["entries"][name]["per_item"])

    def _wrong_number(
        self, name: str, kind: str, minibatch_size: int
    ) -> ValidationError:
        return self.refusal(
            f"its entry {shown(name)} holds {kind} for {self.n_items} items of a "
            f"minibatch, and the simulator has {minibatch_size}. Use a simulator with "
            "that minibatch_size, or choose one item for all with the argument 'item'"
        )


def _summary(description: Mapping[str, Any]) -> str:
    label = description.get("label")
    label = f" {shown(label)}" if label else ""
    kind = shown(description.get("type"), False)
    details = [
        f"{shown(key, False)}: {shown(value, False)}"
        for key, value in description.items()
        if key not in ("type", "label")
    ]
    more = ", ..." if len(details) > MOST_LISTED else ""
    return f"{kind}{label} ({', '.join(details[:MOST_LISTED])}{more})"
