"""The header of a parameter file: what it says, and checks of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.version import __version__

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "HEADER",
    "MOST_LISTED",
    "check_entries",
    "listed",
    "make_header",
    "read_header",
    "refusal",
    "signature_of",
]

FORMAT = "nengo_dl parameters"
FORMAT_VERSION = 1

#: Name of the entry that holds the header.
HEADER = "header"

#: Most bytes of a header: networks of some 50,000 objects have one of that length.
_MAX_HEADER_BYTES = 2**24

#: How many names an error message lists.
MOST_LISTED = 8


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


def refusal(path: Path, reason: str) -> ValidationError:
    """Return the error to raise for a file that cannot be loaded."""
    return ValidationError(
        f"Cannot load from '{path}': {reason}. Nothing was changed", attr="path"
    )


def listed(names: Iterable[str]) -> str:
    """Return some names for a message, and how many more there are."""
    names = list(names)
    more = len(names) - MOST_LISTED
    text = ", ".join(f"'{name}'" for name in names[:MOST_LISTED])
    return f"{text} and {more} more" if more > 0 else text


def read_header(array: np.ndarray | None, path: Path) -> dict[str, Any]:
    """Return the header that a file has, or raise a ValidationError."""
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise refusal(path, "it has no header, so it was not saved by a simulator")
    if array.size > _MAX_HEADER_BYTES:
        raise refusal(path, f"its header has {array.size} bytes")
    try:
        header = json.loads(array.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"its header is damaged ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise refusal(path, "its header is not that of a parameter file")
    version = header.get("version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise refusal(
            path,
            f"it is in version {version!r} of the format, and this version of nengo_dl "
            f"({__version__}) reads version {FORMAT_VERSION}; it was written by "
            f"nengo_dl {header.get('nengo_dl')!r}",
        )
    problem = refusal(path, "its header is damaged")
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
            or type(entry.get("crc32")) is not int
            or (entry["per_item"] and entry["shape"][:1] != [n_items])
        ):
            raise problem
    if header.get("signature") != signature_of(objects):
        raise refusal(
            path, "its header is damaged: the description of the network was changed"
        )
    return header


def check_entries(
    entries: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    checksums: Mapping[str, int],
    path: Path,
) -> None:
    """Compare what the header says with what the file holds."""
    missing = [name for name in entries if name not in arrays]
    if missing:
        raise refusal(path, f"{listed(missing)} is missing from it")
    extra = [name for name in arrays if name not in entries]
    if extra:
        raise refusal(path, f"its header does not know {listed(extra)}")
    for name, entry in entries.items():
        array = arrays[name]
        if (
            list(array.shape) != entry["shape"]
            or array.dtype.newbyteorder("<").str != entry["dtype"]
        ):
            raise refusal(
                path,
                f"its entry '{name}' is {array.dtype} of shape {array.shape}, and its "
                f"header says {entry['dtype']} of shape {entry['shape']}",
            )
        if checksums[name] != entry["crc32"]:
            raise refusal(
                path, f"its entry '{name}' is not the one that its header describes"
            )
