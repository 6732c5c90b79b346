"""Data in the forms that Keras takes, in those of the trainer."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.support.arguments import check_positive
from nengo_dl.support.lazy_imports import keras
from nengo_dl.training.data import ArrayData, ElementSource, Minibatch, StreamData
from nengo_dl.training.keras_weights import ItemWeights

__all__ = [
    "FirstMinibatches",
    "KerasData",
    "first_of_pairs",
    "frequency",
    "names_of",
    "validation_of",
]


def names_of(objects: Iterable[Any], kind: str) -> dict[str, Any]:
    """Name objects by their labels, else by kind and number: ``node``, ``node_1``.

    Parameters
    ----------
    objects : iterable of Node or Probe
        In the order of their definition.
    kind : str
        What those without a label are called.
    """
    found: dict[str, Any] = {}
    for obj in objects:
        stem = obj.label or kind
        number, name = 0, stem
        while name in found:
            number += 1
            name = f"{stem}_{number}"
        found[name] = obj
    return found


class KerasData:
    """Turns what is passed to `fit`, `evaluate` and `predict` into inputs and targets.

    Parameters
    ----------
    nodes, probes : dict of {str: object}
        What can be fed, and what can have targets, by name.
    """

    def __init__(
        self, nodes: Mapping[str, nengo.Node], probes: Mapping[str, nengo.Probe]
    ):
        self.nodes = nodes
        self.probes = probes
        self.weights = ItemWeights(probes)

    def read(
        self,
        x: Any,
        y: Any,
        n_steps: int | None,
        sample_weight: Any = None,
        class_weight: Any = None,
    ) -> tuple[Any, Any, dict[nengo.Probe, np.ndarray]]:
        """Return inputs, targets and weights for `DataChecker.read`."""
        if class_weight is not None:
            class_weight = self.weights.check_classes(class_weight)
        if x is None or is_integer(x):
            n_steps = n_steps if x is None else int(x)
            if n_steps is None:
                raise ValidationError(
                    "Without data (x=None), give the number of steps (n_steps)",
                    attr="x",
                )
            return n_steps, *self._weighted(y, sample_weight, class_weight)
        source = _source_of(x)
        if source is None:
            return self._inputs(x), *self._weighted(y, sample_weight, class_weight)
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValidationError(
                    "Must be left out where x gives tuples of inputs, targets, and "
                    "weights of items",
                    attr=name,
                )
        return self._read_source(source, class_weight), None, {}

    def _weighted(self, y: Any, sample_weight: Any, class_weight: Any) -> tuple:
        """Return targets and weights."""
        targets = self._targets(y)
        return targets, self.weights.read(sample_weight, class_weight, targets)

    def _read_source(self, source: ElementSource, class_weight: Any) -> ElementSource:
        def elements(rng: np.random.RandomState | None) -> Iterator[tuple]:
            found = source.make(rng)
            if not hasattr(found, "__iter__"):
                raise ValidationError(
                    "A function must return a generator, or something else that gives "
                    f"inputs and targets (got {type(found).__name__})",
                    attr="x",
                )
            for element in found:
                yield self._element(element, class_weight)

        return dataclasses.replace(source, make=elements)

    def _element(self, element: Any, class_weight: Any) -> tuple[Any, Any, Any]:
        """Return inputs, targets and weights of a minibatch."""
        if not isinstance(element, (tuple, list)):
            return self._inputs(element), {}, {}
        if not 1 <= len(element) <= 3:
            raise ValidationError(
                "An iterable must give tuples (x,), (x, y) or (x, y, sample_weight) "
                f"(got one of length {len(element)})",
                attr="x",
            )
        x, y, weight = (*element, None, None)[:3]
        return self._inputs(x), *self._weighted(y, weight, class_weight)

    def _inputs(self, x: Any) -> Any:
        return self._by_object(x, self.nodes, "x", "node that can be fed")

    def _targets(self, y: Any) -> Any:
        return {} if y is None else self._by_object(y, self.probes, "y", "probe")

    def _by_object(self, given, known, attribute, kind):
        if isinstance(given, Mapping):
            found = {}
            for key, values in given.items():
                obj = next(
                    (
                        obj
                        for name, obj in known.items()
                        if key is obj or (isinstance(key, str) and key == name)
                    ),
                    None,
                )
                if obj is None:
                    raise ValidationError(
                        f"{key!r} is no {kind} of the simulated network; it has "
                        f"{', '.join(known) or 'none'}",
                        attr=attribute,
                    )
                found[obj] = self._array(values, attribute, key)
            return found
        if not isinstance(given, (list, tuple)):
            given = [given]
        if len(given) != len(known):
            n = len(given)
            there = "There is 1 array" if n == 1 else f"There are {n} arrays"
            raise ValidationError(
                f"{there}, but the network has {len(known)}: "
                f"{', '.join(known) or 'none'}; pass a dict, or a list in their order",
                attr=attribute,
            )
        return {
            obj: self._array(values, attribute, name)
            for (name, obj), values in zip(known.items(), given, strict=True)
        }

    def _array(self, values: Any, attribute: str, key: Any) -> np.ndarray:
        try:
            return np.asarray(values)
        except ValueError as error:
            raise ValidationError(
                f"{attribute} of {key} must be an array, with all items and steps of "
                f"one shape; fill up short sequences, with NaN in y ({error})",
                attr=attribute,
            ) from error


def _source_of(x: Any) -> ElementSource | None:
    """Return what gives an epoch's minibatches as they are; None for arrays."""
    if isinstance(x, keras.utils.PyDataset):
        return ElementSource(
            lambda rng: _elements_of(x, rng),
            x.num_batches,
            x.on_epoch_begin,
            x.on_epoch_end,
        )
    if inspect.isroutine(x):  # returns a generator
        return ElementSource(lambda rng: x())
    # an iterator goes on where it stopped
    return ElementSource(lambda rng: x) if _is_dataset(x) else None


