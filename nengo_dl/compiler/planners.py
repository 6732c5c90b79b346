"""Merge operators into groups, and put the groups in order."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from operator import index

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError

from nengo_dl.compiler.ir import (
    BuilderLookup,
    Group,
    Operand,
    n_values,
    name_of,
)
from nengo_dl.compiler.large import keep_large_apart
from nengo_dl.compiler.unlike import merge_unlike

__all__ = ["Planner", "greedy", "make_group", "one_by_one", "plan"]

#: A function of operators, dependencies and merge keys; see `greedy`.
Planner = Callable[
    [Sequence[Operator], Sequence[set[int]], Sequence[Hashable]],
    Sequence[Sequence[int]],
]


def _merge_key(op: Operator, builder_of: BuilderLookup) -> Hashable:
    builder = builder_of(op)
    if builder.is_callback:
        return ("callback", builder.merge_key(op))
    flat = bool(builder.flat(op))
    operands = [op.reads[i] for i in builder.used_reads(op)]
    kinds = (operands, op.sets, op.incs, op.updates)
    shapes = tuple([tuple([_form(s, flat) for s in kind]) for kind in kinds])
    return (builder, flat, builder.merge_key(op), shapes)


def _form(signal: Signal, flat: bool) -> tuple[str, tuple[int, ...] | None]:
    """Return in what signals must be equal for their operators to merge."""
    initial = signal.initial_value
    if isinstance(initial, np.ndarray):  # far cheaper than asking whether it is sparse
        return initial.dtype.char, None if flat else initial.shape
    return signal.dtype.char, None if flat else (n_values(signal),)


def make_group(ops: Sequence[Operator], builder_of: BuilderLookup) -> Group:
    """Collect the operands of operators that are to run together.

    Parameters
    ----------
    ops : sequence of Operator
        Operators with equal merge keys.
    builder_of : callable
        Gives the builder of an operator.

    Returns
    -------
    Group
        With one operand for each position in the operators' lists of signals; groups
        of callbacks, whose operators may differ, get one operand for each signal.
    """
    builder = builder_of(ops[0])
    kinds = (
        lambda op: [op.reads[i] for i in builder_of(op).used_reads(op)],
        lambda op: [*(op.sets[i] for i in builder_of(op).state_sets(op)), *op.updates],
        lambda op: op.sets,
        lambda op: op.incs,
        lambda op: op.updates,
    )
    if builder.is_callback:
        columns = [
            tuple([Operand((s,), False) for op in ops for s in kind(op)])
            for kind in kinds
        ]
    else:
        flat = bool(builder.flat(ops[0]))
        columns = [
            tuple([Operand(s, flat) for s in zip(*map(kind, ops), strict=True)])
            for kind in kinds
        ]
    return Group(builder, tuple(ops), *columns)


def plan(
    operators: Sequence[Operator],
    before: Sequence[set[int]],
    builder_of: BuilderLookup,
    planner: str | Planner = "greedy",
    large: float = math.inf,
    minibatch_size: int = 1,
) -> list[Group]:
    """Merge operators into groups and order these by their dependencies.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step, in any order.
    before : sequence of set of int
        Result of `dependencies.dependencies`.
    builder_of : callable
        Gives the builder of an operator.
    planner : str or callable
        What decides: `greedy`, `one_by_one` (``"none"``), or another function with
        their arguments and result.
    large, minibatch_size
        Which operators `greedy` does not merge; see `large.keep_large_apart`.

    Returns
    -------
    list of Group
        Groups in an order in which they can run, if the planner is right (see
        `verify.verify_plan`).

    Raises
    ------
    BuildError
        If operators depend on each other in a circle, or the planner fails, returns
        something else, or merges what cannot be merged.
    """
    # numbers in their place, so that what is long is hashed only once
    numbers: dict[Hashable, int] = {}

    def key_of(op: Operator, builder_of: BuilderLookup) -> int:
        return numbers.setdefault(_merge_key(op, builder_of), len(numbers))

    keys: list[Hashable] = [key_of(op, builder_of) for op in operators]
    if planner == "greedy":
        alike, builder_of = builder_of, merge_unlike(operators, keys, builder_of)
        if builder_of is not alike:
            keys = [
                key if builder_of(op) is alike(op) else key_of(op, builder_of)
                for op, key in zip(operators, keys, strict=True)
            ]
        keys = keep_large_apart(operators, keys, builder_of, large, minibatch_size)
    if isinstance(planner, str):
        found = NAMED_PLANNERS[planner](operators, before, keys)
    else:
        try:
            # the planner may change its own lists only
            found = planner(list(operators), [set(b) for b in before], list(keys))
        except Exception as error:
            raise BuildError(
                f"The planner {_name(planner)} failed: {error!r}"
            ) from error
        found = _checked(found, operators, keys, _name(planner))
    return [make_group([operators[i] for i in run], builder_of) for run in found]


def _name(planner: Planner) -> str:
    return str(getattr(planner, "__name__", type(planner).__name__))


def _checked(
    found: object,
    operators: Sequence[Operator],
    keys: Sequence[Hashable],
    name: str,
) -> list[list[int]]:
    """Return what a planner made as lists, or raise if it is no list of groups."""
    wrong = (
        f"The planner {name} must return a list of groups, each a list of positions in "
        f"the list of {len(operators)} operators"
    )
    try:
        groups = [[index(i) for i in run] for run in found]  # type: ignore[attr-defined]
    except TypeError as error:
        raise BuildError(f"{wrong} ({error})") from error
    for run in groups:
        if not run or any(not 0 <= i < len(operators) for i in run):
            raise BuildError(f"{wrong} (one of its groups is {run})")
        for i in run:
            if keys[i] != keys[run[0]]:
                raise BuildError(
                    f"The planner {name} merges {name_of(operators[run[0]])} and "
                    f"{name_of(operators[i])}, which have different keys: no kernel "
                    "can run both"
                )
    return groups


def one_by_one(
    operators: Sequence[Operator],
    before: Sequence[set[int]],
    keys: Sequence[Hashable],
) -> list[list[int]]:
    """Merge nothing: each operator is a group of its own.

    Parameters
    ----------
    operators, before, keys
        As for `greedy`.

    Returns
    -------
    list of list of int
        As of `greedy`, with one position in each group.
    """
    return greedy(operators, before, range(len(operators)))


def greedy(
    operators: Sequence[Operator],
    before: Sequence[set[int]],
    keys: Sequence[Hashable],
) -> list[list[int]]:
    """Merge as many operators as possible, as soon as possible.

    List scheduling: of all keys with operators that are ready, take one whose operators
    are all ready if there is one (waiting could gain nothing), else the one with the
    fewest operators still waiting in proportion to those that are ready.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step, in any order.
    before : sequence of set of int
        For each operator, the positions of those that must run before it.
    keys : sequence of hashable
        For each operator, a key; operators can run as one group if their keys are
        equal.

    Returns
    -------
    list of list of int
        Groups of positions, in an order in which they can run.

    Raises
    ------
    BuildError
        If operators depend on each other in a circle.
    """
    after = _followers(before)
    waiting_for = [len(found) for found in before]
    total: dict[Hashable, int] = defaultdict(int)
    for key in keys:
        total[key] += 1
    ready: dict[Hashable, list[int]] = defaultdict(list)
    rank: dict[Hashable, int] = {}
    # entries are renewed when a key's counts change; stale ones are skipped
    heap: list[tuple[float, int, int, Hashable]] = []
    version: dict[Hashable, int] = defaultdict(int)

    def push(key: Hashable) -> None:
        version[key] += 1
        urgency = (total[key] - len(ready[key])) / len(ready[key])
        heapq.heappush(
            heap, (urgency, rank.setdefault(key, len(rank)), version[key], key)
        )

    for number, count in enumerate(waiting_for):
        if count == 0:
            ready[keys[number]].append(number)
    for key in list(ready):
        push(key)

    groups = []
    done = 0
    while heap:
        *_, entry_version, key = heapq.heappop(heap)
        if entry_version != version[key] or not ready[key]:
            continue
        members = sorted(ready[key])
        ready[key] = []
        version[key] += 1
        total[key] -= len(members)
        done += len(members)
        groups.append(members)
        changed = {}
        for member in members:
            for follower in after[member]:
                waiting_for[follower] -= 1
                if waiting_for[follower] == 0:
                    ready[keys[follower]].append(follower)
                    changed[keys[follower]] = True
        for follower_key in changed:
            push(follower_key)

    if done < len(operators):
        circle = _find_circle(before, waiting_for)
        raise _circle_error([operators[i] for i in circle])
    return groups


#: The planners that can be chosen by name.
NAMED_PLANNERS: dict[str, Planner] = {"greedy": greedy, "none": one_by_one}


def _followers(before: Sequence[set[int]]) -> list[list[int]]:
    """Return, for each operator, those that wait for it."""
    after: list[list[int]] = [[] for _ in before]
    for number, found in enumerate(before):
        for other in found:
            after[other].append(number)
    return after


def _find_circle(before: Sequence[set[int]], waiting_for: Sequence[int]) -> list[int]:
    """Return operators that wait for each other, the first one for the last one."""
    walk = [next(i for i, n_others in enumerate(waiting_for) if n_others > 0)]
    seen: dict[int, int] = {}
    while walk[-1] not in seen:
        seen[walk[-1]] = len(walk) - 1
        walk.append(min(i for i in before[walk[-1]] if waiting_for[i] > 0))
    # the walk went from each operator to one that has to run before it
    return walk[seen[walk[-1]] + 1 :][::-1]


def _circle_error(circle: Sequence[Operator]) -> BuildError:
    """Return an exception that names operators that wait for each other."""
    return BuildError(
        "These operators depend on each other within one time step, so none of "
        f"them can run first: {', '.join(name_of(op) for op in circle[:10])}"
        f"{', ...' if len(circle) > 10 else ''}. Put a synapse on one of the "
        "connections of the loop."
    )
