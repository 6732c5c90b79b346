"""Discretized systems of filters, found once for all filters of a kind."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from nengo.base import Process
from nengo.synapses import Alpha, LinearFilter, Lowpass

__all__ = ["FilterSystems"]

#: What Nengo has; a subclass may compute its system from something else.
_KNOWN = (LinearFilter, Lowpass, Alpha)


class FilterSystems:
    """Finds the discretized systems of filters, each kind once.

    Discretizing takes 0.4 ms, half of the time in which a connection with given weights
    is built, and most networks have a few kinds of filters.

    Parameters
    ----------
    dt : float
        Length of a time step, in seconds.

    Examples
    --------
    >>> import nengo
    >>> from nengo_dl.compiler.filters import FilterSystems
    >>> systems = FilterSystems(0.001)
    >>> one, same = nengo.Lowpass(0.1), nengo.Lowpass(0.1)
    >>> systems.find(one) is systems.find(same)
    True
    >>> systems.find(one).a.round(6)
    0.99005
    """

    def __init__(self, dt: float):
        self.dt = dt
        self._found: dict[Hashable, LinearFilter.Step] = {}

    @staticmethod
    def knows(process: Process) -> bool:
        """Return whether a process is one of Nengo's filters, not of a subclass."""
        return type(process) in _KNOWN

    @staticmethod
    def kind(process: LinearFilter) -> Hashable:
        """Return what filters of one system have in common, if it `knows` them."""
        numerator, denominator = process.num.tobytes(), process.den.tobytes()
        return type(process), numerator, denominator, process.analog, process.method

    def find(self, process: LinearFilter) -> LinearFilter.Step:
        """Return a step function with the coefficients of a filter.

        Parameters
        ----------
        process : LinearFilter
            A filter, perhaps of a subclass.

        Returns
        -------
        LinearFilter.Step
            Nengo's, for an input of one number. It is not to be called, as it may be
            that of other filters, too.

        Raises
        ------
        Exception
            What the filter raises when it has no discretized system.
        """
        if not self.knows(process):
            return self._discretize(process)
        key = self.kind(process)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._discretize(process)
        return found

    def order(self, process: LinearFilter) -> int:
        """Return the number of state variables of a filter."""
        return len(self.find(process).A)

    def _discretize(self, process: LinearFilter) -> LinearFilter.Step:
        state = process.make_state((1,), (1,), self.dt, dtype=np.float64)
        return process.make_step((1,), (1,), self.dt, rng=None, state=state)
