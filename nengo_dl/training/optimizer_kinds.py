"""What is known of optimizers: which work element by element, and which are equal."""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["keras_names", "optimizer_key", "remember_names", "sees_variables"]

#: These change each element by its own gradient alone, so that it does not matter how
#: elements are divided among variables.
_BY_ELEMENT = (
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lion",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
)
#: Optimizers of the first version of TensorFlow that do so too.
_BY_ELEMENT_V1 = (
    "AdadeltaOptimizer",
    "AdagradDAOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "FtrlOptimizer",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "ProximalAdagradOptimizer",
    "ProximalGradientDescentOptimizer",
    "RMSPropOptimizer",
)
#: Where Keras keeps what `exclude_from_weight_decay` was told; it has no way to ask.
#: A test compares with Keras, and tells if they move.
_EXCLUDED = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")


def keras_names() -> list[str]:
    """Return the names of Keras's optimizers."""
    return sorted(
        name
        for name, kind in vars(keras.optimizers).items()
        if isinstance(kind, type)
        and issubclass(kind, keras.optimizers.Optimizer)
        and kind is not keras.optimizers.Optimizer
    )


def sees_variables(optimizer: Any) -> bool:
    """Whether it matters to an optimizer which elements are one variable.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer
        Any; of classes that are not known it is assumed.
    """
    if isinstance(optimizer, tf.compat.v1.train.Optimizer):
        known = [getattr(tf.compat.v1.train, name) for name in _BY_ELEMENT_V1]
        return type(optimizer) not in known
    inner = getattr(optimizer, "inner_optimizer", None)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return sees_variables(inner)
    names = [name for name in _BY_ELEMENT if hasattr(keras.optimizers, name)]
    if type(optimizer) not in [getattr(keras.optimizers, name) for name in names]:
        return True
    return bool(
        optimizer.clipnorm
        or optimizer.use_ema
        or any(getattr(optimizer, name, None) for name in _EXCLUDED)
    )


def remember_names(optimizer: Any, variables: Sequence[keras.Variable]) -> None:
    """Let an optimizer find out which variables it excludes from weight decay.

    It would look at the names of TensorFlow's variables later, of which many have the
    same, and keeps what it finds now. There is no public way; a test tells if this one
    ends.
    """
    for part in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        decays = getattr(part, "_use_weight_decay", None)
        if decays is not None and getattr(part, _EXCLUDED[1], None) is not None:
            for variable in variables:
                decays(variable)


def optimizer_key(optimizer: Any) -> Hashable | None:
    """Return a key that is equal for optimizers that compute the same.

    What they remember, and a learning rate that is a number, are variables, and may
    differ. There is none (None) where the class or an option is not Keras's own.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer
        Any.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return None
    try:
        with warnings.catch_warnings():
            # of functions that no file should hold; this is none
            warnings.simplefilter("ignore")
            config = keras.optimizers.serialize(optimizer)
        if any(not _is_from_keras(part) for part in _parts(config)):
            return None
        text = json.dumps(_without_values(config), sort_keys=True)
    except (TypeError, ValueError, NotImplementedError):
        return None
    return text, *(
        _excluded(part)
        for part in (optimizer, getattr(optimizer, "inner_optimizer", None))
    )


def _excluded(optimizer: Any) -> Hashable:
    ids, pattern = (getattr(optimizer, name, None) for name in _EXCLUDED)
    return frozenset(ids or ()), getattr(pattern, "pattern", None)


def _parts(config: Any) -> Iterator[dict]:
    """Yield what describes an object, at any depth."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _parts(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _parts(value)


def _is_from_keras(config: dict) -> bool:
    module = config.get("module") or ""
    return module.partition(".")[0] == "keras" and not config.get("registered_name")


def _without_values(config: Any) -> Any:
    """Return a configuration without learning rates, which are variables, and names."""
    if isinstance(config, dict):
        return {
            key: None
            if (key == "learning_rate" and isinstance(value, float)) or key == "name"
            else _without_values(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return [_without_values(value) for value in config]
    return config
