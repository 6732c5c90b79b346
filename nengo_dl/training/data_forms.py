"""What users may pass as inputs and targets, checked and in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.support.arguments import objects_named, says_how_many
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.data import (
    WHOLE,
    ArrayData,
    ElementSource,
    Share,
    StreamData,
    is_still,
)

__all__ = ["DataChecker"]


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
    """

    def __init__(
        self,
        signals: Mapping[nengo.Node, Signal],
        probes: Sequence[nengo.Probe],
        dtype: np.dtype,
        minibatch: int,
    ):
        self.signals = signals
        self.probes = list(probes)
        self.dtype = dtype
        self.minibatch = minibatch

    def read(
        self,
        inputs: Any,
        targets: Any,
        keeps_rest: bool = False,
        weights: Mapping[nengo.Probe, np.ndarray] | None = None,
        share: Share = WHOLE,
    ) -> ArrayData | StreamData:
        """Return data in one of its two forms.

        Parameters
        ----------
        inputs : dict or ndarray or int or iterable
            Arrays by node; one array if there is one input node; a number of steps; or
            pairs of inputs and targets, one for each minibatch (then without targets).
        targets : dict or ndarray or None
            Arrays by probe, or one array if there is one probe.
        keeps_rest : bool
            Whether items of arrays that do not fill a minibatch count; else they are
            left out, with a warning. Those of iterables always count.
        weights : mapping of {Probe: ndarray}, optional
            Weights of items, checked by `ItemWeights`.
        share : Share, optional
            Which items of arrays are for this process. Default: all.

        Raises
        ------
        ValidationError
            If something has the wrong form, shape or type.
        """
        if isinstance(inputs, Mapping | np.ndarray) or is_integer(inputs):
            return self._arrays(inputs, targets, keeps_rest, weights, share)
        if (
            isinstance(inputs, ElementSource)
            or callable(inputs)
            or (
                hasattr(inputs, "__iter__")
                and not isinstance(inputs, (list, str, tuple))
            )
        ):
            return self._stream(inputs, targets)
        raise self._error(
            "inputs",
            "Must be a dict of {Node: ndarray}, an array, a number of steps, or an "
            "iterable of pairs of inputs and targets, such as a tf.data.Dataset or a "
            f"function that returns a generator (got {type(inputs).__name__})",
        )

    def separate(self, data: Any, second: Any, third: Any = None) -> tuple:
        """Divide one dict of inputs and targets; other data stays as it is.

        ``train({node: x, probe: y}, optimizer)`` and ``loss({node: x, probe: y},
        objective)`` are the forms of versions 2.0 to 2.2 of the older library.

        Parameters
        ----------
        data : object
            First argument: inputs, or a dict with Probes, too, among its keys.
        second : object
            Second argument: targets, or what follows one dict.
        third : object
            What follows targets; None if nothing does.

        Returns
        -------
        tuple
            Inputs, targets, and what follows.
        """
        if not isinstance(data, Mapping):
            return data, second, third
        targets = {
            key: value
            for key, value in data.items()
            if objects_named(key, self.probes, "probe")
            and not objects_named(key, self.signals, "node")
        }
        if not targets:
            return data, second, third
        if isinstance(second, np.ndarray) or (second is not None and third is not None):
            raise self._error(
                "targets",
                "There are targets among the inputs, and others after them; write "
                "train({node: x}, {probe: y}, optimizer)",
            )
        inputs: Any = {k: value for k, value in data.items() if k not in targets}
        if not inputs:
            shapes = [np.shape(value) for value in targets.values()]
            inputs = next((shape[1] for shape in shapes if len(shape) > 1), 1)
        return inputs, targets, third if second is None else second

    def _stream(self, inputs: Any, targets: Any) -> StreamData:
        if targets is not None:
            raise self._error(
                "targets",
                "Must be None when inputs are an iterable: it gives pairs of inputs "
                "and targets",
            )

        def read(element):
            if isinstance(inputs, ElementSource):
                *element, weights = element
            else:
                weights = None
            if not isinstance(element, (tuple, list)) or len(element) != 2:
                raise self._error(
                    "inputs",
                    "An iterable must give pairs of inputs and targets (got "
                    f"{type(element).__name__})",
                )
            parts = [_to_numpy(part) for part in element]
            data = self._arrays(*parts, keeps_rest=True, weights=weights)
            if data.n_items > self.minibatch:
                raise self._error(
                    "inputs",
                    f"Each element of an iterable must be one minibatch of "
                    f"{self.minibatch} items, or fewer (got {data.n_items})",
                )
            return data

        def make(rng):
            if isinstance(inputs, ElementSource):
                return inputs.make(rng)
            elements = inputs() if callable(inputs) else inputs
            if not hasattr(elements, "__iter__"):
                raise self._error(
                    "inputs",
                    "A function must return a generator, or something else that gives "
                    f"pairs of inputs and targets (got {type(elements).__name__})",
                )
            return elements

        if isinstance(inputs, ElementSource):
            count = inputs.n_minibatches
            return StreamData(make, read, self.minibatch, count, inputs.announced)
        return StreamData(make, read, self.minibatch)

    def _arrays(
        self,
        inputs: Any,
        targets: Any,
        keeps_rest: bool = False,
        weights: Mapping[nengo.Probe, np.ndarray] | None = None,
        share: Share = WHOLE,
    ) -> ArrayData:
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
        n_items, n_steps = self._sizes(arrays, wanted, n_steps, share)
        self._check_count(n_items, keeps_rest, share)
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
            keeps_rest,
            {p: v.astype(self.dtype, copy=False) for p, v in (weights or {}).items()},
            share,
        )

    def _sizes(self, inputs, targets, n_steps, share):
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
            return self.minibatch * share.count, n_steps
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

    def _check_count(self, n_items: int, keeps_rest: bool, share: Share) -> None:
        if n_items < 1:
            raise self._error("inputs", "There are no items")
        if n_items < share.count:
            raise self._error(
                "workers",
                f"There are {share.count} workers, more than items ({n_items}); start "
                "fewer workers",
            )
        if keeps_rest:
            return
        size = self.minibatch * share.count
        what = f"{size}"
        if share.count > 1:
            what += f" ({self.minibatch} for each of {share.count} workers)"
        if n_items < size:
            raise self._error(
                "inputs",
                f"There are {n_items} items, fewer than one minibatch of {what} (see "
                "minibatch_size of the simulator)",
            )
        rest = n_items % size
        if rest:
            warn_user(
                f"{n_items} items cannot be divided into minibatches of {what}: the "
                f"last {rest} of each epoch are left out",
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
            matching = objects_named(key, known, kind.split()[-1])
            if len(matching) != 1:
                reason = "only Nodes that have an output and no input can be fed"
                if kind == "probe":
                    reason = "targets belong to its probes"
                raise self._error(
                    attribute,
                    f"{key!r} is not {'an' if kind[0] in 'aeiou' else 'a'} {kind} of "
                    f"the simulated network: {reason}{says_how_many(matching)}",
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
        return ValidationError(message, attr=attribute)


def _to_numpy(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: np.asarray(value) for key, value in part.items()}
    return part if is_integer(part) else np.asarray(part)
