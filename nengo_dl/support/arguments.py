"""Checks of what users pass to the simulator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer, is_number

from nengo_dl.setting_kinds import floating_dtype
from nengo_dl.support.lazy_imports import keras, tf

__all__ = [
    "check_device",
    "check_dtype",
    "check_extra_feeds",
    "check_feeds",
    "check_flag",
    "check_positive",
    "check_seconds",
    "check_seed",
    "objects_named",
    "says_how_many",
    "temporary_values",
]


#: Longest time that is taken for one: of longer ones, single precision knows no more.
_MOST_SECONDS = 1e9


def check_dtype(dtype: Any) -> np.dtype:
    """Return the NumPy type of a precision argument.

    Parameters
    ----------
    dtype : tf.DType or str or numpy.dtype or type
        float32 or float64 in any of their forms; ``"mixed_bfloat16"``, whose values are
        float32.

    Raises
    ------
    ValidationError
        If it is any other type.
    """
    found = floating_dtype(dtype)
    if found is None:
        raise ValidationError(
            f"Must be tf.float32, tf.float64 or 'mixed_bfloat16' (got {dtype!r})",
            attr="dtype",
        )
    return found


def check_device(device: str | None) -> str | None:
    """Return a device name if TensorFlow has such a device.

    Parameters
    ----------
    device : str or None
        Such as ``"/cpu:0"``.

    Raises
    ------
    ValidationError
        If there is no such device; the message lists those that exist.
    """
    if device is None:
        return None
    if isinstance(device, list | tuple):
        raise ValidationError(
            f"A simulator has one device (got {len(device)}). For training on several, "
            "start a process for each, with nengo_dl.Workers() in the script: "
            "python -m nengo_dl.launch --workers "
            f"{len(device)} script.py; for many items, see nengo_dl.run_items",
            attr="device",
        )
    if device == "/cpu:0":  # there always is, and TensorFlow need not be asked
        return "/device:CPU:0"
    existing = [found.name for found in tf.config.list_logical_devices()]
    short = [name.replace("/device:", "/") for name in existing]
    wanted = str(device).lower().replace("/device:", "/")
    if not wanted.startswith("/"):
        wanted = "/" + wanted
    if ":" not in wanted:
        wanted += ":0"
    if not isinstance(device, str) or wanted not in [name.lower() for name in short]:
        raise ValidationError(
            f"There is no device {device!r}; TensorFlow finds {', '.join(short)}",
            attr="device",
        )
    return existing[[name.lower() for name in short].index(wanted)]


def check_positive(
    value: Any, name: str, least: int = 1, most: int | None = None
) -> int:
    """Return an integer argument.

    Parameters
    ----------
    value : int
        The argument.
    name : str
        Its name, for the error message.
    least, most : int
        Smallest and largest value that is allowed.

    Raises
    ------
    ValidationError
        If it is not an integer, too small or too large.
    """
    if not is_integer(value) or isinstance(value, bool) or value < least:
        raise ValidationError(
            f"Must be an integer of at least {least} (got {value!r})", attr=name
        )
    if most is not None and value > most:
        raise ValidationError(f"Must be at most {most} (got {value!r})", attr=name)
    return int(value)


@overload
def check_flag(value: Any, name: str, or_none: Literal[False] = False) -> bool: ...


@overload
def check_flag(value: Any, name: str, or_none: bool) -> bool | None: ...


def check_flag(value: Any, name: str, or_none: bool = False) -> bool | None:
    """Return an argument that is True or False.

    Parameters
    ----------
    value : bool
        The argument.
    name : str
        Its name, for the error message.
    or_none : bool
        Whether None is allowed.

    Raises
    ------
    ValidationError
        If it is something else.
    """
    if value is None and or_none:
        return None
    if not isinstance(value, bool | np.bool_):
        known = "True, False or None" if or_none else "True or False"
        raise ValidationError(f"Must be {known} (got {value!r})", attr=name)
    return bool(value)


def check_seconds(value: Any, name: str) -> float:
    """Return a length of time that must be above zero.

    Parameters
    ----------
    value : float
        The argument, in seconds.
    name : str
        Its name, for the error message.

    Raises
    ------
    ValidationError
        If it is not a number above zero, or absurdly large.
    """
    fine = is_number(value) and not isinstance(value, bool | np.bool_)
    if not fine or not 0 < value <= _MOST_SECONDS:
        raise ValidationError(
            "Must be a number of seconds above 0, and at most "
            f"{_MOST_SECONDS:g} (got {value!r})",
            attr=name,
        )
    return float(value)


def check_seed(seed: Any) -> int:
    """Return a seed of random streams.

    Parameters
    ----------
    seed : int
        The argument.

    Raises
    ------
    ValidationError
        If it is not an integer of 32 bits, without sign.
    """
    if not is_integer(seed) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValidationError(
            f"Must be an integer from 0 to 2**32 - 1 (got {seed!r})", attr="seed"
        )
    return int(seed)


def check_feeds(
    feeds: Mapping[nengo.Node, Any] | None,
    signals: Mapping[nengo.Node, Signal],
    n_steps: int,
    minibatch_size: int,
) -> dict[Signal, np.ndarray]:
    """Return the values that replace the outputs of input nodes.

    Parameters
    ----------
    feeds : mapping of {Node or str: array_like} or None
        By node or label, values of shape ``(minibatch_size or 1, n_steps,
        node.size_out)``.
    signals : mapping of {Node: Signal}
        The nodes that can be replaced.
    n_steps, minibatch_size : int
        Expected lengths of the first two axes.

    Returns
    -------
    dict of {Signal: ndarray, shape (n_steps, minibatch_size or 1, size_out)}
        Values by signal.

    Raises
    ------
    ValidationError
        If a key is not an input node, or values are not numbers of the right shape.
    """
    if feeds is None:
        return {}
    if not isinstance(feeds, Mapping):
        raise ValidationError(
            f"Must be a dict of {{Node: ndarray}} (got {type(feeds).__name__})",
            attr="input_feeds",
        )
    result = {}
    for key, values in feeds.items():
        found = objects_named(key, signals, "node")
        if len(found) != 1:
            raise ValidationError(
                f"{key!r} is not an input node of the simulated network: keys must be "
                "Node objects with an output, to which nothing is connected, or their "
                f"labels{says_how_many(found)}",
                attr="input_feeds",
            )
        node = found[0]
        signal = signals[node]
        array = _as_numbers(values, f"Values for {node}", "input_feeds")
        expected = (minibatch_size, n_steps, node.size_out)
        if (
            array.ndim != 3
            or array.shape[0] not in (1, minibatch_size)
            or array.shape[1:] != expected[1:]
        ):
            raise ValidationError(
                f"Values for {node} must have shape (minibatch_size, n_steps, "
                f"size_out) = {expected} (got {array.shape})",
                attr="input_feeds",
            )
        result[signal] = np.moveaxis(array, 1, 0)
    return result


def objects_named(
    key: Any, objects: Iterable[Any], kind: str | None = None
) -> list[Any]:
    """Return the objects that a key stands for: itself, or those with a label.

    Parameters
    ----------
    key : object or str
        What the user passed.
    objects : iterable
        Objects of the simulated network.
    kind : str, optional
        Objects without a label are called this, and with numbers from 1 behind it
        (``node``, ``node_1``), in the order of their definition.
    """
    if isinstance(key, str):
        found = [obj for obj in objects if getattr(obj, "label", None) == key]
        if found or kind is None:
            return found
        unlabelled = [obj for obj in objects if getattr(obj, "label", None) is None]
        names = [kind if n == 0 else f"{kind}_{n}" for n in range(len(unlabelled))]
        return [o for o, name in zip(unlabelled, names, strict=True) if name == key]
    return [obj for obj in objects if obj is key]


def says_how_many(found: Sequence[Any]) -> str:
    """Return what to add to an error if a label is not unique."""
    return f" ({len(found)} have this label)" if found else ""


def check_extra_feeds(
    feeds: Mapping[tf.Variable, Any],
) -> list[tuple[tf.Variable, np.ndarray]]:
    """Return variables with the values that they are to have for a while.

    Parameters
    ----------
    feeds : mapping of {tf.Variable: array_like}
        Values of the variables' shapes.

    Raises
    ------
    ValidationError
        If a key is not a variable, or a value is not an array of its shape.
    """
    if not isinstance(feeds, Mapping):
        raise ValidationError(
            f"Must be a dict of {{variable.ref(): ndarray}} (got "
            f"{type(feeds).__name__})",
            attr="extra_feeds",
        )
    result = []
    # variables themselves cannot be keys of a dict, their references can
    for key, values in feeds.items():
        variable = key.deref() if hasattr(key, "deref") else key
        if isinstance(variable, keras.Variable):
            variable = variable.value
        if not isinstance(variable, tf.Variable):
            raise ValidationError(
                "Keys must be tf.Variable objects, or variable.ref() of one (got "
                f"{type(variable).__name__})",
                attr="extra_feeds",
            )
        array = _as_numbers(values, f"Values for {variable.name}", "extra_feeds")
        if array.shape != tuple(variable.shape):
            raise ValidationError(
                f"Values for {variable.name} must have shape {tuple(variable.shape)} "
                f"(got {array.shape})",
                attr="extra_feeds",
            )
        result.append((variable, array.astype(variable.dtype.as_numpy_dtype)))
    return result


@contextlib.contextmanager
def temporary_values(
    values: Sequence[tuple[tf.Variable, np.ndarray]],
) -> Iterator[None]:
    """Give variables other values within a context.

    Parameters
    ----------
    values : sequence of (tf.Variable, ndarray)
        Variables and their values.
    """
    before = [(variable, variable.numpy()) for variable, _ in values]
    try:
        for variable, value in values:
            variable.assign(value)
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def _as_numbers(values: Any, what: str, attr: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValidationError(
            f"{what} must be an array of numbers, with all items and steps of one "
            f"shape ({error})",
            attr=attr,
        ) from error
    if array.dtype.kind not in "biuf":
        raise ValidationError(
            f"{what} must be real numbers (got an array of {array.dtype})", attr=attr
        )
    return array
