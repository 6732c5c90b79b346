"""All passes from a built Nengo model to a program, in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from nengo.builder import Model
from nengo.builder.operator import Operator, TimeUpdate
from nengo.builder.signal import Signal
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph

from nengo_dl.builders.base import BuildConfig, OpBuilder, find_builder
from nengo_dl.builders.callbacks import CallbackBuilder, runs_user_code
from nengo_dl.compiler.inputs import HostSplit, split_inputs
from nengo_dl.compiler.labels import label_groups
from nengo_dl.compiler.layout import lay_out
from nengo_dl.compiler.parameters import Parameter, find_parameters
from nengo_dl.compiler.plan import dependencies, plan
from nengo_dl.compiler.simplify import simplify
from nengo_dl.compiler.tensor_nodes import SimTensorNode
from nengo_dl.compiler.trainability import find_trainable
from nengo_dl.compiler.traits import Role, find_roles
from nengo_dl.compiler.verify import verify_plan
from nengo_dl.config import NetworkSettings, Settings
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.sources import InputFeeds
from nengo_dl.program.step import StepProgram
from nengo_dl.support.user_warnings import warn_user

__all__ = ["Program", "compile_model", "make_builder_lookup"]

#: Results of how many values (of all items) take longer to compute than merging them
#: with others could save. (On GPUs: a guess, from how much longer a launch takes.)
_LARGE_ON_CPUS, _LARGE_ON_GPUS = 2**14, 2**20


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled model.

    Attributes
    ----------
    order : list of Operator
        The model's operators in the order of Nengo's reference simulator.
    split : HostSplit
        What runs where.
    host_order : list of Operator
        The device's operators in the order of the reference, for running them with
        their NumPy steps.
    step : StepProgram
        The device's part.
    host : HostOperators
        NumPy steps.
    feeds : InputFeeds
        Values of inputs.
    output_signals : list of Signal
        The signals that the outputs of a step show.
    counts : dict of {str: int}
        Number of operators after each pass.
    trainable : list of Parameter
        What training changes (of those that a learning rule changes: the initial
        value).
    lasting : frozenset of Signal
        State that training changes, and simulations do not (moving averages).
    settings : NetworkSettings
        Settings of the simulation as a whole.
    learned : set of Signal
        Base signals of parameters that learning rules change.
    only_last : list of bool
        For each output, whether only its value in the last step is wanted.
    seconds : dict of {str: float}
        How long each stage of the compilation took.
    """

    order: list[Operator]
    split: HostSplit
    host_order: list[Operator]
    step: StepProgram
    host: HostOperators
    feeds: InputFeeds
    output_signals: list[Signal]
    counts: dict[str, int]
    trainable: list[Parameter]
    lasting: frozenset[Signal]
    settings: NetworkSettings
    learned: set[Signal]
    only_last: list[bool]
    seconds: dict[str, float]


def make_builder_lookup(
    dtype: Any = np.float32, minibatch_size: int = 1, uses_xla: bool = True
) -> Callable[[Operator], type[OpBuilder]]:
    """Return a function that finds builders, and warns once for each missing one.

    Parameters
    ----------
    dtype : numpy.dtype
        Floating point type of the simulation.
    minibatch_size : int
        Length of the batch axis.
    uses_xla : bool
        Whether what XLA cannot compile needs another builder.

    Returns
    -------
    callable
        From an operator to its builder.
    """
    dtype = np.dtype(dtype)
    known: dict[object, type[OpBuilder]] = {}
    special: dict[Operator, type[OpBuilder]] = {}

    def lookup(op: Operator) -> type[OpBuilder]:
        builder = special.get(op)
        if builder is None:
            builder = find(op)
            if uses_xla:
                builder = builder.for_xla(op, dtype, minibatch_size)
            special[op] = builder
        return builder

    def find(op: Operator) -> type[OpBuilder]:
        subject = getattr(op, "neurons", None) or getattr(op, "process", None)
        key = (type(op), type(subject))
        builder = known.get(key)
        if builder is None:
            builder = find_builder(op)
            if builder is None:
                name = type(subject if subject is not None else op).__name__
                warn_user(
                    f"{name} has no TensorFlow version: it runs in Python in each "
                    "time step, which is slow and has no gradient. To give it one, "
                    "register a builder with nengo_dl.builders.register "
                    f"({type(op).__name__} operators)."
                )
                builder = CallbackBuilder
            known[key] = builder
        return builder

    return lookup


