"""Access to probe data and to the parameters of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.probe import Probe

__all__ = ["ProbeHistory", "SimulationData", "UnknownObjectError"]


class UnknownObjectError(ValidationError, KeyError):
    """There is no data for an object; also a KeyError, as mappings raise."""

    def __str__(self) -> str:
        return ValidationError.__str__(self)


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
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, minibatched: bool):
        self.shape = shape
        self.dtype = dtype
        self.minibatched = minibatched
        self._pieces: list[np.ndarray] = []
        self._joined: np.ndarray | None = None

    def append(self, values: np.ndarray) -> None:
        """Add values of shape ``(n_kept, minibatch, size)``."""
        if len(values):
            self._pieces.append(values)
            self._joined = None

    def clear(self) -> None:
        """Forget all values."""
        self._pieces = []
        self._joined = None

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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_joined": None}


class SimulationData(Mapping):
    """Data of a simulation: what probes recorded, and parameters of Nengo objects.

    Parameters
    ----------
    params : dict
        What Nengo's builder stored for each object.
    histories : dict of {Probe: ProbeHistory}
        Recorded values.

    Notes
    -----
    Made by the simulator; use it as ``sim.data``.
    """

    def __init__(
        self, params: Mapping[Any, Any], histories: Mapping[Probe, ProbeHistory]
    ):
        self.raw = params
        self._histories = histories

    def __getitem__(self, obj: Any) -> Any:
        """Return the data of an object.

        Parameters
        ----------
        obj : Probe or NengoObject
            A probe, or any other object of the simulated network.

        Returns
        -------
        ndarray or object
            For a probe, a read-only array of shape ``(n_kept, size)``, or
            ``(minibatch, n_kept, size)`` if the simulator has a minibatch size; for
            other objects what Nengo's builder stores (`BuiltEnsemble`,
            `BuiltConnection`, ...).

        Raises
        ------
        ValidationError
            If the object is not part of the simulated network.
        """
        if obj in self._histories:
            return self._histories[obj].array()
        try:
            return self.raw[obj]
        except (KeyError, TypeError):
            raise UnknownObjectError(
                f"{obj!r} is not part of the simulated network, so there is no data "
                "for it",
                attr="data",
                obj=self,
            ) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, obj: object) -> bool:
        return obj in self.raw

    def __repr__(self) -> str:
        return f"<SimulationData of {len(self)} objects>"
