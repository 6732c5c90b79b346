"""Operators whose step is Python code: they run on the host, in each step.

Functions of Nodes and of Direct-mode connections, processes and neurons that users
define, Poisson draws, and operators that nobody registered a builder for all end up
here. A network with one of them cannot be compiled as a whole; what lies between the
callbacks still is.
"""

from __future__ import annotations

import itertools

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.neurons import PoissonSpiking

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.registry import register
from nengo_dl.support.lazy_imports import tf

__all__ = ["CallbackBuilder"]


@register(SimPyFunc)
class CallbackBuilder(OpBuilder):
    """Run operators with their own NumPy steps, once for each item of the minibatch.

    All callbacks that are ready together share one call of the host. Operands come one
    for each signal of each operator.
    """

    is_callback = True
    runs_user_code = True
    has_gradient = False

    @classmethod
    def used_reads(cls, op: Operator):
        """Return all reads but the time, which the host knows in full precision."""
        if isinstance(op, SimPyFunc):
            return range(int(op.t_passed), len(op.reads))
        if isinstance(op, SimProcess):
            return range(1, len(op.reads))
        return range(len(op.reads))

    @classmethod
    def state_sets(cls, op: Operator):
        """Return all sets, unless it is known that the old value does not matter."""
        if isinstance(op, (SimPyFunc, SimProcess)):
            return ()
        return range(len(op.sets))

    def step(self, reads, previous):
        """Call the host; the graph waits for its answer."""
        ops, host = self.ops, self.config.host
        given = [op.reads[i] for op in ops for i in self.used_reads(op)]
        for op in ops:
            given += [op.sets[i] for i in self.state_sets(op)]
            given += op.updates
        kinds = [[s for op in ops for s in getattr(op, kind)] for kind in _WRITTEN]
        results = [signal for kind in kinds for signal in kind]
        dtypes = [_dtype(signal, self.config.dtype) for signal in results]

        def call(*values):
            # drop the axis of operators: each operand here belongs to one of them
            answers = host.run(ops, given, [value[:, 0] for value in values])
            arrays = [
                np.ascontiguousarray(answer[:, None], dtype=dtype)
                for answer, dtype in zip(answers, dtypes, strict=True)
            ]
            # something must come back, else the graph has nothing to wait for
            return [*arrays, np.int32(0)]

        answers = tf.numpy_function(
            call, [*reads, *previous], [*dtypes, tf.int32], stateful=True
        )
        values = [
            tf.ensure_shape(answer, (self.config.minibatch_size, 1, *signal.shape))
            for answer, signal in zip(answers[:-1], results, strict=True)
        ]
        ends = np.cumsum([0] + [len(kind) for kind in kinds])
        return Writes(
            *(tuple(values[low:high]) for low, high in itertools.pairwise(ends))
        )


@register(PoissonSpiking, methods=("step",))
class PoissonSpikingBuilder(CallbackBuilder):
    """Draw the spikes of Poisson neurons with Nengo's own random stream.

    How many random numbers a draw takes depends on the rate, so they cannot be made
    ahead; the rates themselves are computed on the device. Training uses the rates.
    """

    runs_user_code = False
    has_gradient = True

    @classmethod
    def build(cls, ops, config):
        """Return a builder of rates for training."""
        return (cls if config.training is None else _PoissonRates)(ops, config)

    @classmethod
    def merge_key(cls, op):
        """Return a key that keeps these apart from callbacks without a derivative."""
        return "poisson"


class _PoissonRates(OpBuilder):
    """Rates in the place of Poisson spikes; one operand for each population."""

    def __init__(self, ops, config):
        super().__init__(ops, config)
        self.amplitudes = [op.neurons.amplitude for op in ops]

    def step(self, reads, previous):
        """Return the rates."""
        sets = [amplitude * rates for amplitude, rates in zip(self.amplitudes, reads)]
        return Writes(sets=tuple(sets))


_WRITTEN = ("sets", "incs", "updates")


def _dtype(signal, dtype):
    return np.dtype(dtype) if signal.dtype.kind == "f" else signal.dtype
