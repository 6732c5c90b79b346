"""Traced functions in files, beside the machine code that XLA keeps of them.

A file is the checksum of a ``tf.compat.v1.GraphDef``, and that: its library has the
functions, its nodes say what the function captures. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import nengo
import numpy as np

from nengo_dl.program.compile_cache import programs_folder
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.version import __version__

__all__ = ["MachineCode", "StoredProgram", "load_program", "save_program"]

_BEGINNING = b"nengo_dl program 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size

#: Larger programs are traced again: they take longer to read, and protobuf has a limit.
_MOST_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class StoredProgram:
    """A traced function without the variables that it captures.

    Attributes
    ----------
    key : str
        Key of its graph.
    functions : tuple of FunctionDef
        The function itself comes first.
    sources : tuple of int or tf.Tensor
        What it captures: positions of variables, and tensors.
    structure : nested structure
        How what it returns is to be put together.
    labels : tuple of str
        Names of its groups.
    seconds : float
        How long tracing took.
    """

    key: str
    functions: tuple[Any, ...]
    sources: tuple[Any, ...]
    structure: Any
    labels: tuple[str, ...]
    seconds: float


def save_program(signature: str, program: StoredProgram) -> None:
    """Keep a program for later processes, if there is a folder for that.

    Parameters
    ----------
    signature : str
        What `load_program` will be asked for.
    program : StoredProgram
        What to keep. A folder that cannot be written to is no error.
    """
    folder = programs_folder()
    if folder is None:
        return
    graph = tf.compat.v1.GraphDef()
    graph.library.function.extend(program.functions)
    for number, source in enumerate(program.sources):
        node = graph.node.add(name=f"capture_{number}")
        if isinstance(source, int):
            node.op = "Placeholder"
            node.attr["position"].i = source
        else:
            node.op = "Const"
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(source.numpy()))
    about = {
        "key": program.key,
        "structure": program.structure,
        "labels": program.labels,
        "seconds": program.seconds,
    }
    node = graph.node.add(name="about", op="NoOp")
    node.attr["about"].s = json.dumps(about).encode()
    data = graph.SerializeToString()
    if len(data) <= _MOST_BYTES:
        _write(_file_of(folder, signature), _BEGINNING + _digest(data) + data)


def load_program(signature: str) -> StoredProgram | None:
    """Return a program that was kept, or None.

    A file that was damaged is deleted, with a warning.

    Parameters
    ----------
    signature : str
        As it was given to `save_program`.
    """
    folder = programs_folder()
    if folder is None:
        return None
    path = _file_of(folder, signature)
    try:
        if path.stat().st_size > 2 * _MOST_BYTES:
            raise ValueError("it is too large")
        content = path.read_bytes()
        return _read(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _remove_damaged(path, str(error))
        return None


def _read(content: bytes) -> StoredProgram:
    """Return what is in a file.

    Raises
    ------
    ValueError
        If it is not as it was written.
    """
    start = len(_BEGINNING) + _DIGEST_BYTES
    data = content[start:]
    if not content.startswith(_BEGINNING):
        raise ValueError("it begins as no program does")
    if content[len(_BEGINNING) : start] != _digest(data):
        raise ValueError("its checksum differs")
    graph = tf.compat.v1.GraphDef.FromString(data)
    *captures, last = graph.node
    about = json.loads(last.attr["about"].s)
    sources = tuple(
        int(node.attr["position"].i)
        if node.op == "Placeholder"
        else tf.constant(tf.make_ndarray(node.attr["value"].tensor))
        for node in captures
    )
    return StoredProgram(
        about["key"],
        tuple(graph.library.function),
        sources,
        about["structure"],
        tuple(about["labels"]),
        float(about["seconds"]),
    )


class MachineCode:
    """The files in which XLA keeps what it compiled of one program.

    XLA fails where such a file was damaged, and does not say which. So their checksums
    are noted, and looked at before XLA reads them.

    Parameters
    ----------
    key : str
        Key of the program's graph.
    """

    def __init__(self, key: str):
        self._folder = programs_folder()
        self._notes = None if self._folder is None else self._folder / f"{key}.code"
        self._before = self._files()

    def _files(self) -> set[str]:
        if self._folder is None:
            return set()
        with os.scandir(self._folder.parent) as entries:
            return {entry.name for entry in entries if entry.is_file()}

    def remove_damaged(self) -> None:
        """Delete files that are not as XLA wrote them, with a warning for each."""
        if self._folder is None or self._notes is None or not self._notes.exists():
            return
        lines = self._notes.read_text(encoding="ascii", errors="replace").splitlines()
        for line in lines:
            digest, _, name = line.partition(" ")
            path = self._folder.parent / Path(name).name
            if name in self._before and _digest(path.read_bytes()).hex() != digest:
                _remove_damaged(path, "its checksum differs")
                self._before.discard(name)

    def note(self) -> None:
        """Note the files that XLA wrote since this object was made."""
        if self._folder is None or self._notes is None:
            return
        new = sorted(self._files() - self._before)
        lines = [
            f"{_digest((self._folder.parent / name).read_bytes()).hex()} {name}\n"
            for name in new
        ]
        if lines:
            _write(self._notes, "".join(lines).encode("ascii"))


def _remove_damaged(path: Path, reason: str) -> None:
    """Delete a file and say so."""
    warn_user(
        f"The kept program in {str(path)!r} is damaged ({reason}). It is deleted, and "
        "compiled again. If that happens often, look for what else writes there."
    )
    try:
        path.unlink(missing_ok=True)
    except OSError:  # it is compiled nevertheless, and not kept
        pass


def _write(path: Path, content: bytes) -> None:
    """Write a file as a whole; other processes may do the same at once."""
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=path.name, suffix=".part", delete=False
        ) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:  # a full disk: there is nothing to load later, that is all
        return


def _file_of(folder: Path, signature: str) -> Path:
    name = hashlib.sha256(f"{signature}\n{_versions()}".encode()).hexdigest()[:40]
    return folder / f"{name}.program"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@functools.cache
def _versions() -> str:
    """Return what a trace depends on besides the plan: the code that makes it."""
    versions = [
        f"nengo_dl {__version__}",
        f"tensorflow {tf.__version__}",
        f"keras {metadata.version('keras')}",
        f"numpy {np.__version__}",
        f"nengo {nengo.__version__}",
    ]
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        facts = path.stat()
        name = path.relative_to(package).as_posix()
        versions.append(f"{name} {facts.st_size} {facts.st_mtime_ns}")
    return "\n".join(versions)
