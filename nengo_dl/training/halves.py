"""An update of several processes: gradients, one sum of all, and what follows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nengo_dl.program.lease import Lease
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.computation import Computation
from nengo_dl.training.loss_gradients import differentiate
from nengo_dl.training.messages import N_FLAGS, Contents, Messages, Packing

__all__ = ["HalfMakers", "Halves"]


class Halves:
    """Two compiled functions, with the sum over processes between them.

    Parameters
    ----------
    first : Lease
        Computes state and vector of a minibatch.
    second : Lease
        Updates the parameters, given the sum of the vectors.
    """

    def __init__(self, first: Lease, second: Lease):
        self.first = first
        self.second = second

    def close(self) -> None:
        """Give both functions back."""
        self.first.close()
        self.second.close()

    def exchange(self, old: Sequence[tf.Variable], new: Sequence[tf.Variable]) -> bool:
        """Use the variables of another optimizer; return whether it is possible."""
        # both, in any case: either may read them
        return all([half.exchange(old, new) for half in (self.first, self.second)])

    def call(
        self,
        given: Any,
        running: Any,
        messages: Messages | None,
        weight: float,
        dtype: tf.DType,
    ) -> dict[str, Any] | None:
        """Update the parameters for a minibatch of each process.

        Parameters
        ----------
        given : nested structure of tensors
            What the first function takes.
        running : mapping of {str: sequence of tf.Tensor}
            Variables of metrics.
        messages : Messages
            The other processes.
        weight : float
            How much this minibatch counts.
        dtype : tf.DType
            Of the vector.

        Returns
        -------
        dict or None
            As `TrainingFunctions.run`; "flags" are the first numbers of the sum. None
            if no process has a minibatch.
        """
        assert messages is not None, "others are not divided"
        flags = tf.constant(messages.flags(weight), dtype)
        found = self.first.call_structured(*tf.nest.flatten((given, flags)))
        received = messages.exchange(found["sent"])
        if received is None:
            return None
        result = self.second.call_structured(*tf.nest.flatten((received, running)))
        return {**result, "state": found["state"]}


class HalfMakers:
    """Makes the two functions of an update.

    Parameters
    ----------
    computation : Computation
        With an update.
    forward : callable
        See `TrainingFunctions`.
    variables : sequence of tf.Variable
        The parameters.
    dtype : tf.DType
        Of losses, and of the vector.
    jit : bool
        Whether XLA compiles the gradients.
    jit_update : bool
        Whether it compiles the update.

    Attributes
    ----------
    packing : Packing
        What is in the vector.
    """

    def __init__(
        self,
        computation: Computation,
        forward: Callable[..., Any],
        variables: Sequence[tf.Variable],
        dtype: tf.DType,
        jit: bool,
        jit_update: bool,
    ):
        self.computation = computation
        self.forward = forward
        self.variables = variables
        self.jit = jit
        self.jit_update = jit_update
        self.packing = Packing(computation.terms, computation.metrics, dtype)
        # which variables the objective looks at, known once the first one was traced
        self._seen: dict[int, Any] = {}

    def first(self, given: Any) -> Any:
        """Return the function that computes state and vector of a minibatch.

        Parameters
        ----------
        given : nested structure of tensors
            Like what it takes: that of a single process, and flags.
        """
        structure = tf.nest.map_structure(lambda tensor: None, given)
        packing = self.packing

        @tf.function(jit_compile=self.jit, autograph=False)
        def send(*tensors):
            given, flags = tf.nest.pack_sequence_as(structure, tensors)
            state, pieces, *compared = given
            state, losses, measured, gradients, seen = differentiate(
                *(self.computation, self.forward, state, pieces, compared),
                self.variables,
                lambda losses: packing.weighted(losses, flags[0]),
            )
            self._seen.update(seen)
            before, after = compared[-1], measured["running"]
            added = {
                name: [
                    new - tf.cast(old, new.dtype)
                    for new, old in zip(after[name], before[name], strict=True)
                ]
                for name in after
            }
            contents = Contents(losses, measured["metrics"], added, gradients)
            return {"state": state, "sent": packing.pack(flags, contents)}

        return send

    def second(self, running: Any) -> Any:
        """Return the function that updates parameters, given the sum of vectors.

        Parameters
        ----------
        running : nested structure of tensors
            Like the variables of metrics.
        """
        structure = tf.nest.map_structure(lambda tensor: None, running)
        update, reached = self.computation.update, self.computation.reached
        assert update is not None, "others are not divided"

        @tf.function(jit_compile=self.jit_update, autograph=False)
        def apply(received, *tensors):
            variables = tf.nest.pack_sequence_as(structure, tensors)
            contents = self.packing.unpack(received, variables, self.variables)
            total = tf.add_n(contents.losses)
            fine, ok = update(total, contents.gradients, self.jit_update, reached)
            update.parameters.follow(self._seen)
            return {
                "losses": tf.stack(contents.losses),
                "metrics": contents.metrics,
                "running": contents.running,
                "fine": fine,
                "ok": ok,
                "flags": received[:N_FLAGS],
            }

        return apply
