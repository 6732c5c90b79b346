"""The programs of a step that training runs, and how many steps of them run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.builders.build_config import NeuronTraining
from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.config import Settings
from nengo_dl.execution.numpy_steps import HostOperators
from nengo_dl.execution.session import Session
from nengo_dl.program.rollout import run_schedule, run_segments
from nengo_dl.program.schedule import Schedule
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.processor import multiplies_bfloat16
from nengo_dl.support.user_warnings import warn_user

__all__ = ["TrainingPrograms", "neuron_training"]


class TrainingPrograms:
    """Makes and keeps the programs of a step that training needs.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    host : HostOperators
        NumPy steps during training.
    probes : sequence of Probe
        In the order of the outputs of a step.
    only_last : collection of Probe
        Probes whose last step alone is seen by objectives.
    """

    def __init__(
        self,
        session: Session,
        model: Model,
        host: HostOperators,
        probes: Sequence[nengo.Probe],
        only_last: Collection[nengo.Probe],
    ):
        self.session = session
        self.model = model
        self.host = host
        self.probes = probes
        self.only_last = only_last
        self._programs: dict[Any, StepProgram] = {}
        self._warned = False

    def step(
        self,
        training: bool,
        layers_train: bool = True,
        dtype: np.dtype | None = None,
    ) -> StepProgram:
        """Return the program of a step.

        Parameters
        ----------
        training : bool
            Whether it is the one of training, or the one that is simulated.
        layers_train : bool
            See `Computation`.
        dtype : numpy.dtype, optional
            Precision. Default: that of the simulation.
        """
        key = (training, layers_train, dtype)
        if key not in self._programs:
            step = self.session.step
            how = neuron_training(self.model, layers_train) if training else None
            config = dataclasses.replace(
                step.config,
                host=self.host,
                training=how,
                dtype=step.config.dtype if dtype is None else dtype,
                product_dtype=self.session.plan.settings.product_dtype
                if training and dtype is None
                else None,
            )
            self._programs[key] = StepProgram(step.layout, config, step.labels)
        return self._programs[key]

    @functools.cached_property
    def rates_replace_spikes(self) -> bool:
        """Whether training uses the rates of neurons that spike in simulations."""
        how = neuron_training(self.model)
        return any(
            isinstance(op, SimNeurons)
            and op.neurons.spiking
            and how(op).surrogate is None
            for op in self.session.plan.split.device
        )

    def compiles(self, schedule: Schedule) -> bool:
        """Return whether XLA compiles functions that run some schedule."""
        return self.session.placement.compiles(
            schedule.program.has_callbacks, schedule.avoids_xla
        )

    def compiles_loops(self, schedule: Schedule) -> bool:
        """Return whether XLA compiles loops by themselves, not what is around them."""
        placement = self.session.placement
        return (
            not self.compiles(schedule)
            and placement.uses_xla
            and not schedule.program.has_callbacks
        )

    def warn_of_slow_products(self, schedule: Schedule) -> None:
        """Say once if products of lower precision are computed in single precision."""
        placement = self.session.placement
        is_mixed = any(kernel.is_mixed for kernel in schedule.program.kernels)
        if not (is_mixed and placement.on_cpu and not self._warned):
            return
        if not multiplies_bfloat16():
            reason = "this processor has no instructions for them"
        elif self.compiles(schedule) or not schedule.multiplies_apart:
            reason = (
                "XLA computes them in single precision, since they are on a feedback "
                "path, or jit_compile=True or recompute was given"
            )
        else:
            return
        self._warned = True
        warn_user(
            f"Products in bfloat16 make training no faster here: {reason}. "
            "dtype='float32' is as fast, and more precise"
        )

    def simulate(
        self,
        schedule: Schedule,
        constants: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        pieces: Sequence[Sequence[tf.Tensor]],
        n_steps: int,
        outputs: Sequence[int],
        differentiable: bool,
        segment: int | None = None,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the state after some steps, and outputs (minibatch, n_steps, size).

        Of probes that keep no history, outputs are those of the last step.
        """
        frames = [_frame(parts) for parts in pieces]
        loop_kernels = [schedule.program.kernels[n] for n in schedule.loop_groups]
        recompute = differentiable and not any(
            kernel.is_callback or not kernel.is_repeatable for kernel in loop_kernels
        )
        if segment is not None and recompute and segment < n_steps:
            state, values = run_segments(
                schedule, constants, state, frames, n_steps, outputs, segment
            )
        else:
            state, values = run_schedule(
                *(schedule, constants, state, frames, n_steps, outputs, recompute),
                loops_apart=self.compiles_loops(schedule),
            )
        values = [
            value[-1:] if self.probes[number] in self.only_last else value
            for number, value in zip(outputs, values, strict=True)
        ]
        return state, [tf.transpose(value, (1, 0, 2)) for value in values]

    def constants(self, uniform: Mapping[int, float]) -> list[tf.Tensor]:
        """Return the values of constants; those that are uniform as literals.

        TensorFlow then leaves out products with ones, and sums with zeros.
        """
        return [
            tf.fill(variable.shape, tf.constant(uniform[number], variable.dtype))
            if number in uniform
            else tf.convert_to_tensor(variable)
            for number, variable in enumerate(self.session.store.variables.constants)
        ]


def _frame(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Join the values of signals along their last axis."""
    if len(parts) == 1:
        return parts[0]
    n_steps = max(int(part.shape[0]) for part in parts)
    items = max(int(part.shape[1]) for part in parts)
    return tf.concat(
        [tf.broadcast_to(p, (n_steps, items, p.shape[2])) for p in parts], axis=2
    )


def neuron_training(
    model: Model, layers_train: bool = True
) -> Callable[[Operator], NeuronTraining]:
    """Return a function that tells how the object of an operator is trained.

    Parameters
    ----------
    model : Model
        What Nengo built.
    layers_train : bool
        False keeps TensorNodes as they are in simulations.

    Returns
    -------
    callable
        From the operators of neurons and TensorNodes to `NeuronTraining`.
    """
    known: dict[Signal, NeuronTraining] = {}
    if model.toplevel is not None:
        settings = Settings(model.toplevel)
        for ens in model.toplevel.all_ensembles:
            how = NeuronTraining(
                settings.value(ens, "lif_smoothing"), settings.value(ens, "surrogate")
            )
            for name in ("out", "rate_out"):
                signal = model.sig[ens.neurons].get(name)
                if signal is not None:
                    known[signal] = how
        for node in model.toplevel.all_nodes:
            if isinstance(model.params.get(node), BuiltTensorNode):
                frozen = settings.value(node, "trainable") is False or not layers_train
                known[model.sig[node]["out"]] = NeuronTraining(frozen=frozen)
    default = NeuronTraining()
    return lambda op: known.get(op.sets[0], default)
