"""Events as the values of an input in each time step."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer, is_number

__all__ = ["bin_events"]

#: Fields of events of a sensor that say where they are.
_PLACES = ("x", "y", "p")

#: Share of a step by which a time may be off for rounding.
_ROUNDING = 1e-6


def bin_events(
    events: Any,
    n_steps: int,
    size: int | tuple[int, int, int],
    dt: float = 0.001,
    unit: float | None = None,
    start: float = 0.0,
    value: float = 1.0,
    channels_last: bool = True,
    dtype: Any = "float32",
) -> np.ndarray:
    r"""Count the events of a recording in each time step, as values for an input.

    Parameters
    ----------
    events : ndarray or list of array_like or tuple of array_like
        One recording, in one of these forms:

        - a structured array with a field ``t``, and any of the fields ``x``, ``y`` and
          ``p`` (the layout of the package ``tonic``);
        - a list with the times of each neuron, as `spike_times` returns it;
        - a tuple ``(neurons, times)``, or an array of shape ``(n_events, 2)`` with a
          neuron and a time in each row.
    n_steps : int
        Number of time steps.
    size : int or tuple of int
        Number of neurons; for structured arrays, the numbers of values that ``x``,
        ``y`` and ``p`` can have (``sensor_size`` in ``tonic``).
    dt : float
        Length of a time step, in seconds.
    unit : float, optional
        Length of the unit of time of the events, in seconds. Default: a microsecond for
        structured arrays, a second for others.
    start : float
        Time at which the first step begins, in the unit of the events. Events before
        it, and after the last step, are left out.
    value : float
        What an event adds to the value of its step. With ``1 / dt``, events have the
        size of spikes of Nengo's neurons.
    channels_last : bool
        Whether the axes of a step of a sensor are (y, x, p), as in images of
        `nengo.Convolution` by default, or (p, y, x).
    dtype : data-type
        Type of the result.

    Returns
    -------
    ndarray, shape (n_steps, n_values)
        Where ``n_values`` is ``size``, or the product of its numbers.

    Raises
    ------
    ValidationError
        If an argument has another form, or an event is outside of the given size.

    Notes
    -----
    Step :math:`k`, counted from 1, has the events with
    :math:`(k - 1) \, dt < t \le k \, dt`, as a step of Nengo's simulator ends at the
    time that it shows. An event at the very beginning belongs to the first step. This
    is the inverse of `spike_times`.

    Examples
    --------
    >>> times = [[0.002], [0.001, 0.003]]  # of two neurons
    >>> nengo_dl.bin_events(times, n_steps=3, size=2)
    array([[0., 1.],
           [1., 0.],
           [0., 1.]], dtype=float32)

    >>> kind = [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")]
    >>> events = np.array([(0, 1, 250, 1), (1, 0, 1900, 0)], dtype=kind)
    >>> frames = nengo_dl.bin_events(events, n_steps=2, size=(2, 2, 2))
    >>> frames.reshape(2, 2, 2, 2)[0, 1, 0]  # step, y, x
    array([0., 1.], dtype=float32)
    """
    sizes = _check_size(size)
    _check_numbers(n_steps, dt, unit, start, value)
    is_sensor = isinstance(events, np.ndarray) and events.dtype.names is not None
    if is_sensor:
        where, times = _of_sensor(events, sizes, channels_last)
    else:
        where, times = _of_neurons(events, sizes)
    if not np.isfinite(times).all():
        raise ValidationError("has times that are not finite", attr="events")
    seconds = (1e-6 if is_sensor else 1.0) if unit is None else unit
    ends = (times.astype(float) - start) * (seconds / dt)
    steps = np.ceil(ends - _ROUNDING).astype(np.int64) - 1
    steps[(steps == -1) & (ends >= -_ROUNDING)] = 0  # at the very beginning
    kept = (steps >= 0) & (steps < n_steps)
    n_values = int(np.prod(sizes))
    found = np.zeros((n_steps, n_values), dtype=dtype)
    np.add.at(found, (steps[kept], where[kept]), value)
    return found


def _check_size(size: Any) -> tuple[int, ...]:
    sizes = (size,) if is_integer(size) else size
    if (
        not isinstance(sizes, tuple | list)
        or len(sizes) not in (1, 3)
        or not all(is_integer(n) and n > 0 for n in sizes)
    ):
        raise ValidationError(
            "must be a number of neurons, or the numbers of values of x, y and p, such "
            f"as (34, 34, 2); got {size!r}",
            attr="size",
        )
    return tuple(int(n) for n in sizes)


def _check_numbers(n_steps: Any, dt: Any, unit: Any, start: Any, value: Any) -> None:
    if not is_integer(n_steps) or n_steps < 0:
        raise ValidationError(
            f"must be a number of steps; got {n_steps!r}", attr="n_steps"
        )
    for name, number in (("dt", dt), ("unit", unit)):
        if name == "unit" and number is None:
            continue
        if not is_number(number) or not 0 < number < np.inf:
            raise ValidationError(
                f"must be a number of seconds above 0; got {number!r}", attr=name
            )
    for name, number in (("start", start), ("value", value)):
        if not is_number(number) or not np.isfinite(number):
            raise ValidationError(f"must be a finite number; got {number!r}", attr=name)


def _of_sensor(
    events: np.ndarray, sizes: tuple[int, ...], channels_last: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places and times of events with named fields."""
    names = events.dtype.names or ()
    places = [name for name in _PLACES if name in names]
    if events.ndim != 1 or "t" not in names or not places:
        raise ValidationError(
            "must be a list of events with the fields t, and x, y or p; got the shape "
            f"{events.shape} and the fields {', '.join(names)}",
            attr="events",
        )
    if len(sizes) == 1:
        if places != ["x"]:
            raise ValidationError(
                f"must have numbers for x, y and p, since events have the fields "
                f"{', '.join(places)}; got {sizes[0]}",
                attr="size",
            )
        sizes = (*sizes, 1, 1)
    found = {}
    for name, n_values in zip(_PLACES, sizes, strict=True):
        # recordings of sound have polarities that are all 1, in a place for one
        only = name not in names or (name == "p" and n_values == 1)
        index = np.zeros(len(events)) if only else events[name]
        found[name] = _check_places(index, n_values, name)
    order = ("y", "x", "p") if channels_last else ("p", "y", "x")
    shape = [sizes[_PLACES.index(name)] for name in order]
    where = np.ravel_multi_index([found[name] for name in order], shape)
    return where, events["t"]


def _of_neurons(events: Any, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the neurons and times of events that are given by neuron."""
    if len(sizes) != 1:
        raise ValidationError(
            "must be one number, of neurons, for events without the fields x, y and p; "
            f"got {sizes}",
            attr="size",
        )
    try:
        if isinstance(events, tuple) and len(events) == 2:
            neurons, times = (np.asarray(part, dtype=float) for part in events)
        elif isinstance(events, np.ndarray) and events.shape[1:] == (2,):
            neurons, times = events.astype(float).T
        elif isinstance(events, list):
            by_neuron = [np.asarray(part, dtype=float).ravel() for part in events]
            counts = [len(part) for part in by_neuron]
            neurons = np.repeat(np.arange(len(events)), counts)
            times = np.concatenate([np.zeros(0), *by_neuron])
        else:
            raise TypeError
        if neurons.ndim != 1 or neurons.shape != times.shape:
            raise ValueError
    except (TypeError, ValueError):
        shape = f" of shape {events.shape}" if isinstance(events, np.ndarray) else ""
        raise ValidationError(
            "must be a structured array, a list with the times of each neuron, a tuple "
            "(neurons, times) of equal lengths, or an array of shape (n_events, 2); "
            f"got {type(events).__name__}{shape}",
            attr="events",
        ) from None
    if isinstance(events, list) and len(events) > sizes[0]:
        raise ValidationError(
            f"has times of {len(events)} neurons, more than the size of {sizes[0]}",
            attr="events",
        )
    return _check_places(neurons, sizes[0], "neuron"), times


def _check_places(places: Any, n_values: int, name: str) -> np.ndarray:
    found = np.asarray(places).astype(np.int64)
    wrong = (found != places) | (found < 0) | (found >= n_values)
    if wrong.any():
        number = int(np.flatnonzero(wrong)[0])
        raise ValidationError(
            f"has {name} = {places[number]} in event {number}; must be a whole number "
            f"from 0 to {n_values - 1}",
            attr="events",
        )
    return found
