"""What probes recorded: all values, or only those that are not zero."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from nengo.builder import Model
from nengo.exceptions import ValidationError
from nengo.probe import Probe

from nengo_dl.compiler.sampling import Sampling
from nengo_dl.config import Settings
from nengo_dl.events import EventArray

__all__ = ["EventHistory", "ProbeData", "ProbeHistory", "make_histories"]

#: What ``sim.data`` shows of a probe.
ProbeData: TypeAlias = np.ndarray | EventArray

#: By how much there is more room for events than needed, so that each is moved seldom.
_ROOM = 1.25


def make_histories(
    model: Model, sampling: Sequence[Sampling], minibatched: bool
) -> dict[Probe, ProbeHistory]:
    """Return an empty record for each probe of a model.

    Parameters
    ----------
    model : Model
        What Nengo built.
    sampling : sequence of Sampling
        Which steps each probe keeps.
    minibatched : bool
        Whether the batch axis is part of the data.

    Raises
    ------
    ValidationError
        If a probe is to keep only one step, and only events.
    """
    settings = Settings(model.toplevel)
    histories: dict[Probe, ProbeHistory] = {}
    for probe, which in zip(model.probes, sampling, strict=True):
        signal = model.sig[probe]["in"]
        kind = ProbeHistory
        if settings.value(probe, "sparse_events"):
            if which.only_last:
                raise ValidationError(
                    f"{probe} has the settings sparse_events=True and "
                    "keep_history=False; a single step needs no list of events, so "
                    "leave one of them out",
                    attr="sparse_events",
                )
            kind = EventHistory
        histories[probe] = kind(
            signal.shape, signal.dtype, minibatched, which.only_last
        )
    return histories


class ProbeHistory:
    """What a probe recorded, kept in the pieces in which it came from the device.

    Parameters
    ----------
    shape : tuple of int
        Shape of one recorded value.
    dtype : numpy.dtype
        Type in which values are shown.
    minibatched : bool
        Whether the batch axis is part of the data.
    only_last : bool
        Whether to forget all values but the last one.

    Attributes
    ----------
    parts : tuple of str
        Names of the arrays of a record; see `recorded`.
    """

    parts: tuple[str, ...] = ("",)

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype,
        minibatched: bool,
        only_last: bool = False,
    ):
        self.shape = shape
        self.dtype = dtype
        self.minibatched = minibatched
        self.only_last = only_last
        #: called before data is read
        self.before_reading: Callable[[], None] | None = None
        self._pieces: list[np.ndarray] = []
        self._joined: np.ndarray | None = None
        self._aside: list[np.ndarray] | None = None

    def append(self, values: np.ndarray) -> None:
        """Add values of shape ``(n_kept, minibatch, size)``."""
        if len(values):
            if self.only_last:
                self._pieces, values = [], values[-1:]
            self._pieces.append(values)
            self._joined = None

    def append_missing(self, values: np.ndarray) -> None:
        """Add values unless they were added last; to be sure after an interrupt."""
        self._joined = None
        if not self._pieces or self._pieces[-1] is not values:
            self.append(values)

    def clear(self) -> None:
        """Forget all values."""
        self._pieces = []
        self._joined = self._aside = None

    def set_aside(self) -> None:
        """Begin a record of its own; see `take_back`."""
        aside = self._pieces if self._aside is None else self._aside
        self.clear()
        self._aside = aside

    def take_back(self) -> None:
        """Return to the values of before `set_aside`, if it was called."""
        if self._aside is not None:
            self._pieces, self._joined, self._aside = self._aside, None, None

    def __len__(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    def array(self) -> ProbeData:
        """Return all values.

        Returns
        -------
        ndarray or EventArray, read-only
            Shape ``(n_kept, *shape)``, or ``(minibatch, n_kept, *shape)`` with
            minibatches.
        """
        if self.before_reading is not None:
            self.before_reading()
        if self._joined is None:
            if not self._pieces:
                # as an empty list would look, which is what nengo starts from
                joined = np.zeros((0,), dtype=self.dtype)
            else:
                values = np.concatenate(self._pieces).astype(self.dtype)
                self._pieces = [values]
                values = values.reshape(*values.shape[:2], *self.shape)
                joined = np.moveaxis(values, 0, 1) if self.minibatched else values[:, 0]
            joined.setflags(write=False)
            self._joined = joined
        return self._joined

    def recorded(self) -> dict[str, np.ndarray]:
        """Return what is needed to `restore` this record: arrays by their names."""
        return {"": np.concatenate(self._pieces)} if self._pieces else {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the record by another one.

        Parameters
        ----------
        arrays : mapping of {str: ndarray}
            What `recorded` returned.
        """
        self.clear()
        if arrays:
            self.append(arrays[""])


