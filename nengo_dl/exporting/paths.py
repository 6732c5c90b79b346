"""Where to write: a place where nothing is yet, and where nothing is left half done."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.parameters.file.paths import temporary_name

__all__ = ["check_new", "written_beside"]


def check_new(path: Any) -> Path:
    """Return a path at which nothing is, in a folder that is there.

    Parameters
    ----------
    path : str or os.PathLike
        Of a file or folder to be made.

    Raises
    ------
    ValidationError
        If it is none.
    """
    try:
        text = os.fsdecode(os.fspath(path))
    except TypeError:
        raise ValidationError(
            f"Must be a string or a path; got {type(path).__name__}", attr="path"
        ) from None
    target = Path(text)
    if "\0" in text or target.name in ("", os.curdir, os.pardir):
        raise ValidationError(
            f"Must be the name of a file or folder; got {text!r}", attr="path"
        )
    if os.path.lexists(target):
        raise ValidationError(
            f"'{target}' exists already; remove it, or choose another name",
            attr="path",
        )
    if not target.parent.is_dir():
        raise ValidationError(
            f"There is no folder '{target.parent}'; make it first", attr="path"
        )
    return target


@contextlib.contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Return a context that gives a name to write to, and renames that at its end.

    After an error nothing is left.

    Parameters
    ----------
    target : Path
        The name in the end.
    """
    temporary = target.with_name(temporary_name(target))
    try:
        yield temporary
        os.rename(temporary, target)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise
