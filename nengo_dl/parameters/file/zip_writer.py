"""Writing arrays into a zip archive, at the speed of the disk.

The archive is what `numpy.savez` makes: not compressed, with one ``.npy`` file for each
array. Large arrays go from their memory to the system without a copy, while another
thread computes their checksums; Python's `zipfile` would compute these in between, and
take twice as long.

References
----------
PKWARE, ZIP File Format Specification, version 6.3.10.
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import numpy as np

__all__ = ["END", "END64", "LOCATOR", "write_archive"]

#: Before each file: signature, version needed, flags, method, time, date, checksum,
#: size (compressed and not), lengths of name and of extra fields (4.3.7).
_LOCAL = struct.Struct("<4s5H3L2H")
#: In the list of entries: signature, version made by, then as above, length of a
#: comment, disk, attributes (internal and external), position (4.3.12).
#: Numbers that need 64 bit are in an extra field of kind 1 (4.5.3).
_ENTRY = struct.Struct("<4s6H3L5H2L")
#: An archive ends with this record: signature, ..., size and position of the list of
#: entries, length of a comment (4.3.16).
END = struct.Struct("<4s4H2LH")
#: Where a larger archive has its 64 bit version of it (4.3.15, 4.3.14).
LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")

_MOST_SHORT = 0xFFFF
_MOST_LONG = 0xFFFFFFFF

#: Names are UTF-8 (4.4.4). Stored (4.4.5), on the first day that the format knows, so
#: that the same parameters give the same bytes whenever they are saved.
_UTF8 = 0x800
_MIDNIGHT, _FIRST_DAY = 0, 1 << 5 | 1
#: Version 4.5 of the format has sizes of 64 bit; made on Unix, as a regular file that
#: its owner may write.
_VERSION, _MADE_BY = 45, 3 << 8 | 45
_ATTRIBUTES = 0o100644 << 16

#: Arrays of at least this many bytes are written without a copy.
_LARGE_BYTES = 2**20
_CHUNK_BYTES = 2**24


@dataclass
class _Entry:
    name: bytes
    position: int
    size: int
    checksum: int = 0

    def _fields(self) -> tuple[int, ...]:
        size = min(self.size, _MOST_LONG)
        return (
            *(_UTF8, 0, _MIDNIGHT, _FIRST_DAY),
            *(self.checksum, size, size, len(self.name)),
        )

    def before(self) -> bytes:
        """Return the header that precedes the file."""
        extra = b""
        if self.size >= _MOST_LONG:
            extra = struct.pack("<2H2Q", 1, 16, self.size, self.size)
        start = _LOCAL.pack(b"PK", _VERSION, *self._fields(), len(extra))
        return start + self.name + extra

    def listed(self) -> bytes:
        """Return the item of the list of entries."""
        numbers = [n for n in (self.size, self.size, self.position) if n >= _MOST_LONG]
        extra = b""
        if numbers:
            form = f"<2H{len(numbers)}Q"
            extra = struct.pack(form, 1, 8 * len(numbers), *numbers)
        start = _ENTRY.pack(
            *(b"PK", _MADE_BY, _VERSION, *self._fields(), len(extra)),
            *(0, 0, 0, _ATTRIBUTES, min(self.position, _MOST_LONG)),
        )
        return start + self.name + extra


def write_archive(
    file: IO[bytes],
    arrays: Mapping[str, np.ndarray],
    summarize: Callable[[dict[str, int]], Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write arrays into an empty file.

    Parameters
    ----------
    file : binary file
        Not buffered; it can seek.
    arrays : mapping of {str: ndarray}
        Arrays of numbers; they are stored in little endian order.
    summarize : callable, optional
        Gets the checksums (CRC-32) of all entries, and returns more arrays to write.

    Raises
    ------
    OSError
        If the file cannot be written to.
    """
    with _Writer(file) as writer:
        for name, array in arrays.items():
            writer.add(name, array)
        if summarize is not None:
            for name, array in summarize(writer.checksums()).items():
                writer.add(name, array)
        writer.finish()


class _Writer:
    """Writes one entry after the other; checksums of large ones come later."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.entries: dict[str, _Entry] = {}
        self.late: list[tuple[_Entry, Future[int]]] = []
        self.position = 0
        self.pending = bytearray()  # small pieces are written together
        self.pool = ThreadPoolExecutor(1)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def add(self, name: str, array: np.ndarray) -> None:
        """Write an array, and a header that may lack the checksum."""
        head, data = _npy(array)
        size = len(head) + data.nbytes
        entry = _Entry(f"{name}.npy".encode(), self.position, size)
        self.entries[name] = entry
        if data.nbytes < _LARGE_BYTES:
            entry.checksum = _checksum(head, data)
        else:
            self.late.append((entry, self.pool.submit(_checksum, head, data)))
        before = entry.before()
        self.position += len(before) + size
        self.pending += before + head
        for start in range(0, data.nbytes, _CHUNK_BYTES):
            piece = data[start : start + _CHUNK_BYTES]
            if len(piece) < _LARGE_BYTES:
                self.pending += piece
            else:
                self.flush()
                _write_all(self.file, piece)
        if len(self.pending) >= _LARGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        _write_all(self.file, self.pending)
        self.pending.clear()

    def checksums(self) -> dict[str, int]:
        """Wait for all checksums, and return them by name."""
        for entry, checksum in self.late:
            entry.checksum = checksum.result()
        return {name: entry.checksum for name, entry in self.entries.items()}

    def finish(self) -> None:
        """Complete the headers, and write the list of entries."""
        self.flush()
        self.checksums()
        for entry, _ in self.late:
            self.file.seek(entry.position)
            _write_all(self.file, entry.before())
        self.file.seek(self.position)
        _write_all(self.file, _list(list(self.entries.values()), self.position))


def _npy(array: np.ndarray) -> tuple[bytes, memoryview]:
    """Return the description of an array, and its bytes in the order of C."""
    array = np.asarray(array)
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    described = np.lib.format.header_data_from_array_1_0(flat) | {"shape": array.shape}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, described)
    # arrays without elements cannot be cast
    data = memoryview(flat.view(np.uint8)) if flat.size else memoryview(b"")
    return stream.getvalue(), data


def _checksum(head: bytes, data: memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(head))


def _write_all(file: IO[bytes], data: bytes | bytearray | memoryview) -> None:
    """Write data; the system may take less of it at once."""
    with memoryview(data) as rest:
        start = 0
        while start < len(rest):
            start += file.write(rest[start:])


def _list(entries: Sequence[_Entry], position: int) -> bytes:
    """Return the list of entries, and the records that end an archive."""
    listed = b"".join(entry.listed() for entry in entries)
    number, size = len(entries), len(listed)
    end = b""
    if number >= _MOST_SHORT or max(size, position) >= _MOST_LONG:
        end += END64.pack(
            *(b"PK", END64.size - 12, _MADE_BY, _VERSION, 0, 0),
            *(number, number, size, position),
        )
        end += LOCATOR.pack(b"PK", 0, position + size, 1)
    number = min(number, _MOST_SHORT)
    size, position = min(size, _MOST_LONG), min(position, _MOST_LONG)
    return listed + end + END.pack(b"PK", 0, 0, number, number, size, position, 0)
