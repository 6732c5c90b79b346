"""Find out how many time steps it takes until a parameter shows in a loss."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.operator import (
    Copy,
    DotInc,
    ElementwiseInc,
    Operator,
    Reset,
    SparseDotInc,
)
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.builder.transforms import ConvInc, ConvTransposeInc
from nengo.synapses import LinearFilter, Triangle

from nengo_dl.training.gradient_paths import has_gradient, list_names

__all__ = ["Reach", "delay_warning", "find_reach"]


#: What these operators add is a product of what they read.
_PRODUCTS = (DotInc, ElementwiseInc, SparseDotInc, ConvInc, ConvTransposeInc)


@dataclasses.dataclass(frozen=True)
class Reach:
    """The fastest way between two signals.

    Attributes
    ----------
    delay : int
        Number of steps between the one in which the first has its value and the first
        one in which the second depends on it.
    through : tuple of Operator
        The operators on this way that delay.
    """

    delay: int = 0
    through: tuple[Operator, ...] = ()

    def with_delay(self, op: Operator, delay: int) -> Reach:
        """Return the way that has an operator on it, too."""
        if delay == 0:
            return self
        return Reach(self.delay + delay, (op, *self.through))

    def with_wait(self, other: Reach) -> Reach:
        """Return this way, of what waits for something else."""
        return Reach(self.delay + other.delay, (*other.through, *self.through))


def find_reach(
    operators: Sequence[Operator], outputs: Collection[Signal], dt: float
) -> dict[Signal, Reach]:
    """Find how many steps it takes until each signal shows in one of the outputs.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    outputs : collection of Signal
        Base signals that are shown after each step.
    dt : float
        Length of a step, in seconds; discrete filters may depend on it.

    Returns
    -------
    dict of {Signal: Reach}
        By base signal, for those from which gradients reach an output.

    Notes
    -----
    What an operator updates is seen by the others in the next step, and by probes at
    the end of this one. Filters can delay further by themselves. A weight shows when
    what it is multiplied with is there, which filters before it may delay as well.
    """
    operators = [op for op in operators if has_gradient(op)]
    delay_of: dict[Any, int] = {}  # by process, since many synapses are equal
    own = {op: _own_delay(op, dt, delay_of) for op in operators}
    arrivals = _find_arrivals(operators, own)
    writers: dict[Signal, list[tuple[Operator, bool]]] = {}
    for op in operators:
        updates = {signal.base for signal in op.updates}
        for signal in _bases([*op.sets, *op.incs, *op.updates]):
            writers.setdefault(signal, []).append((op, signal in updates))
    found = dict.fromkeys(outputs, Reach())
    # shortest paths first; the number keeps those of one length in their order
    number = itertools.count()
    heap = [(0, next(number), signal, Reach(), True) for signal in found]
    done: set[tuple[Signal, bool]] = set()
    while heap:
        _, _, signal, reach, is_output = heapq.heappop(heap)
        if (signal, is_output) in done:
            continue
        done.add((signal, is_output))
        for op, is_update in writers.get(signal, ()):
            way = reach.with_delay(op, own[op] + (is_update and not is_output))
            for read in _bases(op.reads):
                others = [s for s in _bases(op.reads) if s is not read]
                shown = way
                if isinstance(op, _PRODUCTS) and others:
                    shown = way.with_wait(arrivals.get(others[0], Reach()))
                if read not in found or shown.delay < found[read].delay:
                    found[read] = shown
                if (read, False) not in done:
                    heapq.heappush(heap, (way.delay, next(number), read, way, False))
    return found


def _find_arrivals(
    operators: Sequence[Operator], own: Mapping[Operator, int]
) -> dict[Signal, Reach]:
    """Find the first step in which each signal may be other than zero."""
    readers: dict[Signal, list[Operator]] = {}
    written: set[Signal] = set()
    for op in operators:
        for signal in _bases(op.reads):
            readers.setdefault(signal, []).append(op)
        written.update(_bases([*op.sets, *op.incs, *op.updates]))
    found: dict[Signal, Reach] = {}
    for op in operators:
        for signal in _bases(op.all_signals):
            if signal not in written or (signal.sparse or np.any(signal.initial_value)):
                found[signal] = Reach()
    waiting = deque(operators)
    while waiting:
        op = waiting.popleft()
        start = _first_result(op, found)
        if start is None:
            continue
        updates = {signal.base for signal in op.updates}
        for signal in _bases([*op.sets, *op.incs, *op.updates]):
            way = start.with_delay(op, own[op] + (signal in updates))
            if signal not in found or way.delay < found[signal].delay:
                found[signal] = way
                waiting.extend(readers.get(signal, ()))
    return found


def _first_result(op: Operator, arrivals: Mapping[Signal, Reach]) -> Reach | None:
    """Return when an operator may give something other than zero; None for never."""
    if isinstance(op, Reset):
        return Reach() if np.any(op.value) else None
    if isinstance(op, _PRODUCTS):
        reads = _bases(op.reads)
    elif isinstance(op, Copy):
        reads = [op.src.base]
    elif isinstance(op, SimProcess) and isinstance(op.process, LinearFilter | Triangle):
        reads = [op.input.base]
    else:
        return Reach()  # such as neurons, which have a bias
    if not all(signal in arrivals for signal in reads):
        return None
    return max((arrivals[signal] for signal in reads), key=lambda reach: reach.delay)


def _bases(signals: Iterable[Signal]) -> list[Signal]:
    return list(dict.fromkeys(signal.base for signal in signals))


def _own_delay(op: Operator, dt: float, known: dict[Any, int]) -> int:
    """Return how many steps late an operator's result shows its input."""
    process = getattr(op, "process", None)
    if not isinstance(op, SimProcess) or not isinstance(process, LinearFilter):
        return 0
    if process not in known:
        known[process] = _delay_of_filter(process, dt)
    return known[process]


