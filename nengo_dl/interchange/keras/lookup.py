"""Nengo objects by what they stand for in a Keras model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.interchange.keras.conversion import Conversion
from nengo_dl.interchange.keras.graph import Tensor, find_tensor
from nengo_dl.support.lazy_imports import keras

__all__ = ["ObjectsOfModel"]


class ObjectsOfModel(Mapping):
    """Nengo objects by layer, name of a layer, tensor, or position.

    Parameters
    ----------
    what : str
        What the objects are, for messages.
    conversion : Conversion
        Knows the model.
    objects : dict of {Tensor: object}
        The objects.
    keys : sequence of keras.Layer or keras.KerasTensor
        What is iterated over.
    tensors : sequence of Tensor
        What positions stand for.
    """

    def __init__(
        self,
        what: str,
        conversion: Conversion,
        objects: Mapping[Tensor, Any],
        keys: Sequence[Any],
        tensors: Sequence[Tensor],
    ):
        self._what = what
        self._conversion = conversion
        self._objects = objects
        self._keys = keys
        self._tensors = tensors

    def __getitem__(self, key: Any) -> Any:
        """Return the object of a layer, a tensor, a name or a position.

        ``(layer, n)`` is call ``n`` of a layer that is shared.
        """
        tensors = [t for t in self._find(key) if t in self._objects]
        if not tensors:
            known = ", ".join(getattr(k, "name", str(k)) for k in self._keys)
            raise KeyError(
                f"{getattr(key, 'name', key)!r} is no {self._what} of "
                f"{self._conversion.model.name!r}; there are: {known}"
            )
        if len({tensor.call for tensor in tensors}) > 1:
            layer = next(t.call.layer for t in tensors if t.call is not None)
            raise ValidationError(
                f"{layer.name!r} is called {len(tensors)} times; give the tensor that "
                "is meant, or the layer with the number of the call: (layer, 0)",
                attr=self._what,
            )
        found = [self._objects[tensor] for tensor in tensors]
        return found[0] if len(found) == 1 else found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def _find(self, key: Any) -> list[Tensor]:
        graph = self._conversion.graph
        if is_integer(key):
            in_range = -len(self._tensors) <= key < len(self._tensors)
            return [self._tensors[key]] if in_range else []
        if isinstance(key, keras.KerasTensor):
            for tensor, original in zip(graph.inputs, graph.model.inputs):
                if key is original:
                    return [tensor]
            found = find_tensor(graph, key)
            return [] if found is None else [found]
        number = None
        if isinstance(key, tuple) and len(key) == 2:
            key, number = key
        if not isinstance(key, str | keras.Operation):
            return []
        calls = [c for c in graph.calls if c.layer is key or c.layer.name == key]
        if number is not None:
            calls = [call for call in calls if call.node_id == number]
        if calls:
            return [tensor for call in calls for tensor in call.outputs]
        name = getattr(key, "name", key)
        return [tensor for tensor in graph.inputs if tensor.name == name]
