"""What is known about the processes that make inputs: one row for each type."""

from __future__ import annotations

from dataclasses import dataclass

from nengo.builder.operator import Operator, SimPyFunc, TimeUpdate
from nengo.builder.processes import SimProcess
from nengo.processes import (
    BrownNoise,
    FilteredNoise,
    Piecewise,
    PresentInput,
    Process,
    WhiteNoise,
    WhiteSignal,
)

from nengo_dl.compiler.operators import RandomSample

__all__ = ["ProcessTraits", "is_random", "is_restless", "of_nengo", "traits_of"]


@dataclass(frozen=True)
class ProcessTraits:
    """Facts about a type of process.

    Attributes
    ----------
    is_random : bool
        Whether its values depend on a random stream, unless it has a seed.
    draws : bool
        Whether it draws from that stream in each step (not just when it is made).
    is_restless : bool
        Whether its values are known to change in each step.
    keeps_more : bool
        Whether steps may change something that is neither stream nor state.
    """

    is_random: bool
    draws: bool
    is_restless: bool
    keeps_more: bool = False


_NOISE = ProcessTraits(is_random=True, draws=True, is_restless=True)
_DATA = ProcessTraits(is_random=False, draws=False, is_restless=False)

#: By exact type, since a subclass may do something else.
_ROWS: dict[type, ProcessTraits] = {
    WhiteNoise: _NOISE,
    FilteredNoise: _NOISE,
    BrownNoise: _NOISE,
    WhiteSignal: ProcessTraits(is_random=True, draws=False, is_restless=True),
    PresentInput: _DATA,
    Piecewise: _DATA,
}

#: Of other classes of Nengo (synapses) and ours, and of those of users.
_OTHERS = ProcessTraits(is_random=True, draws=False, is_restless=False)
_UNKNOWN = ProcessTraits(is_random=True, draws=True, is_restless=False, keeps_more=True)


def traits_of(process: Process) -> ProcessTraits:
    """Return what is known about a process.

    Parameters
    ----------
    process : nengo.Process
        Any process, also of a class that nobody knows.
    """
    found = _ROWS.get(type(process))
    if found is None:
        found = _OTHERS if of_nengo(process) else _UNKNOWN
    return found


def is_random(op: Operator) -> bool:
    """Whether the values that an operator makes on the host depend on a stream.

    If they do, items of a minibatch, and minibatches, get values of their own.
    """
    if isinstance(op, SimProcess):
        return op.process.seed is None and traits_of(op.process).is_random
    return not isinstance(op, SimPyFunc | TimeUpdate)


def is_restless(op: Operator) -> bool:
    """Whether the values that an operator makes on the host change in each step."""
    if isinstance(op, SimProcess):
        return traits_of(op.process).is_restless
    return isinstance(op, RandomSample | TimeUpdate)


def of_nengo(obj: object) -> bool:
    """Whether the class of an object is Nengo's or ours, so that its ways are known."""
    return type(obj).__module__.partition(".")[0] in ("nengo", "nengo_dl")