class _Events(NamedTuple):
    """Events up to some step; replaced as a whole, so that no step is there in part.

    Attributes
    ----------
    positions : ndarray of int64
        Where the events are; has room for more.
    values : ndarray
        Their values, with room for more; a scalar as long as all are the same.
    n_events : int
        How many events there are.
    n_rows : int
        Number of recorded steps.
    n_items : int
        Number of items of the minibatch; 0 while it is not known.
    last : weakref.ref or None
        The values that were added last.
    """

    positions: np.ndarray
    values: np.ndarray
    n_events: int
    n_rows: int
    n_items: int
    last: Any

    @classmethod
    def none(cls) -> _Events:
        """Return an empty record."""
        return cls(np.zeros(0, np.int64), np.zeros(()), 0, 0, 0, None)

    def plus(self, added: np.ndarray) -> _Events:
        """Return the record with further steps, shape ``(n_kept, minibatch, size)``."""
        flat = np.reshape(added, -1)
        where = np.flatnonzero(flat)
        start, end = self.n_events, self.n_events + len(where)
        positions, values = self.positions, self.values
        if len(where):
            positions = _with_room(positions, start, end)
            positions[start:end] = where + self.n_rows * (flat.size // len(added))
            new = flat[where]
            same = new[0] if not start else values
            if values.ndim == 0 and (new == same).all():
                values = np.asarray(same, dtype=new.dtype)
            else:
                if values.ndim == 0:
                    values = np.full(start, values, dtype=new.dtype)
                values = values.astype(np.result_type(values, new), copy=False)
                values = _with_room(values, start, end)
                values[start:end] = new
        n_rows = self.n_rows + len(added)
        last = weakref.ref(added)
        return _Events(positions, values, end, n_rows, added.shape[1], last)

    def trimmed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and values, without the room for more."""
        values = self.values if self.values.ndim == 0 else self.values[: self.n_events]
        return self.positions[: self.n_events], values


def _with_room(array: np.ndarray, count: int, needed: int) -> np.ndarray:
    """Return an array with the first elements of another one, and enough room."""
    if len(array) >= needed:
        return array
    found = np.empty(max(needed, int(_ROOM * count)), dtype=array.dtype)
    found[:count] = array[:count]
    return found


class EventHistory(ProbeHistory):
    """What a probe recorded, of which only values that are not zero are kept.

    The parameters are those of `ProbeHistory`. The memory grows with the number of
    events, by 8 bytes for each, and by those of its value unless all are the same.
    """

    parts = ("/positions", "/values", "/counts")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._events = _Events.none()
        self._events_aside: _Events | None = None

    def append(self, values: np.ndarray) -> None:
        """Add values of shape ``(n_kept, minibatch, size)``."""
        if len(values):
            self._events = self._events.plus(values)

    def append_missing(self, values: np.ndarray) -> None:
        """Add values unless they were added last; to be sure after an interrupt."""
        last = self._events.last
        if last is None or last() is not values:
            self.append(values)

    def clear(self) -> None:
        """Forget all values."""
        self._events = _Events.none()
        self._events_aside = None

    def set_aside(self) -> None:
        """Begin a record of its own; see `take_back`."""
        aside = self._events if self._events_aside is None else self._events_aside
        self.clear()
        self._events_aside = aside

    def take_back(self) -> None:
        """Return to the values of before `set_aside`, if it was called."""
        if self._events_aside is not None:
            self._events, self._events_aside = self._events_aside, None

    def __len__(self) -> int:
        return self._events.n_rows

    def array(self) -> EventArray:
        """Return all values, as they are now; see `ProbeHistory.array`."""
        if self.before_reading is not None:
            self.before_reading()
        return EventArray(
            *self._events.trimmed(),
            self._events.n_rows,
            self._events.n_items if self.minibatched else None,
            self.shape,
            self.dtype,
        )

    def recorded(self) -> dict[str, np.ndarray]:
        """Return what is needed to `restore` this record: arrays by their names."""
        events = self._events
        if not events.n_rows:
            return {}
        counts = np.array([events.n_rows, events.n_items])
        return dict(zip(self.parts, (*events.trimmed(), counts), strict=True))

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the record by another one; see `ProbeHistory.restore`."""
        self.clear()
        if arrays:
            positions, values, counts = (arrays[name] for name in self.parts)
            n_rows, n_items = (int(n) for n in counts)
            self._events = _Events(
                positions.copy(), values.copy(), len(positions), n_rows, n_items, None
            )
