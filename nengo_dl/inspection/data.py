"""Access to probe data and to the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from nengo.builder.connection import BuiltConnection
from nengo.builder.ensemble import BuiltEnsemble
from nengo.ensemble import Neurons
from nengo.probe import Probe

from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.parameters.values import ParameterValues, UnknownObjectError
from nengo_dl.support.arguments import objects_named

__all__ = ["ProbeHistory", "ProbeRows", "SimulationData"]


class ProbeHistory:
    """What a probe recorded, kept in the pieces in which it came from the device.

    Parameters
    ----------
    shape : tuple of int
        Shape of one recorded value.
    dtype : numpy.dtype
        Type in which values are shown.
    minibatched : bool
        Whether the batch axis is part of the data.
    only_last : bool
        Whether to forget all values but the last one.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype,
        minibatched: bool,
        only_last: bool = False,
    ):
        self.shape = shape
        self.dtype = dtype
        self.minibatched = minibatched
        self.only_last = only_last
        #: called before data is read
        self.before_reading: Callable[[], None] | None = None
        self._pieces: list[np.ndarray] = []
        self._joined: np.ndarray | None = None
        self._aside: list[np.ndarray] | None = None

    def append(self, values: np.ndarray) -> None:
        """Add values of shape ``(n_kept, minibatch, size)``."""
        if len(values):
            if self.only_last:
                self._pieces, values = [], values[-1:]
            self._pieces.append(values)
            self._joined = None

    def append_missing(self, values: np.ndarray) -> None:
        """Add values unless they were added last; to be sure after an interrupt."""
        self._joined = None
        if not self._pieces or self._pieces[-1] is not values:
            self.append(values)

    def clear(self) -> None:
        """Forget all values."""
        self._pieces = []
        self._joined = self._aside = None

    def set_aside(self) -> None:
        """Begin a record of its own; see `take_back`."""
        aside = self._pieces if self._aside is None else self._aside
        self.clear()
        self._aside = aside

    def take_back(self) -> None:
        """Return to the values of before `set_aside`, if it was called."""
        if self._aside is not None:
            self._pieces, self._joined, self._aside = self._aside, None, None

    def __len__(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    def array(self) -> np.ndarray:
        """Return all values.

        Returns
        -------
        ndarray, read-only
            Shape ``(n_kept, *shape)``, or ``(minibatch, n_kept, *shape)`` with
            minibatches.
        """
        if self.before_reading is not None:
            self.before_reading()
        if self._joined is None:
            if not self._pieces:
                # as an empty list would look, which is what nengo starts from
                joined = np.zeros((0,), dtype=self.dtype)
            else:
                values = np.concatenate(self._pieces).astype(self.dtype)
                self._pieces = [values]
                values = values.reshape(*values.shape[:2], *self.shape)
                joined = np.moveaxis(values, 0, 1) if self.minibatched else values[:, 0]
            joined.setflags(write=False)
            self._joined = joined
        return self._joined

    def recorded(self) -> np.ndarray | None:
        """Return all values, shape ``(n_kept, minibatch, size)``; None without any."""
        return np.concatenate(self._pieces) if self._pieces else None


class ProbeRows(Sequence):
    """What a probe recorded, as the list of values that Nengo's simulator keeps.

    It is where that list is, in ``sim.model.params``, and shows what ``sim.data`` does.
    A copy of the model, made by pickling, has an empty list there.

    Parameters
    ----------
    history : ProbeHistory
        The values.
    """

    def __init__(self, history: ProbeHistory):
        self._history = history

    def _rows(self) -> np.ndarray:
        values = self._history.array()
        if self._history.minibatched and len(self._history):
            return np.moveaxis(values, 1, 0)
        return values

    def __len__(self) -> int:
        return len(self._rows())

    def __getitem__(self, index: Any) -> Any:
        """Return the value of one step, or a list of those of several."""
        rows = self._rows()[index]
        return list(rows) if isinstance(index, slice) else rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._rows(), dtype=dtype)

    def __reduce__(self) -> tuple[type, tuple]:
        return list, ()

    def __repr__(self) -> str:
        return f"<{len(self)} values of a probe>"