def _delay_of_filter(process: LinearFilter, dt: float) -> int:
    rng = np.random.RandomState(0)
    state = process.make_state((1,), (1,), dt, dtype=np.float64)
    order = len(state["X"])
    step = process.make_step((1,), (1,), dt, rng, state)
    for n in range(order + 1):
        if step((n + 1) * dt, np.full(1, float(n == 0))).item() != 0:
            return n
    return 0  # it never shows its input


def delay_warning(
    reach: Mapping[Signal, Reach],
    parameters: Mapping[Signal, str],
    n_steps: int,
    probes: Collection[nengo.Probe],
    model: Model,
) -> str | None:
    """Say which parameters cannot show in the loss of so few steps.

    Parameters
    ----------
    reach : mapping of {Signal: Reach}
        See `find_reach`.
    parameters : mapping of {Signal: str}
        Trainable base signals and their names.
    n_steps : int
        Number of steps that gradients go back.
    probes : collection of Probe
        Those of the objective.
    model : Model
        What Nengo built.

    Returns
    -------
    str or None
        None: all show that ever do.
    """
    ways = {name: reach[s] for s, name in parameters.items() if s in reach}
    late = {name: way for name, way in ways.items() if way.delay >= n_steps}
    if not late:
        return None
    delaying = dict.fromkeys(op for way in late.values() for op in way.through)
    synapses = list_names([_described(op, model) for op in delaying], 5)
    needed = max(way.delay for way in late.values()) + 1
    steps = f"{n_steps} time step" + ("s" if n_steps > 1 else "")
    if len(late) == len(ways):
        what = (
            f"In {steps}, what {list_names(list(map(str, probes)), 5)} shows does not "
            "depend on any trainable parameter, so nothing will be learned"
        )
    else:
        what = f"{list_names(late)} will not be trained with {steps}"
    return (
        f"{what}: there are delays of {synapses}. Use data of {needed} steps or "
        "more (and such a truncation, if given), or synapse=None during training"
    )


def _described(op: Operator, model: Model) -> str:
    """Name what delays, with the connection or probe that it belongs to."""
    kind = str(op.process) if isinstance(op, SimProcess) else type(op).__name__
    written = {*op.sets, *op.incs, *op.updates}
    for obj, signals in model.sig.items():
        key = "filtered" if isinstance(obj, nengo.Probe) else "weighted"
        if isinstance(obj, nengo.Probe | nengo.Connection) and (
            signals.get(key) in written
        ):
            return f"{kind} of {obj}"
    return kind
