"""What the functions that build a model share."""

from __future__ import annotations

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.rc import rc

from nengo_dl.building.decoders import DecoderSolver
from nengo_dl.building.filters import Filters
from nengo_dl.building.randomness import Streams
from nengo_dl.building.zeros import Zeros

__all__ = ["Workshop"]


class Workshop:
    """Holds what is made once while a network is built, and used for many objects.

    Parameters
    ----------
    network : nengo.Network or None
        The network that is built; None for objects that are built one by one.
    compiled : bool
        Whether XLA may be used.

    Attributes
    ----------
    decoders : DecoderSolver
        Solves for decoders, and keeps what several connections need.
    streams : Streams
        Makes random streams.
    dtype : numpy.dtype
        Nengo's type of floating point numbers. Nengo looks it up in its configuration
        for each signal, which takes 12 µs.
    names : dict of {tuple of int: tuple of str}
        Names of the signals and the operator of dense transforms, by their shapes.
    """

    def __init__(self, network: nengo.Network | None, compiled: bool = True):
        self.decoders = DecoderSolver(network, compiled)
        self.streams = Streams()
        self.dtype = np.dtype(rc.float_dtype)
        self.names: dict[tuple[int, int], tuple[str, str, str]] = {}
        self._zeros = Zeros()
        self._filters: Filters | None = None

    def filters(self, model: Model) -> Filters:
        """Return the filters that were built into a model."""
        if self._filters is None or self._filters.model is not model:
            self._filters = Filters(model, self._zeros, self.dtype)
        return self._filters

    def zeros(self, size: int, name: str) -> Signal:
        """Return a signal that starts with zeros.

        Parameters
        ----------
        size : int
            Number of elements.
        name : str
            Its name.
        """
        return Signal(self._zeros.of((size,), self.dtype), name=name)
