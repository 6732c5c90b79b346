"""Arrays that NumPy steps work on, laid out as the compiler has laid out the blocks.

All signals of a kind lie in one vector, in which the operands of a merged group are
slices, as they are in a compiled program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.layout import Layout
from nengo_dl.compiler.traits import Role

__all__ = [
    "LiveArrays",
    "Place",
    "Places",
    "gather",
    "init_signal",
    "init_signals",
    "is_contiguous",
]

#: Where something lies: the type of the vector, and its elements in order.
Place = tuple[np.dtype, slice | np.ndarray]


class Places:
    """Where signals lie in the vectors of an item, one vector for each type.

    Temporary values come first, so that they can be zeroed at once. Constants have no
    place: their arrays are Nengo's own.

    Parameters
    ----------
    layout : Layout
        Has the blocks.

    Attributes
    ----------
    sizes : dict of {numpy.dtype: int}
        Length of the vector of each type.
    n_temporary : dict of {numpy.dtype: int}
        How many of its first elements are temporary values.
    complete : bool
        Whether all values but constants have a place.
    """

    def __init__(self, layout: Layout):
        self.layout = layout
        self.sizes: dict[np.dtype, int] = {}
        self.n_temporary: dict[np.dtype, int] = {}
        self.complete = True
        self._blocks: dict[int, tuple[np.dtype, int]] = {}
        for role in (Role.TEMPORARY, Role.STATE, Role.INPUT):
            for block in layout.blocks:
                if block.role is role:
                    self._add(block)
            if role is Role.TEMPORARY:
                self.n_temporary = dict(self.sizes)

    def _add(self, block: Block) -> None:
        dtypes = {signal.dtype for signal in block.signals}
        if len(dtypes) != 1 or any(signal.sparse for signal in block.signals):
            self.complete = False
            return
        dtype = dtypes.pop()
        start = self.sizes.setdefault(dtype, 0)
        self.sizes[dtype] += block.size
        self._blocks[block.number] = dtype, start

    def of_block(self, block: Block) -> Place:
        """Return where a block lies."""
        dtype, start = self._blocks[block.number]
        return dtype, slice(start, start + block.size)

    def of_signals(self, signals: Sequence[Signal]) -> Place | None:
        """Return where signals lie, end to end; None if not in one vector."""
        parts: list[np.ndarray] = []
        dtypes = set()
        for base, start, length in self.runs(signals):
            begin = self.start_of(base)
            if begin is None:
                return None
            dtypes.add(begin[0])
            parts.append(np.arange(begin[1] + start, begin[1] + start + length))
        if len(dtypes) != 1:
            return None
        return dtypes.pop(), evenly_spaced(np.concatenate(parts))

    def runs(self, signals: Sequence[Signal]) -> Iterator[tuple[Signal, int, int]]:
        """Yield the base, first element and length of what signals consist of."""
        aliases = self.layout.aliases
        runs = aliases.resolve_all(signals)
        columns = (runs.bases, runs.starts, runs.lengths)
        for number, start, length in zip(*(c.tolist() for c in columns), strict=True):
            yield aliases.bases[number], start, length

    def start_of(self, base: Signal) -> tuple[np.dtype, int] | None:
        """Return the vector and first element of a base; None if it has no place."""
        block = self.layout.block_of.get(base)
        if block is None or block.number not in self._blocks:
            return None
        dtype, start = self._blocks[block.number]
        return dtype, start + block.starts[base]


def evenly_spaced(positions: np.ndarray) -> slice | np.ndarray:
    """Return positions as a slice, if they are evenly spaced and ascend."""
    if len(positions) < 2:
        start = int(positions[0]) if len(positions) else 0
        return slice(start, start + len(positions), 1)
    steps = np.diff(positions)
    step = int(steps[0])
    if step > 0 and (steps == step).all():
        return slice(int(positions[0]), int(positions[-1]) + 1, step)
    return positions


def is_contiguous(place: Place) -> bool:
    """Return whether something lies in one piece."""
    return isinstance(place[1], slice) and place[1].step in (None, 1)


class LiveArrays(SignalDict):
    """The arrays of one item, made when something first needs them.

    Parameters
    ----------
    places : Places
        Where signals lie. Others have arrays of their own.
    """

    def __init__(self, places: Places):
        super().__init__()
        self.places = places

    @functools.cached_property
    def vectors(self) -> dict[np.dtype, np.ndarray]:
        """The vector of each type; zeros at first."""
        return {
            dtype: np.zeros(size, dtype=dtype)
            for dtype, size in self.places.sizes.items()
        }

    def at(self, place: Place) -> np.ndarray:
        """Return the elements at a place; a view if it is a slice."""
        dtype, where = place
        return self.vectors[dtype][where]

    def init(self, signal: Signal) -> None:
        """Give a signal its array.

        It is that of another signal where the compiler has left out a copy. All others
        get their initial value.
        """
        if signal.is_view:
            if signal.base not in self:
                self.init(signal.base)
            self[signal]  # makes the view
            return
        layout = self.places.layout
        is_alias = signal in layout.aliases
        place = None
        if is_alias or self.places.start_of(signal) is not None:
            place = self.places.of_signals((signal,))
        if place is None or not is_contiguous(place):
            super().init(signal)
            return
        live = self.at(place).reshape(signal.shape)
        if not is_alias:
            live[...] = signal.initial_value
        dict.__setitem__(self, signal, live)

    def copier(
        self, signal: Signal, constant: Callable[[Signal], np.ndarray]
    ) -> Callable[[], None] | None:
        """Return what has to be called before a signal is read, or None.

        Its array must have been made. What are copies of constants, whose arrays
        `constant` returns, is copied now.
        """
        if signal.base not in self.places.layout.aliases:
            return None
        place = self.places.of_signals((signal.base,))
        if place is not None and is_contiguous(place):
            return None
        live = self[signal]
        flat = np.empty(live.size, dtype=live.dtype)
        sources: dict[np.dtype, list[np.ndarray]] = {}
        targets: dict[np.dtype, list[np.ndarray]] = {}
        end = 0
        for base, start, length in self.places.runs((signal,)):
            here = np.arange(end, end + length)
            end += length
            begin = self.places.start_of(base)
            if begin is None:
                flat[here] = constant(base).ravel()[start : start + length]
            else:
                dtype, first = begin
                there = np.arange(first + start, first + start + length)
                sources.setdefault(dtype, []).append(there)
                targets.setdefault(dtype, []).append(here)
        live[...] = flat.reshape(live.shape)
        parts = [
            (self.vectors[dtype], np.concatenate(found), np.concatenate(targets[dtype]))
            for dtype, found in sources.items()
        ]
        if not parts:
            return None
        vector, source, _ = parts[0]
        if len(source) == live.size and live.flags.c_contiguous:
            return gather(vector, evenly_spaced(source), live.reshape(-1))

        def copy_parts() -> None:
            for vector, source, target in parts:
                flat[target] = vector[source]
            live[...] = flat.reshape(live.shape)

        return copy_parts


def gather(
    vector: np.ndarray, where: slice | np.ndarray, target: np.ndarray
) -> Callable[[], None]:
    """Return a function that copies elements of a vector to another array."""
    if isinstance(where, slice):
        source = vector[where]

        def copy_slice() -> None:
            target[...] = source

        return copy_slice

    def take() -> None:
        vector.take(where, out=target, mode="clip")  # other modes make a copy first

    return take


def init_signals(op: Operator, signals: SignalDict) -> None:
    """Give an operator its live arrays, at any time of a simulation.

    Nengo's own way is meant for the start: it refuses views of what changed since.
    """
    for signal in op.all_signals:
        init_signal(signal, signals)
    if type(op).init_signals is not Operator.init_signals:
        op.init_signals(signals)


def init_signal(signal: Signal, signals: SignalDict) -> None:
    """Give a signal, or what it is a view of, its live array."""
    if signal.base not in signals:
        signals.init(signal.base)
    if signal not in signals:
        signals[signal]  # makes the view
