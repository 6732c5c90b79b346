"""Whether a network needs no more than Nengo."""

from __future__ import annotations

import inspect
import io
import pickle
from typing import Any

import nengo
from nengo.base import NengoObject, ObjView
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

__all__ = ["check_plain"]

#: What an exported network does without.
_PACKAGES = ("nengo_dl", "tensorflow", "keras")


class _Finder(pickle.Pickler):
    """Notes objects of packages that another process may lack."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: list[Any] = []

    def reducer_override(self, obj: Any) -> Any:
        is_code = inspect.isroutine(obj) or inspect.isclass(obj)
        module = (obj if is_code else type(obj)).__module__ or ""
        if module.partition(".")[0] in _PACKAGES:
            self.found.append(obj)
        if inspect.isroutine(obj):
            return str, ()  # functions of users need not be such that can be pickled
        return NotImplemented


def check_plain(network: nengo.Network) -> None:
    """Raise an error that names the first thing that is not Nengo's or the user's.

    Parameters
    ----------
    network : nengo.Network
        What was exported.

    Raises
    ------
    ValidationError
        If a parameter of an object needs nengo_dl, TensorFlow or Keras.
    """
    for obj in [*network.all_ensembles, *network.all_nodes, *network.all_connections]:
        parts = {name: getattr(obj, name) for name in obj.params}
        for name, value in parts.items():
            if isinstance(value, NengoObject | Neurons | ObjView | LearningRule):
                continue
            finder = _Finder()
            try:
                finder.dump(value)
            except (pickle.PicklingError, TypeError, AttributeError):
                pass  # of the user; that part was looked at as far as it goes
            if finder.found:
                raise ValidationError(
                    f"{obj}.{name} is {value!r}, for which Nengo has no class of its "
                    "own. Replace it before, or pass strict=False to leave it so",
                    attr="sim",
                )
