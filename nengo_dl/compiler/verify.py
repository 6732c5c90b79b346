"""Check what each pass made before the next one relies on it.

These checks are always on. They take less than 2 % of the time of a build, and turn
what would be wrong numbers into an error that names the pass and the operators.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from nengo.builder.operator import Operator, Reset, TimeUpdate
from nengo.builder.probe import SimProbe
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError

from nengo_dl.compiler.alias import Aliases
from nengo_dl.compiler.inputs import HostSplit
from nengo_dl.compiler.ir import BuilderLookup, Group, name_of
from nengo_dl.compiler.traits import Role

__all__ = ["verify_plan", "verify_simplified", "verify_split"]


def verify_split(operators: Sequence[Operator], split: HostSplit) -> None:
    """Raise if operators were lost, or the host's cannot run ahead of the device.

    Parameters
    ----------
    operators : sequence of Operator
        All operators of the model.
    split : HostSplit
        What runs where.

    Raises
    ------
    BuildError
        If an operator is missing or doubled, if one on the host needs something of the
        device, or if the device writes an input.
    """
    placed = [*split.device, *split.host]
    if len(set(placed)) < len(placed):
        raise BuildError(
            f"The split places {_names(_doubled(placed))} on device and host, or twice"
        )
    origins = {split.origin.get(op, op) for op in placed}
    missing = [
        op for op in operators if op not in origins and not isinstance(op, SimProbe)
    ]
    if missing:
        raise BuildError(f"The split leaves out {_names(missing)}")
    inputs = {signal.base for signal in split.inputs}
    clock = {s for op in split.host if isinstance(op, TimeUpdate) for s in op.sets}
    written = {
        signal.base
        for op in split.device
        for signal in (*op.sets, *op.incs, *op.updates)
    }
    for op in split.host:
        argument = split.arguments.get(op)
        reads = op.reads if argument is None else [argument.root]
        for signal in reads:
            is_fixed = argument is not None and signal not in written
            if signal not in clock and signal.base not in inputs and not is_fixed:
                raise BuildError(
                    f"{name_of(op)} is to run ahead of the device, but reads "
                    f"{name_of(signal)}, which only the device knows"
                )
    for op in split.device:
        for signal in (*op.sets, *op.incs, *op.updates):
            if signal.base in inputs:
                raise BuildError(
                    f"{name_of(op)} on the device writes {name_of(signal)}, which is "
                    "an input from the host"
                )


def verify_simplified(
    operators: Sequence[Operator],
    left: Sequence[Operator],
    aliases: Aliases,
    roles: Mapping[Signal, Role],
    kept: Collection[Signal],
    builder_of: BuilderLookup,
) -> None:
    """Raise if something is read that nothing writes any more.

    Parameters
    ----------
    operators, left : sequence of Operator
        Before and after operators were removed.
    aliases : Aliases
        Where to read signals whose copies were removed.
    roles : mapping of {Signal: Role}
        Role of each base signal.
    kept : collection of Signal
        Signals that are needed after the step.
    builder_of : callable
        Gives the builder of an operator.

    Raises
    ------
    BuildError
        If an operator is new or doubled, if an alias is written, or if what writes a
        signal that is read was removed.
    """
    known, remaining = set(operators), set(left)
    if len(remaining) < len(left):
        raise BuildError(f"Simplifying doubled {_names(_doubled(left))}")
    if not remaining <= known:
        new = [op for op in left if op not in known]
        raise BuildError(f"Simplifying brought in {_names(new)}")
    for op in left:
        for signal in (*op.sets, *op.incs, *op.updates):
            if signal.base in aliases:
                raise BuildError(
                    f"{name_of(op)} writes {name_of(signal)}, which others read "
                    "elsewhere after simplifying"
                )
    # what is not written as before, and by whom it was
    lost: dict[Signal, Operator] = {}
    for op in operators:
        if op in remaining or _resets_to_zero(op, roles):
            continue
        for signal in (*op.sets, *op.incs, *op.updates):
            if signal.base not in aliases:
                lost[signal.base] = op

    def check(signal: Signal, reader: str) -> None:
        # nearly all signals are no aliases, and need not be looked up
        bases: Iterable[Signal] = (signal.base,)
        if signal.base in aliases:
            bases = [aliases.bases[i] for i in set(aliases.holders(signal))]
        for base in bases:
            if base in aliases or base in lost:
                by = f" by {name_of(lost[base])}" if base in lost else ""
                raise BuildError(
                    f"{reader} reads {name_of(signal)}, which was written{by}, but "
                    "simplifying removed that"
                )

    for op in left:
        for index in builder_of(op).used_reads(op):
            check(op.reads[index], name_of(op))
    for signal in kept:
        check(signal, "A probe")


def _resets_to_zero(op: Operator, roles: Mapping[Signal, Role]) -> bool:
    """Whether an operator does what happens to temporary signals in any case."""
    return type(op) is Reset and op.value == 0 and roles[op.dst.base] is Role.TEMPORARY


def _doubled(operators: Sequence[Operator]) -> list[Operator]:
    seen: set[Operator] = set()
    return [op for op in operators if op in seen or seen.add(op)]  # type: ignore[func-returns-value]


def _names(operators: Sequence[Operator]) -> str:
    more = f" and {len(operators) - 10} more" if len(operators) > 10 else ""
    return ", ".join(name_of(op) for op in operators[:10]) + more


def verify_plan(
    groups: Sequence[Group],
    operators: Sequence[Operator],
    before: Sequence[set[int]],
) -> None:
    """Raise if a plan is not a legal order of the operators.

    Parameters
    ----------
    groups : sequence of Group
        The plan.
    operators : sequence of Operator
        The operators that were planned.
    before : sequence of set of int
        Result of `dependencies.dependencies`.

    Raises
    ------
    BuildError
        If an operator is missing or doubled, or runs before one that it depends on.
        The message names both.
    """
    group_of: dict[Operator, int] = {}
    for number, group in enumerate(groups):
        for op in group.ops:
            if op in group_of:
                raise BuildError(
                    f"The plan runs {name_of(op)} twice, in groups "
                    f"{group_of[op]} and {number}"
                )
            group_of[op] = number
    missing = [op for op in operators if op not in group_of]
    if missing:
        raise BuildError(
            f"The plan leaves out {', '.join(name_of(op) for op in missing[:10])}"
        )
    if len(group_of) > len(operators):
        known = set(operators)
        extra = [op for op in group_of if op not in known]
        raise BuildError(
            f"The plan runs operators that it was not given: "
            f"{', '.join(name_of(op) for op in extra[:10])}"
        )
    for op, found in zip(operators, before, strict=True):
        for other in found:
            first = operators[other]
            if group_of[first] >= group_of[op]:
                raise BuildError(
                    f"The plan runs {name_of(op)} in group {group_of[op]}, but it "
                    f"depends on {name_of(first)} in group {group_of[first]}"
                )
