"""The tensors that outlive a call: parameters and state, one variable per block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.compiler.parameters import Parameter
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.trainability import variable_name
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf

__all__ = ["Variables"]

#: Variables of several parameters are named after the first ones.
_MOST_NAMES = 3


class Variables:
    """Parameters and state of a program on their device.

    Parameters
    ----------
    plan : Plan
        Says what the parameters are called.
    step : StepProgram
        Says which blocks there are, and their initial values.
    device : str or None
        TensorFlow device.

    Attributes
    ----------
    constants : list of tf.Variable, shapes (1, size)
        Values of ``step.constant_blocks``.
    state : list of tf.Variable, shapes (minibatch, size)
        Values of ``step.state_blocks``.
    """

    def __init__(self, plan: Plan, step: StepProgram, device: str | None):
        minibatch = step.config.minibatch_size
        parameters = {p.signal: p for p in plan.trainable}
        with tf.device(device):
            # one after the other: two copies of one block, not of all
            self.constants = [
                tf.Variable(
                    step.initial_values([block])[0],
                    trainable=block.trainable,
                    name=_name(block, parameters),
                )
                for block in step.constant_blocks
            ]
            self.state = [
                tf.Variable(np.repeat(values, minibatch, axis=0), trainable=False)
                for values in step.initial_values(step.state_blocks)
            ]

    def write_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the state, one array of shape (minibatch, size) for each block."""
        for variable, value in zip(self.state, values, strict=True):
            variable.assign(np.asarray(value, dtype=variable.dtype.as_numpy_dtype))

    def read_state(self) -> list[np.ndarray]:
        """Return the state, one array of shape (minibatch, size) for each block."""
        return [variable.numpy() for variable in self.state]


def _name(block: Block, parameters: Mapping[Signal, Parameter]) -> str | None:
    """Return the names of the parameters in a trainable block."""
    if not block.trainable:
        return None
    first = block.signals[:_MOST_NAMES]
    found = [variable_name(parameters[signal]) for signal in first]
    rest = len(block.signals) - _MOST_NAMES
    return "/".join(found) + (f"/and_{rest}_more" if rest > 0 else "")
