"""An array of which only the values that are not zero are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["EventArray"]


class EventArray(NDArrayOperatorsMixin):
    """What a probe with the setting ``sparse_events`` recorded.

    You can use it like the array that it represents. Indexing and slicing convert only
    the selected part to an array; ``sum`` and ``mean`` convert nothing. All other
    functions of NumPy convert it to an array of all steps first.

    Parameters
    ----------
    positions : (n_events,) ndarray of int64
        Positions ``(step * n_items + item) * n_values + value``, ascending.
    values : () or (n_events,) ndarray
        Value of each event, or a single value if all are equal.
    n_steps : int
        Number of recorded steps.
    n_items : int or None
        Length of the batch axis; None if there is none.
    value_shape : tuple of int
        Shape of the recorded value of a step.
    dtype : numpy.dtype
        Type of the array.

    Attributes
    ----------
    shape : tuple of int
        ``(n_steps, *value_shape)``, or ``(n_items, n_steps, *value_shape)``.
    dtype : numpy.dtype
        Type of its elements.
    n_events : int
        Number of values that are not zero.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     nengo_dl.configure_settings(sparse_events=None)
    ...     ensemble = nengo.Ensemble(50, 1)
    ...     spikes = nengo.Probe(ensemble.neurons)
    >>> net.config[spikes].sparse_events = True
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run_steps(100)
    ...     data = sim.data[spikes]
    >>> data.shape, type(data[20:30]).__name__, data[20:30].shape
    ((100, 50), 'ndarray', (10, 50))
    >>> bool(data.n_events == np.count_nonzero(data.toarray()))
    True
    """

    def __init__(
        self,
        positions: np.ndarray,
        values: np.ndarray,
        n_steps: int,
        n_items: int | None,
        value_shape: tuple[int, ...],
        dtype: Any,
    ):
        self._positions = positions
        self._values = values
        self._is_batched = n_items is not None
        self._grid = (n_steps, 1 if n_items is None else n_items, *value_shape)
        self.dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """See above."""
        n_steps, n_items, *rest = self._grid
        return (n_items, n_steps, *rest) if self._is_batched else (n_steps, *rest)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements, including zeros."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def n_events(self) -> int:
        """See above."""
        return len(self._positions)

    @property
    def nbytes(self) -> int:
        """Memory that the events take, in bytes."""
        return self._positions.nbytes + self._values.nbytes

    @property
    def values(self) -> np.ndarray:
        """Value of each event, shape ``(n_events,)``."""
        values = np.broadcast_to(self._values, self._positions.shape)
        return values.astype(self.dtype)

    def indices(self) -> tuple[np.ndarray, ...]:
        """Return where the events are, in the order of time.

        Returns
        -------
        tuple of (n_events,) ndarray of int
            One array for each axis, like those of ``numpy.nonzero``.
        """
        found = np.unravel_index(self._positions, self._grid)
        if not self._is_batched:
            return (found[0], *found[2:])
        return (found[1], found[0], *found[2:])

    def window(self, start: int, stop: int | None = None) -> EventArray:
        """Return the part of some steps; see ``array[..., start:stop, :]``.

        Parameters
        ----------
        start : int
            First step.
        stop : int or None
            Step after the last one; None: to the end.

        Returns
        -------
        EventArray
            With events in these steps.
        """
        chosen = range(self._grid[0])[start:stop]
        width = int(np.prod(self._grid[1:], dtype=np.int64))
        bounds = (chosen.start * width, max(chosen.start, chosen.stop) * width)
        first, last = np.searchsorted(self._positions, bounds)
        values = self._values if self._values.ndim == 0 else self._values[first:last]
        return EventArray(
            self._positions[first:last] - bounds[0],
            values,
            len(chosen),
            self._grid[1] if self._is_batched else None,
            self._grid[2:],
            self.dtype,
        )

    def toarray(self) -> np.ndarray:
        """Return the array of all steps; it takes memory for all zeros."""
        return self._select([range(n) for n in self.shape])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("An array of events cannot be made without a copy")
        return self.toarray().astype(self.dtype if dtype is None else dtype, copy=False)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        dense = [x.toarray() if isinstance(x, EventArray) else x for x in inputs]
        return getattr(ufunc, method)(*dense, **kwargs)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """Return some elements, as an array would."""
        keys = self._keys(key)
        if keys is None:
            return self.toarray()[key]
        found = self._select([range(n)[k] for n, k in zip(self.shape, keys)])
        squeezed = tuple(i for i, k in enumerate(keys) if not isinstance(k, slice))
        return found.squeeze(squeezed)[()]

    def _keys(self, key: Any) -> list[Any] | None:
        """Return an integer or a slice for each axis, or None if it is neither."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if sum(k is Ellipsis for k in keys) > 1:
            return None
        missing = self.ndim - len(keys)
        for place, k in enumerate(keys):
            if k is Ellipsis:
                keys[place : place + 1] = [slice(None)] * (missing + 1)
                break
        keys += [slice(None)] * (self.ndim - len(keys))
        for place, k in enumerate(keys):
            if isinstance(k, np.integer):
                keys[place] = int(k)
            elif type(k) is not int and not isinstance(k, slice):
                return None
        return keys if len(keys) == self.ndim else None

    def _select(self, chosen: list[Any]) -> np.ndarray:
        """Return the elements at some positions of each axis, all axes kept.

        Parameters
        ----------
        chosen : list of (range or int)
            Positions on each axis.
        """
        ranges = [range(c, c + 1) if isinstance(c, int) else c for c in chosen]
        steps = ranges[1 if self._is_batched else 0]
        events = self
        base = 0
        if len(steps):  # in the order of time, so that few are looked at
            base, end = min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1
            events = self.window(base, end)
        indices = list(events.indices())
        indices[1 if self._is_batched else 0] += base
        places, kept = [], np.ones(events.n_events, dtype=bool)
        for index, wanted in zip(indices, ranges, strict=True):
            place, rest = np.divmod(index - wanted.start, wanted.step)
            kept &= (rest == 0) & (place >= 0) & (place < len(wanted))
            places.append(place)
        found = np.zeros([len(wanted) for wanted in ranges], dtype=self.dtype)
        found[tuple(place[kept] for place in places)] = events.values[kept]
        return found

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Return the sum of elements, as in NumPy."""
        return self._reduced(axis, dtype, out, is_mean=False)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Return the mean of all elements, including zeros, as in NumPy."""
        return self._reduced(axis, dtype, out, is_mean=True)

    def _reduced(self, axis: Any, dtype: Any, out: Any, is_mean: bool) -> Any:
        axes = range(self.ndim) if axis is None else np.atleast_1d(axis)
        summed = {range(self.ndim)[int(a)] for a in axes}
        rest = [number for number in range(self.ndim) if number not in summed]
        shape = tuple(self.shape[number] for number in rest)
        if rest:
            indices = self.indices()
            where = np.ravel_multi_index([indices[number] for number in rest], shape)
        else:
            where = np.zeros(self.n_events, dtype=int)
        size = int(np.prod(shape, dtype=int))
        total = np.bincount(where, self.values, size).astype(float)
        if is_mean:
            total /= np.prod([self.shape[number] for number in summed], dtype=float)
        total = total.reshape(shape).astype(self.dtype if dtype is None else dtype)
        if out is not None:
            out[...] = total
            return out
        return total[()]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"<EventArray of {shape} with {self.n_events} events>"