def compile_model(
    model: Model,
    dtype: np.dtype,
    minibatch_size: int,
    fixed_inputs: list[Signal],
    settings: NetworkSettings | None = None,
) -> Program:
    """Compile a built model.

    Parameters
    ----------
    model : Model
        Built by Nengo; it is not modified.
    dtype : numpy.dtype
        Floating point type of the simulation.
    minibatch_size : int
        Length of the batch axis.
    fixed_inputs : list of Signal
        Constant signals whose values can be replaced during a run (Nodes with constant
        output).
    settings : NetworkSettings, optional
        Settings of the simulation as a whole. Default: those of the model's network.

    Returns
    -------
    Program
        Ready to run.
    """
    if settings is None:
        settings = NetworkSettings.of(model.toplevel)
    watch = _Stopwatch()
    watch.start("order")
    operators = list(model.operators)
    order = [
        op
        for op in toposort(operator_dependency_graph(operators))
        if hasattr(op, "make_step")
    ]
    lookup = make_builder_lookup(
        dtype, minibatch_size, settings.jit_compile is not False
    )
    split = split_inputs(order, lambda op: runs_user_code(op, lookup(op)))

    watch.start("simplify")
    outputs = [model.sig[probe]["in"] for probe in model.probes]
    inputs = [*split.inputs, *fixed_inputs]
    roles = find_roles(split.device, inputs, outputs, lookup)
    parameters = find_parameters(
        model, lambda base: roles.get(base, Role.CONSTANT) is not Role.CONSTANT
    )
    wanted = Settings(model.toplevel)
    trainable = [] if settings.inference_only else find_trainable(parameters, wanted)
    left, aliases, counts = simplify(
        split.device, roles, outputs, lookup, settings.simplifications
    )

    watch.start("plan")
    before = dependencies(left, aliases, lookup)
    gpu = bool(tf.config.list_physical_devices("GPU"))
    large = _LARGE_ON_GPUS if gpu else _LARGE_ON_CPUS
    groups = plan(left, before, lookup, settings.planner, large, minibatch_size)
    verify_plan(groups, left, before)
    counts["groups"] = len(groups)
    watch.start("lay out")
    states = [base for base in roles if base not in aliases]
    layout = lay_out(
        groups,
        roles,
        aliases,
        outputs,
        states,
        {p.signal.base for p in trainable if not p.learned},
    )

    replaced: dict[Operator, list[Operator]] = {}
    for new, original in split.origin.items():
        replaced.setdefault(original, []).append(new)
    on_host = [
        *split.host,
        *(op for op in split.device if lookup(op).is_callback),
    ]
    clock = next((op for op in order if isinstance(op, TimeUpdate)), None)
    host = HostOperators(order, replaced, on_host, clock, model.dt, minibatch_size)
    config = BuildConfig(model.dt, dtype, minibatch_size, host)
    watch.start("kernels")
    step = StepProgram(layout, config, label_groups(model, groups, parameters))
    return Program(
        order,
        split,
        list(split.device),
        step,
        host,
        InputFeeds(split.host, host),
        outputs,
        counts,
        trainable,
        frozenset(
            signal
            for op in split.device
            if isinstance(op, SimTensorNode)
            for signal in op.updates
        ),
        settings,
        {parameter.signal.base for parameter in parameters if parameter.learned},
        [wanted.value(probe, "keep_history") is False for probe in model.probes],
        watch.stop(),
    )


class _Stopwatch:
    """Measures stages that follow each other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage: tuple[str, float] | None = None

    def start(self, name: str) -> None:
        """End the current stage, and begin another one."""
        self.stop()
        self._stage = (name, time.perf_counter())

    def stop(self) -> dict[str, float]:
        """End the current stage; return the seconds of all."""
        if self._stage is not None:
            name, began = self._stage
            self.seconds[name] = time.perf_counter() - began
            self._stage = None
        return self.seconds
