"""What to compute for a minibatch: terms of the loss, metrics, an update."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from typing import Any

import nengo

from nengo_dl.training.messages import Messages
from nengo_dl.training.terms import Term
from nengo_dl.training.updates import Update

__all__ = ["Computation"]


@dataclasses.dataclass(frozen=True)
class Computation:
    """What to compute for minibatches.

    Attributes
    ----------
    terms : sequence of Term
        Their sum is the loss.
    metrics : mapping of {str: Term}
        What to measure besides.
    update : Update or None
        Updates the trained variables. None: there is no update.
    segment : int or None
        Number of steps whose intermediate results are kept at once.
    training : bool
        Whether the network is the one of training (neurons with gradients, layers in
        training mode), not the one of simulations.
    reached : tuple of bool
        Which of the trained parameters have a gradient.
    layers_train : bool
        False keeps layers as they are in simulations, where ``training`` is True.
    shows : bool
        Whether to return what all probes show.
    messages : Messages or None
        What processes that train together say to each other in each update.
    """

    terms: Sequence[Term]
    metrics: Mapping[str, Term] = dataclasses.field(default_factory=dict)
    update: Update | None = None
    segment: int | None = None
    training: bool = False
    reached: tuple[bool, ...] = ()
    layers_train: bool = True
    shows: bool = False
    messages: Messages | None = None

    def without(self, probes: Set[nengo.Probe]) -> Computation:
        """Return what is left without the terms and metrics that see some probes."""
        terms = [t for t in self.terms if probes.isdisjoint(t.probes)]
        return dataclasses.replace(
            self,
            terms=terms,
            metrics={
                name: term
                for name, term in self.metrics.items()
                if probes.isdisjoint(term.probes)
            },
            update=self.update if terms else None,
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for what one compiled function can compute."""
        return (
            tuple((term.probes, term.key) for term in self.terms),
            tuple((name, t.probes, t.key) for name, t in self.metrics.items()),
            None if self.update is None else self.update.key,
            self.segment,
            self.training,
            self.reached,
            self.layers_train,
            self.shows,
            self.messages is not None,
        )
