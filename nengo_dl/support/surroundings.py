"""What TensorFlow code around a call must not be."""

from __future__ import annotations

from nengo.exceptions import SimulationError

from nengo_dl.support.lazy_imports import is_imported, tf

__all__ = ["advice_on_numerics", "check_surroundings"]


def check_surroundings(action: str) -> None:
    """Raise if TensorFlow would record operations, or distribute variables.

    Parameters
    ----------
    action : str
        What is about to be done, for the error message.

    Raises
    ------
    SimulationError
        Inside of a graph, a ``tf.function``, or the scope of a strategy.
    """
    if not is_imported():
        return
    if not tf.executing_eagerly():
        raise SimulationError(
            f"Cannot {action} while TensorFlow makes a graph: simulators make their "
            "own. Leave the tf.Graph, or the tf.function, around this line (and "
            "tf.compat.v1.disable_eager_execution, if the script calls it)"
        )
    if tf.distribute.has_strategy():
        raise SimulationError(
            f"Cannot {action} in the scope of a tf.distribute strategy, which makes "
            "other variables. Leave the scope around this line; device='/gpu:0' says "
            "where a simulator runs"
        )


def advice_on_numerics(message: str) -> str:
    """Return what to add to a failure that debugging of TensorFlow causes.

    Parameters
    ----------
    message : str
        What TensorFlow said.
    """
    if "DebugNumericSummary" not in message and "CheckNumerics" not in message:
        return ""
    return (
        ". tf.debugging.enable_check_numerics() is on, which XLA cannot compile: make "
        "the Simulator with jit_compile=False, or call "
        "tf.debugging.disable_check_numerics() first"
    )
