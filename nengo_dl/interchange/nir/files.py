"""Files of NIR graphs: HDF5, looked through before anything of it is loaded."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

__all__ = ["read_graph", "write_graph"]

#: Groups within groups; a subgraph takes two.
MAX_DEPTH = 64
#: Groups and datasets of a file.
MAX_OBJECTS = 1_000_000
#: Rows of text that are looked at in one go: their length is known only then.
TEXT_ROWS = 64


def _refuse(path: object, problem: str) -> ValidationError:
    return ValidationError(f"cannot read {str(path)!r}: {problem}", attr="path")


def read_graph(path: Any, max_bytes: int) -> Any:
    """Read a graph from a file after checking what is in it.

    Parameters
    ----------
    path : str or Path
        File that NIR wrote.
    max_bytes : int
        How much memory its contents may take.

    Returns
    -------
    nir.NIRGraph
        The graph, whose types are not checked yet.

    Raises
    ------
    ValidationError
        If the file is none of NIR, has links, or declares more than ``max_bytes``.
    """
    import h5py
    import nir

    if not Path(path).is_file():
        raise _refuse(path, "there is no such file")
    try:
        with h5py.File(path, "r") as file:
            _FileCheck(path, max_bytes).check(file)
            content = nir.serialization.hdf2dict(file["node"])
    except (OSError, RuntimeError, KeyError) as error:
        raise _refuse(path, f"it is no whole HDF5 file of NIR ({error})") from error
    _check_kinds(path, content)
    try:
        return nir.dict2NIRNode(content)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refuse(path, f"its nodes are not as NIR defines them ({error})") from (
            error
        )


def _check_kinds(path: object, content: Any, place: str = "") -> None:
    import nir

    known = [name for name in nir.ir.__all__ if name[0].isupper() and name != "NIRNode"]
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in known:
        raise _refuse(
            path,
            f"the node {place or 'at the top'!r} has the type {kind!r}; NIR has "
            f"{', '.join(known)}",
        )
    if kind == "NIRGraph":
        content["type_check"] = False  # the types are looked at here
        for part in ("nodes", "edges"):
            if part not in content:
                raise _refuse(path, f"the graph {place!r} has no {part!r}")
        if not isinstance(content["nodes"], dict):
            raise _refuse(path, f"'nodes' of the graph {place!r} is no group")
        for name, node in content["nodes"].items():
            _check_kinds(path, node, f"{place}/{name}".lstrip("/"))
    elif not place:
        raise _refuse(path, f"it holds a single {kind} instead of a graph")


class _FileCheck:
    """Walks through a file by its links, without reading numbers.

    HDF5 can point elsewhere (soft and external links, virtual datasets, raw data in
    other files), lead in circles, and declare arrays of any size in a few bytes.
    """

    def __init__(self, path: object, max_bytes: int):
        self.path = path
        self.bytes_left = max_bytes
        self.max_bytes = max_bytes
        self.seen: set[Any] = set()

    def check(self, file: Any) -> None:
        for name, item in self._members(file, ""):
            self._visit(name, item, 1)
        if "node" not in file:
            raise _refuse(self.path, "it has no group 'node', so it is none of NIR")

    def _members(self, group: Any, place: str) -> Iterator[tuple[str, Any]]:
        import h5py

        for name in group:
            where = f"{place}/{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _refuse(
                    self.path,
                    f"{where!r} is a link ({type(link).__name__}); files of NIR have "
                    "none, and links are not followed",
                )
            yield where, group[name]

    def _visit(self, place: str, item: Any, depth: int) -> None:
        import h5py

        info = h5py.h5o.get_info(item.id)
        if (info.fileno, info.addr) in self.seen:
            raise _refuse(self.path, f"{place!r} is part of the file twice")
        self.seen.add((info.fileno, info.addr))
        if len(self.seen) > MAX_OBJECTS or depth > MAX_DEPTH:
            raise _refuse(
                self.path, f"it has too many parts, or too deep, at {place!r}"
            )
        if isinstance(item, h5py.Group):
            for name, member in self._members(item, place):
                self._visit(name, member, depth + 1)
        elif isinstance(item, h5py.Dataset):
            self._dataset(place, item)
        else:
            raise _refuse(self.path, f"{place!r} is a {type(item).__name__}")

    def _dataset(self, place: str, data: Any) -> None:
        import h5py

        if data.is_virtual or data.external:
            raise _refuse(self.path, f"the numbers of {place!r} are in another file")
        text = h5py.check_string_dtype(data.dtype)
        if text is None and data.dtype.kind not in "biufS":
            raise _refuse(
                self.path,
                f"{place!r} has the type {data.dtype}; expected numbers or text",
            )
        if data.shape is None:
            raise _refuse(self.path, f"{place!r} is empty")
        size = 1
        for length in data.shape:  # Python's integers do not overflow
            size *= int(length)
        self._take(place, size * (data.dtype.itemsize + 64 * (text is not None)))
        if text is not None and text.length is None:
            for row in self._rows(data):
                self._take(place, sum(len(word) for word in np.ravel(row)))

    @staticmethod
    def _rows(data: Any) -> Iterator[Any]:
        if not data.shape:
            yield data[()]
            return
        for start in range(0, data.shape[0], TEXT_ROWS):
            yield data[start : start + TEXT_ROWS]

    def _take(self, place: str, n_bytes: int) -> None:
        self.bytes_left -= n_bytes
        if self.bytes_left < 0:
            raise _refuse(
                self.path,
                f"up to {place!r} its contents take more than {self.max_bytes} bytes; "
                "pass a larger 'max_bytes' if you trust the file",
            )


class _Stripped:
    """A graph as `nir.write` takes it, without resets to zero.

    Readers with nir 1.0.4 (Norse, snnTorch and Sinabs among them) do not know
    ``v_reset``, and raise; without it, all versions reset to zero.
    """

    def __init__(self, graph: Any):
        self.graph = graph

    def to_dict(self) -> dict[str, Any]:
        return self._strip(self.graph.to_dict())

    def _strip(self, content: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in content.items():
            if name == "v_reset" and not np.any(value):
                continue
            found[name] = self._strip(value) if isinstance(value, dict) else value
        return found


def write_graph(path: Any, graph: Any) -> None:
    """Write a graph to a file, which is replaced in one go.

    Parameters
    ----------
    path : str or Path
        Where to write.
    graph : nir.NIRGraph
        What to write.
    """
    import nir

    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        nir.write(temporary, _Stripped(graph))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
