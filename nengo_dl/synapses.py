"""Synapses that Nengo does not have; they work in any Nengo simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.params import NdarrayParam
from nengo.synapses import Synapse

__all__ = ["Delay"]


class Delay(Synapse):
    r"""Delays of whole steps, for each element its own.

    Parameters
    ----------
    delay : float or (size,) array_like
        How long it takes through a connection, in seconds; rounded to whole steps, of
        which it takes at least one.
    default_size_in : int, optional
        As for all synapses.
    default_dt : float, optional
        As for all synapses.

    Notes
    -----
    :math:`y(t) = x(t - \tau)`, and zero before. Like every synapse of Nengo, it delays
    by one step because of the connection; `nengo.synapses.Synapse.filt` shows the rest.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     node = nengo.Node(lambda t: t)
    ...     late = nengo.Node(size_in=1)
    ...     _ = nengo.Connection(node, late, synapse=nengo_dl.Delay(0.003))
    ...     probe = nengo.Probe(late)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run_steps(5)
    >>> sim.data[probe][:, 0].round(4).tolist()
    [0.0, 0.0, 0.0, 0.001, 0.002]
    """

    delay = NdarrayParam("delay", shape=("...",))

    def __init__(
        self,
        delay: float | np.ndarray,
        default_size_in: int = 1,
        default_dt: float = 0.001,
    ):
        super().__init__(default_size_in=default_size_in, default_dt=default_dt)
        self.delay = np.array(delay, dtype=np.float64)
        if not np.all(np.isfinite(self.delay) & (self.delay > 0)):
            raise ValidationError(
                f"must be finite and above 0; got {delay}", attr="delay", obj=self
            )

    def n_steps(self, dt: float, size: int) -> np.ndarray:
        """Return for each element the delay in steps.

        Parameters
        ----------
        dt : float
            Length of a step, in seconds.
        size : int
            Number of elements.

        Returns
        -------
        ndarray of int, shape (size,)
            Whole numbers above zero.
        """
        if self.delay.size not in (1, size):
            raise ValidationError(
                f"has {self.delay.size} values, for a signal of size {size}; pass one "
                "number, or one for each element",
                attr="delay",
                obj=self,
            )
        steps = np.maximum(np.round(self.delay.ravel() / dt), 1).astype(int)
        return np.broadcast_to(steps, (size,))

    def make_state(self, shape_in, shape_out, dt, dtype=None, y0=0):
        """Return the last inputs, newest first; see `nengo.Process`."""
        steps = self.n_steps(dt, int(np.prod(shape_in)))
        X = np.zeros((int(steps.max()), *shape_in), dtype=dtype or np.float64)
        X[...] = 0 if y0 is None else y0
        return {"X": X}

    def make_step(self, shape_in, shape_out, dt, rng: Any, state: dict):
        """Return a function that advances the state by one step."""
        X = state["X"]
        steps = self.n_steps(dt, int(np.prod(shape_in)))
        flat = X.reshape(len(X), -1)
        columns = np.arange(flat.shape[1])

        def step_delay(t, signal):
            X[1:] = X[:-1]
            X[0] = signal
            return flat[steps - 1, columns].reshape(shape_out)

        return step_delay
