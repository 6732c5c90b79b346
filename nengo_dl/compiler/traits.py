"""Find out what each signal is for: constant, input, state, or temporary.

The traits are kept in a table of their own; nothing is written onto Nengo's objects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.compiler.ir import BuilderLookup, bounds, elements, n_values

__all__ = ["Role", "find_roles"]


class Role(Enum):
    """The part that a signal plays in one time step."""

    #: never written: parameters and other constants
    CONSTANT = "constant"
    #: produced on the host for each step
    INPUT = "input"
    #: carried from one step to the next
    STATE = "state"
    #: computed anew in each step before it is read
    TEMPORARY = "temporary"

    # members are looked up for each signal; that of Enum hashes their names
    __hash__ = object.__hash__


def find_roles(
    operators: Sequence[Operator],
    inputs: Collection[Signal],
    outputs: Collection[Signal],
    builder_of: BuilderLookup,
) -> dict[Signal, Role]:
    """Classify all base signals that some operators touch.

    Parameters
    ----------
    operators : sequence of Operator
        Operators that run on the device.
    inputs : collection of Signal
        Base signals that the host produces.
    outputs : collection of Signal
        Signals that are read after each step.
    builder_of : callable
        Gives the builder of an operator.

    Returns
    -------
    dict of {Signal: Role}
        The role of each base signal. A signal is state when it is updated, when its
        old value is part of its new one (neuron state), or when not all of it is set
        in each step (weights that a learning rule increments).
    """
    roles: dict[Signal, Role] = {signal.base: Role.CONSTANT for signal in outputs}
    set_views: dict[Signal, list[Signal]] = {}
    for op in operators:
        sets, incs, updates = op.sets, op.incs, op.updates
        for signal in (*op.reads, *sets, *incs, *updates):
            roles.setdefault(signal.base, Role.CONSTANT)
        for signal in updates:
            roles[signal.base] = Role.STATE
        for index in builder_of(op).state_sets(op):
            roles[sets[index].base] = Role.STATE
        for signal in (*sets, *incs):
            if roles[signal.base] is not Role.STATE:
                roles[signal.base] = Role.TEMPORARY
        for signal in sets:
            set_views.setdefault(signal.base, []).append(signal)

    for base, role in roles.items():
        if role is Role.TEMPORARY and not _covered(base, set_views.get(base, ())):
            roles[base] = Role.STATE
    roles.update((base, Role.INPUT) for base in inputs if base in roles)
    return roles


def _covered(base: Signal, views: Sequence[Signal]) -> bool:
    if any(not view.is_view for view in views):
        return True
    if sum(view.size for view in views) < n_values(base):
        return False
    covered = np.zeros(n_values(base), dtype=bool)
    for view in views:
        low, high = bounds(view)
        if high - low == view.size:
            covered[low:high] = True
        else:
            covered[elements(view)] = True
    return bool(covered.all())
