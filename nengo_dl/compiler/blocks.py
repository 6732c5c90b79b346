"""Blocks, in which signals are stored, and plans for reading and writing them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.traits import Role

__all__ = ["Block", "Piece", "ReadPlan", "Transfer", "WritePlan"]


@dataclass(eq=False)
class Block:
    """Base signals that are stored one after the other.

    Attributes
    ----------
    number : int
        Position in `Layout.blocks`.
    role : Role
        Common to all signals of the block.
    kind : str
        NumPy kind of the elements: ``"f"``, ``"i"``, ``"u"`` or ``"b"``.
    trainable : bool
        Whether training changes the values of the signals.
    signals : list of Signal
        Base signals in order.
    starts : dict of {Signal: int}
        First element of each signal.
    size : int
        Number of elements, without the batch axis.
    """

    number: int
    role: Role
    kind: str
    trainable: bool = False
    signals: list[Signal] = field(default_factory=list)
    starts: dict[Signal, int] = field(default_factory=dict)
    size: int = 0

    def add(self, signal: Signal) -> None:
        """Append a base signal."""
        self.signals.append(signal)
        self.starts[signal] = self.size
        self.size += n_values(signal)


@dataclass(frozen=True, eq=False)
class Piece:
    """Elements of one block, read as a slice, a strided slice, rows, or one by one.

    Attributes
    ----------
    block : int
        Block number.
    start, length, step : int
        The slice, if ``index`` is None; else ``start`` and ``length`` say which part of
        the block is divided into rows.
    row : int
        Length of the rows that ``index`` counts (1: single elements).
    index : (n,) ndarray or None
        Rows to gather.
    """

    block: int
    start: int = 0
    length: int = 0
    step: int = 1
    row: int = 1
    index: np.ndarray | None = None

    @property
    def positions(self) -> np.ndarray:
        """Elements of the block, in the order in which they are read."""
        if self.index is None:
            return self.start + self.step * np.arange(self.length)
        rows = self.index[:, None] * self.row + np.arange(self.row)
        return self.start + rows.ravel()


@dataclass(frozen=True, eq=False)
class ReadPlan:
    """How an operand is put together from blocks.

    Attributes
    ----------
    pieces : tuple of Piece
        Read one after the other and concatenated.
    order : (n,) ndarray or None
        If not None, which elements of the concatenated pieces form the operand.
    shape : tuple of int
        Shape of the operand, without the batch axis.
    """

    pieces: tuple[Piece, ...]
    order: np.ndarray | None
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Transfer:
    """Elements of a group's result that go to one block.

    Exactly one of three forms: a slice of the result for a slice of the block, a table
    (``index``) with the sources of each element of the block, or (``segments``) pairs
    of a source and a target.

    Attributes
    ----------
    block : int
        Block number.
    source, target, length : int
        The slices' first elements and common length.
    index : (block size, n_terms) ndarray or None
        For each element of the block, which elements of the result are added to it;
        the result's size stands for none.
    segments : (2, n) ndarray or None
        Positions in the result, and in the block.
    mask : (block size,) ndarray of bool or None
        Which elements of the block are written; None means all.
    """

    block: int
    source: int = 0
    target: int = 0
    length: int = 0
    index: np.ndarray | None = None
    segments: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class WritePlan:
    """Where the result of a group goes."""

    transfers: tuple[Transfer, ...]
