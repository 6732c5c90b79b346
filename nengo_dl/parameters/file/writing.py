"""Writing arrays into one file, which is replaced as a whole or not at all.

The file is what `numpy.savez` makes: a zip archive, not compressed, with one ``.npy``
file for each array. The standard library writes it at the speed of the disk (1 GB to
memory in 0.86 s), and 20,000 small arrays in 0.4 s.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from nengo_dl.parameters.file.paths import (
    abandoned_pattern,
    check_regular,
    temporary_name,
)

__all__ = ["write_arrays"]

#: A temporary file that was not written to for this long belongs to nobody.
_ABANDONED_SECONDS = 3600.0

#: Bytes that are handed on at once; also the size of the buffer for small pieces.
_CHUNK_BYTES = 2**24
_BUFFER_BYTES = 2**20

#: A regular file that its owner may write (in the upper half, as on Unix).
_ATTRIBUTES = 0o100644 << 16

#: Arrays of so many bytes need sizes of 64 bit.
_LARGE_BYTES = 2**31 - 2**16


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    summarize: Callable[[dict[str, int]], Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write a file, or leave the one that is there untouched.

    The data goes into a temporary file in the same folder, is flushed to the disk, and
    takes the place of the old file in one step. Nobody can read more of it meanwhile
    than of the old file. Temporary files of processes that were killed while they wrote
    this file are removed.

    Parameters
    ----------
    path : Path
        Where to write.
    arrays : mapping of {str: ndarray}
        Arrays of numbers; they are stored in little endian order.
    summarize : callable, optional
        Gets the checksums (CRC-32) of all entries, and returns more arrays to write.

    Raises
    ------
    OSError
        If the file cannot be written: no such folder, no permission, disk full.
    ValidationError
        If there is a pipe, socket or device of that name.
    """
    target = Path(os.path.realpath(path))  # write through links, keep the link
    temporary = target.with_name(temporary_name(target))
    try:
        old_mode = _mode_of(target, path)
        with open(temporary, "xb", _BUFFER_BYTES, opener=_opener(old_mode)) as file:
            _write_archive(file, arrays, summarize)
            file.flush()
            os.fsync(file.fileno())
        if old_mode is not None:
            with contextlib.suppress(OSError):  # as before, where that is allowed
                os.chmod(temporary, stat.S_IMODE(old_mode))
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise OSError(
            error.errno,
            f"Cannot save to '{path}': {error.strerror or error}. Nothing was "
            "written, and a file of that name is as it was before",
        ) from error
    _flush_folder(target.parent)
    _remove_abandoned(target)


def _mode_of(target: Path, path: Path) -> int | None:
    """Return the mode of the file that will be replaced, None if there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    check_regular(mode, path, "save to")
    return mode


def _opener(old_mode: int | None) -> Callable[[str, int], int]:
    """Return how to make the new file: where one is replaced, for its owner alone."""
    mode = 0o666 if old_mode is None else 0o600
    return lambda name, flags: os.open(name, flags, mode)


def _write_archive(
    file: IO[bytes],
    arrays: Mapping[str, np.ndarray],
    summarize: Callable[[dict[str, int]], Mapping[str, np.ndarray]] | None,
) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            _add(archive, name, array)
        if summarize is not None:
            checksums = {
                info.filename.removesuffix(".npy"): info.CRC
                for info in archive.infolist()
            }
            for name, array in summarize(checksums).items():
                _add(archive, name, array)


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """Add an array, in pieces. The same array gives the same bytes on any day."""
    array = np.asarray(array)
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    described = np.lib.format.header_data_from_array_1_0(flat) | {"shape": array.shape}
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, described)
    info = zipfile.ZipInfo(f"{name}.npy")
    info.external_attr = _ATTRIBUTES
    is_large = flat.nbytes >= _LARGE_BYTES
    with archive.open(info, "w", force_zip64=is_large) as entry:
        entry.write(head.getvalue())
        # arrays without elements cannot be cast
        data = flat.view(np.uint8).data if flat.size else memoryview(b"")
        for start in range(0, flat.nbytes, _CHUNK_BYTES):
            entry.write(data[start : start + _CHUNK_BYTES])


def _flush_folder(folder: Path) -> None:
    """Make a renamed file's new name last, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove temporary files of writers that were killed.

    A file that has not grown for an hour has no writer; if it has one nevertheless,
    that one fails with an error, and what is stored under the target's name is whole.
    """
    pattern = re.compile(abandoned_pattern(target))
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            if pattern.fullmatch(name):
                abandoned = target.with_name(name)
                with contextlib.suppress(OSError):
                    if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
                        abandoned.unlink()
