"""Named arrays in one file, which NumPy alone can read; reading trusts nothing.

The file is what `numpy.savez` writes: a zip archive, not compressed, with one ``.npy``
file for each array. Writing replaces a file as a whole or not at all. Reading accepts
only that, checks every size before it reads, and never unpickles.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import os
import re
import secrets
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.file.zip_writer import END, END64, LOCATOR, write_archive

__all__ = ["MAX_DIRECTORY_BYTES", "check_path", "read_arrays", "write_arrays"]

#: Most bytes that a list of a file's entries may have: far more than 100,000 entries.
MAX_DIRECTORY_BYTES = 2**24

#: Most bytes of the text that describes one array, the limit that NumPy has too.
_MAX_DESCRIPTION_BYTES = 10_000

_SUFFIX = ".npz"

#: A temporary file that was not written to for this long belongs to nobody.
_ABANDONED_SECONDS = 3600.0


def check_path(path: Any) -> Path:
    """Return a path with the suffix of our files.

    Parameters
    ----------
    path : str or os.PathLike
        With or without the suffix ``.npz``.

    Raises
    ------
    ValidationError
        If it is no path.
    """
    try:
        text = os.fsdecode(os.fspath(path))
    except TypeError:
        raise ValidationError(
            f"Must be a file name: a string or a path; got {type(path).__name__}",
            attr="path",
        ) from None
    if not text or "\0" in text or Path(text).name in ("", ".."):
        raise ValidationError(
            f"Must be the name of a file; got {text!r}, which names none", attr="path"
        )
    return Path(text if text.endswith(_SUFFIX) else text + _SUFFIX)


# -- writing


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    summarize: Callable[[dict[str, int]], Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write a file, or leave the one that is there untouched.

    The data goes into a temporary file in the same folder, is flushed to the disk, and
    takes the place of the old file in one step. Temporary files of processes that were
    killed while they wrote this file are removed.

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
    """
    target = Path(os.path.realpath(path))  # write through links, keep the link
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, 0o666), "wb", buffering=0) as file:
            write_archive(file, arrays, summarize)
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # as the file before, where that is allowed
            os.chmod(temporary, target.stat().st_mode & 0o7777)
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
    pattern = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{12}\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            if pattern.fullmatch(name):
                abandoned = target.with_name(name)
                with contextlib.suppress(OSError):
                    if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
                        abandoned.unlink()


# -- reading


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Read all arrays of a file that `write_arrays` wrote, and their checksums.

    Needs memory for the file's size, whatever the file says, and executes nothing.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    arrays : dict of {str: ndarray}
        In the order of the file.
    checksums : dict of {str: int}
        The checksum (CRC-32) of each entry; they were compared with the contents.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValidationError
        If the file is damaged, or of another kind.
    """
    try:
        with open(path, "rb") as file, _as_validation_error(path):
            return _read_archive(file, path)
    except OSError as error:
        raise OSError(
            error.errno, f"Cannot load from '{path}': {error.strerror or error}"
        ) from error


@contextlib.contextmanager
def _as_validation_error(path: Path) -> Iterator[None]:
    try:
        yield
    except ValidationError:
        raise
    except (
        zipfile.BadZipFile,
        struct.error,
        UnicodeError,
        ArithmeticError,
        LookupError,
        NotImplementedError,  # a later version of the format
        RuntimeError,  # encrypted
        ValueError,
        EOFError,
    ) as error:
        raise _refusal(path, f"it is damaged ({error})") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a position that makes no sense
            raise _refusal(path, f"it is damaged ({error})") from error
        raise


def _refusal(path: Path, reason: str) -> ValidationError:
    return ValidationError(
        f"Cannot load from '{path}': {reason}. Nothing was changed. Files that "
        "Simulator.save_params wrote can be loaded",
        attr="path",
    )


def _read_archive(
    file: IO[bytes], path: Path
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    size = os.fstat(file.fileno()).st_size
    listed = _directory_bytes(file, size)
    if listed is None:
        raise _refusal(path, "it is no .npz file, or its end is missing")
    if listed > min(MAX_DIRECTORY_BYTES, size):
        raise _refusal(path, f"its list of entries claims to have {listed} bytes")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_entries(entries, size, path)
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        arrays = [_read_array(archive, entry, path) for entry in entries]
        checksums = [entry.CRC for entry in entries]
        return dict(zip(names, arrays)), dict(zip(names, checksums))


def _directory_bytes(file: IO[bytes], size: int) -> int | None:
    """Return how long the list of entries claims to be, None if there is none."""
    tail_size = min(size, END64.size + LOCATOR.size + END.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    if len(tail) < END.size:
        return None
    signature, *_, number, listed, start, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\5\6" or comment:
        return None
    if number == 0xFFFF or 0xFFFFFFFF in (listed, start):
        if len(tail) < tail_size or tail[:4] != b"PK\6\6":
            return None
        listed = END64.unpack(tail[: END64.size])[8]
    return int(listed)


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Refuse what we never write, before any of it is read."""
    names: set[str] = set()
    total = 0
    for entry in entries:
        name = entry.filename
        if name in names:
            raise _refusal(path, f"it has two entries named {name!r}")
        names.add(name)
        if not name.endswith(".npy"):
            raise _refusal(path, f"its entry {name!r} is no array")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise _refusal(path, f"its entry {name!r} is compressed")
        total += entry.file_size
        if entry.file_size != entry.compress_size or total > size:
            raise _refusal(
                path,
                f"its entry {name!r} claims to have {entry.file_size} bytes, more than "
                "the file holds",
            )


def _read_array(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path
) -> np.ndarray:
    name = entry.filename
    with archive.open(entry) as source:
        # to its end, so that the checksum is compared
        data = source.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise _refusal(path, f"its entry {name!r} is cut off")
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise _refusal(path, f"its entry {name!r} is in an unknown format")
    (length,) = struct.unpack("<H", stream.read(2))
    text = stream.read(length).decode("latin1")
    if len(text) != length or length > _MAX_DESCRIPTION_BYTES:
        raise _refusal(path, f"the description of its entry {name!r} is too long")
    shape, fortran, dtype = _parse_description(text, name, path)
    count = 1
    for axis in shape:
        count *= axis
    if count * dtype.itemsize != len(data) - stream.tell():
        raise _refusal(
            path,
            f"its entry {name!r} claims shape {shape} of {dtype}, but has "
            f"{len(data) - stream.tell()} bytes",
        )
    flat = np.frombuffer(data, dtype=dtype, count=count, offset=stream.tell())
    array = flat.reshape(shape, order="F" if fortran else "C")
    array.setflags(write=False)
    return array


def _parse_description(
    text: str, name: str, path: Path
) -> tuple[tuple[int, ...], bool, np.dtype]:
    problem = _refusal(path, f"the description of its entry {name!r} makes no sense")
    try:
        parsed = ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise problem from error
    if not isinstance(parsed, dict) or set(parsed) != {
        "descr",
        "fortran_order",
        "shape",
    }:
        raise problem
    shape, fortran = parsed["shape"], parsed["fortran_order"]
    described = parsed["descr"]
    if (
        not isinstance(shape, tuple)
        or len(shape) > 32
        or not all(type(axis) is int and 0 <= axis < 2**62 for axis in shape)
        or not isinstance(fortran, bool)
        or not isinstance(described, str)
    ):
        raise problem
    try:
        dtype = np.dtype(described)
    except TypeError as error:
        raise problem from error
    if dtype.kind not in "fiub":
        raise _refusal(
            path,
            f"its entry {name!r} holds values of type {described!r} instead of "
            "numbers, which are not read",
        )
    return shape, fortran, dtype
