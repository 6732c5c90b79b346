"""TensorFlow and Keras, imported when something of them is first used.

Importing them takes seconds, and much of a script can do without: networks are built,
and short runs simulated, with NumPy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["is_imported", "keras", "tf"]


class _LazyModule(ModuleType):
    """Stands for a module that may not have been imported yet."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self.__name__), name)
        self.__dict__[name] = value  # the next time without this function
        return value

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))


if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras, tf = _LazyModule("keras"), _LazyModule("tensorflow")


def is_imported() -> bool:
    """Whether anybody has imported TensorFlow: before, nobody can have its objects."""
    return "tensorflow" in sys.modules
