"""Merged groups in NumPy: one call for many operators of a kind.

A call of NumPy takes a microsecond or two, however little it computes. So what a group
does to many small signals is done to all at once, with the same roundings as one by
one, but for the sums of products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Copy, DotInc, ElementwiseInc, Reset
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.neurons import NeuronType
from nengo.synapses import LinearFilter

from nengo_dl.compiler.filters import FilterSystems
from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.padding import Padding
from nengo_dl.compiler.tiles import Tiles, vectors_of_rows
from nengo_dl.compiler.traits import Role
from nengo_dl.execution.live_arrays import LiveArrays, Place, gather, is_contiguous
from nengo_dl.support import tuning

__all__ = ["Arrays", "Step", "can_merge", "merged_step"]

Step = Callable[[], None]


@dataclass(frozen=True)
class Arrays:
    """The arrays of an item, as merged groups need them.

    Attributes
    ----------
    live : LiveArrays
        All of them.
    constant : callable
        Returns the array of a constant signal.
    dt : float
        Length of a time step, in seconds.
    """

    live: LiveArrays
    constant: Callable[[Signal], np.ndarray]
    dt: float

    def is_constant(self, signals: Sequence[Signal]) -> bool:
        """Return whether all of some signals are constants."""
        layout = self.live.places.layout
        return all(
            signal.base in layout.block_of
            and layout.block_of[signal.base].role is Role.CONSTANT
            for signal in signals
        )

    def reader(self, signals: Sequence[Signal]) -> tuple[np.ndarray, list[Step]] | None:
        """Return the values of signals, end to end, as one array.

        Returns
        -------
        values : (size,) ndarray
            Current if the steps were run.
        steps : list of callable
            What brings the values up to date: nothing, or one function.
        """
        if self.is_constant(signals):
            return np.concatenate([self.constant(s).ravel() for s in signals]), []
        place = self.live.places.of_signals(signals)
        if place is None:
            return None
        values = self.live.at(place)
        if isinstance(place[1], slice):
            return values, []
        return values, [gather(self.live.vectors[place[0]], place[1], values)]

    def target(self, signals: Sequence[Signal]) -> Place | None:
        """Return where the values of signals go, or None if not to one vector."""
        return self.live.places.of_signals(signals)


def can_merge(group: Group) -> bool:
    """Return whether a group of operators has a merged step."""
    ops = group.ops
    if len(ops) < 2 or group.is_callback:
        return False
    kind = type(ops[0])
    if kind is DotInc:
        return ops[0].A.size <= tuning.MOST_STACKED and ops[0].A.ndim == 2
    if kind in (Copy, ElementwiseInc):
        return group.builder.flat(ops[0])
    if kind is SimProcess:
        return isinstance(ops[0].process, LinearFilter)
    return kind in (Reset, SimNeurons)


def merged_step(group: Group, arrays: Arrays) -> list[Step] | None:
    """Return the steps that do what all operators of a group do.

    Parameters
    ----------
    group : Group
        Operators that `can_merge`.
    arrays : Arrays
        What they work on.

    Returns
    -------
    list of callable or None
        None if they have to run one by one.
    """
    return _MAKERS[type(group.ops[0])](group, arrays)


def _adder(place: Place, arrays: Arrays, values: np.ndarray) -> Step:
    """Return a function that adds values to what lies at a place."""
    dtype, where = place
    vector = arrays.live.vectors[dtype]
    if isinstance(where, slice):
        target = vector[where]

        def add() -> None:
            np.add(target, values, out=target)

    elif len(np.unique(where)) == len(where):

        def add() -> None:
            vector[where] += values

    else:

        def add() -> None:
            np.add.at(vector, where, values)

    return add


def _setter(place: Place, arrays: Arrays, values: np.ndarray) -> Step:
    """Return a function that sets what lies at a place."""
    dtype, where = place
    vector = arrays.live.vectors[dtype]

    def set_values() -> None:
        vector[where] = values

    return set_values


def _products(group: Group, arrays: Arrays) -> list[Step] | None:
    """Add products of matrices and vectors, ``Y += A @ X``."""
    ops = group.ops
    if len({op.A.shape for op in ops}) > 1:
        is_stacked = 1 in group.builder.reads_once
        return (_stacked_products if is_stacked else _padded_products)(group, arrays)
    a, x = (arrays.reader([op.reads[n] for op in ops]) for n in (0, 1))
    place = arrays.target([op.Y for op in ops])
    n_rows, n_columns = ops[0].A.shape
    if (
        a is None
        or x is None
        or place is None
        or ops[0].X.size != n_columns
        or ops[0].Y.size != n_rows
    ):
        return None
    matrices = a[0].reshape(len(ops), n_rows, n_columns)
    vectors = x[0].reshape(len(ops), n_columns, 1)
    result = np.empty((len(ops), n_rows, 1), dtype=place[0])
    if np.result_type(matrices, vectors) != result.dtype:
        return None
    multiply = np.multiply if n_columns == 1 else np.matmul

    def product() -> None:
        multiply(matrices, vectors, out=result)

    return [*a[1], *x[1], product, _adder(place, arrays, result.reshape(-1))]


def _padded_products(group: Group, arrays: Arrays) -> list[Step] | None:
    """Add products of constant matrices of different shapes, filled up with zeros."""
    ops = group.ops
    if not arrays.is_constant([op.A for op in ops]):
        return None
    source = arrays.target([op.X for op in ops])
    place = arrays.target([op.Y for op in ops])
    if source is None or place is None or source[0] != place[0]:
        return None
    dtype = place[0]
    padding = Padding([op.A.shape for op in ops])
    weights = [*(arrays.constant(op.A).ravel() for op in ops), np.zeros(1)]
    matrices = np.concatenate(weights).astype(dtype)[padding.matrix_elements]
    where = source[1]
    if isinstance(where, slice):
        where = np.arange(where.start, where.stop, where.step)
    elements = where[padding.vector_elements]
    vectors = np.empty((*elements.shape, 1), dtype=dtype)
    result = np.empty((*matrices.shape[:2], 1), dtype=dtype)
    used = np.empty(len(padding.result_elements), dtype=dtype)
    vector, flat, columns = arrays.live.vectors[dtype], result.ravel(), vectors[..., 0]

    def product() -> None:
        vector.take(elements, out=columns, mode="clip")
        np.matmul(matrices, vectors, out=result)
        flat.take(padding.result_elements, out=used, mode="clip")

    return [product, _adder(place, arrays, used)]


def _stacked_products(group: Group, arrays: Arrays) -> list[Step] | None:
    """Add products of rows of constant matrices, several of them for each vector."""
    ops = group.ops
    if not arrays.is_constant([op.A for op in ops]):
        return None
    vectors, owners = vectors_of_rows(ops)
    source = arrays.reader(vectors)
    place = arrays.target([op.Y for op in ops])
    if source is None or place is None or source[0].dtype != place[0]:
        return None
    dtype, n_columns = place[0], ops[0].A.shape[1]
    tiles = Tiles(owners)
    rows = [arrays.constant(op.A).reshape(-1, n_columns) for op in ops]
    rows.append(np.zeros((1, n_columns)))
    matrices = np.concatenate(rows).astype(dtype)[tiles.rows]
    values = source[0].reshape(-1, n_columns)
    columns = np.empty((len(tiles.owners), n_columns), dtype=dtype)
    result = np.empty((*tiles.rows.shape, 1), dtype=dtype)
    used, flat = np.empty(len(tiles.places), dtype=dtype), result.ravel()

    def product() -> None:
        values.take(tiles.owners, axis=0, out=columns, mode="clip")
        np.matmul(matrices, columns[..., None], out=result)
        flat.take(tiles.places, out=used, mode="clip")

    return [*source[1], product, _adder(place, arrays, used)]


def _elementwise(group: Group, arrays: Arrays) -> list[Step] | None:
    """Add products element by element, ``Y += A * X``."""
    a, x = (arrays.reader([op.reads[n] for op in group.ops]) for n in (0, 1))
    place = arrays.target([op.Y for op in group.ops])
    if a is None or x is None or place is None:
        return None
    factors, values = a[0], x[0]
    result = np.empty(len(values), dtype=place[0])
    if np.result_type(factors, values) != result.dtype:
        return None

    def product() -> None:
        np.multiply(factors, values, out=result)

    return [*a[1], *x[1], product, _adder(place, arrays, result)]


def _copies(group: Group, arrays: Arrays) -> list[Step] | None:
    """Copy or add whole signals, ``dst (+)= src``."""
    source = arrays.reader([op.src for op in group.ops])
    place = arrays.target([op.dst for op in group.ops])
    if source is None or place is None:
        return None
    write = _adder if group.ops[0].inc else _setter
    return [*source[1], write(place, arrays, source[0])]


def _resets(group: Group, arrays: Arrays) -> list[Step] | None:
    """Set signals to constants."""
    place = arrays.target([op.dst for op in group.ops])
    if place is None:
        return None
    values = [np.full(op.dst.size, op.value, dtype=place[0]) for op in group.ops]
    return [_setter(place, arrays, np.concatenate(values))]


def _neurons(group: Group, arrays: Arrays) -> list[Step] | None:
    """Advance neurons by Nengo's own equations, in one call for all that are equal."""
    steps: list[Step] = []
    ops = list(group.ops)
    while ops:
        n_equal = 1
        while n_equal < len(ops) and _equal(ops[0].neurons, ops[n_equal].neurons):
            n_equal += 1
        equal, ops = ops[:n_equal], ops[n_equal:]
        current = arrays.reader([op.J for op in equal])
        sets = []
        for signals in zip(*(op.sets for op in equal), strict=True):
            place = arrays.target(signals)
            if place is None or not is_contiguous(place):
                return None
            sets.append(arrays.live.at(place))
        if current is None:
            return None
        state = {name: sets[index] for name, index in equal[0].state_idxs.items()}
        step = functools.partial(
            equal[0].neurons.step, arrays.dt, current[0], sets[0], **state
        )
        steps += [*current[1], step]
    return steps


