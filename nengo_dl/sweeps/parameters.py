"""What users may pass as the parameters of a sweep, in one form."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

__all__ = ["combinations"]


def combinations(parameters: Any) -> list[dict[str, Any]]:
    """Return the arguments of each call.

    Parameters
    ----------
    parameters : mapping or iterable of mapping
        A mapping of sequences stands for the grid of all combinations, of which the
        last name varies fastest; otherwise, one mapping for each call.

    Raises
    ------
    ValidationError
        If it has another form, or there is nothing to do.
    """
    if isinstance(parameters, Mapping):
        for name, values in parameters.items():
            if isinstance(values, str) or not isinstance(
                values, Sequence | np.ndarray | range
            ):
                raise ValidationError(
                    f"The values of {name!r} must be a sequence such as a list (got "
                    f"{type(values).__name__}); for one value, write [{values!r}]",
                    attr="parameters",
                )
        found = [
            dict(zip(parameters, values, strict=True))
            for values in itertools.product(*parameters.values())
        ]
    elif isinstance(parameters, Iterable) and not isinstance(parameters, str):
        found = []
        for number, given in enumerate(parameters):
            if not isinstance(given, Mapping):
                raise ValidationError(
                    f"Must be a dict of lists, or a list of dicts (number {number} is "
                    f"{type(given).__name__})",
                    attr="parameters",
                )
            found.append(dict(given))
    else:
        raise ValidationError(
            f"Must be a dict of lists, or a list of dicts (got {parameters!r})",
            attr="parameters",
        )
    if not found or not all(found):
        raise ValidationError("There are no parameters", attr="parameters")
    for given in found:
        for name in given:
            if not (isinstance(name, str) and name.isidentifier()):
                raise ValidationError(
                    f"Names of parameters must be those of arguments (got {name!r})",
                    attr="parameters",
                )
    return found
