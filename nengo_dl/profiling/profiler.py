"""Records profiles of runs and of training."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nengo.exceptions import SimulationError, ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.profiling.timeline import PREFIX, make_timeline
from nengo_dl.profiling.xplane import read_space
from nengo_dl.support.lazy_imports import is_imported, tf

__all__ = ["DEFAULT_PATH", "ProfileOptions", "annotate", "check_profile", "recorded"]

#: Where a profile is written, in the working directory.
DEFAULT_PATH = "nengo_dl_profile.json_-1"

_OWN_OPTIONS = ("path", "table")
_LEVELS = ("host_tracer_level", "python_tracer_level", "device_tracer_level")


@dataclass(frozen=True)
class ProfileOptions:
    """How to record a profile.

    Attributes
    ----------
    path : Path
        File to write.
    table : bool
        Whether to print where the time went.
    tracer : dict of {str: int}
        Options of TensorFlow's profiler.
    """

    path: Path
    table: bool = False
    tracer: Mapping[str, Any] = field(default_factory=dict)


def check_profile(profile: Any) -> ProfileOptions | None:
    """Return the options of a profile, None for no profile.

    Parameters
    ----------
    profile : bool or dict
        What the user passed.

    Raises
    ------
    ValidationError
        If it is something else, an option is unknown or of the wrong kind, or the file
        cannot be written.
    """

    def refuse(message: str) -> ValidationError:
        return ValidationError(message, attr="profile")

    if profile is None or profile is False:
        return None
    known = [*_OWN_OPTIONS, *tf.profiler.experimental.ProfilerOptions._fields]
    if profile is True:
        profile = {}
    if not isinstance(profile, Mapping):
        raise refuse(
            "Must be True, False, or a dict with some of the options "
            f"{', '.join(known)} (got {type(profile).__name__})"
        )
    unknown = [name for name in profile if name not in known]
    if unknown:
        raise refuse(
            f"There is no option {', '.join(map(repr, unknown))}; the options are "
            f"{', '.join(known)}"
        )
    table = profile.get("table", False)
    if not isinstance(table, bool):
        raise refuse(f"'table' must be True or False (got {table!r})")
    tracer = {name: value for name, value in profile.items() if name in known[2:]}
    for name, value in tracer.items():
        optional = name not in _LEVELS and value is None
        if not optional and (
            not is_integer(value) or isinstance(value, bool) or value < 0
        ):
            raise refuse(f"{name!r} must be an integer of at least 0 (got {value!r})")
    path = profile.get("path", DEFAULT_PATH)
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise refuse(f"'path' must be the name of a file (got {path!r})")
    options = ProfileOptions(Path(path), table, tracer)
    _check_writable(options.path, refuse)
    return options


def _check_writable(path: Path, refuse: Callable[[str], Exception]) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise refuse(
            f"There is no folder {str(folder)!r} for the profile {path.name!r}; make "
            "it first"
        )
    if path.is_dir():
        raise refuse(f"The profile needs the name of a file; {str(path)!r} is a folder")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise refuse(f"Cannot write a profile to {str(folder)!r}: {error}") from error


@contextlib.contextmanager
def recorded(options: ProfileOptions | None, labels: Sequence[str]) -> Iterator[None]:
    """Record what happens within; nothing with None.

    Parameters
    ----------
    options : ProfileOptions or None
        How to record it.
    labels : sequence of str
        Scopes of the groups, to name kernels after.

    Raises
    ------
    SimulationError
        If TensorFlow's profiler is in use, or the file cannot be written.
    """
    if options is None:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.profiler.experimental.start(
                folder, tf.profiler.experimental.ProfilerOptions(**options.tracer)
            )
        except tf.errors.AlreadyExistsError as error:
            raise SimulationError(
                "Cannot record a profile: TensorFlow's profiler is recording already. "
                "Stop it first (tf.profiler.experimental.stop, or the profile_batch of "
                "a TensorBoard callback)"
            ) from error
        went_well = False
        try:
            yield
            went_well = True
        finally:
            tf.profiler.experimental.stop(save=went_well)
        data = b"".join(
            path.read_bytes() for path in sorted(Path(folder).rglob("*.xplane.pb"))
        )
    timeline = make_timeline(read_space(data), labels)
    path = options.path.absolute()
    # first to another name: a trace is there as a whole, or not at all
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8") as file:
                timeline.write(file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SimulationError(
            f"Cannot write the profile {str(path)!r}: {error}"
        ) from error
    if options.table:
        print(timeline.table())


def annotate(what: str) -> Any:
    """Return a context manager that shows as an event in profiles, if any.

    It takes less than a microsecond while nothing is recorded.
    """
    if not is_imported():
        return contextlib.nullcontext()
    return tf.profiler.experimental.Trace(PREFIX + what)
