"""Names of parameter files, of the temporary ones, and what kind of file is there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any

from nengo.exceptions import ValidationError

__all__ = ["abandoned_pattern", "check_path", "check_regular", "temporary_name"]

_SUFFIX = ".npz"

#: Longer names are replaced by a hash in those of temporary files. File systems allow
#: 255 bytes, encrypted ones some 140.
_LONGEST_NAME = 100

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_path(path: Any) -> Path:
    """Return a path with the suffix of our files.

    Parameters
    ----------
    path : str or os.PathLike
        With or without the suffix ``.npz``.

    Raises
    ------
    ValidationError
        If it is no path, or that of a folder.
    """
    try:
        text = os.fsdecode(os.fspath(path))
    except TypeError:
        raise ValidationError(
            f"Must be a file name: a string or a path; got {type(path).__name__}",
            attr="path",
        ) from None
    if "\0" in text or os.path.basename(text) in ("", os.curdir, os.pardir):
        raise ValidationError(
            f"Must be the name of a file; got {text!r}, which names none", attr="path"
        )
    return Path(text if text.endswith(_SUFFIX) else text + _SUFFIX)


def check_regular(mode: int, path: Path, action: str) -> None:
    """Refuse what is neither a file nor a folder: reading it might never end.

    Parameters
    ----------
    mode : int
        Result of `os.stat`.
    path : Path
        What the mode is of.
    action : str
        What fails, for the message.

    Raises
    ------
    ValidationError
        If it is a pipe, a socket or a device.
    """
    kind = _SPECIAL.get(stat.S_IFMT(mode))
    if kind is not None:
        raise ValidationError(
            f"Cannot {action} '{path}': it is {kind}, not a file. It was left as it is",
            attr="path",
        )


def temporary_name(target: Path) -> str:
    """Return the name of a new file in the same folder, to be renamed later."""
    return f".{_stem(target)}.{secrets.token_hex(6)}.tmp"


def abandoned_pattern(target: Path) -> str:
    """Return a regular expression for all names of temporary files of a target."""
    return rf"\.{re.escape(_stem(target))}\.[0-9a-f]{{12}}\.tmp"


def _stem(target: Path) -> str:
    name = os.fsencode(target.name)
    if len(name) > _LONGEST_NAME:
        return hashlib.blake2b(name, digest_size=16).hexdigest()
    return target.name
