"""Find out which parameters can influence a loss, and through what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.builders.registry import find_builder
from nengo_dl.support.user_warnings import warn_user

__all__ = ["check_paths", "has_gradient", "list_names", "with_gradient"]


def check_paths(
    operators: Sequence[Operator],
    outputs: Collection[Signal],
    parameters: Mapping[Signal, str],
) -> set[Signal]:
    """Warn of parameters without a gradient; raise if none has one.

    Parameters
    ----------
    operators : sequence of Operator
        Operators of one step.
    outputs : collection of Signal
        Base signals on which the loss depends.
    parameters : mapping of {Signal: str}
        Trainable base signals and their names.

    Returns
    -------
    set of Signal
        Those of the parameters that have a gradient.

    Raises
    ------
    ValidationError
        If there is nothing to train.
    """
    if not parameters:
        raise ValidationError(
            "The network has no trainable parameters. By default these are encoders "
            "and biases of ensembles (except in Direct mode), the weights of "
            "TensorNodes, and those of connections, which a connection between Nodes "
            "or Neurons has only if a transform is given, such as transform=1. "
            "Settings (configure_settings) and learning rules exclude some",
            attr="trainable",
        )
    reached = _upstream(operators, outputs, lambda op: True)
    smooth = with_gradient(operators, outputs)
    if not smooth & set(parameters):
        raise ValidationError(
            "No trainable parameter has a gradient: between all of them and the probes "
            "of the objective lie functions in Python, or no connections at all. The "
            f"trainable parameters are {list_names(parameters.values())}",
            attr="trainable",
        )
    blocked = [
        name for signal, name in parameters.items() if signal in reached - smooth
    ]
    if blocked:
        warn_user(
            f"{list_names(blocked)} will not be trained: all paths to the probes of "
            "the objective lead through functions in Python, which have no gradient",
        )
    return smooth & set(parameters)


def with_gradient(
    operators: Sequence[Operator], outputs: Collection[Signal]
) -> set[Signal]:
    """Return the base signals to which gradients of outputs flow."""
    return _upstream(operators, outputs, has_gradient)


def has_gradient(op: Operator) -> bool:
    """Return whether an operator can be differentiated."""
    builder = find_builder(op)
    return builder is not None and builder.has_gradient


def _upstream(
    operators: Sequence[Operator],
    outputs: Collection[Signal],
    passes: Callable[[Operator], bool],
) -> set[Signal]:
    """Return the base signals that outputs depend on, through some operators."""
    writers: dict[Signal, list[Operator]] = {}
    for op in operators:
        if passes(op):
            for signal in (*op.sets, *op.incs, *op.updates):
                writers.setdefault(signal.base, []).append(op)
    found = set(outputs)
    stack = list(found)
    while stack:
        for op in writers.pop(stack.pop(), ()):
            for signal in op.reads:
                if signal.base not in found:
                    found.add(signal.base)
                    stack.append(signal.base)
    return found


def list_names(names: Collection[str], most: int = 10) -> str:
    """Return names for a message: the first ones, and how many more there are."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
