"""Parts of what a simulation is at one moment, each as named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.compiler.ir import n_values
from nengo_dl.parameters.file.header import Form
from nengo_dl.parameters.file.messages import shown
from nengo_dl.parameters.places import Place, Places

__all__ = [
    "Group",
    "Histories",
    "History",
    "Parameters",
    "Part",
    "SavedBatch",
    "StartingWeights",
    "State",
]

#: What is asked for together: parameters and what training needs to continue; the state
#: of the simulation; what is copied with a simulator, but not put into files.
Group = Literal["global", "local", "copy"]


class SavedBatch(NamedTuple):
    """The minibatch that was saved, and which item of it is to be used for all."""

    n_items: int
    item: int | None


class Part(Protocol):
    """Something that is saved and loaded.

    Names of its arrays do not depend on how a network was compiled.

    Attributes
    ----------
    prefix : str
        Stands in front of the names of its arrays, wherever they are kept.
    group : str
        With what else it is saved and loaded.
    """

    prefix: str
    group: Group

    def save(self) -> Mapping[str, np.ndarray]:
        """Return arrays to save."""

    def check_forms(self, forms: Mapping[str, Form], saved: SavedBatch) -> None:
        """Raise a ValidationError if arrays of these forms cannot be loaded."""

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise a ValidationError if these values cannot be loaded; change nothing."""

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Continue with these arrays, which were checked before."""


class _Placed:
    """Arrays that belong to places in the simulated network."""

    group: Group

    def __init__(self, places: Places):
        self._places = places

    def places(self) -> Mapping[str, Place]:
        """Return the places by name."""
        raise NotImplementedError

    def save(self) -> Mapping[str, np.ndarray]:
        """Return current values; those of items have an axis for them first."""
        return self._places.read(self.places())

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Replace values by others of the same shapes.

        Constants that are the same already stay, since Nengo's own steps use them as
        Nengo built them, in a higher precision than that of the device.
        """
        places = self.places()
        now = self._places.read({name: places[name] for name in arrays})
        signals: dict[Signal, np.ndarray] = {}
        gains: dict[nengo.Ensemble, np.ndarray] = {}
        for name, array in arrays.items():
            place = places[name]
            is_state = place.signal is not None and self._places.values.differs(
                place.signal
            )
            if not is_state and np.array_equal(array, now[name]):
                continue
            if place.signal is None:
                gains[place.obj] = array
            else:
                signals[place.signal] = array
        self._places.values.write(signals, gains)


class Parameters(_Placed):
    """Parameters of the objects of a network; their names have no prefix."""

    prefix = ""
    group: Group = "global"

    def places(self) -> Mapping[str, Place]:
        """Return the places of parameters by name."""
        return self._places.parameters

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Replace values; ensembles that stand for activation functions keep gains."""
        super().load(self._in_own_units(arrays), item)

    def _in_own_units(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return values for the gains that such ensembles have here.

        An input of zero has the bias :math:`z`, and one of 1 a current more by the gain
        :math:`g`. So a bias :math:`b` is :math:`(b - z) / g` in units of the input.
        """
        found, values = dict(arrays), self._places.values
        for name, place in self.places().items():
            stem, _, attribute = name.rpartition(".")
            if attribute != "zero_bias":
                continue
            before: Any = found.pop(name, None)
            zero, own = self._places.zero_biases[place.obj], values.gain(place.obj)
            theirs = found.get(f"{stem}.gain")
            if own is None or theirs is None:
                continue
            if before is None:  # of a network without the setting: rates have none
                before = 0.0 if np.all(theirs == 1) else zero
            if np.array_equal(own, theirs) and before == zero:
                continue
            ratio = own / theirs
            found[f"{stem}.gain"] = own
            if f"{stem}.bias" in found:
                found[f"{stem}.bias"] = zero + ratio * (found[f"{stem}.bias"] - before)
            encoders = f"{stem}.scaled_encoders"
            if encoders in found:
                found[encoders] = ratio[:, None] * found[encoders]
        return found


class State(_Placed):
    """Voltages, filters, and whatever else changes in a simulation."""

    prefix = ""  # the names of its places have one
    group: Group = "local"

    def places(self) -> Mapping[str, Place]:
        """Return the places of state by name."""
        return self._places.state


class StartingWeights:
    """Trained values from which learned weights start, where the weights have moved.

    Parameters
    ----------
    places : Places
        Of a simulated network.
    """

    prefix = "start/"
    group: Group = "local"

    def __init__(self, places: Places):
        self._places = places

    def save(self) -> Mapping[str, np.ndarray]:
        """Return those values that differ from the weights."""
        values = self._places.values
        signals = self._signals()
        now = values.read(signals.values())
        return {
            name: start
            for name, start in self._starts().items()
            if not (now[signals[name]][0].reshape(-1, start.size) == start).all()
        }

    def check_forms(self, forms: Mapping[str, Form], saved: SavedBatch) -> None:
        """Raise a ValidationError if arrays of these forms cannot be loaded."""
        known = self._starts()
        for name, (shape, dtype) in forms.items():
            # where the network does not train the weights, there is no start of them
            if name in known and (shape != known[name].shape or dtype.kind != "f"):
                raise ValidationError(
                    f"Cannot load where weights start: {shown(name)} is {dtype} of "
                    f"shape {shown(shape)}. Nothing was changed",
                    attr="path",
                )

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Accept any values."""

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Let weights start from other values; those of today stay as they are."""
        starts = {name: arrays.get(name, old) for name, old in self._starts().items()}
        if any(name in arrays for name in starts):
            learned = self._places.values.session.store.learned
            learned.assign([start.reshape(1, -1) for start in starts.values()])

    def _signals(self) -> dict[str, Signal]:
        learned = self._places.values.session.store.learned
        names = {place.signal: name for name, place in self._places.parameters.items()}
        return {names[signal]: signal for signal in learned.signals}

    def _starts(self) -> dict[str, np.ndarray]:
        learned = self._places.values.session.store.learned
        return {
            name: value.reshape(n_values(signal))
            for (name, signal), value in zip(
                self._signals().items(), learned.values(), strict=True
            )
        }


class History(Protocol):
    """What a probe recorded; ``parts`` has the names of the arrays of a record."""

    parts: tuple[str, ...]

    def recorded(self) -> Mapping[str, np.ndarray]:
        """Return arrays by their names; none if nothing was recorded."""

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the record by one that `recorded` returned."""


class Histories:
    """What probes recorded.

    Parameters
    ----------
    places : Places
        Of the simulated network; has the names of its probes.
    histories : mapping of {Probe: History}
        Recorded values.
    """

    prefix = "data/"
    group: Group = "copy"

    def __init__(self, places: Places, histories: Mapping[nengo.Probe, History]):
        self._histories = {places.names[p]: h for p, h in histories.items()}

    def save(self) -> Mapping[str, np.ndarray]:
        """Return recorded values by the names of probes."""
        return {
            name + part: array
            for name, history in self._histories.items()
            for part, array in history.recorded().items()
        }

    def check_forms(self, forms: Mapping[str, Form], saved: SavedBatch) -> None:
        """Accept any: these do not come from files."""

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Accept any: these do not come from files."""

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Replace what was recorded."""
        for name, history in self._histories.items():
            parts = {part: arrays.get(name + part) for part in history.parts}
            history.restore({k: v for k, v in parts.items() if v is not None})
