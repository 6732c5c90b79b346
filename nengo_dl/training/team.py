"""Who trains, evaluates or predicts: a team, which mostly is one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.averages import Averages
from nengo_dl.training.data import WHOLE, ArrayData, Share, StreamData
from nengo_dl.training.inputs import Part
from nengo_dl.training.messages import Messages
from nengo_dl.training.terms import Term
from nengo_dl.training.updates import Update

__all__ = ["Team"]


class Team:
    """A process that works alone; `JoinedTeam` is one of several.

    Attributes
    ----------
    share : Share
        Which items of arrays are for this process.
    messages : Messages or None
        What processes say to each other in each update.
    interrupt : DeferredInterrupt or None
        Waits for Ctrl-C during training.
    """

    share: Share = WHOLE
    messages: Messages | None = None

    def __init__(self) -> None:
        self.interrupt: DeferredInterrupt | None = None

    @property
    def is_first(self) -> bool:
        """Whether callbacks, messages and progress bars are those of this process."""
        return self.share.rank == 0

    # -- the beginning

    def check(
        self, data: ArrayData | StreamData, terms: Sequence[Term], stateful: bool
    ) -> None:
        """Raise if data or objectives are none that can be divided.

        Parameters
        ----------
        data : ArrayData or StreamData
            The data.
        terms : sequence of Term
            Terms of the loss.
        stateful : bool
            Whether the simulation is to go on in each minibatch.
        """

    def begin(
        self,
        action: str,
        facts: Callable[[], Mapping[str, str]],
        state: list[tf.Tensor],
        update: Update | None = None,
        callbacks: Any = None,
        in_memory: bool = True,
    ) -> None:
        """Raise unless all are about to do the same, and take what the first one has.

        Parameters
        ----------
        action : str
            What they are about to do.
        facts : callable
            Returns what must be equal, by how it is called.
        state : list of tf.Tensor, shapes (minibatch, size)
            State at the beginning of a minibatch; it is changed.
        update : Update or None
            What is applied in this training.
        callbacks : KerasCallbacks or None
            Those of this process.
        in_memory : bool
            Whether the number of minibatches is known to be the same for all.
        """

    def take_counts(self, n_updates: int, rng: np.random.RandomState) -> int:
        """Continue the random stream of the first process; return its count of updates.

        Parameters
        ----------
        n_updates : int
            The count of this process.
        rng : numpy.random.RandomState
            Puts minibatches in order.
        """
        return n_updates

    def first_epoch(self, epoch: int) -> int:
        """Return the number of the first epoch, which callbacks may have changed."""
        return epoch

    def begin_epoch(self, state: list[tf.Tensor]) -> None:
        """Let moving averages be those of the first process, and layers draw anew.

        Parameters
        ----------
        state : list of tf.Tensor, shapes (minibatch, size)
            State at the beginning of a minibatch; it is changed.
        """

    # -- minibatches

    def minibatches(
        self, prepared: Iterable[list[Part]], truncated: bool
    ) -> Iterable[list[Part]]:
        """Yield minibatches, and when there are none any more, what stands in for them.

        Parameters
        ----------
        prepared : iterable of list of Part
            The minibatches of this process.
        truncated : bool
            Whether they are divided.
        """
        return prepared

    def n_items(self, results: Sequence[Mapping[str, Any]], part: Part) -> float:
        """Return how many items the minibatches of all had, or in proportion to it.

        Parameters
        ----------
        results : sequence of dict
            What was measured.
        part : Part
            The minibatch of this process.
        """
        return part.minibatch.n_items

    def check_interrupt(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Raise KeyboardInterrupt in all processes if one was interrupted.

        Parameters
        ----------
        results : sequence of dict
            What was measured for a minibatch.
        """
        if self.interrupt is not None:
            self.interrupt.check()

    def causes(self, own: str) -> str:
        """Return what is to blame in some process, if it is its data.

        Parameters
        ----------
        own : str
            What is to blame here; empty if nothing was found.
        """
        return own

    def average(self, state: list[tf.Tensor]) -> None:
        """Replace moving averages by their means over all processes."""

    # -- callbacks, which the first process has

    def agree(self, stop: bool = False, of_batch: bool = False) -> bool:
        """Take over what callbacks changed; return whether they stop.

        Parameters
        ----------
        stop : bool
            Whether those of this process do.
        of_batch : bool
            Whether they were called for a minibatch.
        """
        return stop

    # -- what all found

    def means(
        self,
        found: Averages,
        metrics: Mapping[str, Term],
        starts: Mapping[str, Sequence[tf.Tensor]],
        n_terms: int,
    ) -> dict[str, float]:
        """Return means of loss and metrics over the minibatches of all processes.

        Parameters
        ----------
        found : Averages
            Of the minibatches of this one.
        metrics : mapping of {str: Term}
            The metrics.
        starts : mapping of {str: sequence of tf.Tensor}
            Variables of metrics that count over minibatches, at the beginning.
        n_terms : int
            Number of terms of the loss.

        Raises
        ------
        ValidationError
            If there is no minibatch.
        """
        if not found.losses:
            raise ValidationError(
                "There is no minibatch to evaluate; give data that can be iterated "
                "again, such as a function that returns a generator",
                attr="inputs",
            )
        return found.values()

    def observed(
        self, prepared: Iterable[list[Part]], in_memory: bool
    ) -> Iterable[list[Part]]:
        """Yield minibatches that are evaluated or predicted.

        Parameters
        ----------
        prepared : iterable of list of Part
            The minibatches of this process.
        in_memory : bool
            Whether they are parts of arrays that all have.
        """
        return prepared

    def outputs(
        self,
        probes: Sequence[nengo.Probe],
        shown: Sequence[Sequence[np.ndarray]],
        counts: Sequence[int],
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return what probes show for the minibatches of all processes, in order.

        Parameters
        ----------
        probes : sequence of Probe
            The probes.
        shown : sequence of sequence of ndarray, shapes (n_items, n_steps, size)
            What each of them shows for the minibatches of this one that have items.
        counts : sequence of int
            How many items each minibatch has.

        Raises
        ------
        ValidationError
            If there is no minibatch.
        """
        if not counts:
            raise ValidationError(
                "There is no minibatch to predict; give data that can be iterated "
                "again, such as a function that returns a generator",
                attr="inputs",
            )
        return {
            probe: np.concatenate(values)
            for probe, values in zip(probes, shown, strict=True)
        }
