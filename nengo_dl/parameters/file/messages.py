"""What messages show of a file: never much of it, and nothing that a terminal obeys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nengo.exceptions import ValidationError

__all__ = ["MOST_LISTED", "listed", "refusal", "shown"]

#: How many names an error message lists.
MOST_LISTED = 8

#: Most characters of one thing that a file says.
_MOST_CHARACTERS = 100


def shown(value: Any, quoted: bool = True) -> str:
    r"""Return a short text for something that a file says.

    Parameters
    ----------
    value : object
        A name, a number, or any other part of a header; an error about one.
    quoted : bool
        Whether a string gets quotes.

    Examples
    --------
    >>> from nengo_dl.parameters.file.messages import shown
    >>> print(shown("net.a\x1b[2J"), shown("a" * 1000)[-5:])
    'net.a\x1b[2J' ...a'
    """
    text = value if isinstance(value, str) else str(value)
    is_quoted = quoted and isinstance(value, str)
    # a huge text is cut before it is copied
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = f"{text[:half]}...{text[-half:]}"
    escaped = repr(text)
    if is_quoted:
        return escaped
    return text if escaped[1:-1] == text else escaped


def listed(names: Iterable[str]) -> str:
    """Return some names for a message, and how many more there are."""
    names = list(names)
    more = len(names) - MOST_LISTED
    text = ", ".join(shown(name) for name in names[:MOST_LISTED])
    return f"{text} and {more} more" if more > 0 else text


def refusal(path: Path, reason: str, hint: str = "") -> ValidationError:
    """Return the error to raise for a file that cannot be loaded."""
    return ValidationError(
        f"Cannot load from '{path}': {reason}. Nothing was changed{hint}", attr="path"
    )