def _equal(first: NeuronType, second: NeuronType) -> bool:
    """Return whether neurons have the same equations, for all that can be known.

    Nengo compares parameters only, and types may have other attributes.
    """
    if first is second:
        return True
    if type(first) is not type(second) or first != second:
        return False
    plain = [
        {key: value for key, value in vars(neurons).items() if key != "_paramdict"}
        for neurons in (first, second)
    ]
    try:
        return bool(plain[0] == plain[1])
    except ValueError:  # arrays
        return False


def _filters(group: Group, arrays: Arrays) -> list[Step] | None:
    """Advance filters of first order, ``X = a * X + b * u``."""
    ops = group.ops
    known = FilterSystems(arrays.dt)
    systems = [known.find(op.process) for op in ops]
    if not all(isinstance(system, LinearFilter.OneX) for system in systems):
        return None
    source = arrays.reader([op.input for op in ops])
    state_place = arrays.target([op.state["X"] for op in ops])
    place = arrays.target([op.output for op in ops])
    if source is None or place is None or state_place is None:
        return None
    if not is_contiguous(state_place):
        return None
    sizes = [op.output.size for op in ops]
    a = _per_element([system.a for system in systems], sizes)
    b = _per_element([system.b for system in systems], sizes)
    values, state = source[0], arrays.live.at(state_place)
    driven = np.empty_like(state)

    def advance() -> None:
        np.multiply(values, b, out=driven)  # first, as it may be of what follows
        np.multiply(state, a, out=state)
        np.add(state, driven, out=state)

    write = _adder if ops[0].mode == "inc" else _setter
    return [*source[1], advance, write(place, arrays, state)]


def _per_element(values: Sequence[float], sizes: Sequence[int]) -> float | np.ndarray:
    """Return one value for each element, or one for all."""
    if len(set(values)) == 1:
        return values[0]
    return np.repeat(values, sizes)


_MAKERS: dict[type, Callable[[Group, Arrays], list[Step] | None]] = {
    Copy: _copies,
    DotInc: _products,
    ElementwiseInc: _elementwise,
    Reset: _resets,
    SimNeurons: _neurons,
    SimProcess: _filters,
}
