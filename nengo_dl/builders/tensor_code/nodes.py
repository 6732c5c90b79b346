"""The output of TensorNodes: the user's TensorFlow code as part of the step."""

from __future__ import annotations

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.registry import register
from nengo_dl.builders.tensor_code.functions import TensorFunction
from nengo_dl.builders.tensor_code.xla import xla_problem
from nengo_dl.compiler.tensor_nodes import SimTensorNode
from nengo_dl.support.lazy_imports import tf

__all__ = ["GraphTensorNodeBuilder", "TensorNodeBuilder"]


@register(SimTensorNode)
class TensorNodeBuilder(OpBuilder):
    """Call a function once for all nodes that share it.

    Its contract is that items of a batch do not influence each other. So the inputs of
    several nodes, and in training those of several steps, are one longer batch.
    """

    def __init__(self, ops, config):
        super().__init__(ops, config)
        self.function: TensorFunction = ops[0].function
        #: whether layers behave as in training
        self.training = (
            config.training is not None and not config.training(ops[0]).frozen
        )
        #: whether each step needs a call of its own
        self.is_stepwise = (
            self.function.passes_time
            or not self.function.any_batch
            or self.function.is_random
            or any(traits.advances for traits in ops[0].state.values())
            or (self.training and bool(ops[0].updates))
        )
        #: whether a second call gives the same
        self.is_repeatable = not self.function.is_random

    @classmethod
    def merge_key(cls, op):
        """Return a key that only nodes with one function and the same weights share."""
        function = op.function
        if op.updates or function.is_random or not function.any_batch:
            return id(op)
        first = op.has_time + op.has_input
        return function.key, tuple(id(signal) for signal in op.reads[first:])

    @classmethod
    def for_xla(cls, op, dtype, minibatch_size):
        """Return a builder outside of XLA for code that XLA cannot compile."""
        problem = xla_problem(op.function, dtype, minibatch_size)
        return cls if problem is None else GraphTensorNodeBuilder

    def step(self, reads, previous):
        """Call the function."""
        output, state = self._compute(
            self.ops[0], len(self.ops), list(reads), [p[:, 0] for p in previous]
        )
        return Writes(sets=(output,), updates=tuple(state))

    def _compute(self, op, n_ops, reads, previous):
        """Return the output and the next state, both with an axis for operators."""
        function, dtype = self.function, self.config.dtype
        t = reads.pop(0)[0, 0] if op.has_time else None
        x = reads.pop(0) if op.has_input else None
        rows = 1
        if x is not None:
            rows = int(x.shape[0])
            if rows == 1 and self.is_stepwise:
                # items may differ although their input does not
                rows = self.config.minibatch_size
                x = tf.broadcast_to(x, (rows, *x.shape[1:]))
            x = tf.reshape(x, (rows * n_ops, *function.shape_in))
        # all nodes share the weights, and all items most of the state
        traits = list(op.state.values())
        weights = [w[0, 0] for w in reads]
        weights += [
            value if trait.per_item else value[0]
            for value, trait in zip(previous, traits, strict=True)
        ]
        output, after = function(dtype, t, x, weights, self.training)
        if x is not None and output.shape[0] != 1:
            output = tf.reshape(output, (rows, n_ops, -1))
        else:
            self._check_rows(output)
            output = tf.reshape(output, (output.shape[0], 1, -1))
            output = tf.broadcast_to(output, (output.shape[0], n_ops, output.shape[2]))
        return output, [
            self._with_items(value, before, trait)
            for value, before, trait in zip(after, previous, traits, strict=True)
        ]

    def _with_items(self, value, before, trait):
        """Return the next value of a state, with axes for items and operators."""
        if not (trait.advances or self.training):
            return before[:, None]
        if trait.per_item:
            return value[:, None]
        return tf.broadcast_to(value, (self.config.minibatch_size, 1, *value.shape))

    def _check_rows(self, output: tf.Tensor) -> None:
        if output.shape[0] not in (1, self.config.minibatch_size):
            raise self.function.error(
                f"returned a tensor of shape {output.shape}; its first axis must have "
                f"length 1 or that of the minibatch, {self.config.minibatch_size}"
            )


class GraphTensorNodeBuilder(TensorNodeBuilder):
    """Code that XLA cannot compile; operands come one for each signal."""

    is_callback = True

    @classmethod
    def merge_key(cls, op):
        """Return a key that keeps nodes apart."""
        return id(op)

    @classmethod
    def for_xla(cls, op, dtype, minibatch_size):
        """Return this class."""
        return cls
