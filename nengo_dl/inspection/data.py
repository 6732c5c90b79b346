"""Access to probe data and to the parameters of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from nengo.builder.connection import BuiltConnection
from nengo.builder.ensemble import BuiltEnsemble
from nengo.ensemble import Neurons
from nengo.probe import Probe

from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.inspection.histories import ProbeData, ProbeHistory
from nengo_dl.parameters.values import ParameterValues, UnknownObjectError
from nengo_dl.support.arguments import objects_named
from nengo_dl.support.tables import Table

__all__ = ["ProbeRows", "SimulationData"]


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

    def _is_batched(self, values: ProbeData) -> bool:
        return self._history.minibatched and values.ndim > 1

    def __len__(self) -> int:
        values = self._history.array()
        return values.shape[1] if self._is_batched(values) else len(values)

    def __getitem__(self, index: Any) -> Any:
        """Return the value of one step, or a list of those of several."""
        values = self._history.array()
        is_slice = isinstance(index, slice)
        if not self._is_batched(values):
            rows = values[index]
        elif is_slice:
            rows = np.moveaxis(values[:, index], 1, 0)
        else:
            rows = values[:, index]
        return list(rows) if is_slice else rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype)

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

    Parameters are the current ones, after training and after changes by learning rules.
    As in Nengo, ``scaled_encoders = encoders * gain / radius``. Training changes the
    scaled encoders, and keeps the gains; encoders then may not have unit length.
    Evaluation points and the report of the solver stay as built.
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
        ndarray or EventArray or BuiltEnsemble or BuiltConnection or BuiltTensorNode \
or object
            For a probe, a read-only array of shape ``(n_kept, size)``, or
            ``(minibatch, n_kept, size)`` if the simulator has a minibatch size; an
            `EventArray` of that shape with the setting ``sparse_events``. For an
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

    def _repr_html_(self) -> str:
        rows = [
            (str(probe), " x ".join(map(str, history.array().shape)))
            for probe, history in self._histories.items()
        ]
        title = f"Data of {len(rows)} probes, and parameters of {len(self)} objects"
        return Table(title, ("probe", "recorded>"), rows).html()
