"""How much memory a derivative needs, and which steps to compute again for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isqrt, prod

from nengo_dl.program.placement import Placement
from nengo_dl.program.schedule import Kind, Schedule
from nengo_dl.support.arguments import check_positive
from nengo_dl.support.memory import memory_limit

__all__ = [
    "StepMemory",
    "check_segment",
    "choose_segment",
    "measure_step",
    "training_limit",
]

#: Part of the computer's memory that training takes before it saves some.
_PART_OF_MEMORY = 0.5

#: What a process was seen to take, as a multiple of the values that are counted: there
#: are temporary ones, and room that is not used. (784-512-10, surrogate derivatives, 50
#: to 400 steps, minibatch 128.)
_OVERHEAD = 1.5

#: How often inputs and outputs exist: as data and as tensors, in both orders of axes,
#: and their gradients.
_COPIES = 4


@dataclass(frozen=True)
class StepMemory:
    """Bytes that the derivative of one time step needs, for all items of a minibatch.

    Attributes
    ----------
    state : int
        State before the step.
    kept : int
        Everything between inputs and outputs that is kept for the way back, the state
        included, with its gradients.
    data : int
        Inputs and outputs.
    """

    state: int
    kept: int
    data: int

    def total(self, n_steps: int, segment: int | None = None) -> float:
        """Return the bytes that some steps need.

        Parameters
        ----------
        n_steps : int
            Number of steps.
        segment : int, optional
            Number of steps of which everything is kept at once. Default: all.
        """
        if segment is None or segment >= n_steps:
            return _OVERHEAD * n_steps * (self.kept + self.data)
        states = n_steps / segment * self.state
        return _OVERHEAD * (n_steps * self.data + states + segment * self.kept)


def measure_step(schedule: Schedule, outputs: Sequence[int]) -> StepMemory:
    """Return what the derivative of a step needs.

    Parameters
    ----------
    schedule : Schedule
        What is differentiated.
    outputs : sequence of int
        Which of the program's outputs are wanted.
    """
    program = schedule.program
    layout = program.layout
    values = state = 0
    later: set[int] = {p.block for i in outputs for p in layout.outputs[i].pieces}
    for phase in reversed(schedule.phases):
        written = {block for n in phase.groups for block in schedule.written[n]}
        if phase.kind is Kind.BATCH:  # values, and their gradients
            values += 2 * _size(layout.blocks, written)
        elif phase.kind is Kind.LOOP:
            looped = written & schedule.looped
            state += _size(layout.blocks, looped)
            values += 2 * _size(layout.blocks, (written - looped) & later)
            values += _products(schedule, phase.groups)
        later |= {block for n in phase.groups for block in schedule.read[n]}
    moving = [b for b, moves in zip(program.input_blocks, schedule.moving) if moves]
    data = sum(block.size for block in moving)
    data += sum(prod(layout.outputs[i].shape) for i in outputs)
    each = program.config.minibatch_size * program.config.dtype.itemsize
    return StepMemory(each * state, each * (state + values), each * _COPIES * data)


def _size(blocks: Sequence, numbers: Iterable[int]) -> int:
    return sum(blocks[number].size for number in numbers)


def _products(schedule: Schedule, groups: Iterable[int]) -> int:
    """Return the values of products in a loop: operand, result, and its gradient."""
    program = schedule.program
    found = 0
    for number in groups:
        if program.kernels[number].is_product:
            bound = program.layout.groups[number]
            found += prod(bound.reads[1].shape) + 2 * prod(bound.group.incs[0].shape)
    return found


def choose_segment(n_steps: int, step: StepMemory, limit: float | None) -> int | None:
    """Return the number of steps of which everything is kept at once.

    Parameters
    ----------
    n_steps : int
        Number of steps.
    step : StepMemory
        What one of them needs.
    limit : float or None
        Bytes that there are.

    Returns
    -------
    int or None
        As many as fit; if none do, as many as need the least. None: all.
    """
    if limit is None or n_steps < 2 or step.total(n_steps) <= limit:
        return None
    # state before each segment, and all that is kept of one: least at the root
    least = max(isqrt(n_steps * step.state // max(step.kept, 1)), 1)
    fitting, too_many = min(least, n_steps - 1), n_steps
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        if step.total(n_steps, middle) <= limit:
            fitting = middle
        else:
            too_many = middle
    return fitting


def check_segment(recompute: object) -> int | None:
    """Return the number of steps that a user gave, None if none was given.

    Raises
    ------
    ValidationError
        If it is no positive integer.
    """
    return None if recompute is None else check_positive(recompute, "recompute")


def training_limit(setting: int | None, placement: Placement) -> float | None:
    """Return how many bytes training may take, as far as it is estimated.

    Parameters
    ----------
    setting : int or None
        What the network is configured with.
    placement : Placement
        Where training runs. Without a setting, only the memory of CPUs is known.
    """
    if setting is not None:
        return setting
    known = memory_limit() if placement.on_cpu else None
    return None if known is None else _PART_OF_MEMORY * known
