"""Whether XLA can compile TensorFlow code of users, and gives the same results."""

from __future__ import annotations

import numpy as np

from nengo_dl.builders.tensor_code.functions import TensorFunction
from nengo_dl.builders.tensor_code.weights import first_line
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.user_warnings import warn_user

__all__ = ["xla_problem"]


def xla_problem(function: TensorFunction, dtype: np.dtype, batch: int) -> str | None:
    """Return why XLA cannot compile a call, None if it can; warn the first time.

    Code is only translated here, which takes a small part of the time of compiling.

    Parameters
    ----------
    function : TensorFunction
        The code.
    dtype : numpy.dtype
        Precision of the simulation.
    batch : int
        Number of items.
    """
    key = np.dtype(dtype), batch
    if key not in function.problems:
        problem: str | None
        if function.checks:
            problem = _warn_of_checks(function)
        elif function.draws_inside:
            problem = _warn_of_draws(function)
        else:
            problem = _try(function, *key)
        function.problems[key] = problem
    return function.problems[key]


def _warn_of_checks(function: TensorFunction) -> str:
    problem = "XLA leaves out tf.debugging.Assert and the like"
    warn_user(
        f"The code of {function.label} checks values with tf.debugging. {problem}, so "
        "it runs as TensorFlow operations, and so does the loop over time steps, which "
        "is slower. Without the checks, it can be compiled."
    )
    return problem


def _warn_of_draws(function: TensorFunction) -> str:
    warn_user(
        f"The code of {function.label} draws random numbers within a tf.function or a "
        "loop of TensorFlow. They depend on tf.random.set_seed, not on the seed of the "
        "simulator, and a reset does not repeat them. Draw them outside of it, or use "
        "tf.random.stateless_normal and the like."
    )
    return "no seed reaches random numbers that inner functions draw"


def _try(function: TensorFunction, dtype: np.dtype, batch: int) -> str | None:
    """Let XLA translate a call."""
    function.prepare(dtype, batch)
    t, x, weights = function.arguments(dtype, batch)
    specs = [spec for spec in (t, x) if spec is not None] + weights

    def call(*given):
        given = list(given)
        time = given.pop(0) if t is not None else None
        data = given.pop(0) if x is not None else None
        return function(dtype, time, data, given)

    compiled = tf.function(call, jit_compile=True, autograph=False)
    compiled.get_concrete_function(*specs)  # raises what is wrong with the code
    try:
        compiled.experimental_get_compiler_ir(*specs)(stage="hlo")
    except (ValueError, tf.errors.OpError) as error:
        problem = first_line(error)
        warn_user(
            f"The code of {function.label} cannot be compiled by XLA, so it runs as "
            "TensorFlow operations, and so does the loop over time steps, which is "
            f"slower. XLA says: {problem}"
        )
        return problem
    return None
