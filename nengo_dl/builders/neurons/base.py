"""TensorFlow versions of Nengo's neuron types (`nengo.neurons`).

What all have in common, and those without state. The equations are in
`neuron_equations`; the builders collect the parameters of the merged populations and
hand them over.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import Any, ClassVar

import nengo.neurons
import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.exceptions import BuildError

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig, NeuronTraining
from nengo_dl.builders.neurons.equations import Parameter, leaky_drive
from nengo_dl.builders.registry import register
from nengo_dl.neurons import LeakyReLU
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "LeakyReLUBuilder",
    "NeuronBuilder",
    "RatesOfSpikes",
    "RectifiedLinearBuilder",
    "SigmoidBuilder",
    "TanhBuilder",
    "TrainedBuilder",
]


class TrainedBuilder(OpBuilder):
    """Chooses how neurons behave in training, by the settings of their ensemble."""

    @classmethod
    def build(cls, ops: Sequence[Any], config: BuildConfig) -> OpBuilder:
        """Return a builder; in training, one that has a useful derivative."""
        if config.training is None:
            return cls(ops, config)
        parts = [
            cls.build_training(tuple(run), config, how)
            for how, run in groupby(ops, config.training)
        ]
        if len(parts) == 1:
            return parts[0]
        return _JoinedBuilder(ops, config, parts, cls.state_sets(ops[0]))

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder for neurons that are trained in one way.

        Rate types are differentiable as they are.
        """
        return cls(ops, config)


class _JoinedBuilder(OpBuilder):
    """Neurons of one type that are trained in different ways, side by side."""

    def __init__(
        self,
        ops: Sequence[Any],
        config: BuildConfig,
        parts: Sequence[OpBuilder],
        state: Sequence[int],
    ):
        super().__init__(ops, config)
        self.parts = parts
        self.state = state
        self.sizes = [sum(op.output.size for op in part.ops) for part in parts]
        self.ignores_state = all(part.ignores_state for part in parts)
        self.shared_variables = tuple(v for p in parts for v in p.shared_variables)

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute one time step, each part with its own builder."""
        operands = [tf.split(operand, self.sizes, axis=1) for operand in reads]
        states = [tf.split(operand, self.sizes, axis=1) for operand in previous]
        columns = []
        for number, part in enumerate(self.parts):
            state = [pieces[number] for pieces in states]
            sets = list(part.step([o[number] for o in operands], state).sets)
            for index, old in zip(self.state, state):
                if sets[index] is None:
                    sets[index] = old
            columns.append(sets)
        return Writes(sets=tuple(self._join(column) for column in zip(*columns)))

    @staticmethod
    def _join(values: Sequence[tf.Tensor | None]) -> tf.Tensor | None:
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        batch = max(value.shape[0] for value in known)
        return tf.concat(
            [tf.broadcast_to(value, (batch, value.shape[1])) for value in known],
            axis=1,
        )


class NeuronBuilder(TrainedBuilder):
    """What the builders of all neuron types share.

    A subclass names the state, in the order in which its `neuron_step` takes and
    returns it. Populations of any sizes and parameters merge.
    """

    #: Names of the state variables, as in the ``state`` of the neuron type.
    state_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.sizes = [op.output.size for op in ops]

    @classmethod
    def flat(cls, op: SimNeurons) -> bool:
        """Return True: neurons do not depend on each other."""
        return True

    @classmethod
    def merge_key(cls, op: SimNeurons) -> Hashable:
        """Return where the state is listed, which must be the same for all."""
        return cls.state_sets(op)

    @classmethod
    def state_sets(cls, op: SimNeurons) -> tuple[int, ...]:
        """Return the indices of the state variables, in the order of `state_names`."""
        if set(op.state_idxs) != set(cls.state_names) or op.state_extra:
            raise BuildError(
                f"{op} has the state {sorted([*op.state_idxs, *op.state_extra])}; "
                f"{type(op.neurons).__name__}.step takes {sorted(cls.state_names)}"
            )
        for name, index in op.state_idxs.items():
            if op.sets[index].shape != op.output.shape:
                raise BuildError(
                    f"{op}: '{name}' has shape {op.sets[index].shape}; expected one "
                    f"number per neuron, shape {op.output.shape}"
                )
        return tuple(op.state_idxs[name] for name in cls.state_names)

    def parameter(self, value: Callable[[Any], float | np.ndarray]) -> Parameter:
        """Spread ``value(neurons)``, a number or one for each neuron, over neurons."""
        return self.per_element([value(op.neurons) for op in self.ops], self.sizes)

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute one time step."""
        output, *state = self.neuron_step(*reads, *previous)
        sets: list[tf.Tensor | None] = [None] * len(self.ops[0].sets)
        sets[0] = output
        for index, value in zip(self.state_sets(self.ops[0]), state):
            sets[index] = value
        return Writes(sets=tuple(sets))

    def neuron_step(self, J: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the output and the state after a step, given currents and state."""
        raise NotImplementedError(f"{type(self).__name__} must implement neuron_step")


@register(nengo.neurons.RectifiedLinear, methods=("step",))
class RectifiedLinearBuilder(NeuronBuilder):
    r"""Rectified linear units, `nengo.RectifiedLinear`: :math:`r = a \max(J, 0)`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.amplitude = self.parameter(lambda neurons: neurons.amplitude)

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the rates."""
        rates = tf.nn.relu(J)
        # images of many neurons are worth one multiplication less
        is_one = isinstance(self.amplitude, float) and self.amplitude == 1
        return (rates if is_one else self.amplitude * rates,)


@register(LeakyReLU, methods=("step", "_drive"))
class LeakyReLUBuilder(NeuronBuilder):
    """Rectified linear units that leak, `nengo_dl.LeakyReLU`; see `leaky_drive`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.amplitude = self.parameter(lambda neurons: neurons.amplitude)
        self.slope = self.parameter(lambda neurons: neurons.negative_slope)

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the rates."""
        return (self.amplitude * leaky_drive(J, self.slope),)


@register(nengo.neurons.Sigmoid, methods=("step",))
class SigmoidBuilder(NeuronBuilder):
    r"""Sigmoid units, `nengo.Sigmoid`: :math:`r = 1 / (\tau_{ref} (1 + e^{-J}))`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.max_rate = self.parameter(lambda neurons: 1 / neurons.tau_ref)

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the rates."""
        return (self.max_rate * tf.sigmoid(J),)


@register(nengo.neurons.Tanh, methods=("step",))
class TanhBuilder(NeuronBuilder):
    r"""Hyperbolic tangent units, `nengo.Tanh`: :math:`r = \tanh(J) / \tau_{ref}`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.max_rate = self.parameter(lambda neurons: 1 / neurons.tau_ref)

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the rates."""
        return (self.max_rate * tf.tanh(J),)


class RatesOfSpikes(NeuronBuilder):
    """Rates in the place of spikes; the state of the spiking neurons stays."""

    ignores_state = True

    @classmethod
    def state_sets(cls, op: Any) -> tuple[int, ...]:
        """Return nothing: rates need no state."""
        return ()

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute one time step."""
        return super().step(reads[:1], ())
