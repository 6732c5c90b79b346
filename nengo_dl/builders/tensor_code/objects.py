"""Keras layers and models, and objects with variables, as pure functions."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import ValidationError

from nengo_dl.builders.tensor_code.functions import (
    PlainFunction,
    Shape,
    TensorFunction,
    Weight,
    first_line,
)

__all__ = ["KerasFunction", "ObjectFunction", "make_function"]


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


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make initial values of Keras layers depend on a seed.

    Keras takes the seeds of initializers that have none from Python's random numbers;
    these continue afterwards as if nothing had been drawn.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


class KerasFunction(TensorFunction):
    """A Keras layer or model; its weights are those of `stateless_call`."""

    def __init__(self, *args, **kwargs):
        #: for each variable that is not trainable, whether a call in training sets it;
        #: others are frozen weights
        self._changes: list[bool] | None = None
        super().__init__(*args, **kwargs)

    def _takes_time(self):
        """Whether ``call`` has an argument for the time, besides the input."""
        parameters = inspect.signature(self.source.call).parameters.values()
        named = [
            p
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            and p.name not in ("training", "mask")
            and p.default is p.empty
        ]
        return len(named) > 1 or self.shape_in is None

    def prepare(self, dtype):
        """Make a copy that computes in this precision; its weights do not matter."""
        if dtype not in self._copies:
            with seeded(0):
                self._copies[dtype] = self._make_copy(dtype)
        if self._changes is None:
            self._changes = self._find_changes(dtype)

    def _find_changes(self, dtype: np.dtype) -> list[bool]:
        layer = self._copies[dtype]
        if not layer.non_trainable_variables:
            return []
        found: list[bool] = []

        def traced(t, x, weights):
            args = [arg for arg in (t, x) if arg is not None]
            variables = [*layer.trainable_variables, *layer.non_trainable_variables]
            _, after = _call_with(layer, variables, weights, args, True)
            found.extend(value is not None for value in after)
            return tf.constant(0)

        variables = [*layer.trainable_variables, *layer.non_trainable_variables]
        t = tf.TensorSpec((), dtype) if self.passes_time else None
        x = None
        if self.shape_in is not None:
            x = tf.TensorSpec((None, *self.shape_in), dtype)
        specs = [tf.TensorSpec(v.shape, v.dtype) for v in variables]
        tf.function(traced, autograph=False).get_concrete_function(t, x, specs)
        return found[len(layer.trainable_variables) :]

    def _ordered(self, layer: keras.Layer) -> list[tuple[keras.Variable, bool, bool]]:
        """Return variables, whether they are trainable, and whether they are state."""
        other = list(zip(layer.non_trainable_variables, self._changes, strict=True))
        return [
            *((v, True, False) for v in layer.trainable_variables),
            *((v, False, False) for v, changes in other if not changes),
            *((v, False, True) for v, changes in other if changes),
        ]

    def weights(self, seed):
        """Return the variables of the layer, or those of a copy if it has none yet."""
        dtype = np.dtype("float32")
        self.prepare(dtype)
        layer = self.source
        if not layer.built or len(layer.variables) != len(
            self._copies[dtype].variables
        ):
            with seeded(seed):
                layer = self._make_copy(None)
        found = self._ordered(layer)
        names = _unique_names([variable for variable, *_ in found], layer.name)
        return [
            Weight(name, v.numpy(), trains, is_state)
            for name, (v, trains, is_state) in zip(names, found, strict=True)
        ]

    def listed(self, n_weights):
        """Return the positions of Keras's weights, in the order of ``get_weights``."""
        layer = next(iter(self._copies.values()))
        positions = {id(v): n for n, (v, *_) in enumerate(self._ordered(layer))}
        return [positions[id(v)] for v in layer.weights if id(v) in positions]

    def trained(self, values):
        """Return a copy of the layer that has other weights."""
        self.prepare(np.dtype("float32"))
        layer = self._make_copy(None)
        if layer is self.source:
            raise self.error(
                "cannot be copied, so trained weights cannot be stored in the network. "
                "Give the class a method get_config that returns the arguments of its "
                "constructor"
            )
        for (variable, *_), value in zip(self._ordered(layer), values, strict=True):
            variable.assign(value.astype(tf.as_dtype(variable.dtype).as_numpy_dtype))
        return layer

    def _weight_types(self):
        layer = next(iter(self._copies.values()))
        return [
            (tuple(v.shape), tf.as_dtype(v.dtype).as_numpy_dtype)
            for v, *_ in self._ordered(layer)
        ]

    def _make_copy(self, dtype: np.dtype | None) -> keras.Layer:
        layer = self._uncalled_copy(dtype)
        if layer is self.source:
            return layer
        name = "float32" if dtype is None else dtype.name
        args = []
        if self.passes_time:
            args.append(keras.KerasTensor((), name))
        if self.shape_in is not None:
            args.append(keras.KerasTensor((None, *self.shape_in), name))
        try:
            layer(*args)  # makes the variables
        except Exception as error:
            raise self.error(
                f"cannot be called with input of shape {self.shape_in}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error
        return layer

    def _uncalled_copy(self, dtype: np.dtype | None) -> keras.Layer:
        try:
            config = keras.saving.serialize_keras_object(self.source)
            config.pop("compile_config", None)
            if dtype is not None:
                config = _with_precision(config, dtype.name)
            return keras.saving.deserialize_keras_object(
                config, custom_objects=_classes(self.source), safe_mode=False
            )
        except Exception as error:
            if self.source.built:
                # its variables are not used in a call, so it can do without a copy
                return self.source
            raise self.error(
                "cannot be copied, which each simulator needs to have weights of its "
                "own. Give the class a method get_config that returns the arguments of "
                "its constructor, or call the layer once so that it has its variables "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error

    def _call(self, dtype, args, weights, training):
        layer = self._copies[dtype]
        variables = [variable for variable, *_ in self._ordered(layer)]
        result, after = _call_with(layer, variables, weights, args, training)
        if tf.is_tensor(result) and result.dtype.is_floating:
            result = tf.cast(result, dtype)  # from a layer in another precision
        first = len(variables) - sum(self._changes)
        return result, [
            weight if new is None else new
            for weight, new in zip(weights[first:], after[first:], strict=True)
        ]


def _call_with(
    layer: keras.Layer,
    variables: Sequence[keras.Variable],
    values: Sequence[tf.Tensor],
    args: Sequence[tf.Tensor],
    training: bool,
) -> tuple[Any, list[tf.Tensor | None]]:
    """Call a layer with values in the place of its variables.

    Returns
    -------
    result : object
        What the layer returns.
    after : list of tf.Tensor or None
        New values of the variables, None for those that the call did not set.
    """
    with keras.StatelessScope(state_mapping=zip(variables, values)) as scope:
        given = [scope.get_current_value(variable) for variable in variables]
        result = layer(*args, training=training)
        after = [scope.get_current_value(variable) for variable in variables]
    return result, [
        None if new is old else new for new, old in zip(after, given, strict=True)
    ]


def _with_precision(config: Any, name: str) -> Any:
    """Replace single by double precision in the configuration of layers, or reversely.

    Other precisions were chosen on purpose.
    """
    names = ("float32", "float64")
    if isinstance(config, Mapping):
        if config.get("class_name") == "DTypePolicy":
            inner = config["config"]
            if inner.get("name") in names:
                inner = {**inner, "name": name}
            return {**config, "config": inner}
        return {
            key: name
            if key == "dtype" and isinstance(value, str) and value in names
            else _with_precision(value, name)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [_with_precision(value, name) for value in config]
    return config


def _classes(layer: Any) -> dict[str, type]:
    """Return the classes of a layer and of those in it, by name."""
    found = {type(layer).__name__: type(layer)}
    inner = [*getattr(layer, "layers", ()), getattr(layer, "layer", None)]
    for part in inner:
        if isinstance(part, keras.Layer):
            found.update(_classes(part))
    return found


def _unique_names(variables: list[keras.Variable], owner: str) -> list[str]:
    """Return paths of variables, without the name of the layer that owns them all."""
    names: list[str] = []
    for variable in variables:
        name = variable.path.removeprefix(f"{owner}/")
        while name in names:
            name += "_"
        names.append(name)
    return names


class ObjectFunction(TensorFunction):
    """A callable object with variables of its own.

    In a call, the attributes of a copy hold tensors in the place of variables.
    """

    def prepare(self, dtype):
        """Make a copy; the values of its variables do not matter."""
        if dtype not in self._copies:
            self._copies[dtype] = self._make_copy()

    def _weight_types(self):
        found = _find_variables(next(iter(self._copies.values())))
        return [(tuple(v.shape), v.dtype.as_numpy_dtype) for v in found.values()]

    def weights(self, seed):
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
        for variable, value in zip(variables, values, strict=True):
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
