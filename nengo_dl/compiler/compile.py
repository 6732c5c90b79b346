"""All passes from a built Nengo model to a plan, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from nengo.builder import Model
from nengo.builder.operator import Operator, Reset, TimeUpdate
from nengo.builder.signal import Signal

from nengo_dl.compiler.dependencies import dependencies
from nengo_dl.compiler.inputs import split_inputs
from nengo_dl.compiler.ir import BuilderLookup
from nengo_dl.compiler.labels import label_groups
from nengo_dl.compiler.layout import lay_out
from nengo_dl.compiler.order import reference_order
from nengo_dl.compiler.parameters import find_parameters
from nengo_dl.compiler.plan import Plan
from nengo_dl.compiler.planners import plan
from nengo_dl.compiler.sampling import Sampling
from nengo_dl.compiler.simplify import simplify
from nengo_dl.compiler.tensor_nodes import state_of_nodes
from nengo_dl.compiler.trainability import find_trainable
from nengo_dl.compiler.traits import Role, find_roles
from nengo_dl.compiler.verify import verify_plan, verify_simplified, verify_split
from nengo_dl.compiler.verify_layout import verify_layout
from nengo_dl.config import NetworkSettings, Settings

__all__ = ["compile_model"]


def compile_model(
    model: Model,
    lookup: BuilderLookup,
    fixed_inputs: Sequence[Signal] = (),
    settings: NetworkSettings | None = None,
    minibatch_size: int = 1,
    large: float = math.inf,
) -> Plan:
    """Compile a built model.

    Parameters
    ----------
    model : Model
        Built by Nengo; it is not modified.
    lookup : callable
        Gives the builder of an operator.
    fixed_inputs : sequence of Signal
        Constant signals whose values can be replaced during a run (Nodes with constant
        output).
    settings : NetworkSettings, optional
        Settings of the simulation as a whole. Default: those of the model's network.
    minibatch_size : int
        Length of the batch axis.
    large : float
        Which operators are not worth being merged; see `large.keep_large_apart`.

    Returns
    -------
    Plan
        How to simulate the model.

    Raises
    ------
    BuildError
        If a pass fails, or its result cannot be right.

    Notes
    -----
    Long because it is the list of all passes, and of what they hand on.
    """
    if settings is None:
        settings = NetworkSettings.of(model.toplevel)
    watch = _Stopwatch()
    watch.start("order")
    order = _order(model)
    used = _without_resets(order, fixed_inputs)
    split = split_inputs(used, lambda op: lookup(op).runs_user_code, fixed_inputs)
    verify_split(used, split)

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
    verify_simplified(split.device, left, aliases, roles, outputs, lookup)

    watch.start("plan")
    before = dependencies(left, aliases, lookup)
    groups = plan(left, before, lookup, settings.planner, large, minibatch_size)
    verify_plan(groups, left, before)
    counts["groups"] = len(groups)

    watch.start("lay out")
    trained = {p.signal.base for p in trainable if not p.learned}
    states = [base for base in roles if base not in aliases]
    layout = lay_out(groups, roles, aliases, outputs, states, trained)
    verify_layout(layout)
    aliases.forget_resolved()

    return Plan(
        dt=model.dt,
        order=tuple(order),
        split=split,
        clock=next((op for op in order if isinstance(op, TimeUpdate)), None),
        callbacks=frozenset(op for op in split.device if lookup(op).is_callback),
        layout=layout,
        labels=tuple(label_groups(model, groups, parameters)),
        parameters=tuple(parameters),
        trainable=tuple(trainable),
        learned=frozenset(p.signal.base for p in parameters if p.learned),
        lasting=_lasting(split.device),
        output_signals=tuple(outputs),
        sampling=_sampling(model, wanted),
        settings=settings,
        counts=counts,
        seconds=watch.stop(),
    )


def _order(model: Model) -> list[Operator]:
    """Sort operators as Nengo's simulator does; random streams depend on it."""
    order = reference_order(list(model.operators))
    return [op for op in order if hasattr(op, "make_step")]


def _without_resets(
    order: Sequence[Operator], fixed_inputs: Sequence[Signal]
) -> list[Operator]:
    """Leave out what resets inputs: Nodes that pass on nothing are such."""
    left_alone = set(fixed_inputs)
    return [
        op
        for op in order
        if not (isinstance(op, Reset) and left_alone.issuperset(op.sets))
    ]


def _sampling(model: Model, settings: Settings) -> tuple[Sampling, ...]:
    """Return which steps each probe keeps."""
    return tuple(
        Sampling.every(
            probe.sample_every,
            model.dt,
            settings.value(probe, "keep_history") is False,
        )
        for probe in model.probes
    )


def _lasting(operators: Sequence[Operator]) -> frozenset[Signal]:
    """Return the state that only training changes."""
    state = state_of_nodes(operators)
    return frozenset(s for s, traits in state.items() if not traits.advances)


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
