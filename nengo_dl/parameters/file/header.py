"""The header of a parameter file: what it says, and checks of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.file.messages import listed, refusal, shown
from nengo_dl.parameters.file.reading import (
    MAX_DESCRIPTION_BYTES,
    ArrayFile,
    number_type,
)
from nengo_dl.version import __version__

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "HEADER",
    "Form",
    "check_entries",
    "forms_of",
    "make_header",
    "read_entry",
    "read_header",
    "signature_of",
]

FORMAT = "nengo_dl parameters"
FORMAT_VERSION = 1

#: Name of the entry that holds the header.
HEADER = "header"

#: Most bytes of a header: networks of some 50,000 objects have one of that length.
_MAX_HEADER_BYTES = 2**24


class Form(NamedTuple):
    """Shape and type of an array that was not read yet."""

    shape: tuple[int, ...]
    dtype: np.dtype


def make_header(
    objects: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    checksums: Mapping[str, int],
    per_item: Iterable[str],
    minibatch_size: int,
    include_global: bool,
    include_local: bool,
) -> np.ndarray:
    """Return the header of a file as an array of bytes.

    Parameters
    ----------
    objects : dict
        Descriptions of the objects of the network by name.
    arrays : dict of {str: ndarray}
        All other entries.
    checksums : dict of {str: int}
        Their checksums, so that no entry can be taken for another one.
    per_item : collection of str
        Names of the entries whose first axis stands for the items of a minibatch.
    minibatch_size : int
        Length of that axis.
    include_global, include_local : bool
        Whether parameters, and state, are in the file.

    Raises
    ------
    ValidationError
        If the network has so many objects that the file could not be loaded.
    """
    per_item = set(per_item)
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "nengo_dl": __version__,
        "minibatch_size": minibatch_size,
        "includes": {"global": bool(include_global), "local": bool(include_local)},
        "signature": signature_of(objects),
        "objects": objects,
        "entries": {
            name: {
                "dtype": array.dtype.newbyteorder("<").str,
                "shape": list(array.shape),
                "per_item": name in per_item,
                "crc32": checksums[name],
            }
            for name, array in arrays.items()
        },
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > _MAX_HEADER_BYTES:
        raise ValidationError(
            f"Cannot save {len(arrays)} parameters of {len(objects)} objects in one "
            f"file: their description takes {len(text)} bytes, and {_MAX_HEADER_BYTES} "
            "is the most that would be loaded",
            attr="path",
        )
    return np.frombuffer(text, np.uint8)


def signature_of(described: Mapping[str, Any]) -> str:
    """Return a hash of the description of a network."""
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_header(file: ArrayFile) -> dict[str, Any]:
    """Return the header of a file, or raise a ValidationError.

    Nothing else of the file is read, and not more than the longest header has.
    """
    path = file.path
    size = file.sizes.get(HEADER, 0)
    if size > _MAX_HEADER_BYTES + MAX_DESCRIPTION_BYTES:
        raise refusal(path, f"its header has {size} bytes")
    array = file.read(HEADER) if HEADER in file.sizes else None
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise refusal(path, "it has no header, so it was not saved by a simulator")
    if array.size > _MAX_HEADER_BYTES:
        raise refusal(path, f"its header has {array.size} bytes")
    try:
        header = json.loads(array.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"its header is damaged ({shown(error, False)})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise refusal(path, "its header is not that of a parameter file")
    version = header.get("version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise refusal(
            path,
            f"it is in version {shown(version)} of the format, and this version of "
            f"nengo_dl ({__version__}) reads version {FORMAT_VERSION}; it was written "
            f"by nengo_dl {shown(header.get('nengo_dl'))}",
        )
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
        or not all(_is_entry(entry, n_items) for entry in entries.values())
    ):
        raise refusal(path, "its header is damaged")
    if header.get("signature") != signature_of(objects):
        raise refusal(
            path, "its header is damaged: the description of the network was changed"
        )
    return header


def _is_entry(entry: Any, n_items: int) -> bool:
    """Whether a header says about an array what it has to."""
    if not isinstance(entry, dict):
        return False
    shape, dtype = entry.get("shape"), entry.get("dtype")
    return (
        isinstance(dtype, str)
        and number_type(dtype) is not None
        and isinstance(shape, list)
        and len(shape) <= 32
        and all(type(axis) is int and 0 <= axis < 2**62 for axis in shape)
        and isinstance(entry.get("per_item"), bool)
        and type(entry.get("crc32")) is int
        and not (entry["per_item"] and shape[:1] != [n_items])
    )


def forms_of(entries: Mapping[str, Any]) -> dict[str, Form]:
    """Return the shapes and types that a header gives for its entries."""
    return {
        name: Form(tuple(entry["shape"]), np.dtype(entry["dtype"]))
        for name, entry in entries.items()
    }


def check_entries(forms: Mapping[str, Form], file: ArrayFile) -> None:
    """Compare names and sizes of what a header says with those in the file."""
    sizes = {name: size for name, size in file.sizes.items() if name != HEADER}
    missing = [name for name in forms if name not in sizes]
    if missing:
        raise refusal(file.path, f"{listed(missing)} is missing from it")
    extra = [name for name in sizes if name not in forms]
    if extra:
        raise refusal(file.path, f"its header does not know {listed(extra)}")
    for name, form in forms.items():
        most = math.prod(form.shape) * form.dtype.itemsize + MAX_DESCRIPTION_BYTES
        if sizes[name] > most:
            raise refusal(
                file.path,
                f"its entry {shown(name)} has {sizes[name]} bytes, and its header says "
                f"{form.dtype} of shape {shown(form.shape)}",
            )


def read_entry(file: ArrayFile, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    """Return an array, and compare it with what the header says of it."""
    array = file.read(name)
    form = Form(array.shape, array.dtype.newbyteorder("<"))
    if list(form.shape) != entry["shape"] or form.dtype.str != entry["dtype"]:
        raise refusal(
            file.path,
            f"its entry {shown(name)} is {array.dtype} of shape {array.shape}, and its "
            f"header says {shown(entry['dtype'])} of shape {shown(entry['shape'])}",
        )
    if file.checksums[name] != entry["crc32"]:
        raise refusal(
            file.path,
            f"its entry {shown(name)} is not the one that its header describes",
        )
    return array
