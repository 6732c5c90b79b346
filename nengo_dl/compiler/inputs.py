"""Find out what can be computed on the host, ahead of the simulation.

Whatever depends on time and random streams only (Nodes without input, noise, the draws
of stochastic neurons) is computed with Nengo's own code, in chunks, and fed to the
device. Its numbers are then exactly those of Nengo's reference simulator. So are
functions on connections whose argument is such a value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Copy, Operator, SimPyFunc, TimeUpdate
from nengo.builder.probe import SimProbe
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.neurons import StochasticSpiking

from nengo_dl.compiler.operators import RandomSample, StochasticRounding

__all__ = ["Argument", "HostSplit", "split_inputs"]


@dataclass(frozen=True)
class Argument:
    """What a function of an input gets.

    Attributes
    ----------
    root : Signal
        Base signal: what an operator of the host sets, or a constant that can be fed.
    copy : Operator or None
        Copies a slice of it to the argument. It runs on the device, too, for whatever
        else reads its result.
    """

    root: Signal
    copy: Operator | None = None


@dataclass(frozen=True)
class HostSplit:
    """Operators, divided by where they run.

    Attributes
    ----------
    device : list of Operator
        Run on the device in each step.
    host : list of Operator
        Run on the host ahead of the device; each sets one signal (`TimeUpdate`: two).
    inputs : list of Signal
        The signals that the host operators set.
    origin : dict of {Operator: Operator}
        Original operator of each one that was rewritten (it determines the random
        stream).
    arguments : dict of {Operator: Argument}
        Of those host operators that call functions of inputs.
    """

    device: list[Operator] = field(default_factory=list)
    host: list[Operator] = field(default_factory=list)
    inputs: list[Signal] = field(default_factory=list)
    origin: dict[Operator, Operator] = field(default_factory=dict)
    arguments: dict[Operator, Argument] = field(default_factory=dict)


def split_inputs(
    operators: Sequence[Operator],
    is_callback: Callable[[Operator], bool],
    fixed_inputs: Collection[Signal] = (),
) -> HostSplit:
    """Divide operators into those of the host and those of the device.

    Functions of time and of inputs run ahead only when nothing else calls Python during
    a step: otherwise they might depend on what other functions did in the steps before,
    and they stay in step with them.

    Parameters
    ----------
    operators : sequence of Operator
        All operators of a model, in the order in which they run.
    is_callback : callable
        Whether an operator's step calls Python code whose effects are not known.
    fixed_inputs : collection of Signal
        Constants that can be fed.

    Returns
    -------
    HostSplit
        The two lists.
    """
    split = HostSplit()
    arguments = _find_arguments(operators, fixed_inputs)
    in_step = any(
        is_callback(op)
        for op in operators
        if not (
            isinstance(op, (TimeUpdate, SimProbe))
            or _depends_on_time_only(op)
            or _rounds_at_random(op)
            or op in arguments
        )
    )
    for op in operators:
        if isinstance(op, SimProbe):
            # it only marks a signal; the runtime knows what is probed
            continue
        if isinstance(op, TimeUpdate):
            split.host.append(op)
            split.inputs.extend([op.step, op.time])
        elif _depends_on_time_only(op) and not (in_step and isinstance(op, SimPyFunc)):
            _move_to_host(op, split)
        elif op in arguments and not in_step:
            split.host.append(op)
            split.inputs.append(op.output)
            split.arguments[op] = arguments[op]
        elif _rounds_at_random(op):
            _draw_on_host(op, split)
        else:
            split.device.append(op)
    return split


def _depends_on_time_only(op: Operator) -> bool:
    if type(op) is SimPyFunc:
        return op.x is None
    if type(op) is SimProcess:
        return op.input is None and op.mode in ("set", "inc")
    return False


def _rounds_at_random(op: Operator) -> bool:
    return type(op) is SimNeurons and type(op.neurons) is StochasticSpiking


def _find_arguments(
    operators: Sequence[Operator], fixed_inputs: Collection[Signal]
) -> dict[Operator, Argument]:
    """Find functions on connections from Nodes without input, and what they get.

    Between a Node and the function is at most a slice: Nengo knows no functions of
    Nodes that pass on what they get.
    """
    functions = [op for op in operators if _is_function_of_signal(op)]
    if not functions:
        return {}
    writers: dict[Signal, list[Operator]] = {}
    for op in operators:
        for signal in (*op.sets, *op.incs, *op.updates):
            writers.setdefault(signal.base, []).append(op)
    fixed = {signal.base for signal in fixed_inputs}

    def is_input(base: Signal) -> bool:
        written = writers.get(base)
        if written is None:
            return base in fixed
        return (
            len(written) == 1
            and _depends_on_time_only(written[0])
            and base in written[0].sets
        )

    found: dict[Operator, Argument] = {}
    for op in functions:
        base = op.x.base
        copies = writers.get(base, ())
        if is_input(base):
            found[op] = Argument(base)
        elif len(copies) == 1 and type(copies[0]) is Copy:
            (copy,) = copies
            if is_input(copy.src.base) and base in copy.sets:
                found[op] = Argument(copy.src.base, copy)
    return found


def _is_function_of_signal(op: Operator) -> bool:
    return (
        type(op) is SimPyFunc
        and op.t is None
        and op.x is not None
        and op.output is not None
        and not op.output.is_view
    )


def _move_to_host(op: Operator, split: HostSplit) -> None:
    output = op.output
    if output is None:
        split.host.append(op)
    elif not op.incs and not output.is_view:
        split.host.append(op)
        split.inputs.append(output)
    else:
        # noise that is added to a signal, or a process that fills part of one
        signal = Signal(
            np.zeros(output.shape, dtype=output.dtype), name=f"{output.name}.input"
        )
        moved: Operator
        if isinstance(op, SimProcess):
            moved = SimProcess(
                op.process, None, signal, op.t, "set", state=op.state, tag=op.tag
            )
        else:
            moved = SimPyFunc(signal, op.fn, op.t, None, tag=op.tag)
        split.host.append(moved)
        split.inputs.append(signal)
        split.origin[moved] = op
        copy = Copy(signal, output, inc=bool(op.incs), tag=op.tag)
        split.origin[copy] = op
        split.device.append(copy)


def _draw_on_host(op: SimNeurons, split: HostSplit) -> None:
    draws = Signal(np.zeros(op.J.shape), name=f"{op.J.name}.draws")
    sample = RandomSample(op.state_extra["rng"], draws)
    rounding = StochasticRounding(op.neurons, op.J, draws, op.output)
    split.host.append(sample)
    split.inputs.append(draws)
    split.device.append(rounding)
    split.origin.update({sample: op, rounding: op})
