"""Makes a session, of parts that fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.tensor_nodes import SimTensorNode
from nengo_dl.execution.compiled_executor import CompiledExecutor
from nengo_dl.execution.executor import Executor, ExecutorChoice
from nengo_dl.execution.numpy_executor import NumpyExecutor
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.execution.sources import Sources
from nengo_dl.execution.state import StateStore
from nengo_dl.program.placement import Placement
from nengo_dl.program.segments import count_callbacks
from nengo_dl.program.step import StepProgram
from nengo_dl.support import tuning

__all__ = ["open_session"]


def open_session(
    plan: Plan,
    placement: Placement,
    dtype: np.dtype,
    unroll: int = 1,
    fixed_inputs: Mapping[Signal, np.ndarray] = MappingProxyType({}),
    executor: str | None = None,
    most_steps: int = tuning.MOST_STEPS,
    shows_state: bool = False,
) -> Session:
    """Make a session, of parts that fit each other.

    Parameters
    ----------
    plan : Plan
        What to run.
    placement : Placement
        Where to run it.
    dtype : numpy.dtype
        Floating point type of the simulation.
    unroll : int
        Steps in the body of the compiled loop.
    fixed_inputs : mapping of {Signal: ndarray}
        Values of constant signals that a run can replace.
    executor : "compiled" or "numpy" or None
        What runs all steps. None: what is faster, if the placement leaves the choice.
    most_steps : int
        Most steps of one chunk.
    shows_state : bool
        See `Session`.

    Returns
    -------
    Session
        At its start, after a call of `Session.reset`.
    """
    minibatch = placement.minibatch_size
    host = HostOperators(plan, minibatch)
    sources = Sources(plan.split, host)
    config = BuildConfig(
        plan.dt,
        dtype,
        minibatch,
        host,
        processor=placement.processor,
        shared_parameters=plan.settings.shared_parameters,
        device=placement.device,
        jit_compile=placement.uses_xla,
    )
    step = StepProgram(plan.layout, config, plan.labels)
    store = StateStore(plan, step, placement, fixed_inputs)
    host.follow(store)
    numpy = NumpyExecutor(plan, step, host, store, most_steps)
    compiled = CompiledExecutor(
        step,
        host,
        sources.restless,
        store,
        plan.sampling,
        placement,
        unroll,
        most_steps,
        numpy.estimated_seconds,
    )
    executors: dict[str | None, Executor | None]
    executors = {"compiled": compiled, "numpy": numpy, None: None}
    choice = ExecutorChoice(
        compiled,
        numpy,
        placement.chooses,
        _compile_seconds(plan) if minibatch == 1 else 0.0,
        count_callbacks(step.layout.groups) if step.has_callbacks else (),
        executors[executor],
    )
    return Session(plan, placement, step, host, sources, store, choice, shows_state)


def _compile_seconds(plan: Plan) -> float:
    """Return the estimated time to compile the loop over the steps of a plan.

    0 if it has to be compiled in any case: NumPy steps of TensorFlow code are slow.
    """
    if any(isinstance(op, SimTensorNode) for op in plan.split.device):
        return 0.0
    n_groups = len(plan.layout.groups)
    return tuning.COMPILE_SECONDS + tuning.GROUP_COMPILE_SECONDS * n_groups
