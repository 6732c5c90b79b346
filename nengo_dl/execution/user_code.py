"""What functions of users return, and what is said when they fail."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.exceptions import SimulationError

from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.process_traits import traits_of

__all__ = ["assign_result", "describe", "failed", "has_user_code", "run_step"]

#: The type of most arrays; NumPy has one object for it.
_FLOAT64 = np.dtype(np.float64)


def assign_result(output: np.ndarray, returned: object) -> None:
    """Store what a user's function returned.

    Parameters
    ----------
    output : ndarray
        Where to store it.
    returned : object
        What came back: numbers that broadcast to the output's shape.

    Raises
    ------
    SimulationError
        If it is None, not numbers, of a wrong shape, or not finite.
    """
    # the usual results are checked without NumPy's overhead
    if isinstance(returned, float) and math.isfinite(returned):
        output[...] = returned
        return
    if (
        type(returned) is np.ndarray
        and returned.dtype is _FLOAT64
        and returned.ndim == 1
        and returned.shape == output.shape
        and math.isfinite(returned.dot(returned))
    ):
        output[...] = returned
        return
    if returned is None:
        raise SimulationError(f"it returned None; {_needed(output)}")
    result = returned
    try:
        # strings of digits, objects and complex numbers could be assigned, too
        if type(result) is not float:
            result = np.asarray(returned)
            if result.dtype.kind not in "biuf":
                raise TypeError(f"as an array it has the type {result.dtype}")
        output[...] = result
    except (TypeError, ValueError) as error:
        raise SimulationError(
            f"it returned {returned!r} of type {type(returned).__name__}; "
            f"{_needed(output)} ({error})"
        ) from error
    # a finite sum of squares is the cheapest proof that nothing is infinite or NaN
    if output.ndim == 1 and math.isfinite(output.dot(output)):
        return
    if not np.isfinite(output).all():
        raise SimulationError(
            f"it returned non-finite values, {returned!r}; {_needed(output)}"
        )


def _needed(output: np.ndarray) -> str:
    if output.size == 1:
        return "one finite number is needed"
    return f"{output.size} finite numbers are needed"


def run_step(step: Callable[[], None], op: Operator, time: float) -> None:
    """Run one step function; name its owner, and the time, if it fails.

    Raises
    ------
    SimulationError
        If it raises anything but an exit or interrupt; the original is chained.
    """
    try:
        step()
    except Exception as error:
        raise failed(op, time, error) from error


def failed(op: Operator | str, time: float, error: Exception) -> SimulationError:
    """Return an exception that says where a user's code failed, and why.

    The cause is named by its type, too, if it has no message but, say, a key.
    """
    reason = str(error)
    if not reason or isinstance(error, KeyError):
        reason = repr(error)
    failure = SimulationError(f"{describe(op)} failed at t={time:g}: {reason}")
    failure.__cause__ = error
    return failure


def describe(op: Operator | str) -> str:
    """Name the user's object behind an operator, or a group, for messages."""
    if isinstance(op, str):
        return op
    if isinstance(op, SimPyFunc):
        signal = op.output if op.output is not None else op.x
        name = getattr(op.fn, "__name__", type(op.fn).__name__)
        if signal is None:
            return f"The function '{name}'"
        owner = signal.name.rsplit(".", 1)[0]
        return f"The function '{name}' of {owner}"
    if isinstance(op, SimProcess):
        return f"The process {op.process} (output {op.output.name})"
    return f"The operator {op}"


def has_user_code(plan: Plan) -> bool:
    """Whether functions or classes of users run in each step."""
    return bool(plan.callbacks) or any(
        isinstance(op, SimPyFunc)
        or (isinstance(op, SimProcess) and traits_of(op.process).keeps_more)
        for op in plan.split.host
    )
