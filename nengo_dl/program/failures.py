"""What TensorFlow says when a compiled function fails, without its call stacks."""

from __future__ import annotations

import re

from nengo_dl.program.compile_cache import advice_on_damage
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.surroundings import advice_on_numerics

__all__ = ["describe_failure"]

#: Lines that say where in Python an operation was made.
_STACK = re.compile(
    r'\s*File ".*", line \d+, in .*|Stack trace for op definition.*|\s*'
    r"|Graph execution error:|Detected at node .*|\d+ root error\(s\) found\."
)

#: Parts of a line that name functions of TensorFlow.
_MARKS = re.compile(r"\[\[(\{\{.*?\}\})+\]\]|\{\{function_node .*?\}\}|\[Op:.*?\]")

_NODE = re.compile(r"Detected at node (\S+)|\{\{node (\S+?)\}\}")


def describe_failure(error: tf.errors.OpError) -> str:
    """Return what went wrong, the node of the graph, and what may help.

    Parameters
    ----------
    error : tf.errors.OpError
        Raised by a call of a compiled function.
    """
    message = error.message or str(error)
    found = _NODE.search(message)
    lines = [
        _MARKS.sub("", line).strip()
        for line in message.splitlines()
        if not _STACK.fullmatch(line)
    ]
    reason = " ".join(line for line in lines if line) or type(error).__name__
    where = "" if found is None else f" (at {found[1] or found[2]})"
    advice = advice_on_numerics(message) or advice_on_damage()
    return f"TensorFlow failed: {reason}{where}{advice}"
