"""Callable objects with variables, as pure functions; which kind code is of."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.builders.tensor_code.copies import seeded
from nengo_dl.builders.tensor_code.functions import (
    PlainFunction,
    TensorFunction,
)
from nengo_dl.builders.tensor_code.weights import Shape, Weight
from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["ObjectFunction", "make_function"]


def make_function(
    source: Any,
    shape_in: Shape | None,
    shape_out: Shape | None,
    pass_time: bool,
    label: str,
) -> TensorFunction:
    """Return TensorFlow code in the form that is simulated; see `TensorFunction`.

    Raises
    ------
    ValidationError
        If it is no TensorFlow code.
    """
    kind: type[TensorFunction] = PlainFunction
    if isinstance(source, keras.Layer):
        from nengo_dl.builders.tensor_code.keras_layers import KerasFunction

        kind = KerasFunction
    elif not callable(source) or inspect.isclass(source):
        raise ValidationError(
            "Must be a function, a Keras layer or model, or a callable object (got "
            f"{source!r})",
            attr="tensor_func",
        )
    elif _has_variables(source):
        kind = ObjectFunction
    if shape_in is None and not pass_time:
        raise ValidationError(
            f"{label} needs an input (shape_in or size_in), or pass_time=True; with "
            "neither, its function has no argument",
            attr="pass_time",
        )
    return kind(source, shape_in, shape_out, pass_time, label)


def _has_variables(source: Any) -> bool:
    if inspect.isroutine(source) or isinstance(
        source, functools.partial | tf.types.experimental.PolymorphicFunction
    ):
        return False
    return (
        hasattr(source, "build")
        or isinstance(source, tf.Module)
        or bool(_find_variables(source))
    )


class ObjectFunction(TensorFunction):
    """A callable object with variables of its own.

    In a call, the attributes of a copy hold tensors in the place of variables.
    """

    def prepare(self, dtype, batch):
        """Make a copy; the values of its variables do not matter."""
        if dtype not in self._copies:
            self._copies[dtype] = self._make_copy()

    def _weight_types(self):
        found = _find_variables(next(iter(self._copies.values())))
        return [(tuple(v.shape), v.dtype.as_numpy_dtype, None) for v in found.values()]

    def own_variables(self):
        """Return the variables of the object."""
        return _find_variables(self.source)

    def _own_weights(self, seed):
        """Return the variables that the object has, or makes when it is built."""
        with seeded(seed):
            found = _find_variables(self._make_copy())
        return [
            Weight(name, v.numpy(), v.trainable and v.dtype.is_floating)
            for name, v in found.items()
        ]

    def trained(self, values):
        """Return a copy of the object that has other values of its variables."""
        made = self._make_copy()
        variables = _find_variables(made).values()
        for variable, value in zip(variables, values, strict=False):
            variable.assign(value.astype(variable.dtype.as_numpy_dtype))
        return made

    def _make_copy(self) -> Any:
        try:
            made = copy.deepcopy(self.source)
        except Exception as error:
            raise self.error(
                "cannot be copied, which each simulator needs to have variables of "
                f"its own ({type(error).__name__}: {error})"
            ) from error
        if hasattr(made, "build") and not getattr(made, "built", False):
            shape = None if self.shape_in is None else (None, *self.shape_in)
            try:
                made.build(shape)
            except Exception as error:
                raise self.error(
                    f"failed in build({shape}): {type(error).__name__}: {error}"
                ) from error
        return made

    def _call(self, dtype, args, weights, training):
        made = self._copies[dtype]
        found = _find_variables(made)
        given = dict(zip(map(id, found.values()), weights, strict=True))
        with _replaced(made, given):
            return made(*args), []


def _find_variables(obj: Any) -> dict[str, tf.Variable]:
    """Return the variables among the attributes of an object, by their names."""
    found: dict[str, tf.Variable] = {}
    seen: set[int] = set()

    def visit(value: Any, name: str) -> None:
        if isinstance(value, tf.Variable):
            if id(value) not in seen:
                found[name] = value
            seen.add(id(value))
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                visit(inner, f"{name}[{key!r}]")
        elif isinstance(value, list | tuple):
            for number, inner in enumerate(value):
                visit(inner, f"{name}[{number}]")
        elif isinstance(value, tf.Module) and id(value) not in seen:
            seen.add(id(value))
            for key, inner in _attributes(value):
                visit(inner, f"{name}.{key}")

    seen.add(id(obj))
    for key, value in _attributes(obj):
        visit(value, key)
    return found


def _attributes(obj: Any) -> list[tuple[str, Any]]:
    """Return the attributes of an object, without those that TensorFlow adds."""
    return [
        (key, value)
        for key, value in getattr(obj, "__dict__", {}).items()
        if not key.startswith(("_self_", "_tf_", "_obj_reference"))
    ]


@contextlib.contextmanager
def _replaced(obj: Any, given: Mapping[int, tf.Tensor]) -> Iterator[None]:
    """Put tensors in the place of variables, for the length of a call."""
    undo: list[tuple[Any, str, Any]] = []
    seen: set[int] = set()

    def replace(value: Any) -> Any:
        if isinstance(value, tf.Variable):
            return given[id(value)]
        if isinstance(value, Mapping):
            return {key: replace(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            parts = [replace(inner) for inner in value]
            return tuple(parts) if isinstance(value, tuple) else parts
        if isinstance(value, tf.Module):
            visit(value)
        return value

    def visit(owner: Any) -> None:
        if id(owner) in seen:
            return
        seen.add(id(owner))
        for key, value in _attributes(owner):
            new = replace(value)  # and the attributes of modules in it
            if _holds_variables(value):
                undo.append((owner, key, value))
                object.__setattr__(owner, key, new)

    visit(obj)
    try:
        yield
    finally:
        for owner, key, value in undo:
            object.__setattr__(owner, key, value)


def _holds_variables(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_variables, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_variables, value))
    return isinstance(value, tf.Variable)
