"""What operator builders may know about the simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.config import Surrogate

__all__ = ["BuildConfig", "HostSteps", "NeuronTraining"]


class HostSteps(Protocol):
    """Runs operators with their own NumPy steps, on behalf of callback builders."""

    def run(
        self,
        ops: Sequence[Operator],
        given: Sequence[Signal],
        values: Sequence[np.ndarray],
    ) -> list[np.ndarray]:
        """Run one step of operators.

        Parameters
        ----------
        ops : sequence of Operator
            Operators to run, one after the other.
        given : sequence of Signal
            Signals that the operators read, or whose previous values they need.
        values : sequence of ndarray, shapes (minibatch or 1, *signal.shape)
            Values of the given signals.

        Returns
        -------
        list of ndarray, shapes (minibatch, *signal.shape)
            What the operators set, then their increments, then their updates.
        """


@dataclass(frozen=True)
class NeuronTraining:
    """How neurons and TensorNodes behave while a network is trained.

    Attributes
    ----------
    smoothing : float or None
        Width of the smoothed threshold of LIF rates; None for exact rates.
    surrogate : Surrogate or None
        Derivative of spikes; None to use rates instead of spikes.
    frozen : bool
        Whether a TensorNode behaves as in simulation, since it is not trained.
    """

    smoothing: float | None = None
    surrogate: Surrogate | None = None
    frozen: bool = False


@dataclass(frozen=True)
class BuildConfig:
    """What a builder may know about the simulation it is built for.

    Attributes
    ----------
    dt : float
        Length of one time step, in seconds.
    dtype : numpy.dtype
        Floating point type of the simulation (float32 or float64).
    minibatch_size : int
        Length of the batch axis (1 without minibatches).
    host : HostSteps or None
        Runs the NumPy steps of operators that call Python.
    training : callable or None
        For training, a function from the operators of neurons to `NeuronTraining`; None
        for simulation.
    shared_parameters : bool
        Whether scalar parameters are variables, which programs of other values can
        share, instead of literals.
    device : str or None
        TensorFlow device of these variables.
    processor : str
        Kind of processor that runs the kernels, ``"CPU"`` or ``"GPU"``.
    product_dtype : str or None
        Type in which training computes large products, such as ``"bfloat16"``; None:
        the type of the simulation.
    portable : bool
        Whether the kernels are for other runtimes than TensorFlow with XLA: these have
        fast routines for what XLA is better given in pieces.
    jit_compile : bool
        Whether XLA compiles the kernels (of a step that calls Python: what lies between
        these calls).

    Examples
    --------
    >>> config = nengo_dl.builders.BuildConfig(dt=0.001, dtype=np.dtype("float32"))
    >>> config.minibatch_size
    1
    """

    dt: float
    dtype: np.dtype
    minibatch_size: int = 1
    host: HostSteps | None = None
    training: Callable[[Operator], NeuronTraining] | None = None
    shared_parameters: bool = False
    device: str | None = None
    processor: str = "CPU"
    product_dtype: str | None = None
    portable: bool = False
    jit_compile: bool = True

    @property
    def simulates_by_xla_on_cpu(self) -> bool:
        """Whether XLA compiles the kernels for a simulation on a CPU.

        Only there do some ways of computing something pay.
        """
        return (
            self.processor == "CPU"
            and self.jit_compile
            and not self.portable
            and self.training is None
        )
