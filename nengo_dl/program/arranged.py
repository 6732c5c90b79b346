"""Parameters in the forms in which kernels take them, kept from call to call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nengo_dl.builders.base import Arranged, OpBuilder
from nengo_dl.builders.value_store import read_constant
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = ["ArrangedOperands"]


class ArrangedOperands:
    """Large constant operands as their kernels take them, until parameters change.

    Otherwise, the compiled loop arranges them in each call: 5 ms for a matrix of 2,000
    x 2,000 of which columns are to be added.

    Parameters
    ----------
    step : StepProgram
        The step.
    constants : sequence of tf.Variable
        Values of ``step.constant_blocks``, on a CPU.
    """

    def __init__(self, step: StepProgram, constants: Sequence[tf.Variable]):
        self._step = step
        candidates = [
            number
            for number, operand in enumerate(step.fixed_operands)
            if type(step.kernels[operand.group]).arrange is not OpBuilder.arrange
            and np.prod(operand.plan.shape) >= tuning.KEPT_ELEMENTS
        ]
        self._variables = {
            block.number: variable
            for block, variable in zip(step.constant_blocks, constants, strict=True)
        }
        self._values = self._read(self._blocks(candidates))
        self._tensors = self._arrange(candidates)
        # what is held for nothing would be copied when somebody assigns it
        needed = self._blocks(self._tensors)
        self._values = {n: self._values[n] for n in needed}
        self._places = self._find_places(self._values)

    def tensors(self) -> Mapping[int, Arranged]:
        """Return the operands by position in ``step.fixed_operands``.

        They are arranged again if a parameter was assigned since the last call.
        """
        if self._tensors:
            values = self._read(self._values)
            places = self._find_places(values)
            if places != self._places:
                self._values, self._places = values, places
                self._tensors = self._arrange(self._tensors)
        return self._tensors

    def _blocks(self, numbers: Iterable[int]) -> list[int]:
        """Return the numbers of the blocks that some operands consist of."""
        operands = [self._step.fixed_operands[number] for number in numbers]
        return sorted({p.block for operand in operands for p in operand.plan.pieces})

    def _read(self, blocks: Iterable[int]) -> dict[int, tf.Tensor]:
        """Return the values of variables, which share their memory.

        As long as these tensors exist, whatever assigns a variable gives it other
        memory instead of writing into this.
        """
        found = {number: self._variables[number] for number in blocks}
        return {  # `read_value` takes three times as long
            number: tf.raw_ops.ReadVariableOp(resource=v.handle, dtype=v.dtype)
            for number, v in found.items()
        }

    @staticmethod
    def _find_places(values: Mapping[int, tf.Tensor]) -> list[int]:
        """Return where the elements of tensors are in memory."""
        return [
            np.asarray(memoryview(tensor)).__array_interface__["data"][0]
            for tensor in values.values()
        ]

    def _arrange(self, numbers: Iterable[int]) -> dict[int, Arranged]:
        """Return those of some operands that their kernels take in another form."""
        found = {}
        for number in numbers:
            operand = self._step.fixed_operands[number]
            value = read_constant(operand.plan, self._values)
            kernel = self._step.kernels[operand.group]
            arranged = kernel.arrange(operand.index, value)
            if arranged is not value:
                found[number] = arranged
        return found
