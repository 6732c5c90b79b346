"""The data that passes of the compiler hand to each other.

The program is a list of Nengo operators up to the planning pass, and a list of
`Group` objects after it. Signals stay Nengo's own throughout.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.compiler.sparse import coo

__all__ = ["BuilderInfo", "BuilderLookup", "Group", "Operand", "elements", "name_of"]


class BuilderInfo(Protocol):
    """What the compiler asks of the class that will build an operator."""

    is_callback: bool
    runs_user_code: bool

    def merge_key(self, op: Operator) -> Hashable:
        """Operators merge only if their keys are equal."""

    reads_once: Collection[int]

    def for_unlike(self, op: Operator) -> Sequence[Any]:
        """Return builders that merge operators which this one keeps apart."""

    def n_zeros(self, ops: Sequence[Operator]) -> int:
        """Return how many weights a group fills in to make operators alike."""

    def flat(self, op: Operator) -> bool:
        """Whether operands are concatenated instead of stacked."""

    def used_reads(self, op: Operator) -> Sequence[int]:
        """Return the indices of the reads that are consumed."""

    def state_sets(self, op: Operator) -> Sequence[int]:
        """Return the indices of the sets whose previous value is needed."""


BuilderLookup = Callable[[Operator], BuilderInfo]


@dataclass(frozen=True)
class Operand:
    """Signals that a group reads or writes as one tensor.

    Attributes
    ----------
    signals : tuple of Signal
        One for each operator of the group (exactly one in groups of callbacks).
    flat : bool
        Concatenated (True) or stacked along a new axis (False).
    """

    signals: tuple[Signal, ...]
    flat: bool

    @functools.cached_property
    def size(self) -> int:
        """Number of elements, without the batch axis."""
        return sum([n_values(signal) for signal in self.signals])

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor, without the batch axis."""
        if self.flat:
            return (self.size,)
        signal = self.signals[0]
        item = (n_values(signal),) if signal.sparse else signal.shape
        return (len(self.signals), *item)


@dataclass(frozen=True, eq=False)
class Group:
    """Operators that run as one batched kernel.

    Attributes
    ----------
    builder : BuilderInfo
        The class that builds the group.
    ops : tuple of Operator
        Merged operators.
    reads, previous, sets, incs, updates : tuple of Operand
        What the group consumes (``previous``: values before this step) and produces.
    """

    builder: Any
    ops: tuple[Operator, ...]
    reads: tuple[Operand, ...] = field(default=())
    previous: tuple[Operand, ...] = field(default=())
    sets: tuple[Operand, ...] = field(default=())
    incs: tuple[Operand, ...] = field(default=())
    updates: tuple[Operand, ...] = field(default=())

    @functools.cached_property
    def operands_read(self) -> tuple[Operand, ...]:
        """What a step of the group is given: `reads`, and some signals only once."""
        once = () if self.is_callback else self.builder.reads_once
        return tuple(
            Operand(tuple(dict.fromkeys(operand.signals)), operand.flat)
            if index in once
            else operand
            for index, operand in enumerate(self.reads)
        )

    @property
    def is_callback(self) -> bool:
        """Whether a step of the group calls Python."""
        return bool(self.builder.is_callback)

    @property
    def label(self) -> str:
        """Short description for messages and summaries."""
        kinds = sorted({type(op).__name__ for op in self.ops})
        return f"{len(self.ops)} x {'/'.join(kinds)}"


def n_values(signal: Signal) -> int:
    """Return the number of stored values (the non-zero ones of a sparse signal)."""
    initial = signal.initial_value
    if isinstance(initial, np.ndarray):  # far cheaper than asking whether it is sparse
        return int(initial.size)
    return len(coo(initial)[2])


def elements(signal: Signal) -> np.ndarray:
    """Return the flat positions, in its base, of a signal's elements in C order.

    Parameters
    ----------
    signal : Signal
        A base or a view of any shape and strides.

    Returns
    -------
    (n_values,) ndarray of int64
        Positions counted in elements of the contiguous base.
    """
    if not signal.is_view:
        return np.arange(n_values(signal))
    positions = np.asarray(signal.elemoffset, dtype=np.int64)
    for length, stride in zip(signal.shape, signal.elemstrides, strict=True):
        positions = positions[..., None] + np.arange(length) * stride
    return positions.reshape(-1)


def bounds(signal: Signal) -> tuple[int, int]:
    """Return the half-open range of base positions that a signal may touch."""
    if not signal.is_view:
        return 0, max(n_values(signal), 1)
    low = high = signal.elemoffset
    for length, stride in zip(signal.shape, signal.elemstrides, strict=True):
        span = (length - 1) * stride
        low, high = low + min(span, 0), high + max(span, 0)
    return low, high + 1


def name_of(obj: Any) -> str:
    """Return a short name of an operator or signal for messages."""
    tag = getattr(obj, "tag", None)
    if isinstance(obj, Operator):
        return f"{type(obj).__name__} '{tag}'" if tag else type(obj).__name__
    return f"'{obj.name}'"
