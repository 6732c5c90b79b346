"""Nengo's model, with one question asked once."""

from __future__ import annotations

from typing import Any

from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.rc import rc

__all__ = ["FastModel"]


class FastModel(Model):
    """A model that looks up only once whether operators are to be tried at once.

    Nengo looks for ``fail_fast`` in its configuration for each operator, which takes
    50 µs. A model is built under the setting under which it was made.

    Parameters
    ----------
    **kwargs
        Arguments of ``nengo.builder.Model``.
    """

    def __init__(self, **kwargs: Any):
        self._fails_fast = rc["nengo.Simulator"].getboolean("fail_fast")
        super().__init__(**kwargs)

    def add_op(self, op: Operator) -> None:
        """Add an operator; see ``nengo.builder.Model.add_op``.

        Parameters
        ----------
        op : Operator
            What to add.
        """
        if self._fails_fast:
            super().add_op(op)
        else:
            self.operators.append(op)
