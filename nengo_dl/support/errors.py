"""Validation errors that say of which object they are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar, cast

from nengo.exceptions import ValidationError

__all__ = ["ErrorsOf", "errors_of_self"]

_S = TypeVar("_S")
_P = ParamSpec("_P")
_R = TypeVar("_R")


class ErrorsOf:
    """A context whose validation errors are errors of an object.

    What is called in it knows which argument is wrong, but not of whom. So it leaves
    ``obj`` of `nengo.exceptions.ValidationError` out; an ``obj`` that is there stays.

    Parameters
    ----------
    obj : object
        The message begins with the name of its class.
    """

    def __init__(self, obj: object):
        self.obj = obj

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Name the object, if there is an error that names none."""
        if isinstance(error, ValidationError) and error.obj is None:
            error.obj = self.obj


def errors_of_self(
    method: Callable[Concatenate[_S, _P], _R],
) -> Callable[Concatenate[_S, _P], _R]:
    """Return a method whose validation errors are errors of the object it is called of.

    Parameters
    ----------
    method : callable
        The method; see `ErrorsOf`.
    """

    @functools.wraps(method)
    def wrapped(self: _S, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with ErrorsOf(self):
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[_S, _P], _R]", wrapped)
