"""Keeping what XLA compiled in a folder, for the processes that follow.

TensorFlow can do that, but reads the name of the folder only once, when it is imported.
So this module does without it, and `nengo_dl` imports it when it is first needed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import nengo.utils.paths
from nengo.exceptions import ValidationError

from nengo_dl.support.processor import n_cores
from nengo_dl.support.user_warnings import warn_user

__all__ = [
    "CACHE_VARIABLE",
    "advice_on_damage",
    "cache_compiled",
    "keep_in",
    "programs_folder",
    "use_environment",
    "where_kept",
]

#: The environment variable that keeps programs without any code.
CACHE_VARIABLE = "NENGO_DL_CACHE"

#: Where traced functions are, in the folder where XLA keeps machine code.
_PROGRAMS = "programs"

#: What TensorFlow reads its flags from, and the flag for the folder.
_VARIABLE = "TF_XLA_FLAGS"
_FLAG = "--tf_xla_persistent_cache_directory"
_GIVEN = re.compile(rf"""{_FLAG}=(?:"([^"]*)"|'([^']*)'|(\S*))""")


def cache_compiled(folder: str | os.PathLike | None = None) -> Path:
    """Keep what is compiled in a folder, from which later processes load it.

    Call this right after ``import nengo_dl``, before anything imports TensorFlow. The
    first run of the next process then takes half as long, or less.

    Parameters
    ----------
    folder : str or os.PathLike, optional
        Is made if there is none. Default: ``compiled``, in the folder of Nengo's
        caches.

    Returns
    -------
    pathlib.Path
        The folder within it for this version of TensorFlow and this kind of machine.
        One folder can therefore serve several machines.

    Raises
    ------
    ValidationError
        If the folder cannot be made or written to, or if TensorFlow was imported
        before.

    Notes
    -----
    Everything that the process compiles with XLA is kept: simulations, training, and
    functions of yours. A simulation is found again by any script, whatever it made
    before, and whatever the seeds and parameters of the network are (as within a
    process, see `nengo_dl.programs`); it is not traced either. Training is found if it
    is the same down to the names that Keras numbers, and functions of yours by a script
    that is run again. What was loaded computes the same numbers as what was compiled.

    Nothing is deleted here; a network takes about 0.3 MB. Files are written as a whole.
    Those that were damaged since are deleted and made again, with a warning that names
    them. Code in the folder is run as it is, so it should be as private as your
    programs are.

    The environment variable ``NENGO_DL_CACHE`` does the same without code: it is the
    path of the folder, and read by ``import nengo_dl``.

    The setting is a flag in the environment variable ``TF_XLA_FLAGS``. Others in it are
    kept, and processes that this one starts inherit them.

    Examples
    --------
    >>> import nengo_dl
    >>> nengo_dl.cache_compiled("~/.cache/nengo_dl")  # doctest: +SKIP
    PosixPath('/home/me/.cache/nengo_dl/2.21.0-x86_64-1f0c2a...')
    """
    place = _place(folder)
    if "tensorflow" in sys.modules and where_kept() != place:
        raise ValidationError(
            "TensorFlow was already imported, and chooses its cache folder when it is "
            "imported. Call nengo_dl.cache_compiled right after 'import nengo_dl', "
            "before TensorFlow or Keras is imported and before any simulator is made; "
            f"or start Python with {_VARIABLE}={_FLAG}=FOLDER",
            attr="folder",
        )
    return keep_in(folder)


def keep_in(folder: str | os.PathLike | None) -> Path:
    """Have processes that are started, and import TensorFlow, use a folder.

    Parameters
    ----------
    folder : str or os.PathLike or None
        As for `cache_compiled`.

    Returns
    -------
    pathlib.Path
        The folder within it that is used.

    Raises
    ------
    ValidationError
        If the folder cannot be made or written to.
    """
    place = _place(folder)
    try:
        (place / _PROGRAMS).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValidationError(
            f"Cannot write into {str(place)!r}: {error.strerror}. Choose a folder that "
            "can be made and written to",
            attr="folder",
        ) from error
    rest = " ".join(_GIVEN.sub("", _flags()).split())
    os.environ[_VARIABLE] = f'{rest} {_FLAG}="{place}"'.strip()
    return place


def where_kept() -> Path | None:
    """Return the folder that TensorFlow is told to use, if it is told to use one."""
    found = _GIVEN.findall(_flags())
    return Path("".join(found[-1])) if found else None


def programs_folder() -> Path | None:
    """Return the folder for traced functions, if `cache_compiled` made one."""
    place = where_kept()
    folder = None if place is None else place / _PROGRAMS
    return folder if folder is not None and folder.is_dir() else None


def use_environment() -> None:
    """Do what `cache_compiled` does if the environment variable asks for it.

    Called when the package is imported.
    """
    folder = os.environ.get(CACHE_VARIABLE, "")
    if not folder:
        return
    if "tensorflow" in sys.modules and where_kept() != _place(folder):
        warn_user(
            f"TensorFlow was imported before nengo_dl, so the environment variable "
            f"{CACHE_VARIABLE} has no effect: nothing is kept in {folder!r}. Import "
            "nengo_dl first."
        )
        return
    keep_in(folder)


def advice_on_damage() -> str:
    """Return what to add to the message of a failure of TensorFlow; often nothing."""
    place = where_kept()
    if place is None:
        return ""
    return (
        f". (Compiled programs are kept in {str(place)!r}; if a file there is damaged, "
        "delete the folder.)"
    )


def _flags() -> str:
    """Return the flags for TensorFlow's use of XLA, which may be in a file."""
    given = os.environ.get(_VARIABLE, "")
    if not given.strip() or given.lstrip().startswith("-"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError:  # TensorFlow has no flags then
        return ""


def _place(folder: str | os.PathLike | None) -> Path:
    """Return the folder for this version of TensorFlow and this kind of machine."""
    if folder is None:
        folder = Path(nengo.utils.paths.cache_dir) / "compiled"
    if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
        raise ValidationError(
            f"Must be the path of a folder (got {folder!r})", attr="folder"
        )
    facts = "\n".join(_machine()).encode()
    kind = f"{platform.machine()}-{hashlib.sha256(facts).hexdigest()[:12]}"
    place = Path(folder).expanduser().absolute() / f"{_tensorflow_version()}-{kind}"
    if '"' in str(place):
        raise ValidationError(
            f'Must not contain the character " (got {str(folder)!r})', attr="folder"
        )
    return place


def _tensorflow_version() -> str:
    """Return the version that is installed, without importing it."""
    try:
        return metadata.version("tensorflow")
    except metadata.PackageNotFoundError:
        # a build that is distributed under another name
        (name, *_) = metadata.packages_distributions()["tensorflow"]
        return metadata.version(name)


def _machine() -> list[str]:
    """Return what compiled code depends on: processor, cores, GPUs, XLA's flags."""
    # XLA divides work among the cores
    facts = [platform.system(), platform.processor(), str(n_cores())]
    facts.append(os.environ.get("XLA_FLAGS", ""))
    cpu = _lines("/proc/cpuinfo", ("vendor_id", "model name", "flags", "Features"))
    facts += dict.fromkeys(cpu) or [platform.version()]
    for card in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        facts += _lines(card, ("Model",))
    return [*facts, *_lines("/proc/driver/nvidia/version", ("NVRM",))]


def _lines(path: str | Path, beginnings: tuple[str, ...]) -> list[str]:
    """Return the lines of a file that begin in one of some ways; none without file."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.startswith(beginnings)]
