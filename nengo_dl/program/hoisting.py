"""What a simulation need not compute again while its inputs stay as they are.

An image is shown for many steps. Its products with the weights of the first layer are
the same in all of them, and often most of the work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.program.schedule import Kind, Schedule
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning

__all__ = ["Hoisted", "find_hoisted", "segment_ends"]


@dataclass(frozen=True)
class Hoisted:
    """Groups that are computed once for as long as their inputs stay the same.

    Attributes
    ----------
    groups : list of int
        Which, in the program's order. Empty if it would not pay.
    columns : mapping of {int: ndarray of int}
        What they read of the inputs: positions in each of the program's input blocks.
    """

    groups: Sequence[int] = ()
    columns: Mapping[int, np.ndarray] = field(default_factory=dict)


def find_hoisted(program: StepProgram, restless: Collection[Signal] = ()) -> Hoisted:
    """Return what to compute once for as long as the inputs stay the same.

    Parameters
    ----------
    program : StepProgram
        The program of one step.
    restless : collection of Signal
        Inputs that are known to change in each step.

    Returns
    -------
    Hoisted
        Large products, with what they depend on, of which nothing keeps state or calls
        Python.
    """
    if program.has_callbacks or not program.input_blocks:
        return Hoisted()
    if not _is_worth_it(program, range(len(program.kernels))):
        return Hoisted()
    moving = [
        not block_signals.isdisjoint(restless)
        for block_signals in (set(block.signals) for block in program.input_blocks)
    ]
    schedule = Schedule(program, moving)
    still = {n for p in schedule.phases if p.kind is Kind.ONCE for n in p.groups}
    inputs = {block.number for block in program.input_blocks}
    found: set[int] = set()
    for number in still:
        if program.kernels[number].n_multiplications:
            needed = _with_predecessors(schedule, number)
            # what depends on parameters alone leaves the loop without our help
            if any(schedule.read[n] & inputs for n in needed):
                found |= needed
    if not _is_worth_it(program, found):
        return Hoisted()
    return Hoisted(sorted(found), _columns_read(program, sorted(found)))


def _with_predecessors(schedule: Schedule, number: int) -> set[int]:
    """Return a group and all that it depends on."""
    found: set[int] = set()
    waiting = [number]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting.extend(schedule.predecessors[number])
    return found


def _is_worth_it(program: StepProgram, groups: Iterable[int]) -> bool:
    work = sum(program.kernels[n].n_multiplications for n in groups)
    return work * program.config.minibatch_size >= tuning.WORTH_HOISTING


def _columns_read(program: StepProgram, groups: Sequence[int]) -> dict[int, np.ndarray]:
    positions = {block.number: i for i, block in enumerate(program.input_blocks)}
    found: dict[int, list[np.ndarray]] = {}
    for number in groups:
        for plan in program.layout.groups[number].reads:
            for piece in plan.pieces:
                if piece.block in positions:
                    columns = found.setdefault(positions[piece.block], [])
                    columns.append(piece.positions)
    return {i: np.unique(np.concatenate(parts)) for i, parts in found.items()}


def segment_ends(
    hoisted: Hoisted, frames: Sequence[np.ndarray], n_steps: int
) -> np.ndarray:
    """Return, for each step, the first step after it that has other inputs.

    Parameters
    ----------
    hoisted : Hoisted
        What is read of the inputs.
    frames : sequence of ndarray, shapes (capacity, minibatch, size)
        Values of the input blocks in a chunk of steps.
    n_steps : int
        Number of steps of the chunk.

    Returns
    -------
    (n_steps,) ndarray of int
        Steps, from 1 to ``n_steps``.
    """
    same = np.ones(max(n_steps - 1, 0), dtype=bool)
    for number, columns in hoisted.columns.items():
        values = frames[number][:n_steps]
        if len(columns) < values.shape[2]:
            values = values[:, :, columns]
        values = values.reshape(n_steps, np.prod(values.shape[1:]))
        # most inputs that change do so in their first elements
        few = values[:, : tuning.FEW_ELEMENTS]
        same &= (few[1:] == few[:-1]).all(axis=1)
        for step in np.flatnonzero(same):
            same[step] = np.array_equal(values[step], values[step + 1])
    ends = np.append(np.flatnonzero(~same) + 1, n_steps)
    return ends[np.searchsorted(ends, np.arange(n_steps), side="right")]