def _elements_of(
    dataset: keras.utils.PyDataset, rng: np.random.RandomState | None
) -> Iterator[Any]:
    """Yield the minibatches of a dataset, in random order if there is a stream."""
    count = dataset.num_batches
    numbers: Iterable[int] = itertools.count() if count is None else range(count)
    if count is not None and rng is not None:
        numbers = rng.permutation(count).tolist()
    for number in numbers:
        yield dataset[number]


def _is_dataset(x: Any) -> bool:
    """Whether something gives elements one by one, and is no array of any library."""
    if isinstance(x, (Mapping, list, tuple, np.ndarray)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__iter__")


class FirstMinibatches:
    """Some minibatches of data for each epoch.

    Parameters
    ----------
    data : ArrayData or StreamData
        The data, which begins anew when it ends.
    count : int
        Number of minibatches in an epoch.
    restarts : bool
        Whether each epoch has the first ones; else it goes on behind those before.
    """

    in_memory = False

    def __init__(self, data: ArrayData | StreamData, count: int, restarts: bool):
        self.data = data
        self.n_minibatches = count
        self.restarts = restarts
        self._rest: Iterator[Minibatch] = iter(())

    def epoch(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield the minibatches of an epoch."""
        with self.data.announced():
            yield from self._some(rng)

    def _some(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        if self.restarts:
            self._rest = iter(())
        found = list(itertools.islice(self._rest, 1))
        for number in range(self.n_minibatches):
            if not found:
                self._rest = self.data.one_pass(rng)
                found = list(itertools.islice(self._rest, 1))
                if not found:
                    return
            yield found.pop()
            if number < self.n_minibatches - 1:
                found = list(itertools.islice(self._rest, 1))


def first_of_pairs(inputs: Any) -> Any:
    """Return data without targets."""
    if not isinstance(inputs, ElementSource):
        return inputs
    return dataclasses.replace(
        inputs, make=lambda rng: ((x, {}, {}) for x, _, _ in inputs.make(rng))
    )


def frequency(given: Any) -> Callable[[int], bool]:
    """Return a function that tells after which epochs there is validation."""
    if isinstance(given, Collection) and not isinstance(given, str):
        return lambda epoch: epoch + 1 in given
    count = check_positive(given, "validation_freq")
    return lambda epoch: (epoch + 1) % count == 0


def validation_of(given: Any) -> Sequence[Any] | None:
    """Return x, y and sample weights, as far as they were given, for validation."""
    if given is None:
        return None
    found = given if isinstance(given, (tuple, list)) else (given, None)
    if not 1 <= len(found) <= 3:
        raise ValidationError(
            "Must be (x, y) or (x, y, sample_weight), or an iterable of such "
            f"minibatches (got {len(found)} values)",
            attr="validation_data",
        )
    return found
