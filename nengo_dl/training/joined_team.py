"""Training and evaluation in several processes: what they agree about, and when."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.distribution.workers import Workers
from nengo_dl.execution.session import Session
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.agreement import (
    check_constants,
    facts_of_session,
    facts_of_update,
)
from nengo_dl.training.averages import Averages
from nengo_dl.training.data import ArrayData, Share, StreamData
from nengo_dl.training.inputs import Part
from nengo_dl.training.merging import merge, merge_outputs
from nengo_dl.training.team import Team
from nengo_dl.training.terms import Term
from nengo_dl.training.updates import Update

__all__ = ["JoinedTeam", "team_of"]


def team_of(workers: Any, session: Session) -> Team:
    """Return the processes that train, evaluate or predict.

    Parameters
    ----------
    workers : Workers or None
        What the user gave.
    session : Session
        What this process simulates.

    Raises
    ------
    ValidationError
        If it is something else.
    """
    if workers is None:
        return Team()
    if not isinstance(workers, Workers):
        raise ValidationError(
            f"Must be nengo_dl.Workers(...) (got {type(workers).__name__}); the number "
            "of processes is chosen when they are started, such as with "
            "python -m nengo_dl.launch --workers 2 script.py",
            attr="workers",
        )
    return JoinedTeam(workers, session) if workers.count > 1 else Team()


class JoinedTeam(Team):
    """The processes of one training, evaluation or prediction, seen from one of them.

    All of them call the same methods in the same order. Parameters, optimizers and
    decisions are those of the first one; each has its own items.

    Parameters
    ----------
    workers : Workers
        The processes.
    session : Session
        What this one simulates.
    """

    def __init__(self, workers: Workers, session: Session):
        super().__init__()
        self.share = Share(workers.rank, workers.count)
        self.messages = self
        self.workers = workers
        self.session = session
        self._sees_batches = self._has_callbacks = False
        self._update: Update | None = None
        self._may_end = False
        #: checksum of the first minibatch of an iterable that is evaluated
        self._seen: int | None = None

    # -- the beginning

    def check(
        self, data: ArrayData | StreamData, terms: Sequence[Term], stateful: bool
    ) -> None:
        """See `Team.check`."""
        if stateful:
            raise ValidationError(
                "Several workers have a simulation each, so none can go on as a whole; "
                "use stateful=False, or one process",
                attr="stateful",
            )
        sums = [term.sums for term in terms]
        if any(sums) and not (all(sums) or isinstance(data, ArrayData)):
            raise ValidationError(
                "With several workers and an iterable, output gradients (objective "
                "None) cannot be combined with other objectives; give arrays",
                attr="objective",
            )

    def begin(
        self,
        action: str,
        facts: Callable[[], Mapping[str, str]],
        state: list[tf.Tensor],
        update: Update | None = None,
        callbacks: Any = None,
        in_memory: bool = True,
    ) -> None:
        """See `Team.begin`."""
        self._update = update
        self._may_end = not in_memory
        # what else has to be equal depends on it
        self.workers.compare({"what to do": action})
        self.workers.compare(
            {**facts_of_session(self.session), **facts(), **facts_of_update(update)}
        )
        check_constants(self.workers, self.session)
        flags = [
            callbacks is not None,
            callbacks is not None and callbacks.sees_batches,
        ]
        found = self.workers.broadcast(np.array(flags, np.int32))
        self._has_callbacks, self._sees_batches = (bool(flag) for flag in found)
        self._take_parameters()
        averaged = self.session.store.lasting.averaged
        if averaged:
            self._take_state(averaged, state)
            self.session.store.keep_state([value.numpy() for value in state])

    # -- parameters, optimizers, averages

    def _take_parameters(self) -> None:
        """Let parameters and optimizer be those of the first worker."""
        variables = list(self.session.store.trained_variables)
        if self._update is not None:
            variables += self._update.variables
        if not variables:
            return
        arrays = [np.array(variable.numpy()) for variable in variables]
        if not self._have_all(arrays):
            for variable, value in zip(variables, self._first(arrays), strict=True):
                variable.assign(value)
        self.session.store.publish_trained()

    def _have_all(self, arrays: list[np.ndarray]) -> bool:
        """Return whether all have these arrays, as they usually do.

        This takes a tenth of the time in which they are sent.
        """
        checksum = self._checksum(arrays)
        return bool((self.workers.gather(checksum) == checksum).all())

    @staticmethod
    def _checksum(arrays: list[np.ndarray]) -> np.ndarray:
        """Return a number for arrays, shape (1,), that others have only by chance."""
        found = hashlib.blake2b(digest_size=8)
        for array in arrays:
            found.update(array.tobytes())
        return np.frombuffer(found.digest(), np.int64)

    def _first(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return arrays of the first worker, given those of this one."""
        whole = np.concatenate([a.reshape(-1).astype(np.float64) for a in arrays])
        found, place = self.workers.broadcast(whole), 0
        result = []
        for array in arrays:
            part = found[place : place + array.size]
            result.append(part.reshape(array.shape).astype(array.dtype))
            place += array.size
        return result

    def _take_state(
        self, numbers: Sequence[int], state: list[tf.Tensor]
    ) -> dict[int, np.ndarray]:
        """Let some state be that of the first worker, and return it."""
        found = dict(zip(numbers, self._first([state[n].numpy() for n in numbers])))
        for number, value in found.items():
            state[number] = tf.constant(value, state[number].dtype)
        return found

    def take_counts(self, n_updates: int, rng: np.random.RandomState) -> int:
        """See `Team.take_counts`."""
        _, keys, *numbers = rng.get_state()
        counts = np.array([n_updates, *numbers], np.float64)
        first_keys, counts = self._first([np.asarray(keys), counts])
        count, position, has_gauss, gauss = counts.tolist()
        rng.set_state(("MT19937", first_keys, int(position), int(has_gauss), gauss))
        return int(count)

    def first_epoch(self, epoch: int) -> int:
        """See `Team.first_epoch`."""
        return int(self.workers.broadcast(np.array([epoch], np.int64))[0])

    def begin_epoch(self, state: list[tf.Tensor]) -> None:
        """See `Team.begin_epoch`."""
        lasting = self.session.store.lasting
        numbers = [*lasting.averaged, *lasting.streams]
        if not numbers:
            return
        found = self._take_state(numbers, state)
        for number in () if self.is_first else lasting.streams:
            start = found[number]
            words = [int(word) % 2**32 for word in start[0].astype(np.int64)]
            seed = np.random.SeedSequence([*words, self.share.rank])
            # of the size of those that Keras draws
            start[:, 0] = seed.generate_state(1)[0] % 10**9 + 1
            state[number] = tf.constant(start, state[number].dtype)

    def average(self, state: list[tf.Tensor]) -> None:
        """See `Team.average`."""
        numbers = [
            number
            for number in self.session.store.lasting.averaged
            if state[number].dtype.is_floating
        ]
        if not numbers:
            return
        sizes = [state[number].shape.num_elements() for number in numbers]
        flat = [tf.reshape(tf.cast(state[n], tf.float64), (-1,)) for n in numbers]
        parts = tf.split(
            self.workers.total(tf.concat(flat, 0)) / self.workers.count, sizes
        )
        for number, part in zip(numbers, parts, strict=True):
            old = state[number]
            state[number] = tf.cast(tf.reshape(part, old.shape), old.dtype)

    # -- minibatches of training

    def minibatches(
        self, prepared: Iterable[list[Part]], truncated: bool
    ) -> Iterator[list[Part]]:
        """See `Team.minibatches`; `exchange` says when nobody has any."""
        last: list[Part] = []
        for parts in prepared:
            if self._may_end and not last:
                self._warn_of_equal(_sum_of_inputs(parts[0]))
            last = parts
            if self._may_end and truncated:
                self._compare_steps(parts)
            yield parts
        if not self._may_end:
            return
        if not last:
            raise ValidationError(
                f"Worker {self.workers.rank} has no minibatch in this epoch; give each "
                "worker some data that can be iterated again, or start fewer workers",
                attr="workers",
            )
        idle = [
            dataclasses.replace(
                part, minibatch=dataclasses.replace(part.minibatch, weight=0.0)
            )
            for part in last
        ]
        while True:
            if truncated:
                self._compare_steps(idle)
            yield idle

    def _compare_steps(self, parts: list[Part]) -> None:
        """Raise if minibatches have different numbers of steps, and thus of updates."""
        n_steps = sum(part.minibatch.n_steps for part in parts)
        rows = self.workers.gather(np.array([n_steps], np.int32))[:, 0]
        if (rows != rows[0]).any():
            raise ValidationError(
                "With truncation, the minibatches of all workers need the same number "
                f"of steps (got {', '.join(map(str, rows))})",
                attr="truncation",
            )

    def _warn_of_equal(self, checksum: int) -> None:
        """Warn if all have the same data, which was meant to be divided."""
        rows = self.workers.gather(np.array([checksum], np.int64))[:, 0]
        if checksum and (rows == rows[0]).all() and self.is_first:
            warn_user(
                "All workers were given the same first minibatch. Divide the data: "
                "pass workers.share(dataset), or make a dataset of "
                "workers.share(files)"
            )

    def flags(self, weight: float) -> list[float]:
        """Return the weight of a minibatch, and whether Ctrl-C was pressed."""
        pressed = self.interrupt is not None and self.interrupt.is_pending
        return [weight, float(pressed)]

    def exchange(self, sent: tf.Tensor) -> tf.Tensor | None:
        """Return the sum of the vectors of all; None if no minibatch is left."""
        received = self.workers.total(sent)
        if self._may_end and not received[0].numpy():
            return None
        return received

    def n_items(self, results: Sequence[Mapping[str, Any]], part: Part) -> float:
        """See `Team.n_items`."""
        weight = float(results[-1]["flags"][0])
        known = part.minibatch.n_together
        return known or weight * self.session.placement.minibatch_size

    def check_interrupt(self, results: Sequence[Mapping[str, Any]]) -> None:
        """See `Team.check_interrupt`."""
        if results[-1]["flags"][1] > 0:
            if self.interrupt is not None:
                self.interrupt.forget()
            raise KeyboardInterrupt

    def causes(self, own: str) -> str:
        """See `Team.causes`."""
        found = enumerate(self.workers.texts(own))
        named = [f"worker {rank}: {text}" for rank, text in found if text]
        return "; ".join(named)

    # -- callbacks

    def agree(self, stop: bool = False, of_batch: bool = False) -> bool:
        """See `Team.agree`."""
        if not (self._sees_batches if of_batch else self._has_callbacks):
            return stop
        found = self.workers.broadcast(np.array([stop], np.int32))
        self._take_parameters()
        return bool(found[0])

    # -- what all found

    def observed(
        self, prepared: Iterable[list[Part]], in_memory: bool
    ) -> Iterator[list[Part]]:
        """See `Team.observed`."""
        self._seen = None if in_memory else 0
        return self._noting(prepared)

    def _noting(self, prepared: Iterable[list[Part]]) -> Iterator[list[Part]]:
        for parts in prepared:
            if self._seen == 0:
                self._seen = _sum_of_inputs(parts[0])
            yield parts

    def _check_seen(self) -> None:
        if self._seen is not None:
            self._warn_of_equal(self._seen)

    def means(
        self,
        found: Averages,
        metrics: Mapping[str, Term],
        starts: Mapping[str, Sequence[tf.Tensor]],
        n_terms: int,
    ) -> dict[str, float]:
        """See `Team.means`."""
        self._check_seen()
        return merge(self.workers, found, metrics, starts, n_terms)

    def outputs(
        self,
        probes: Sequence[nengo.Probe],
        shown: Sequence[Sequence[np.ndarray]],
        counts: Sequence[int],
    ) -> dict[nengo.Probe, np.ndarray]:
        """See `Team.outputs`."""
        self._check_seen()
        dtype = np.dtype(self.session.step.config.dtype)
        return merge_outputs(self.workers, probes, shown, counts, dtype)


def _sum_of_inputs(part: Part) -> int:
    """Return a checksum of what is fed; 0 if nothing is."""
    values = [np.asarray(v).tobytes() for v in part.minibatch.inputs.values()]
    return zlib.crc32(b"".join(values)) if values else 0
