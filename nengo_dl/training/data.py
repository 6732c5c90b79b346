"""Inputs and targets of training, checked and divided into minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.shared_memory import empty_for_tensor

__all__ = ["ArrayData", "DataChecker", "Minibatch", "StreamData"]


@dataclass(frozen=True)
class Minibatch:
    """What one update of the parameters sees.

    Attributes
    ----------
    inputs : dict of {Signal: ndarray, shape (n_steps or 1, minibatch, size)}
        Values of input nodes; one step only where they stay the same.
    targets : dict of {Probe: ndarray, shape (minibatch, n_steps, ...)}
        Targets.
    n_steps : int
        Number of time steps.
    is_own : bool
        Whether nobody else has the arrays of the inputs.
    """

    inputs: dict[Signal, np.ndarray]
    targets: dict[nengo.Probe, np.ndarray]
    n_steps: int
    is_own: bool = False


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
    """

    inputs: dict[Signal, np.ndarray]
    targets: dict[nengo.Probe, np.ndarray]
    n_items: int
    n_steps: int
    minibatch: int

    in_memory: ClassVar[bool] = True

    @property
    def probes(self) -> list[nengo.Probe]:
        """Probes with targets."""
        return list(self.targets)

    @property
    def n_minibatches(self) -> int:
        """Number of minibatches in an epoch."""
        return self.n_items // self.minibatch

    def epoch(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield all minibatches once, in random order if there is a random stream."""
        order = None if rng is None else rng.permutation(self.n_items)
        for number in range(self.n_minibatches):
            where = slice(number * self.minibatch, (number + 1) * self.minibatch)
            if order is None:
                yield Minibatch(
                    {s: v[:, where] for s, v in self.inputs.items()},
                    {p: v[where] for p, v in self.targets.items()},
                    self.n_steps,
                )
            else:
                rows = order[where]
                yield Minibatch(
                    {s: _chosen(v, rows) for s, v in self.inputs.items()},
                    {p: v[rows] for p, v in self.targets.items()},
                    self.n_steps,
                    is_own=True,
                )


@dataclass
class StreamData:
    """Data that comes one minibatch at a time.

    Attributes
    ----------
    make : callable
        Returns the minibatches of an epoch, pairs of inputs and targets.
    read : callable
        Turns a pair into an `ArrayData`.
    minibatch : int
        Number of items in each.
    """

    make: Callable[[], Iterable[Any]]
    read: Callable[[Any], ArrayData]
    minibatch: int
    n_minibatches: int | None = None

    in_memory: ClassVar[bool] = False

    def epoch(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield the minibatches of one pass; their order is the source's."""
        count = 0
        for element in self.make():
            yield from self.read(element).epoch(None)
            count += 1
        if count:
            self.n_minibatches = count


class DataChecker:
    """Checks what users pass as inputs and targets.

    Parameters
    ----------
    signals : mapping of {Node: Signal}
        The nodes that can be fed.
    probes : sequence of Probe
        All probes.
    dtype : numpy.dtype
        Floating point type of the simulation.
    minibatch : int
        Number of items in a minibatch.
    owner : object
        For error messages.
    """

    def __init__(
        self,
        signals: Mapping[nengo.Node, Signal],
        probes: Sequence[nengo.Probe],
        dtype: np.dtype,
        minibatch: int,
        owner: object,
    ):
        self.signals = signals
        self.probes = list(probes)
        self.dtype = dtype
        self.minibatch = minibatch
        self.owner = owner

    def read(self, inputs: Any, targets: Any) -> ArrayData | StreamData:
        """Return data in one of its two forms.

        Parameters
        ----------
        inputs : dict or ndarray or int or iterable
            Arrays by node; one array if there is one input node; a number of steps; or
            pairs of inputs and targets, one for each minibatch (then without targets).
        targets : dict or ndarray or None
            Arrays by probe, or one array if there is one probe.

        Raises
        ------
        ValidationError
            If something has the wrong form, shape or type.
        """
        if isinstance(inputs, Mapping | np.ndarray) or is_integer(inputs):
            return self._arrays(inputs, targets)
        if callable(inputs) or (
            hasattr(inputs, "__iter__") and not isinstance(inputs, (list, str, tuple))
        ):
            return self._stream(inputs, targets)
        raise self._error(
            "inputs",
            "Must be a dict of {Node: ndarray}, an array, a number of steps, or an "
            "iterable of pairs of inputs and targets, such as a tf.data.Dataset or a "
            f"function that returns a generator (got {type(inputs).__name__})",
        )

    def _stream(self, inputs: Any, targets: Any) -> StreamData:
        if targets is not None:
            raise self._error(
                "targets",
                "Must be None when inputs are an iterable: it gives pairs of inputs "
                "and targets",
            )

        def read(element):
            if not isinstance(element, (tuple, list)) or len(element) != 2:
                raise self._error(
                    "inputs",
                    "An iterable must give pairs of inputs and targets (got "
                    f"{type(element).__name__})",
                )
            return self._arrays(*(_to_numpy(part) for part in element), exact=True)

        return StreamData(
            inputs if callable(inputs) else lambda: inputs, read, self.minibatch
        )

    def _arrays(self, inputs: Any, targets: Any, exact: bool = False) -> ArrayData:
        n_steps = None
        if is_integer(inputs):
            n_steps = int(inputs)
            if n_steps < 1:
                raise self._error("inputs", f"Must be at least 1 step (got {inputs})")
            inputs = {}
        inputs = self._by_object(inputs, list(self.signals), "inputs", "input node")
        targets = {} if targets is None else targets
        targets = self._by_object(targets, self.probes, "targets", "probe")
        arrays = {
            node: self._numbers(value, f"Inputs of {node}", "inputs")
            for node, value in inputs.items()
        }
        for node, array in arrays.items():
            if array.ndim != 3 or array.shape[2] != node.size_out:
                raise self._error(
                    "inputs",
                    f"Inputs of {node} must have shape (n_items, n_steps, size_out) = "
                    f"(n_items, n_steps, {node.size_out}) (got {array.shape})",
                )
        wanted = {
            probe: self._numbers(value, f"Targets of {probe}", "targets")
            for probe, value in targets.items()
        }
        n_items, n_steps = self._sizes(arrays, wanted, n_steps)
        self._check_count(n_items, exact)
        return ArrayData(
            {
                self.signals[node]: self._by_step(array)
                for node, array in arrays.items()
            },
            {
                probe: array.astype(self.dtype, copy=False)
                if array.dtype.kind == "f"
                else array
                for probe, array in wanted.items()
            },
            n_items,
            n_steps,
            self.minibatch,
        )

    def _sizes(self, inputs, targets, n_steps):
        """Return the number of items and of steps, which must agree."""
        named = [(f"inputs of {n}", a) for n, a in inputs.items()]
        if n_steps is None:
            if not named:
                raise self._error(
                    "inputs",
                    "Give an array for at least one node, or the number of time steps",
                )
            n_steps = named[0][1].shape[1]
        for name, array in named:
            if array.shape[1] != n_steps:
                raise self._error(
                    "inputs",
                    f"All inputs must have the same number of steps: {name} have shape "
                    f"{array.shape}, {named[0][0]} have {named[0][1].shape}",
                )
        for probe, array in targets.items():
            if array.ndim < 1:
                raise self._error(
                    "targets",
                    f"Targets of {probe} must have shape (n_items, n_steps, ...) (got "
                    f"{array.shape})",
                )
        named += [(f"targets of {p}", a) for p, a in targets.items()]
        if not named:
            return self.minibatch, n_steps
        first_name, first = named[0]
        for name, array in named:
            if array.shape[0] != first.shape[0]:
                raise self._error(
                    name.split()[0],
                    f"All arrays must have the same number of items: {name} have shape "
                    f"{array.shape}, {first_name} have {first.shape}",
                )
        if n_steps < 1:
            raise self._error("inputs", f"There are no time steps (got {first.shape})")
        return first.shape[0], n_steps

    def _check_count(self, n_items: int, exact: bool) -> None:
        if exact and n_items != self.minibatch:
            raise self._error(
                "inputs",
                f"Each element of an iterable must be one minibatch of "
                f"{self.minibatch} items (got {n_items})",
            )
        if n_items < self.minibatch:
            raise self._error(
                "inputs",
                f"There are {n_items} items, fewer than one minibatch of "
                f"{self.minibatch} (see minibatch_size of the simulator)",
            )
        rest = n_items % self.minibatch
        if rest:
            warn_user(
                f"{n_items} items cannot be divided into minibatches of "
                f"{self.minibatch}: the last {rest} of each epoch are left out",
            )

    def _by_object(self, values: Any, known: list, attribute: str, kind: str) -> dict:
        """Return values by object, given by object, by label, or for the only one."""
        if not isinstance(values, Mapping):
            if len(known) != 1:
                raise self._error(
                    attribute,
                    f"One array is enough only if there is one {kind}; there are "
                    f"{len(known)}, so pass a dict",
                )
            return {known[0]: values}
        found = {}
        for key, value in values.items():
            matching = [
                obj
                for obj in known
                if obj is key or (isinstance(key, str) and obj.label == key)
            ]
            if len(matching) != 1:
                reason = "only Nodes that have an output and no input can be fed"
                if kind == "probe":
                    reason = "targets belong to its probes"
                raise self._error(
                    attribute,
                    f"{key!r} is not {'an' if kind[0] in 'aeiou' else 'a'} {kind} of "
                    f"the simulated network: {reason}",
                )
            found[matching[0]] = value
        return found

    def _numbers(self, values: Any, what: str, attribute: str) -> np.ndarray:
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise self._error(
                attribute,
                f"{what} must be an array of numbers, with all items and steps of one "
                f"shape; fill up short sequences, with NaN in targets ({error})",
            ) from error
        if array.dtype.kind not in "biuf":
            raise self._error(
                attribute,
                f"{what} must be real numbers (got an array of {array.dtype})",
            )
        return array

    def _by_step(self, array: np.ndarray) -> np.ndarray:
        """Return values with the axis of steps first, of length 1 if they are equal."""
        if array.shape[1] > 1 and is_still(array):
            array = array[:, :1]
        # a view: all data is never copied, only what is chosen for a minibatch
        return np.moveaxis(array.astype(self.dtype, copy=False), 1, 0)

    def _error(self, attribute: str, message: str) -> ValidationError:
        return ValidationError(message, attr=attribute, obj=self.owner)


def _chosen(values: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return some items of all steps, shape ``(n_steps, len(items), size)``."""
    n_steps, _, *shape = values.shape
    chosen = empty_for_tensor((n_steps, len(items), *shape), values.dtype)
    if chosen[:, 0].nbytes < _LARGE_ITEM:
        chosen[...] = values[:, items]
    else:
        # one by one they go to their place at once, whatever their order in memory
        for place, item in enumerate(items):
            chosen[:, place] = values[:, item]
    return chosen


#: Items of so many bytes take longer to copy than to find.
_LARGE_ITEM = 2**13


def is_still(array: np.ndarray) -> bool:
    """Whether values are the same in all steps."""
    if array.strides[1] == 0:
        return True
    # a few items at a time: moving data is nearly always found out by the first ones,
    # and a part that fits a cache is compared faster
    count = max(1, _COMPARED_VALUES // max(1, array[0].size))
    for start in range(0, len(array), count):
        part = array[start : start + count]
        if not (part[:, 1:] == part[:, :-1]).all():
            return False
    return True


#: About how many values are compared at once.
_COMPARED_VALUES = 2**17


def _to_numpy(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: np.asarray(value) for key, value in part.items()}
    return part if is_integer(part) else np.asarray(part)
