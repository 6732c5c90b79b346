"""Which class converts which type of layer: one row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.support.lazy_imports import keras

__all__ = ["find_row", "register"]

Row = type[LayerConverter]

_ROWS: dict[type, Row] = {}


def register(*layer_types: type) -> Callable[[Row], Row]:
    """Return a decorator that makes a class the converter of types of layers.

    Parameters
    ----------
    *layer_types : type
        Subclasses of `keras.Layer`. Their own subclasses are not converted by it, since
        they may compute something else.

    Raises
    ------
    ValidationError
        If one is not a layer type, or already has a converter.
    """
    for layer_type in layer_types:
        if not isinstance(layer_type, type) or not issubclass(layer_type, keras.Layer):
            raise ValidationError(
                f"Must be a subclass of keras.Layer (got {layer_type!r})",
                attr="layer_type",
            )

    def decorate(row: Row) -> Row:
        for layer_type in layer_types:
            if layer_type in _ROWS:
                raise ValidationError(
                    f"{layer_type.__name__} is converted by "
                    f"{_ROWS[layer_type].__name__} already; make a subclass of "
                    f"{layer_type.__name__} for layers that are converted differently",
                    attr="layer_type",
                )
            _ROWS[layer_type] = row
        return row

    return decorate


def find_row(layer: Any) -> Row | None:
    """Return the class that converts a layer; None if there is none."""
    return _ROWS.get(type(layer))
