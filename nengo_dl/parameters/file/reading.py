"""Reading arrays from a file, one by one, without trusting it.

Only what `numpy.savez` writes is accepted: a zip archive, not compressed, with one
``.npy`` file for each array. Every size is checked before anything is read, and nothing
is unpickled.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.file.messages import refusal, shown
from nengo_dl.parameters.file.paths import check_regular

__all__ = [
    "MAX_DESCRIPTION_BYTES",
    "MAX_DIRECTORY_BYTES",
    "ArrayFile",
    "number_type",
    "read_arrays",
]

#: Most bytes that a list of a file's entries may have: far more than 100,000 entries.
MAX_DIRECTORY_BYTES = 2**24

#: Most bytes of the text that describes one array, the limit that NumPy has too.
MAX_DESCRIPTION_BYTES = 10_000

#: Bytes that are read at once.
_CHUNK_BYTES = 2**24

#: An archive ends with this record: signature, ..., size and position of the list of
#: entries, length of a comment (PKWARE's ZIP File Format Specification, 4.3.16).
_END = struct.Struct("<4s4H2LH")
_END_MARK = bytes.fromhex("504b0506")
#: Where a larger archive has its 64 bit version of it (4.3.15, 4.3.14).
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_MARK = bytes.fromhex("504b0606")


class ArrayFile:
    """An open file of arrays; to be used in a ``with`` statement.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    path : Path
        The file.
    sizes : dict of {str: int}
        Bytes of each entry, with the description of its array.
    checksums : dict of {str: int}
        The checksum (CRC-32) of each entry, which is compared when it is read.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValidationError
        If the file is damaged, or of another kind.
    """

    def __init__(self, path: Path):
        self.path = path
        self._resources = contextlib.ExitStack()
        with self._resources, _as_our_errors(path):
            file = self._resources.enter_context(open(path, "rb", opener=_opener))
            check_regular(os.fstat(file.fileno()).st_mode, path, "load from")
            self._archive, self._entries = _open_archive(file, path)
            self._resources.enter_context(self._archive)
            self._resources = self._resources.pop_all()  # it went well: stay open
        self.sizes = {name: entry.file_size for name, entry in self._entries.items()}
        self.checksums = {name: entry.CRC for name, entry in self._entries.items()}

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.close()

    def read(self, name: str) -> np.ndarray:
        """Return an array, read-only; takes memory for its bytes in the file.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValidationError
            If it is damaged, or holds something else than numbers.
        """
        with _as_our_errors(self.path):
            return _read_array(self._archive, self._entries[name], self.path)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Read all arrays of a file, and their checksums; see `ArrayFile`."""
    with ArrayFile(path) as file:
        return {name: file.read(name) for name in file.sizes}, file.checksums


def number_type(described: str) -> np.dtype | None:
    """Return the type that a text names, None if it is not one of real numbers."""
    try:
        dtype = np.dtype(described)
    except (TypeError, ValueError, SyntaxError):
        return None
    return dtype if dtype.kind in "fiub" else None


