"""What all passes of the compiler make of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nengo.builder.operator import Operator, TimeUpdate
from nengo.builder.signal import Signal

from nengo_dl.compiler.inputs import HostSplit
from nengo_dl.compiler.layout import Layout
from nengo_dl.compiler.parameters import Parameter
from nengo_dl.compiler.sampling import Sampling
from nengo_dl.config import NetworkSettings

__all__ = ["Plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """How a model is simulated; made by `compile.compile_model`, and never changed.

    A plan holds nothing that runs: no tensors, no current values, no random streams.

    Attributes
    ----------
    dt : float
        Length of a time step, in seconds.
    order : tuple of Operator
        The model's operators in the order of Nengo's reference simulator.
    split : HostSplit
        What runs where. The device's operators are in the order of the reference, for
        running them with their NumPy steps.
    clock : TimeUpdate or None
        The operator with the step and time signals.
    callbacks : frozenset of Operator
        Operators of the device that call Python in each step.
    layout : Layout
        Groups of operators in the order in which they run, and where signals are.
    labels : tuple of str
        Names of the groups, for whatever shows them.
    parameters : tuple of Parameter
        All parameters of the model's objects.
    trainable : tuple of Parameter
        What training changes (of those that a learning rule changes: the initial
        value).
    learned : frozenset of Signal
        Base signals of parameters that learning rules change.
    lasting : frozenset of Signal
        State that training changes, and simulations do not (moving averages).
    output_signals : tuple of Signal
        The signals that the outputs of a step show: those of the probes.
    sampling : tuple of Sampling
        For each output, which steps are kept.
    settings : NetworkSettings
        Settings of the simulation as a whole.
    counts : mapping of {str: int}
        Number of operators after each pass.
    seconds : mapping of {str: float}
        How long each pass took.
    """

    dt: float
    order: tuple[Operator, ...]
    split: HostSplit
    clock: TimeUpdate | None
    callbacks: frozenset[Operator]
    layout: Layout
    labels: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    trainable: tuple[Parameter, ...]
    learned: frozenset[Signal]
    lasting: frozenset[Signal]
    output_signals: tuple[Signal, ...]
    sampling: tuple[Sampling, ...]
    settings: NetworkSettings
    counts: Mapping[str, int]
    seconds: Mapping[str, float]