class SimulationData(Mapping):
    """Data of a simulation: what probes recorded, and parameters of Nengo objects.

    Parameters
    ----------
    values : ParameterValues
        Current parameters.
    histories : dict of {Probe: ProbeHistory}
        Recorded values.

    Notes
    -----
    Made by the simulator; use it as ``sim.data``.

    Parameters are those that the simulation uses now: after training, and after what
    learning rules changed. Encoders and gains of an ensemble belong together as Nengo
    defines them, ``scaled_encoders = encoders * gain / radius``. Training changes the
    scaled encoders only; gains stay, and encoders follow (then they need not have unit
    length). Evaluation points and what the solver reported stay as built.
    """

    def __init__(
        self, values: ParameterValues, histories: Mapping[Probe, ProbeHistory]
    ):
        self.raw = values.model.params
        self._values = values
        self._histories = histories

    def __getitem__(self, obj: Any) -> Any:
        """Return the data of an object.

        Parameters
        ----------
        obj : Probe or NengoObject or Neurons or str
            A probe, or any other object of the simulated network, or the label of one;
            a probe comes before other objects of the same label.

        Returns
        -------
        ndarray or BuiltEnsemble or BuiltConnection or BuiltTensorNode or object
            For a probe, a read-only array of shape ``(n_kept, size)``, or
            ``(minibatch, n_kept, size)`` if the simulator has a minibatch size. For an
            ensemble, its neurons, or a connection: Nengo's record with current values
            (read-only; those that a learning rule changes have a batch axis first if
            the simulator has a minibatch size). For a TensorNode, its current weights
            by name, ``sim.data[node].weights``. For other objects what Nengo stores.

        Raises
        ------
        ValidationError
            If the object is not part of the simulated network.
        """
        if isinstance(obj, str):
            obj = self._labelled(obj)
        try:
            if obj in self._histories:
                return self._histories[obj].array()
            record = self.raw[obj.ensemble if isinstance(obj, Neurons) else obj]
        except (KeyError, TypeError):
            raise UnknownObjectError(
                f"{obj!r} is not part of the simulated network, so there is no data "
                "for it",
                attr="data",
                obj=self,
            ) from None
        if isinstance(record, BuiltEnsemble | BuiltConnection | BuiltTensorNode):
            return self._values.built([obj])[0]
        return record

    def _labelled(self, label: str) -> Any:
        """Return the probe, or else the object, that has a label."""
        found = objects_named(label, self._histories) or objects_named(label, self.raw)
        found = found or objects_named(label, self._histories, "probe")
        if len(found) != 1:
            reason = "several objects have" if found else "no object has"
            raise UnknownObjectError(
                f"There is no data for {label!r}: {reason} this label in the simulated "
                "network; use an object as key, or give it a label of its own",
                attr="data",
                obj=self,
            )
        return found[0]

    @property
    def parameter_values(self) -> ParameterValues:
        """The current parameters, for other parts of this package."""
        return self._values

    def get_params(self, *obj_attrs: tuple[Any, str]) -> list[Any]:
        """Return current values of several parameters, read from the device at once.

        Parameters
        ----------
        *obj_attrs : tuple of (Ensemble or Neurons or Connection or TensorNode, str)
            Objects, and names of their parameters: fields of Nengo's `BuiltEnsemble`
            (``"encoders"``, ``"scaled_encoders"``, ``"gain"``, ``"bias"``,
            ``"eval_points"``, ``"intercepts"``, ``"max_rates"``) or `BuiltConnection`
            (``"weights"``, ``"eval_points"``, ``"solver_info"``, ``"transform"``);
            ``"weights"`` for a TensorNode.

        Returns
        -------
        list of ndarray
            One value for each argument; for a TensorNode, a dict of arrays by name.

        Raises
        ------
        ValidationError
            If an object is not part of the network or has no such parameter.
        """
        return self._values.get(*obj_attrs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, obj: object) -> bool:
        if isinstance(obj, str):
            found = objects_named(obj, self._histories) or objects_named(obj, self.raw)
            return len(found or objects_named(obj, self._histories, "probe")) == 1
        return (obj.ensemble if isinstance(obj, Neurons) else obj) in self.raw

    def __repr__(self) -> str:
        return f"<SimulationData of {len(self)} objects>"
