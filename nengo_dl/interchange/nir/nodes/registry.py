"""The registry of node types."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.nir.shapes import Shape, Shapes

__all__ = ["NodeRow", "Place", "Reading", "find_row", "reads", "shared"]


@dataclass
class Place:
    """Where a node of NIR is in the network.

    Attributes
    ----------
    target : Node, Neurons or view
        What its input is connected to.
    source : Node or Neurons
        What has its output.
    transform : nengo.transforms.Transform, ndarray or None
        Weights of the connection to the target.
    fixed : bool
        Whether these are not to be trained.
    bias : ndarray or None
        What is added to ``source``, for each element.
    """

    target: Any
    source: Any
    transform: Any = None
    fixed: bool = False
    bias: np.ndarray | None = None


@dataclass
class Reading:
    """What rows may know while a network is made.

    Attributes
    ----------
    dt : float
        Length of a step, in seconds.
    method : "euler" or "exact"
        How differential equations are solved.
    network : nengo.Network
        The network that is made.
    rounded : list of str
        Names of delays that are no whole number of steps.
    """

    dt: float
    method: str
    network: nengo.Network
    rounded: list[str] = field(default_factory=list)

    def junction(self, size: int, label: str) -> nengo.Node:
        """Return a new Node that hands on what it gets."""
        return nengo.Node(size_in=size, label=label)

    def connect(
        self, pre: Any, post: Any, fixed: bool = False, **kwargs: Any
    ) -> nengo.Connection:
        """Return a new connection without synapse."""
        kwargs = {"synapse": None, **kwargs}
        if kwargs.get("transform", 0) is None:
            del kwargs["transform"]
        connection = nengo.Connection(pre, post, **kwargs)
        if fixed:
            self.network.config[connection].trainable = False
        return connection


class NodeRow(abc.ABC):
    """One type of node: its shapes, and what stands for it in a network."""

    #: Whether its output depends on inputs of earlier steps.
    has_memory: ClassVar[bool] = False

    def is_delay(self, node: Any, dt: float) -> bool:
        """Whether the output is independent of the input of the same step."""
        return False

    @abc.abstractmethod
    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return the shapes, or None if they need those of what the node gets."""

    @abc.abstractmethod
    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make the objects of the network."""


_ROWS: dict[str, NodeRow] = {}


def reads(*kinds: str) -> Callable[[type[NodeRow]], type[NodeRow]]:
    """Register a class for types of nodes, by the names of these."""

    def decorate(row: type[NodeRow]) -> type[NodeRow]:
        for kind in kinds:
            if kind in _ROWS:
                raise ValueError(f"{kind} has the row {type(_ROWS[kind]).__name__}")
            _ROWS[kind] = row()
        return row

    return decorate


def find_row(node: Any, name: str) -> NodeRow:
    """Return the row of a node.

    Parameters
    ----------
    node : nir.NIRNode or Relay
        The node.
    name : str
        Its name.

    Returns
    -------
    NodeRow
        What is known about its type.

    Raises
    ------
    ValidationError
        If there is no row for the type.
    """
    kind = type(node).__name__
    if kind not in _ROWS:
        known = sorted(k for k in _ROWS if k != "Relay")
        raise ValidationError(
            f"the node {name!r} has the type {kind}; known are {', '.join(known)}",
            attr="nodes",
        )
    return _ROWS[kind]


def shared(values: np.ndarray) -> float | np.ndarray:
    """Return a number if all are equal, else the array, flat."""
    values = np.asarray(values, dtype=np.float64).ravel()
    return float(values[0]) if np.all(values == values[0]) else values
