"""Which entries a file for a simulated network has, and where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.names import describe_objects, name_objects, name_state
from nengo_dl.parameters.values import ParameterValues

__all__ = ["STATE_PREFIX", "Place", "Places"]

STATE_PREFIX = "state/"


@dataclass(frozen=True, eq=False)
class Place:
    """Where an entry belongs in the simulated network.

    Attributes
    ----------
    obj : object
        Whose entry it is (None: state).
    signal : Signal or None
        The signal that holds it; None for gains.
    shape : tuple of int
        Shape for one item of a minibatch.
    per_item : bool
        Whether items of a minibatch have values of their own.
    optional : bool
        Whether a file can do without.
    """

    obj: Any
    signal: Signal | None
    shape: tuple[int, ...]
    per_item: bool
    optional: bool


class Places:
    """The entries that a file for a simulated network has, by name."""

    def __init__(self, values: ParameterValues):
        self.values = values
        self.names = name_objects(values.model)
        self.parameters = self._find_parameters()
        self._state: dict[str, Place] | None = None

    def _find_parameters(self) -> dict[str, Place]:
        params = self.values.model.params
        found = {}
        for parameter in self.values.parameters:
            obj, signal = parameter.obj, parameter.signal
            attribute = parameter.attribute
            if isinstance(obj, Neurons):
                obj = obj.ensemble
            elif attribute == "encoders":
                attribute = "scaled_encoders"
                found[f"{self.names[obj]}.gain"] = Place(
                    obj, None, params[obj].gain.shape, False, False
                )
            shape = (n_values(signal),) if signal.sparse else signal.shape
            found[f"{self.names[obj]}.{attribute}"] = Place(
                obj,
                signal,
                shape,
                self.values.differs(signal) and not parameter.fixed,
                parameter.internal,
            )
        return found

    @property
    def state(self) -> dict[str, Place]:
        """Places of the state that is no parameter."""
        if self._state is None:
            step = self.values.session.step
            parameters = {p.signal for p in self.values.parameters}
            signals = {
                signal
                for block in step.state_blocks
                for signal in block.signals
                if signal not in parameters
            }
            named = name_state(self.values.model, self.names, signals)
            self._state = {
                STATE_PREFIX + name: Place(None, signal, signal.shape, True, False)
                for name, signal in named.items()
            }
        return self._state

    def read(self, places: Mapping[str, Place]) -> dict[str, np.ndarray]:
        """Return current values; those of items have an axis for them first."""
        read = self.values.read(p.signal for p in places.values() if p.signal)
        result = {}
        for name, place in places.items():
            if place.signal is None:
                result[name] = np.asarray(self.values.gain(place.obj))
            else:
                value, _ = read[place.signal]
                result[name] = value if place.per_item else value[0]
        return result

    def describe(self) -> dict[str, dict[str, Any]]:
        """Describe the network, to compare it with that of a file."""
        return describe_objects(self.names)
