"""Which entries a file for a simulated network has, and where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.names import describe_objects, name_objects, name_state
from nengo_dl.config import Settings
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
        The signal that holds it; None for gains and zero biases.
    shape : tuple of int
        Shape for one item of a minibatch.
    per_item : bool
        Whether items of a minibatch have values of their own.
    optional : bool
        Whether a file can do without.
    attribute : str
        What it is of the object, where no signal holds it: ``"gain"``, or
        ``"zero_bias"``, the setting.
    """

    obj: Any
    signal: Signal | None
    shape: tuple[int, ...]
    per_item: bool
    optional: bool
    attribute: str = ""

    @property
    def is_gain(self) -> bool:
        """Whether it is the gains of an ensemble."""
        return self.attribute == "gain"


class Places:
    """The entries that a file for a simulated network has, by name.

    Parameters
    ----------
    values : ParameterValues
        Of the simulated network.

    Attributes
    ----------
    zero_biases : dict of {Ensemble: float}
        Biases for an input of zero, of ensembles that stand for activation functions:
        see ``zero_bias`` in `configure_settings`.
    """

    def __init__(self, values: ParameterValues):
        self.values = values
        settings = Settings(values.model.toplevel)
        found = {
            obj: settings.value(obj, "zero_bias")
            for obj in values.model.params
            if isinstance(obj, nengo.Ensemble)
        }
        self.zero_biases = {
            ens: zero for ens, zero in found.items() if zero is not None
        }
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
                    obj, None, params[obj].gain.shape, False, False, "gain"
                )
                if obj in self.zero_biases:
                    found[f"{self.names[obj]}.zero_bias"] = Place(
                        obj, None, (), False, True, "zero_bias"
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
                found = self.values.gain if place.is_gain else self.zero_biases.get
                result[name] = np.asarray(found(place.obj))
            else:
                value, _ = read[place.signal]
                result[name] = value if place.per_item else value[0]
        return result

    def describe(self) -> dict[str, dict[str, Any]]:
        """Describe the network, to compare it with that of a file."""
        return describe_objects(self.names)
