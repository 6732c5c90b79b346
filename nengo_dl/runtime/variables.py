"""The tensors that outlive a call: parameters and state, one variable per block."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from nengo_dl.compiler.layout import Block
from nengo_dl.runtime.step import StepProgram

__all__ = ["Variables"]

#: Variables of several signals are named after the first ones.
_MOST_NAMES = 3


class Variables:
    """Parameters and state of a program on their device.

    Parameters
    ----------
    program : StepProgram
        Says which blocks there are, and their initial values.
    device : str or None
        TensorFlow device.

    Attributes
    ----------
    constants : list of tf.Variable, shapes (1, size)
        Values of ``program.constant_blocks``.
    state : list of tf.Variable, shapes (minibatch, size)
        Values of ``program.state_blocks``.
    """

    def __init__(self, program: StepProgram, device: str | None):
        minibatch = program.config.minibatch_size
        with tf.device(device):
            self.constants = [
                tf.Variable(values, trainable=block.trainable, name=_name(block))
                for block, values in zip(
                    program.constant_blocks,
                    program.initial_values(program.constant_blocks),
                    strict=True,
                )
            ]
            self.state = [
                tf.Variable(np.repeat(values, minibatch, axis=0), trainable=False)
                for values in program.initial_values(program.state_blocks)
            ]

    def assign_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the state, one array of shape (minibatch, size) for each block."""
        for variable, value in zip(self.state, values, strict=True):
            variable.assign(np.asarray(value, dtype=variable.dtype.as_numpy_dtype))

    def read_state(self) -> list[np.ndarray]:
        """Return the state, one array of shape (minibatch, size) for each block."""
        return [variable.numpy() for variable in self.state]


def _name(block: Block) -> str | None:
    """Return a name of a trainable block that TensorFlow accepts."""
    if not block.trainable:
        return None
    names = [signal.name or "unnamed" for signal in block.signals]
    rest = len(names) - _MOST_NAMES
    joined = "_".join(names[:_MOST_NAMES]) + (f"_and_{rest}_more" if rest > 0 else "")
    return re.sub(r"[^A-Za-z0-9_.\-/]+", "_", joined).strip("_") or "parameters"
