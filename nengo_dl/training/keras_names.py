"""Losses and metrics of Keras by their names."""

from __future__ import annotations

from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.support.lazy_imports import keras

__all__ = ["keras_named"]


def keras_named(
    name: str,
    attribute: str,
    else_give: str = "'mse', a function f(output, target), None (targets are output "
    "gradients)",
) -> Any:
    """Return a loss or metric of Keras.

    Parameters
    ----------
    name : str
        What the user wrote.
    attribute : str
        The argument. Metrics can also be losses, but losses no metrics.
    else_give : str
        What else users may give, for the error message.

    Raises
    ------
    ValidationError
        If there is none of that name.
    """
    found = _loss(name)
    if found is None and attribute in ("metrics", "weighted_metrics"):
        found = _metric(name)
    if found is None:
        raise ValidationError(
            f"{name!r} is not known; use {else_give}, a Keras loss, or its name: "
            f"{', '.join(_names())}",
            attr=attribute,
        )
    return found


def _loss(name: str) -> Any:
    try:
        return keras.losses.get(name)
    except ValueError:
        return None


def _metric(name: str) -> Any:
    try:
        return keras.metrics.get(name)
    except ValueError:
        return None


def _names() -> list[str]:
    return [
        name
        for name in dir(keras.losses)
        if name.islower()
        and not name.startswith("_")
        and name not in ("deserialize", "get", "serialize")
        and _loss(name) is not None
    ]
