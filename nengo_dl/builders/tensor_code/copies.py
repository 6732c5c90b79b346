"""Copies of Keras layers: in another precision, for another number of items."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nengo_dl.support.lazy_imports import keras

__all__ = [
    "copy_layer",
    "generator_seeds",
    "inner_layers",
    "seeded",
    "untracked_variables",
]


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


def copy_layer(
    layer: keras.Layer, dtype: np.dtype | None, batch: int | None
) -> keras.Layer:
    """Return a new layer like another one, which was not called yet.

    Parameters
    ----------
    layer : keras.Layer
        A layer or model.
    dtype : numpy.dtype or None
        Floating point type in the place of the usual ones. None: as it is.
    batch : int or None
        Length of the first axis of inputs, for layers that need to know it.

    Returns
    -------
    keras.Layer
        Its weights have nothing to do with those of the first one.
    """
    config = keras.saving.serialize_keras_object(layer)
    config.pop("compile_config", None)
    if dtype is not None:
        config = _with_precision(config, dtype.name)
    if batch is not None:
        config = _with_batch(config, batch)
    return keras.saving.deserialize_keras_object(
        config, custom_objects=_classes(layer), safe_mode=False
    )


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


def _with_batch(config: Any, batch: int) -> Any:
    """Replace the number of items in the configuration of layers."""
    if isinstance(config, Mapping):
        found = {}
        for key, value in config.items():
            if key in ("build_config", "build_input_shape"):
                continue  # made of what the layer is called with
            if key in ("batch_shape", "batch_input_shape") and value:
                found[key] = [batch, *value[1:]]
            else:
                found[key] = _with_batch(value, batch)
        return found
    if isinstance(config, list):
        return [_with_batch(value, batch) for value in config]
    return config


def _classes(layer: Any) -> dict[str, type]:
    """Return the classes of a layer and of those in it, by name."""
    return {type(part).__name__: type(part) for part in reversed(inner_layers(layer))}


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Return a layer, and all layers in it."""
    return [part for part in _parts(layer) if isinstance(part, keras.Layer)]


def generator_seeds(layer: keras.Layer) -> dict[int, int | None]:
    """Return the seeds that random generators of a layer were given, or None.

    The keys are the identities of the variables that hold their states.
    """
    return {
        id(part.state): part.get_config()["seed"]
        for part in _parts(layer)
        if isinstance(part, keras.random.SeedGenerator)
    }


def untracked_variables(layer: keras.Layer) -> list[keras.Variable]:
    """Return variables that attributes of layers hold, but Keras does not list.

    The states of recurrent layers are such.
    """
    listed = {id(variable) for variable in layer.variables}
    return [
        part
        for part in _parts(layer)
        if isinstance(part, keras.Variable) and id(part) not in listed
    ]


def _parts(layer: keras.Layer) -> list[Any]:
    """Return a layer, and the layers, random generators and variables in it."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting: list[Any] = [layer]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set):
            waiting.extend(value)
        elif isinstance(value, keras.Layer):
            found.append(value)
            waiting.extend(getattr(value, "layers", ()))
            waiting.extend(vars(value).values())
        elif isinstance(value, keras.random.SeedGenerator):
            found.append(value)
            waiting.append(value.state)
        elif isinstance(value, keras.Variable):
            found.append(value)
    return found
