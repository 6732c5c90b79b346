"""Where minibatches begin: at the initial state, or where the one before ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.execution.session import Session
from nengo_dl.support.lazy_imports import tf

__all__ = ["Course"]


class Course:
    """A simulation that goes on from minibatch to minibatch.

    Parameters
    ----------
    session : Session
        The simulation, from whose state and time it goes on.

    Attributes
    ----------
    state : list of tf.Tensor, shapes (minibatch, size)
        State at the end of the last minibatch.
    n_steps : int
        Number of steps until then.
    n_made : int
        Number of steps whose inputs were made, which may be ahead.
    """

    def __init__(self, session: Session):
        store = session.store
        self.session = session
        now = store.lasting.put_for_training(store.state_values())
        with tf.init_scope():
            self.state = [tf.constant(np.array(values)) for values in now]
        self.n_steps = self.n_made = session.n_steps

    def advance(self, n_steps: int, state: Sequence[tf.Tensor]) -> None:
        """Note where a minibatch ended."""
        self.n_steps += n_steps
        self.state[:] = state

    def finish(self) -> None:
        """Let the simulation go on from where the last minibatch ended."""
        state = [value.numpy() for value in self.state]
        self.session.go_on_from(self.n_steps, state)

    def check_whole(self, n_items: int, minibatch: int) -> None:
        """Raise if a minibatch has items without a state of their own.

        Parameters
        ----------
        n_items, minibatch : int
            Number of items that there are, and that there should be.

        Raises
        ------
        ValidationError
            If there are fewer.
        """
        if n_items < minibatch:
            raise ValidationError(
                "With stateful=True, each item goes on where the one at its place in "
                f"the minibatch before ended, so all need {minibatch} items (one has "
                f"{n_items}); leave some out, or use stateful=False",
                attr="stateful",
            )
