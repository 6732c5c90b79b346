"""The order of Nengo's reference simulator, found in less time.

Random streams depend on it, so it has to be the very same one.
``nengo.utils.simulator`` builds a graph of operators in ordered sets; here operators
are numbers, which takes a third of the time, and large networks have half a million of
them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError
from nengo.utils.simulator import validate_ops

__all__ = ["reference_order"]

#: The operators that have each signal in one of their lists.
_Users = defaultdict[Signal, list[int]]

#: The signals that share memory with each base.
_Views = dict[Signal, dict[Signal, None]]


def reference_order(operators: Sequence[Operator]) -> list[Operator]:
    """Sort operators as Nengo's simulator does.

    Parameters
    ----------
    operators : sequence of Operator
        In the order in which they were built.

    Returns
    -------
    list of Operator
        ``toposort(operator_dependency_graph(operators))``.

    Raises
    ------
    BuildError
        If operators depend on each other in a circle.
    """
    after = _followers(operators)
    waiting_for = [0] * len(operators)
    for followers in after:
        for follower in followers:
            waiting_for[follower] += 1
    # first come, first served, as in Nengo
    ready = deque(number for number, count in enumerate(waiting_for) if not count)
    order = []
    while ready:
        number = ready.popleft()
        order.append(operators[number])
        for follower in after[number]:
            waiting_for[follower] -= 1
            if not waiting_for[follower]:
                ready.append(follower)
    if len(order) < len(operators):
        raise BuildError(
            "Operators depend on each other within one time step. This usually occurs "
            "because connections that form a loop have no synapse: give one of them a "
            "synapse, or synapse=0, instead of None."
        )
    return order


def _followers(operators: Sequence[Operator]) -> list[dict[int, None]]:
    """Return, for each operator, those that run after it, in Nengo's order."""
    reads: _Users = defaultdict(list)
    sets: _Users = defaultdict(list)
    incs: _Users = defaultdict(list)
    updates: _Users = defaultdict(list)
    # signals that share a base, in the order in which they are met
    set_views: _Views = {}
    written_views: _Views = {}
    read_views: _Views = {}
    for base in _bases_of_views(operators):
        set_views[base], written_views[base], read_views[base] = {}, {}, {}
    for number, op in enumerate(operators):
        for signal in op.sets:
            sets[signal].append(number)
            _note(signal, set_views, written_views)
        for signal in op.incs:
            incs[signal].append(number)
            _note(signal, written_views)
        for signal in op.reads:
            reads[signal].append(number)
            _note(signal, read_views)
        for signal in op.updates:
            updates[signal].append(number)
    validate_ops(sets, updates, incs)

    after: list[dict[int, None]] = [{} for _ in operators]
    for signal, later in incs.items():
        _add(after, _users(signal, set_views, sets), later)
    for signal, later in reads.items():
        _add(after, _users(signal, written_views, sets, incs), later)
    for signal, later in updates.items():
        base, views = signal.base, {}
        if base in read_views:
            views[base] = {**read_views[base], **written_views[base]}
        _add(after, _users(signal, views, sets, incs, reads), later)
    return after


def _bases_of_views(operators: Sequence[Operator]) -> set[Signal]:
    """Return base signals of which parts are used by themselves; most are none."""
    return {
        signal.base
        for op in operators
        for signals in (op.sets, op.incs, op.reads, op.updates)
        for signal in signals
        if signal.is_view
    }


def _note(signal: Signal, *kinds: _Views) -> None:
    """Note that a signal is used, if others may share memory with it."""
    base = signal.base
    if base in kinds[0]:
        for views in kinds:
            views[base][signal] = None


def _users(signal: Signal, views: _Views, *kinds: _Users) -> Iterable[int]:
    """Return the operators that use a signal, or one that shares memory with it."""
    if len(kinds) == 1 and signal.base not in views:
        return kinds[0].get(signal, ())
    found = [user for kind in kinds for user in kind.get(signal, ())]
    for view in views.get(signal.base, ()):
        if view is not signal and signal.may_share_memory(view):
            found += [user for kind in kinds for user in kind.get(view, ())]
    return dict.fromkeys(found)


def _add(
    after: Sequence[dict[int, None]], before: Iterable[int], later: Sequence[int]
) -> None:
    followers = dict.fromkeys(later)
    for number in before:
        after[number].update(followers)
