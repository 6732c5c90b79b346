"""The network that is written, with its values."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.exceptions import SimulatorClosed, ValidationError

from nengo_dl.support.arguments import check_seconds

__all__ = ["Source"]


class Source:
    """A network, and the values that it has in a simulator or is built with.

    Parameters
    ----------
    sim_or_network : Simulator or nengo.Network
        Any simulator with ``model`` and ``data``, or a network.
    dt : float or None
        Length of a step, in seconds; that of the simulator if there is one.
    """

    def __init__(self, sim_or_network: Any, dt: float | None):
        given = sim_or_network
        if isinstance(given, nengo.Network):
            self.dt = check_seconds(0.001 if dt is None else dt, "dt")
            self.model = Model(dt=self.dt)
            self.model.build(given)
            self.network, self.data = given, self.model.params
            return
        if not hasattr(given, "model") or not hasattr(given, "data"):
            raise ValidationError(
                f"must be a simulator or a network; got {type(given).__name__}",
                attr="sim_or_network",
            )
        if getattr(given, "closed", False):
            raise SimulatorClosed(
                "Cannot write the network as NIR: the simulator is closed"
            )
        if given.model.toplevel is None:
            raise ValidationError(
                "the simulator was made of a model without a network; NIR is written "
                "of networks",
                attr="sim_or_network",
            )
        if dt is not None and dt != given.dt:
            raise ValidationError(
                f"is that of the simulator, {given.dt}; got {dt}", attr="dt"
            )
        self.dt = given.dt
        self.model, self.data = given.model, given.data
        self.network = given.model.toplevel

    def weights(self, connection: nengo.Connection) -> Any:
        """Return the weights of a connection, or None if it has none."""
        weights = self.data[connection].weights
        if weights is None or hasattr(weights, "toarray"):
            return weights
        weights = np.asarray(weights, dtype=np.float64)
        expected = np.ndim(self.model.params[connection].weights)
        if weights.ndim != expected:
            raise ValidationError(
                f"{connection} has learned other weights for each item of the "
                "minibatch; write a simulator without minibatch_size",
                attr="sim_or_network",
            )
        return weights

    def of_probe(self, probe: nengo.Probe) -> nengo.Connection | None:
        """Return the connection that Nengo made for a probe, if it made one."""
        for obj in self.model.params:
            if isinstance(obj, nengo.Connection) and obj.post_obj is probe:
                return obj
        return None

    def initial(self, ensemble: nengo.Ensemble, name: str) -> np.ndarray:
        """Return the first values of a state variable of neurons."""
        return self.model.sig[ensemble.neurons][name].initial_value
