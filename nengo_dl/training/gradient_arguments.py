"""The forms in which ``check_gradients`` may be called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nengo.utils.numpy import is_number

__all__ = ["gradient_arguments"]

_ATOL, _RTOL = 1e-5, 1e-3


def gradient_arguments(
    given: Sequence[Any], inputs: Any, atol: Any, rtol: Any
) -> tuple[Any, Any, Any, Any]:
    """Return arguments of ``check_gradients`` by their meaning.

    Parameters
    ----------
    given : sequence
        Arguments by position: ``(outputs, atol, rtol)``, or ``(inputs, outputs, atol,
        rtol)``.
    inputs, atol, rtol : object
        Arguments by name, None where there is none.

    Returns
    -------
    tuple
        Inputs, outputs, and the two tolerances.

    Raises
    ------
    TypeError
        If there are too many arguments, or one comes twice.
    """
    first, *rest = given
    is_input = isinstance(first, Mapping | np.ndarray)
    if is_input or (rest and not is_number(rest[0])):
        if inputs is not None:
            raise TypeError("check_gradients() got inputs twice")
        inputs, first = first, rest.pop(0) if rest else None
    tolerances = {"atol": atol, "rtol": rtol}
    if len(rest) > len(tolerances):
        raise TypeError(
            "check_gradients() takes outputs, atol and rtol, or inputs, outputs, atol "
            f"and rtol by position; there are {len(rest) - 2} more"
        )
    for name, value in zip(tolerances, rest, strict=False):
        if tolerances[name] is not None:
            raise TypeError(f"check_gradients() got {name} twice")
        tolerances[name] = value
    atol, rtol = tolerances["atol"], tolerances["rtol"]
    return (
        inputs,
        first,
        _ATOL if atol is None else atol,
        _RTOL if rtol is None else rtol,
    )
