"""Training in several processes: what they agree about, and when."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import ValidationError

from nengo_dl.distribution.workers import Workers
from nengo_dl.execution.session import Session
from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.data import WHOLE, ArrayData, Share, StreamData
from nengo_dl.training.inputs import Part
from nengo_dl.training.updates import Update
from nengo_dl.version import __version__

__all__ = ["Team", "facts_of_data", "share_of", "workers_of"]

#: Relative difference of the sums of constants that other computers may cause.
_TOLERANCE = 1e-3


def workers_of(workers: Any) -> Workers | None:
    """Return the workers of a training; None if there is only one.

    Raises
    ------
    ValidationError
        If it is something else.
    """
    if workers is None:
        return None
    if not isinstance(workers, Workers):
        raise ValidationError(
            f"Must be nengo_dl.Workers(...) (got {type(workers).__name__}); the number "
            "of processes is chosen when they are started, such as with "
            "python -m nengo_dl.launch --workers 2 script.py",
            attr="workers",
        )
    return workers if workers.count > 1 else None


def share_of(workers: Workers | None) -> Share:
    """Return which items of arrays are for this process."""
    return WHOLE if workers is None else Share(workers.rank, workers.count)


class Team:
    """The processes of one training, seen from one of them.

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
        self.workers = workers
        self.session = session
        self.interrupt: DeferredInterrupt | None = None
        self._sees_batches = self._has_callbacks = False
        self._update: Update | None = None
        self._may_end = False

    # -- the beginning

    def begin(
        self, facts: Mapping[str, str], update: Update, callbacks: Any, in_memory: bool
    ) -> None:
        """Raise unless all are about to do the same, and take what the first one has.

        Parameters
        ----------
        facts : mapping of {str: str}
            What must be equal, by how it is called.
        update : Update
            What is applied in this training.
        callbacks : KerasCallbacks or None
            Those of this process.
        in_memory : bool
            Whether the number of minibatches is known to be the same for all.
        """
        self._update = update
        self._may_end = not in_memory
        self.workers.compare({**self._facts(), **facts, **_facts_of(update)})
        self._compare_constants()
        flags = [
            callbacks is not None,
            callbacks is not None and callbacks.sees_batches,
        ]
        found = self.workers.broadcast(np.array(flags, np.int32))
        self._has_callbacks, self._sees_batches = (bool(flag) for flag in found)
        self._take_parameters()

    def _facts(self) -> dict[str, str]:
        plan = self.session.plan
        operators = [
            (type(op).__name__, [s.shape for s in op.all_signals]) for op in plan.order
        ]
        trained = [
            (p.attribute, p.signal.shape) for p in plan.trainable
        ]  # labels may hold addresses
        return {
            "the versions": f"nengo_dl {__version__}, TensorFlow {tf.__version__}",
            "the network": f"{len(operators)} operators (checksum {_sum(operators)})",
            "what is trained": f"{len(trained)} parameters (checksum {_sum(trained)})",
            "minibatch_size": str(self.session.placement.minibatch_size),
            "dtype": str(self.session.step.config.dtype),
        }

    def _compare_constants(self) -> None:
        """Raise if what is not trained differs, as it does without seeds."""
        blocks = self.session.step.constant_blocks
        values = [
            variable.numpy().astype(np.float64)
            for block, variable in zip(blocks, self.session.store.variables.constants)
            if not block.trainable
        ]
        sums = [(v.sum(), np.abs(v).sum()) for v in values]
        rows = self.workers.gather(np.array([*sums, (0, 0)], np.float64).reshape(-1))
        rows = rows.reshape(self.workers.count, -1, 2)
        scale = _TOLERANCE * np.abs(rows[0, :, 1:])
        same = np.all(np.abs(rows - rows[0]) <= scale, axis=(1, 2))
        if not same.all():
            raise ValidationError(
                f"Worker {int(np.argmin(same))} has other values than worker 0 of what "
                "is not trained (such as gains, encoders or decoders). Give the "
                "network a seed, so that all workers build the same",
                attr="workers",
            )

    # -- parameters, optimizers, averages

    def _variables(self) -> list[Any]:
        update = self._update
        assert update is not None, "training has begun"
        return [*self.session.store.trained_variables, *update.variables]

    def _take_parameters(self) -> None:
        """Let parameters and optimizer be those of the first worker."""
        variables = self._variables()
        arrays = [np.array(variable.numpy()) for variable in variables]
        for variable, value in zip(variables, self._first(arrays), strict=True):
            variable.assign(value)
        self.session.store.publish_trained()

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

    def take_counts(self, n_updates: int, rng: np.random.RandomState) -> int:
        """Continue the random stream of the first worker; return its count of updates.

        Parameters
        ----------
        n_updates : int
            The count of this worker.
        rng : numpy.random.RandomState
            Puts minibatches in order.
        """
        _, keys, *numbers = rng.get_state()
        counts = np.array([n_updates, *numbers], np.float64)
        first_keys, counts = self._first([np.asarray(keys), counts])
        count, position, has_gauss, gauss = counts.tolist()
        rng.set_state(("MT19937", first_keys, int(position), int(has_gauss), gauss))
        return int(count)

    def begin_epoch(self, state: list[tf.Tensor]) -> None:
        """Let moving averages be those of the first worker, and layers draw anew.

        Parameters
        ----------
        state : list of tf.Tensor, shapes (minibatch, size)
            State at the beginning of a minibatch; it is changed.
        """
        lasting = self.session.store.lasting
        numbers = [*lasting.averaged, *lasting.streams]
        if not numbers:
            return
        found = dict(zip(numbers, self._first([state[n].numpy() for n in numbers])))
        for number in lasting.streams if self.workers.rank else ():
            first = found[number]
            words = [int(word) % 2**32 for word in first[0].astype(np.int64)]
            seed = np.random.SeedSequence([*words, self.workers.rank])
            # of the size of those that Keras draws
            found[number] = np.array(first)
            found[number][:, 0] = seed.generate_state(1)[0] % 10**9 + 1
        for number, value in found.items():
            state[number] = tf.constant(value, state[number].dtype)

    def average(self, state: list[tf.Tensor]) -> None:
        """Replace moving averages by their means over all workers."""
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

    # -- minibatches

    def minibatches(
        self, prepared: Iterable[list[Part]], truncated: bool
    ) -> Iterator[list[Part]]:
        """Yield minibatches, and when there are none any more, what stands in for them.

        Others may have some left. `exchange` says when nobody has any.
        """
        last: list[Part] = []
        for parts in prepared:
            if self._may_end and not last:
                self._warn_of_equal(parts[0])
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

    def _warn_of_equal(self, part: Part) -> None:
        """Warn if all have the same data, which was meant to be divided."""
        if not part.minibatch.inputs:
            return
        found = _sum([np.asarray(v).tobytes() for v in part.minibatch.inputs.values()])
        rows = self.workers.gather(np.array([int(found, 16)], np.int64))[:, 0]
        if (rows == rows[0]).all() and self.workers.is_first:
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

    def n_items(self, flags: Any, part: Part) -> float:
        """Return how many items the minibatches of all had, or in proportion to it.

        Parameters
        ----------
        flags : tf.Tensor
            First numbers of the sum of vectors.
        part : Part
            The minibatch of this process.
        """
        known = part.minibatch.n_together
        return known or float(flags[0]) * self.session.placement.minibatch_size

    def check_interrupt(self, flags: Any) -> None:
        """Raise KeyboardInterrupt in all processes if one was interrupted."""
        if flags[1] > 0:
            if self.interrupt is not None:
                self.interrupt.forget()
            raise KeyboardInterrupt

    def causes(self, own: str) -> str:
        """Return what is to blame in some worker, if it is its data.

        Parameters
        ----------
        own : str
            What is to blame here; empty if nothing was found.
        """
        found = enumerate(self.workers.texts(own))
        named = [f"worker {rank}: {text}" for rank, text in found if text]
        return "; ".join(named)

    # -- callbacks, which the first worker has

    def agree(self, stop: bool, of_batch: bool = False) -> bool:
        """Take over what callbacks changed; return whether they stop.

        Parameters
        ----------
        stop : bool
            Whether those of this process do.
        of_batch : bool
            Whether they were called for a minibatch.
        """
        if not (self._sees_batches if of_batch else self._has_callbacks):
            return stop
        found = self.workers.broadcast(np.array([stop], np.int32))
        self._take_parameters()
        return bool(found[0])

    def first_epoch(self, epoch: int) -> int:
        """Return the number of the first epoch, which callbacks may have changed."""
        return int(self.workers.broadcast(np.array([epoch], np.int64))[0])


def _facts_of(update: Update) -> dict[str, str]:
    optimizer = update.optimizer
    text = type(optimizer).__name__
    if isinstance(optimizer, keras.optimizers.Optimizer):
        # the learning rate may be another now; the first worker's counts
        plain = {
            name: value
            for name, value in optimizer.get_config().items()
            if name not in ("name", "learning_rate")
            and isinstance(value, bool | int | float | str | None)
        }
        text = f"{text} {plain}"
    shapes = [tuple(variable.shape) for variable in update.variables]
    return {"the optimizer": text, "the optimizer's variables": str(shapes)}


def facts_of_data(data: ArrayData | StreamData | None) -> str:
    """Return what must be equal about data."""
    if data is None:
        return "none"
    if isinstance(data, ArrayData):
        return f"{data.n_items} items of {data.n_steps} steps"
    return "an iterable"


def _sum(value: object) -> str:
    return f"{zlib.crc32(repr(value).encode()):08x}"