def _opener(name: str, flags: int) -> int:
    """Open a file at once, even if it turns out to be a pipe that nobody writes to."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


@contextlib.contextmanager
def _as_our_errors(path: Path) -> Iterator[None]:
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
        raise _refusal(path, f"it is damaged ({shown(error, False)})") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a position that makes no sense
            raise _refusal(path, f"it is damaged ({error})") from error
        raise OSError(
            error.errno, f"Cannot load from '{path}': {error.strerror or error}"
        ) from error


def _refusal(path: Path, reason: str) -> ValidationError:
    hint = ". Files that Simulator.save_params wrote can be loaded"
    return refusal(path, reason, hint)


def _open_archive(
    file: IO[bytes], path: Path
) -> tuple[zipfile.ZipFile, Mapping[str, zipfile.ZipInfo]]:
    """Return the archive in a file, and its entries by name."""
    size = os.fstat(file.fileno()).st_size
    directory = _directory_bytes(file, size)
    if directory is None:
        raise _refusal(path, "it is no .npz file, or its end is missing")
    if directory > min(MAX_DIRECTORY_BYTES, size):
        raise _refusal(path, f"its list of entries claims to have {directory} bytes")
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    _check_entries(entries, size, path)
    return archive, {entry.filename.removesuffix(".npy"): entry for entry in entries}


def _directory_bytes(file: IO[bytes], size: int) -> int | None:
    """Return how long the list of entries claims to be, None if there is none."""
    tail_size = min(size, _END64.size + _LOCATOR.size + _END.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    if len(tail) < _END.size:
        return None
    signature, *_, number, listed, start, comment = _END.unpack(tail[-_END.size :])
    if signature != _END_MARK or comment:
        return None
    if number == 0xFFFF or 0xFFFFFFFF in (listed, start):
        if len(tail) < tail_size or tail[:4] != _END64_MARK:
            return None
        listed = _END64.unpack(tail[: _END64.size])[8]
    return int(listed)


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Refuse what we never write, before any of it is read."""
    names: set[str] = set()
    total = 0
    for entry in entries:
        name = entry.filename
        if name in names:
            raise _refusal(path, f"it has two entries named {shown(name)}")
        names.add(name)
        if not name.endswith(".npy"):
            raise _refusal(path, f"its entry {shown(name)} is no array")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise _refusal(path, f"its entry {shown(name)} is compressed")
        total += entry.file_size
        if entry.file_size != entry.compress_size or total > size:
            raise _refusal(
                path,
                f"its entry {shown(name)} claims to have {entry.file_size} bytes, more "
                "than the file holds",
            )


def _read_array(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path
) -> np.ndarray:
    name = shown(entry.filename)
    with archive.open(entry) as source:
        head = source.read(min(10, entry.file_size))
        if np.lib.format.read_magic(io.BytesIO(head)) != (1, 0):
            raise _refusal(path, f"its entry {name} is in an unknown format")
        (length,) = struct.unpack("<H", head[8:])
        text = source.read(min(length, MAX_DESCRIPTION_BYTES + 1)).decode("latin1")
        if len(text) != length or length > MAX_DESCRIPTION_BYTES:
            raise _refusal(path, f"the description of its entry {name} is too long")
        shape, fortran, dtype = _parse_description(text, name, path)
        count = 1
        for axis in shape:
            count *= axis
        n_bytes = entry.file_size - len(head) - length
        if count * dtype.itemsize != n_bytes:
            raise _refusal(
                path,
                f"its entry {name} claims shape {shown(shape)} of {dtype}, but has "
                f"{n_bytes} bytes",
            )
        flat = np.empty(count, dtype)
        data = flat.view(np.uint8).data if count else memoryview(b"")
        _fill(data, source, name, path)
    array = flat.reshape(shape, order="F" if fortran else "C")
    array.setflags(write=False)
    return array


def _fill(target: memoryview, source: IO[bytes], name: str, path: Path) -> None:
    """Read to the end of an entry, so that the checksum is compared."""
    start, size = 0, len(target)
    while start < size:
        data = source.read(min(_CHUNK_BYTES, size - start))
        if not data:
            raise _refusal(path, f"its entry {name} is cut off")
        target[start : start + len(data)] = data
        start += len(data)
    source.read(1)


def _parse_description(
    text: str, name: str, path: Path
) -> tuple[tuple[int, ...], bool, np.dtype]:
    problem = _refusal(path, f"the description of its entry {name} makes no sense")
    try:
        parsed: Any = ast.literal_eval(text)
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
        np.dtype(described)
    except TypeError as error:
        raise problem from error
    dtype = number_type(described)
    if dtype is None:
        raise _refusal(
            path,
            f"its entry {name} holds values of type {shown(described)} instead of "
            "numbers, which are not read",
        )
    return shape, fortran, dtype
