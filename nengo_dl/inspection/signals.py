"""Live values of a model's signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal

from nengo_dl.compiler.traits import Role
from nengo_dl.execution.session import Session

__all__ = ["SignalValues"]


class SignalValues(Mapping):
    """Mapping from signals to their current values.

    It holds constants, state, and the step counter and time. Intermediate values of a
    step are never stored: probe them instead.

    Parameters
    ----------
    session : Session
        Holds the state.
    model : nengo.builder.Model
        The simulated model.
    minibatched : bool
        Whether values of state have a batch axis.
    """

    def __init__(self, session: Session, model: Model, minibatched: bool):
        self._session = session
        self._model = model
        self._minibatched = minibatched

    def __getitem__(self, signal: Signal) -> np.ndarray:
        """Return the value of a signal.

        Returns
        -------
        ndarray, read-only
            Shape of the signal, with a batch axis first if the simulator has a
            minibatch size and the signal is state.

        Raises
        ------
        KeyError
            If it is no signal, or one that is not kept between steps.
        """
        if not isinstance(signal, Signal):
            raise KeyError(f"{signal!r} is not a Signal of the model")
        if signal is self._model.step:
            value = np.array(self._steps(), dtype=signal.dtype)
        elif signal is self._model.time:
            value = np.array(self._steps() * self._model.dt, dtype=signal.dtype)
        elif signal.sparse:
            return signal.initial_value
        else:
            try:
                value, shared = self._session.store.value_of(signal)
            except KeyError:
                raise KeyError(
                    f"The value of {signal} is not kept between time steps; "
                    "probe it to see it"
                ) from None
            if shared or not self._minibatched:
                value = value[0]
            value = value.astype(signal.dtype)
        value.setflags(write=False)
        return value

    def _steps(self) -> int:
        """Return the step counter, which advances before other operators run."""
        now = self._session.host.now
        return self._session.n_steps if now is None else now + 1

    def __iter__(self) -> Iterator[Signal]:
        yield self._model.step
        yield self._model.time
        yield from self._session.store.fixed_inputs
        for block in self._session.step.layout.blocks:
            if block.role in (Role.CONSTANT, Role.STATE):
                yield from block.signals

    def __len__(self) -> int:
        return sum(1 for _ in self)
