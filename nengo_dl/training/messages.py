"""What processes that train together say to each other in each update: one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.terms import Term

__all__ = ["Contents", "Messages", "Packing"]

#: How many numbers come first: the weight of the minibatch, and whether Ctrl-C was
#: pressed.
N_FLAGS = 2


class Messages(Protocol):
    """Sends and receives the vectors of updates; see `JoinedTeam`."""

    def flags(self, weight: float) -> list[float]:
        """Return the first numbers of a vector."""

    def exchange(self, sent: tf.Tensor) -> tf.Tensor | None:
        """Return the sum of the vectors of all; None if no minibatch is left."""


@dataclass(frozen=True)
class Contents:
    """What is in a vector, divided.

    Attributes
    ----------
    losses : list of tf.Tensor
        Value of each term.
    metrics : dict of {str: tf.Tensor}
        Values of metrics that are means over items.
    running : dict of {str: list of tf.Tensor}
        Of metrics that count over minibatches, what this one added to their variables.
    gradients : list of tf.Tensor
        For each block of parameters.
    """

    losses: list[tf.Tensor]
    metrics: dict[str, tf.Tensor]
    running: dict[str, list[tf.Tensor]]
    gradients: list[tf.Tensor]


class Packing:
    """Puts what a minibatch gave into a vector, and takes sums of it out of one.

    Means over items are weighted by the number of items, so that the result is the
    mean over those of all processes.

    Parameters
    ----------
    terms : sequence of Term
        Terms of the loss.
    metrics : mapping of {str: Term}
        What is measured besides.
    dtype : tf.DType
        Of the vector.
    """

    def __init__(
        self, terms: Sequence[Term], metrics: Mapping[str, Term], dtype: tf.DType
    ):
        self.terms = list(terms)
        self.means = [name for name, term in metrics.items() if term.running is None]
        self.counts = {n: t.running for n, t in metrics.items() if t.running}
        self.dtype = dtype
        # else what is a sum is none any more
        self.divides = not any(term.sums for term in terms)

    def size(self, running: Any, blocks: Sequence[Any]) -> int:
        """Return the length of the vector; see `unpack` for the arguments."""
        tensors = [*tf.nest.flatten(dict(running)), *blocks]
        numbers = N_FLAGS + len(self.terms) + len(self.means)
        return numbers + sum(tensor.shape.num_elements() for tensor in tensors)

    def weighted(self, losses: Sequence[tf.Tensor], weight: tf.Tensor) -> tf.Tensor:
        """Return the sum of losses, of which gradients are taken."""
        return tf.add_n(self._weighted(losses, weight))

    def _weighted(self, losses, weight) -> list[tf.Tensor]:
        return [
            value if term.sums else value * tf.cast(weight, value.dtype)
            for term, value in zip(self.terms, losses, strict=True)
        ]

    def pack(self, flags: tf.Tensor, contents: Contents) -> tf.Tensor:
        """Return the vector of this process.

        Parameters
        ----------
        flags : tf.Tensor, shape (N_FLAGS,)
            Its first numbers.
        contents : Contents
            Losses and metrics of this minibatch; gradients of `weighted` losses.
        """
        weight = flags[0]
        values = self._weighted(contents.losses, weight)
        values += [
            tf.cast(contents.metrics[name], self.dtype) * weight for name in self.means
        ]
        for name in self.counts:
            values += contents.running[name]
        values += contents.gradients
        flat = tf.concat(
            [tf.reshape(tf.cast(value, self.dtype), (-1,)) for value in values], 0
        )
        # what stands in for a minibatch may be anything, such as NaN
        flat = tf.where(weight > 0, flat, tf.zeros_like(flat))
        return tf.concat([flags, flat], 0)

    def unpack(
        self,
        vector: tf.Tensor,
        running: Mapping[str, Sequence[tf.Tensor]],
        blocks: Sequence[Any],
    ) -> Contents:
        """Return means over all processes, given the sum of their vectors.

        Parameters
        ----------
        vector : tf.Tensor
            The sum.
        running : mapping of {str: sequence of tf.Tensor}
            Variables of metrics before the minibatch. What is returned are those after.
        blocks : sequence of tf.Variable
            The parameters, for shapes and types.
        """
        weight, place = vector[0], N_FLAGS
        divisor = weight if self.divides else tf.ones_like(weight)

        def take(shape: tf.TensorShape, by: Any = None) -> tf.Tensor:
            nonlocal place
            size = shape.num_elements()
            found = tf.reshape(vector[place : place + size], shape)
            place += size
            return found if by is None else found / by

        scalar = tf.TensorShape(())
        losses = [take(scalar, divisor) for _ in self.terms]
        metrics = {name: take(scalar, weight) for name in self.means}
        counted = {
            name: [
                variable + _cast(take(variable.shape), variable.dtype)
                for variable in running[name]
            ]
            for name in self.counts
        }
        for name, metric in self.counts.items():
            value = metric.metric.stateless_result(counted[name])
            metrics[name] = tf.reduce_mean(tf.cast(value, self.dtype))
        gradients = [
            tf.cast(take(block.shape, divisor), block.dtype) for block in blocks
        ]
        return Contents(losses, metrics, counted, gradients)


def _cast(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return sums in the type of what was added, which may be whole numbers."""
    return tf.cast(values if dtype.is_floating else tf.round(values), dtype)
