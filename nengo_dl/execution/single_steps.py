"""Single steps of small networks, with as little around them as possible.

What `NumpyExecutor` does for runs of any length, for minibatches and with feeds, takes
as long for one step as the operators of a hundred neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.signal import Signal

from nengo_dl.compiler.sampling import Sampling
from nengo_dl.execution.numpy_executor import Item
from nengo_dl.execution.numpy_steps import HostOperators, assign_result, failed
from nengo_dl.execution.sources import Source

__all__ = ["SingleSteps"]


class SingleSteps:
    """Runs one step after the other, of a simulation without minibatch.

    Parameters
    ----------
    host : HostOperators
        Has the steps.
    sources : sequence of Source
        Make the inputs.
    item : Item
        Its live arrays and step functions.
    fixed_inputs : mapping of {Signal: ndarray}
        Values of constant inputs.
    sampling : sequence of Sampling
        For each output, which steps are kept.

    Attributes
    ----------
    item : Item
        As given: another one needs another object.
    """

    def __init__(
        self,
        host: HostOperators,
        sources: Sequence[Source],
        item: Item,
        fixed_inputs: Mapping[Signal, np.ndarray],
        sampling: Sequence[Sampling],
    ):
        self.item = item
        self._host = host
        self._sources = sources
        self._makers = [self._maker(source) for source in self._sources]
        self._fixed = [
            (live, np.reshape(fixed_inputs[signal], live.shape))
            for signal, live in item.inputs
            if signal in fixed_inputs
        ]
        rules = [None if s.period <= 1 else s.keeps for s in sampling]
        self._outputs = list(zip(item.probed, rules, strict=True))

    def advance(self, n_steps: int) -> list[np.ndarray] | None:
        """Simulate one step; after an error, the state is as it was before.

        Parameters
        ----------
        n_steps : int
            Number of steps before this one.

        Returns
        -------
        list of ndarray, shapes (0 or 1, 1, size)
            The outputs, where they are kept. None, and nothing is done, if there are
            values of inputs that were made ahead.

        Raises
        ------
        SimulationError
            If a function of the model fails.
        """
        if any(source.ahead is not None for source in self._sources):
            return None
        item, number = self.item, n_steps + 1
        time = number * self._host.dt
        self._host.start_chunk(n_steps)
        self._host.set_time(number)
        before = item.copy_state()
        n_made = position = 0
        try:
            with np.errstate(invalid="raise", divide="ignore"):
                for make in self._makers:
                    make(time)
                    n_made += 1
                for live, value in self._fixed:
                    live[...] = value
                for step in item.functions:
                    step()
                    position += 1
        except BaseException as error:
            for source in self._sources[:n_made]:
                source.keep(n_steps, item.signals)
            item.restore_state(before)
            if not isinstance(error, Exception):
                raise
            ops: Sequence[Operator] = item.ops
            if n_made < len(self._sources):
                ops, position = [source.op for source in self._sources], n_made
            raise failed(ops[position], time, error) from error
        for source in self._sources:
            source.n_made += 1
        return [
            live.reshape(1, 1, -1).copy()
            if keeps is None or keeps(number)
            else np.zeros((0, 1, live.size))
            for live, keeps in self._outputs
        ]

    def _maker(self, source: Source) -> Callable[[float], None]:
        """Return a function that makes the value of one step, where it is read."""
        op = source.op
        if type(op) is not SimPyFunc:
            step = self._host.step_function(op, self.item.number)
            return lambda time: step()
        function, passes_time = op.fn, op.t_passed
        live = None if source.output is None else self.item.signals[source.output]

        def make(time: float) -> None:
            result = function(time) if passes_time else function()
            if live is not None:
                assign_result(live, result)

        return make
