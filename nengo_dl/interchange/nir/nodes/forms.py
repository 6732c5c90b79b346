"""Input, Output, Flatten and Delay: nodes that change no number."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.nir.nodes.registry import NodeRow, Place, Reading, reads
from nengo_dl.interchange.nir.shapes import MAX_NUMBERS, Shape, Shapes, same_shape
from nengo_dl.synapses import Delay

__all__ = ["DelayRow", "FlattenRow", "InputRow", "RelayRow"]


def _declared(types: Any) -> Shape | None:
    shape = next(iter(types.values()), None) if types else None
    return None if shape is None else tuple(int(n) for n in np.ravel(shape))


class _JunctionRow(NodeRow):
    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make a Node that hands on what it gets."""
        junction = reading.junction(prod(shapes.given), name)
        return Place(junction, junction)


@reads("Input")
class InputRow(NodeRow):
    """Where values come from outside."""

    def shapes(self, node: Any, taken: Shape | None) -> Shapes:
        """Return the declared shape."""
        shape = _declared(node.input_type)
        if shape is None:
            raise ValueError("an Input must declare one")
        return same_shape(shape)

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make a Node of zeros, which takes the place of what will be fed."""
        import nengo

        source = nengo.Node(np.zeros(prod(shapes.given)), label=name)
        return Place(source, source)


@reads("Output", "Relay")
class RelayRow(_JunctionRow):
    """Outputs of the graph, and the ends of subgraphs."""

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return the declared shape, if there is one, or that of what it gets."""
        shape = getattr(node, "shape", None)
        if shape is None:
            shape = _declared(getattr(node, "output_type", None))
        shape = taken if shape is None else shape
        return None if shape is None else same_shape(shape)


@reads("Flatten")
class FlattenRow(_JunctionRow):
    """Joins axes; values are in the same order before and after."""

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return the shapes before and after."""
        before = _declared(node.input_type) or taken
        if before is None:
            return None
        n_axes = len(before)
        start, end = (
            int(axis) + n_axes * (axis < 0) for axis in (node.start_dim, node.end_dim)
        )
        if not 0 <= start <= end < n_axes:
            raise ValueError(
                f"axes {node.start_dim} to {node.end_dim} of the shape {before}"
            )
        joined = prod(before[start : end + 1])
        return Shapes(before, (*before[:start], joined, *before[end + 1 :]))


@reads("Delay")
class DelayRow(NodeRow):
    r""":math:`y(t) = x(t - \tau)`, for each element, in whole steps."""

    has_memory = True

    def is_delay(self, node: Any, dt: float) -> bool:
        """Whether all elements are delayed by a step or more."""
        return bool(np.all(self._steps(node, dt) > 0))

    @staticmethod
    def _steps(node: Any, dt: float) -> np.ndarray:
        return np.round(np.asarray(node.delay, float).ravel() / dt)

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return the shape of the delays."""
        shape = np.shape(node.delay)
        if prod(shape) == 1:
            return None if taken is None else same_shape(taken)
        return same_shape(shape)

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        """Make two Nodes with a delay between; elements without go straight."""
        size = prod(shapes.given)
        delay = np.broadcast_to(np.asarray(node.delay, float).ravel(), (size,))
        steps = np.broadcast_to(self._steps(node, reading.dt), (size,))
        if np.any(delay < 0):
            raise ValidationError(
                f"the Delay node {name!r} has the delay {delay.min()} s; delays must "
                "not be negative",
                attr="nodes",
            )
        if not np.allclose(steps * reading.dt, delay, rtol=1e-5, atol=1e-9):
            reading.rounded.append(name)
        before = reading.junction(size, f"{name} before")
        after = reading.junction(size, name)
        if steps.max() * size > MAX_NUMBERS:
            raise ValidationError(
                f"the Delay node {name!r} would keep {steps.max():.0f} steps of {size} "
                f"values, more than {MAX_NUMBERS} numbers",
                attr="nodes",
            )
        late = np.flatnonzero(steps)
        if late.size == size:
            synapse = self._synapse(steps, reading.dt)
            reading.connect(before, after, synapse=synapse, label=name)
        else:
            straight = np.flatnonzero(steps == 0)
            reading.connect(before[straight], after[straight])
            if late.size:
                synapse = self._synapse(steps[late], reading.dt)
                reading.connect(before[late], after[late], synapse=synapse, label=name)
        return Place(before, after)

    @staticmethod
    def _synapse(steps: np.ndarray, dt: float) -> Delay:
        # whole steps, so that another rounding does not change their number
        return Delay(steps[0] * dt if np.all(steps == steps[0]) else steps * dt)
