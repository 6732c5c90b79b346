"""Rewrite rules that remove operators before they are planned.

A rule takes the operators of a step and returns those that are left. In the program of
values that follows, a temporary signal starts each step as zeros, so resetting one to
zero is no work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from nengo.builder.operator import Operator, Reset
from nengo.builder.signal import Signal

from nengo_dl.compiler.alias import Aliases, find_aliases
from nengo_dl.compiler.ir import BuilderLookup
from nengo_dl.compiler.traits import Role
from nengo_dl.setting_kinds import SIMPLIFICATIONS

__all__ = [
    "remove_unread",
    "remove_zero_resets",
    "simplify",
]


def remove_zero_resets(
    operators: Sequence[Operator], roles: Mapping[Signal, Role]
) -> list[Operator]:
    """Remove operators that reset a temporary signal to zero."""
    return [
        op
        for op in operators
        if not (
            type(op) is Reset and op.value == 0 and roles[op.dst.base] is Role.TEMPORARY
        )
    ]


def remove_unread(
    operators: Sequence[Operator],
    roles: Mapping[Signal, Role],
    kept: Collection[Signal],
    builder_of: BuilderLookup,
    aliases: Aliases,
) -> list[Operator]:
    """Remove operators that only write temporary signals that nobody reads.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    roles : mapping of {Signal: Role}
        Role of each base signal.
    kept : collection of Signal
        Signals that are needed after the step (those that are probed).
    builder_of : callable
        Gives the builder of an operator; callbacks stay, since what they do in Python
        is not known.
    aliases : Aliases
        Signals that are read elsewhere.

    Returns
    -------
    list of Operator
        The operators that are left.
    """

    def bases(signals: Iterable[Signal]) -> set[Signal]:
        return {
            aliases.bases[number]
            for signal in signals
            for number in aliases.holders(signal)
        }

    needed = bases(kept)
    producers: dict[Signal, list[Operator]] = {}
    alive: set[Operator] = set()
    stack: list[Operator] = []
    for op in operators:
        written = [s.base for s in (*op.sets, *op.incs, *op.updates)]
        for base in written:
            producers.setdefault(base, []).append(op)
        if builder_of(op).is_callback or any(
            roles[base] is Role.STATE for base in written
        ):
            alive.add(op)
            stack.append(op)
    for base in needed:
        stack.extend(producers.get(base, ()))
    alive.update(stack)
    while stack:
        op = stack.pop()
        for base in bases(op.reads):
            for producer in producers.get(base, ()):
                if producer not in alive:
                    alive.add(producer)
                    stack.append(producer)
    return [op for op in operators if op in alive]


def simplify(
    operators: Sequence[Operator],
    roles: Mapping[Signal, Role],
    kept: Collection[Signal],
    builder_of: BuilderLookup,
    rules: Sequence[str] = SIMPLIFICATIONS,
) -> tuple[list[Operator], Aliases, dict[str, int]]:
    """Apply rewrite rules.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    roles : mapping of {Signal: Role}
        Role of each base signal.
    kept : collection of Signal
        Signals that are needed after the step.
    builder_of : callable
        Gives the builder of an operator.
    rules : sequence of str
        Names of rules, in the order in which to apply them. Results do not depend on
        them, only how much is left to do.

    Returns
    -------
    operators : list of Operator
        The operators that are left.
    aliases : Aliases
        Where to read signals whose copies were removed.
    counts : dict of {str: int}
        Number of operators left after each rule, for summaries.
    """
    counts = {"before": len(operators)}
    left, aliases = list(operators), Aliases()
    for rule in rules:
        if rule == "find_aliases":
            left, aliases = find_aliases(left, roles)
        elif rule == "remove_zero_resets":
            left = remove_zero_resets(left, roles)
        else:
            left = remove_unread(left, roles, kept, builder_of, aliases)
        counts[rule] = len(left)
    return left, aliases, counts
