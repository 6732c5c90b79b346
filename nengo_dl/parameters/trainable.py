"""What training changes, in a form for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nengo_dl.parameters.places import Places
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.support.tables import aligned

__all__ = ["TrainableParameter", "TrainableParameters", "find_trainable_parameters"]


@dataclass(frozen=True)
class TrainableParameter:
    """A parameter that training changes.

    Attributes
    ----------
    name : str
        Its name in files of parameters, such as ``"net.ensembles[0].encoders"``.
    obj : Ensemble or Neurons or Connection
        Whose parameter it is.
    shape : tuple of int
        Its shape; ``(n_values,)`` for sparse weights.
    """

    name: str
    obj: Any
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=int))


class TrainableParameters(Sequence):
    """A list of parameters; printed, it is a table.

    Attributes
    ----------
    size : int
        Number of values of all of them.
    """

    def __init__(self, parameters: Sequence[TrainableParameter]):
        self._parameters = tuple(parameters)
        self.size = sum(parameter.size for parameter in parameters)

    def __getitem__(self, index: Any) -> Any:
        return self._parameters[index]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[TrainableParameter]:
        return iter(self._parameters)

    def __repr__(self) -> str:
        plural = "" if len(self) == 1 else "s"
        return f"<{len(self)} trainable parameter{plural}, {self.size:,} values>"

    def __str__(self) -> str:
        rows = [
            (p.name, " x ".join(map(str, p.shape)), f"{p.size:,}", str(p.obj))
            for p in self
        ]
        rows.append(("all", "", f"{self.size:,}", ""))
        return "\n".join(aligned(rows, (False, False, True, False)))


def find_trainable_parameters(values: ParameterValues) -> TrainableParameters:
    """Return the parameters of Nengo objects that training changes.

    Parameters
    ----------
    values : ParameterValues
        Parameters of the simulated network.

    Returns
    -------
    TrainableParameters
        In the order in which Nengo built them.
    """
    plan = values.session.plan
    wanted = {parameter.signal for parameter in plan.trainable}
    wanted &= set(plan.layout.block_of)
    found = []
    for name, place in Places(values).parameters.items():
        if place.signal in wanted:
            name = name.replace(".scaled_encoders", ".encoders")
            found.append(TrainableParameter(name, place.obj, place.shape))
    return TrainableParameters(found)
