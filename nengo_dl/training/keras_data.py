"""Data in the forms that Keras takes, in those of the trainer."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.training.data import ArrayData, Minibatch, StreamData

__all__ = ["FirstMinibatches", "KerasData", "names_of"]


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

    def read(self, x: Any, y: Any, n_steps: int | None) -> tuple[Any, Any]:
        """Return inputs and targets for `DataChecker.read`."""
        if x is None or is_integer(x):
            n_steps = n_steps if x is None else int(x)
            if n_steps is None:
                raise ValidationError(
                    "Without data (x=None), give the number of steps (n_steps)",
                    attr="x",
                )
            return n_steps, self._targets(y)
        if isinstance(x, keras.utils.PyDataset):
            return self._pairs(lambda: (x[i] for i in range(len(x)))), self._none(y)
        if isinstance(x, Iterator):
            return self._pairs(_resumed(x)), self._none(y)
        if inspect.isroutine(x):  # returns a generator
            return self._pairs(x), self._none(y)
        if _is_dataset(x):
            return self._pairs(lambda: x), self._none(y)
        return self._inputs(x), self._targets(y)

    def _none(self, y: Any) -> None:
        if y is not None:
            raise ValidationError(
                "Must be left out where x gives pairs of inputs and targets", attr="y"
            )

    def _pairs(self, make: Callable[[], Iterable[Any]]) -> Callable[[], Iterator]:
        def pairs() -> Iterator[tuple[Any, Any]]:
            for element in make():
                if not isinstance(element, (tuple, list)):
                    yield self._inputs(element), {}
                    continue
                if len(element) > 2 and element[2] is not None:
                    raise _no_weights("sample_weight")
                y = element[1] if len(element) > 1 else None
                yield self._inputs(element[0]), self._targets(y)

        return pairs

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
            raise ValidationError(
                f"There is {len(given)} array, but the network has {len(known)}: "
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


def _no_weights(attribute: str) -> ValidationError:
    return ValidationError(
        "Weights of items or classes are not supported. Weigh in the loss, a function "
        "f(y_true, y_pred), or pass targets with NaN for what shall not count",
        attr=attribute,
    )


def _is_dataset(x: Any) -> bool:
    """Whether something gives elements one by one, and is no array of any library."""
    if isinstance(x, (Mapping, list, tuple, np.ndarray)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__iter__")


def _resumed(iterator: Iterator[Any]) -> Callable[[], Iterator[Any]]:
    """Return a function that goes on with an iterator where it stopped."""
    return lambda: iterator


class FirstMinibatches:
    """Some minibatches of data for each epoch; the next epoch goes on behind them.

    Parameters
    ----------
    data : ArrayData or StreamData
        The data, which begins anew when it ends.
    count : int
        Number of minibatches in an epoch.
    """

    in_memory = False

    def __init__(self, data: ArrayData | StreamData, count: int):
        self.data = data
        self.n_minibatches = count
        self._rest: Iterator[Minibatch] = iter(())

    def epoch(self, rng: np.random.RandomState | None) -> Iterator[Minibatch]:
        """Yield the minibatches of an epoch."""
        found = list(itertools.islice(self._rest, 1))
        for number in range(self.n_minibatches):
            if not found:
                self._rest = self.data.epoch(rng)
                found = list(itertools.islice(self._rest, 1))
                if not found:
                    return
            yield found.pop()
            if number < self.n_minibatches - 1:
                found = list(itertools.islice(self._rest, 1))
