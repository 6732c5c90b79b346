"""Inputs and targets of training, divided into minibatches."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import nengo
import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.support import tuning
from nengo_dl.training.shared_memory import empty_for_tensor

__all__ = [
    "WHOLE",
    "ArrayData",
    "ElementSource",
    "Minibatch",
    "Share",
    "StreamData",
    "is_still",
]


@dataclass(frozen=True)
class ElementSource:
    """Gives minibatches with weights, in the form of users.

    Attributes
    ----------
    make : callable
        Returns tuples of inputs, targets and weights by Node and Probe, given the
        random stream of their order, or None.
    n_minibatches : int or None
        Their number, if it is known.
    begin, end : callable
        Called at the beginning and at the end of each epoch.
    """

    make: Callable[[np.random.RandomState | None], Iterable[Any]]
    n_minibatches: int | None = None
    begin: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def announced(self) -> Iterator[None]:
        """Do something between the beginning and the end of an epoch."""
        self.begin()
        try:
            yield
        finally:
            self.end()


@dataclass(frozen=True)
class Share:
    """Which items of each minibatch are for this process, if there are several.

    Attributes
    ----------
    rank : int
        Number of this process.
    count : int
        Number of processes. Their minibatches, one after the other, are what one
        process with larger minibatches would take.
    """

    rank: int = 0
    count: int = 1


#: All items are for this process.
WHOLE = Share()


@dataclass(frozen=True)
class Minibatch:
    """What one update of the parameters sees.

    Attributes
    ----------
    inputs : dict of {Signal: ndarray, shape (n_steps or 1, minibatch, size)}
        Values of input nodes; one step only where they stay the same.
    targets : dict of {Probe: ndarray, shape (n_items, n_steps, ...)}
        Targets.
    n_steps : int
        Number of time steps.
    n_items : int
        How many items count. If they do not fill the minibatch, the others are there
        to be simulated, but nobody sees their outputs.
    is_own : bool
        Whether nobody else has the arrays of the inputs.
    items : ndarray of int
        Where the items are in the data that the user gave.
    weights : dict of {Probe: ndarray, shape (n_items,) or (n_items, 1 or n_steps)}
        How much items count in losses; 1 where nothing is given.
    weight : float
        How much the minibatch counts among those of other processes.
    n_together : int
        How many items all of them have; 0 if that is not known.
    """

    inputs: dict[Signal, np.ndarray]
    targets: dict[nengo.Probe, np.ndarray]
    n_steps: int
    n_items: int
    is_own: bool
    items: np.ndarray
    weights: dict[nengo.Probe, np.ndarray] = field(default_factory=dict)
    weight: float = 1.0
    n_together: int = 0


@dataclass
class ArrayData:
    """Data that is in memory as a whole (`in_memory`).

    Attributes
    ----------
    inputs : dict of {Signal: ndarray, shape (n_steps or 1, n_items, size)}
        Values of input nodes.
    targets : dict of {Probe: ndarray, shape (n_items, ...)}
        Targets.
    n_items, n_steps, minibatch : int
        Sizes.
    keeps_rest : bool
        Whether items that do not fill a minibatch make one of their own, filled up with
        others that do not count. Otherwise they are left out.
    weights : dict of {Probe: ndarray, shape (n_items,) or (n_items, 1 or n_steps)}
        How much items count in losses.
    share : Share
        Which items of each minibatch are for this process.
    """

    inputs: dict[Signal, np.ndarray]
    targets: dict[nengo.Probe, np.ndarray]
    n_items: int
    n_steps: int
    minibatch: int
    keeps_rest: bool = False
    weights: dict[nengo.Probe, np.ndarray] = field(default_factory=dict)
    share: Share = WHOLE

    in_memory: ClassVar[bool] = True

    announced: ClassVar[Any] = contextlib.nullcontext

    @property
    def probes(self) -> list[nengo.Probe]:
        """Probes with targets."""
        return list(self.targets)

    @property
    def n_minibatches(self) -> int:
        """Number of minibatches in an epoch."""
        size = self.minibatch * self.share.count
        count = self.n_items + (size - 1 if self.keeps_rest else 0)
        return count // size

    def part(self, where: slice) -> ArrayData:
        """Return some of the items, all of which count."""
        return dataclasses.replace(
            self,
            inputs={s: v[:, where] for s, v in self.inputs.items()},
            targets={p: v[where] for p, v in self.targets.items()},
            n_items=len(range(*where.indices(self.n_items))),
            keeps_rest=True,
            weights={p: v[where] for p, v in self.weights.items()},
        )

    def epoch(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield the minibatches of an epoch, which are all of them."""
        return self.one_pass(rng)

    def one_pass(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield all minibatches once, in random order if there is a random stream."""
        order = np.arange(self.n_items)
        if rng is not None:
            order = rng.permutation(self.n_items)
        size, first = (
            self.minibatch * self.share.count,
            self.minibatch * self.share.rank,
        )
        for number in range(self.n_minibatches):
            begin = number * size + first
            where = slice(begin, begin + self.minibatch)
            rows = order[where]
            together = min(size, self.n_items - number * size)
            weight = len(rows) / together
            if not weight:  # the others have all items; these do not count
                where = slice(number * size, number * size + 1)
                rows = order[where]
            count = len(rows)
            is_own = rng is not None or count < self.minibatch
            if is_own:
                # repeated rather than zero: statistics of a layer stay reasonable
                filled = np.resize(rows, self.minibatch)
                inputs = {s: _chosen(v, filled) for s, v in self.inputs.items()}
                targets = {p: v[rows] for p, v in self.targets.items()}
            else:
                inputs = {s: v[:, where] for s, v in self.inputs.items()}
                targets = {p: v[where] for p, v in self.targets.items()}
            weights = {p: v[rows] for p, v in self.weights.items()}
            yield Minibatch(
                *(inputs, targets, self.n_steps, count, is_own, rows, weights, weight),
                together,
            )


@dataclass
class StreamData:
    """Data that comes one minibatch at a time.

    Attributes
    ----------
    make : callable
        Returns the minibatches of an epoch, pairs of inputs and targets, given the
        random stream of their order, or None.
    read : callable
        Turns a pair into an `ArrayData`.
    minibatch : int
        Number of items in each.
    n_minibatches : int or None
        Their number, if it is known.
    announced : callable
        Returns a context that tells the source of the beginning and end of an epoch.
    """

    make: Callable[[np.random.RandomState | None], Iterable[Any]]
    read: Callable[[Any], ArrayData]
    minibatch: int
    n_minibatches: int | None = None
    announced: Callable[[], contextlib.AbstractContextManager[None]] = (
        contextlib.nullcontext
    )

    in_memory: ClassVar[bool] = False

    def epoch(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield the minibatches of an epoch."""
        with self.announced():
            yield from self.one_pass(rng)

    def one_pass(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield the minibatches once; their order is the source's."""
        count = 0
        for element in self.make(rng):
            for minibatch in self.read(element).epoch(None):
                weight = minibatch.n_items / self.minibatch
                yield dataclasses.replace(minibatch, weight=weight, n_together=0)
            count += 1
        if count:
            self.n_minibatches = count


def _chosen(values: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return some items of all steps, shape ``(n_steps, len(items), size)``."""
    n_steps, _, *shape = values.shape
    chosen = empty_for_tensor((n_steps, len(items), *shape), values.dtype)
    if chosen[:, 0].nbytes < tuning.LARGE_ITEM_BYTES:
        chosen[...] = values[:, items]
    else:
        # one by one they go to their place at once, whatever their order in memory
        for place, item in enumerate(items):
            chosen[:, place] = values[:, item]
    return chosen


def is_still(array: np.ndarray) -> bool:
    """Whether values are the same in all steps."""
    if array.strides[1] == 0:
        return True
    # a few items at a time: moving data is nearly always found out by the first ones,
    # and a part that fits a cache is compared faster
    count = max(1, tuning.COMPARED_VALUES // max(1, array[0].size))
    for start in range(0, len(array), count):
        part = array[start : start + count]
        if not (part[:, 1:] == part[:, :-1]).all():
            return False
    return True
