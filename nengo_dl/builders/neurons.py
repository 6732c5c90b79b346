"""TensorFlow versions of Nengo's neuron types (`nengo.neurons`).

The equations are in `neuron_equations`; the builders collect the parameters of the
merged populations and hand them over.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, ClassVar

import nengo.neurons
import numpy as np
import tensorflow as tf
from nengo.builder.neurons import SimNeurons
from nengo.exceptions import BuildError

from nengo_dl.builders.base import (
    BuildConfig,
    NeuronTraining,
    OpBuilder,
    Writes,
    register,
)
from nengo_dl.builders.neuron_equations import (
    LIFParameters,
    Parameter,
    adaptation_step,
    constant,
    integrate_and_fire_step,
    izhikevich_step,
    leaky_drive,
    lif_rates,
    lif_step,
    rounded_product,
    soft_lif_rates,
    stochastic_rounding,
)
from nengo_dl.builders.surrogates import spikes_above, whole_spikes
from nengo_dl.compiler.operators import StochasticRounding
from nengo_dl.compiler.polynomials import atanh_series, decay_series
from nengo_dl.config import Surrogate
from nengo_dl.neurons import LeakyReLU, SoftLIFRate, SpikingLeakyReLU

__all__ = [
    "AdaptiveLIFBuilder",
    "AdaptiveLIFRateBuilder",
    "IzhikevichBuilder",
    "LIFBuilder",
    "LIFRateBuilder",
    "LeakyReLUBuilder",
    "NeuronBuilder",
    "RectifiedLinearBuilder",
    "RegularSpikingBuilder",
    "SigmoidBuilder",
    "SoftLIFRateBuilder",
    "SpikingLeakyReLUBuilder",
    "SpikingRectifiedLinearBuilder",
    "StochasticRoundingBuilder",
    "TanhBuilder",
]


class _TrainedBuilder(OpBuilder):
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
        if any(value is None for value in values):
            return None
        batch = max(value.shape[0] for value in values)
        return tf.concat(
            [tf.broadcast_to(value, (batch, value.shape[1])) for value in values],
            axis=1,
        )


class NeuronBuilder(_TrainedBuilder):
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

    def parameter(self, value: Callable[[Any], float]) -> Parameter:
        """Spread ``value(neurons)``, one number for each operator, over its neurons."""
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


class _RatesOfSpikes(NeuronBuilder):
    """Rates in the place of spikes; the state of the spiking neurons stays."""

    ignores_state = True

    @classmethod
    def state_sets(cls, op: Any) -> tuple[int, ...]:
        """Return nothing: rates need no state."""
        return ()

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute one time step."""
        return super().step(reads[:1], ())


class _LinearRates(_RatesOfSpikes, RectifiedLinearBuilder):
    """Rates of `nengo.SpikingRectifiedLinear`."""


class _LeakyRates(_RatesOfSpikes, LeakyReLUBuilder):
    """Rates of `nengo_dl.SpikingLeakyReLU`."""


class _GivenRates(_RatesOfSpikes):
    """Rates of neurons whose input is a rate."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.amplitude = self.parameter(lambda neurons: neurons.amplitude)

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the rates."""
        return (self.amplitude * J,)


class _IntegrateAndFireBuilder(NeuronBuilder):
    """Integrate-and-fire neurons without leak.

    A subclass says what is added to the voltage in a step, which builder gives the
    rates for training, and whether spikes can be negative.
    """

    state_names = ("voltage",)
    rates_builder: ClassVar[type[NeuronBuilder]]
    spikes_both_ways: ClassVar[bool]

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.spike = self.parameter(lambda neurons: neurons.amplitude / config.dt)
        self.floor = tf.floor

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder of rates, or of spikes with a surrogate derivative."""
        if how.surrogate is None:
            return cls.rates_builder(ops, config)
        builder = cls(ops, config)
        builder.floor = partial(
            whole_spikes, surrogate=how.surrogate, negative=cls.spikes_both_ways
        )
        return builder

    def increment(self, J: tf.Tensor) -> tf.Tensor:
        """Return what a current adds to the voltage in a step."""
        raise NotImplementedError(f"{type(self).__name__} must implement increment")

    def neuron_step(self, J: tf.Tensor, voltage: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the spikes and the voltage."""
        increment = self.increment(J)
        n_spikes, voltage = integrate_and_fire_step(increment, voltage, self.floor)
        return self.spike * n_spikes, voltage


@register(nengo.neurons.SpikingRectifiedLinear, methods=("step",))
class SpikingRectifiedLinearBuilder(_IntegrateAndFireBuilder):
    """Integrate-and-fire neurons without leak, `nengo.SpikingRectifiedLinear`."""

    rates_builder = _LinearRates
    spikes_both_ways = False

    def increment(self, J: tf.Tensor) -> tf.Tensor:
        """Return the positive part of the current, times the length of a step."""
        # selecting, like `rounded_product`, keeps the product from being contracted
        return tf.where(J <= 0, constant(0, J), J * self.config.dt)


@register(SpikingLeakyReLU, methods=("step", "_drive"))
class SpikingLeakyReLUBuilder(_IntegrateAndFireBuilder):
    """Integrate-and-fire neurons that spike both ways, `nengo_dl.SpikingLeakyReLU`."""

    rates_builder = _LeakyRates
    spikes_both_ways = True

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.slope = self.parameter(lambda neurons: neurons.negative_slope)

    def increment(self, J: tf.Tensor) -> tf.Tensor:
        """Return the drive, times the length of a step."""
        return rounded_product(leaky_drive(J, self.slope), self.config.dt)


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


@register(nengo.neurons.LIFRate, methods=("step",))
class LIFRateBuilder(NeuronBuilder):
    """Rates of leaky integrate-and-fire neurons, `nengo.LIFRate`; see `lif_rates`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.tau_rc = self.parameter(lambda neurons: neurons.tau_rc)
        self.tau_ref = self.parameter(lambda neurons: neurons.tau_ref)
        self.amplitude = self.parameter(lambda neurons: neurons.amplitude)

        #: Width of the smoothed threshold; set in training.
        self.sigma: Parameter | None = None

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder of rates, smoothed where that is configured."""
        builder = cls(ops, config)
        builder.sigma = how.smoothing
        return builder

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the rates."""
        if self.sigma is None:
            return (lif_rates(J, self.tau_rc, self.tau_ref, self.amplitude),)
        return (
            soft_lif_rates(J, self.tau_rc, self.tau_ref, self.amplitude, self.sigma),
        )


@register(SoftLIFRate, methods=("step",))
class SoftLIFRateBuilder(LIFRateBuilder):
    """LIF rates with a smoothed threshold, `nengo_dl.SoftLIFRate`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.sigma = self.parameter(lambda neurons: neurons.sigma)

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return the same builder: it is differentiable."""
        return cls(ops, config)


@register(nengo.neurons.AdaptiveLIFRate, methods=("step",))
class AdaptiveLIFRateBuilder(LIFRateBuilder):
    """Rates of adaptive leaky integrate-and-fire neurons, `nengo.AdaptiveLIFRate`."""

    state_names = ("adaptation",)

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.dt_over_tau_n = self.parameter(lambda neurons: config.dt / neurons.tau_n)
        self.inc_n = self.parameter(lambda neurons: neurons.inc_n)

    def neuron_step(self, J: tf.Tensor, adaptation: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the rates and the adaptation."""
        (output,) = super().neuron_step(J - adaptation)
        adaptation = adaptation_step(adaptation, output, self.dt_over_tau_n, self.inc_n)
        return output, adaptation


class _LIFRatesOfSpikes(_RatesOfSpikes, LIFRateBuilder):
    """Rates of `nengo.LIF`."""


class _AdaptiveLIFRatesOfSpikes(AdaptiveLIFRateBuilder):
    """Rates of `nengo.AdaptiveLIF`; of the state, only the adaptation is used."""

    @classmethod
    def state_sets(cls, op: SimNeurons) -> tuple[int, ...]:
        """Return where the whole state is; the group was planned with it."""
        return AdaptiveLIFBuilder.state_sets(op)

    def neuron_step(
        self,
        J: tf.Tensor,
        voltage: tf.Tensor,
        refractory_time: tf.Tensor,
        adaptation: tf.Tensor,
    ) -> tuple[tf.Tensor | None, ...]:
        """Return the rates, and the state of which only the adaptation changes."""
        output, adaptation = super().neuron_step(J, adaptation)
        return output, None, None, adaptation


@register(nengo.neurons.LIF, methods=("step",))
class LIFBuilder(NeuronBuilder):
    """Leaky integrate-and-fire neurons, `nengo.LIF`; see `lif_step`."""

    state_names = ("voltage", "refractory_time")

    #: What stands for these neurons in training.
    rates_builder: ClassVar[type[LIFRateBuilder]] = _LIFRatesOfSpikes

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder of rates, or of spikes with a surrogate derivative."""
        if how.surrogate is None:
            return cls.rates_builder.build_training(ops, config, how)
        return cls(ops, config, how.surrogate)

    def __init__(
        self,
        ops: Sequence[SimNeurons],
        config: BuildConfig,
        surrogate: Surrogate | None = None,
    ):
        super().__init__(ops, config)
        self.spike = self.parameter(lambda neurons: neurons.amplitude / config.dt)
        spike_function = None
        if surrogate is not None:
            spike_function = partial(spikes_above, surrogate=surrogate)
        self.lif = LIFParameters(
            spike_function=spike_function,
            dt=config.dt,
            tau_rc=self.parameter(lambda neurons: neurons.tau_rc),
            inverse_tau_rc=self.parameter(lambda neurons: 1 / neurons.tau_rc),
            tau_ref=self.parameter(lambda neurons: neurons.tau_ref),
            min_voltage=self.parameter(lambda neurons: neurons.min_voltage),
            series=self._series(),
        )

    def _series(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        if not all(self._starts_below_threshold(op) for op in self.ops):
            return None
        h_max = self.config.dt / min(op.neurons.tau_rc for op in self.ops)
        decay = decay_series(h_max, self.config.dtype)
        atanh = atanh_series(np.tanh(h_max / 2), self.config.dtype)
        return None if decay is None or atanh is None else (decay, atanh)

    @staticmethod
    def _starts_below_threshold(op: SimNeurons) -> bool:
        return bool(np.all(op.state["voltage"].initial_value <= 1))

    @classmethod
    def merge_key(cls, op: SimNeurons) -> Hashable:
        """Return where the state is listed, and whether the series may be used."""
        return super().merge_key(op), cls._starts_below_threshold(op)

    def neuron_step(
        self, J: tf.Tensor, voltage: tf.Tensor, refractory_time: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Return the spikes, the voltage and the refractory time."""
        spiked, *state = lif_step(J, voltage, refractory_time, self.lif)
        if self.lif.spike_function is not None:
            return self.spike * spiked, *state
        spikes = tf.where(spiked, constant(self.spike, J), constant(0, J))
        return spikes, *state


@register(nengo.neurons.AdaptiveLIF, methods=("step",))
class AdaptiveLIFBuilder(LIFBuilder):
    """Adaptive leaky integrate-and-fire neurons, `nengo.AdaptiveLIF`."""

    state_names = ("voltage", "refractory_time", "adaptation")
    rates_builder = _AdaptiveLIFRatesOfSpikes

    def __init__(
        self,
        ops: Sequence[SimNeurons],
        config: BuildConfig,
        surrogate: Surrogate | None = None,
    ):
        super().__init__(ops, config, surrogate)
        self.dt_over_tau_n = self.parameter(lambda neurons: config.dt / neurons.tau_n)
        self.inc_n = self.parameter(lambda neurons: neurons.inc_n)

    def neuron_step(
        self,
        J: tf.Tensor,
        voltage: tf.Tensor,
        refractory_time: tf.Tensor,
        adaptation: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """Return the spikes, the voltage, the refractory time and the adaptation."""
        spikes, *state = super().neuron_step(J - adaptation, voltage, refractory_time)
        adaptation = adaptation_step(adaptation, spikes, self.dt_over_tau_n, self.inc_n)
        return spikes, *state, adaptation


@register(nengo.neurons.Izhikevich, methods=("step",))
class IzhikevichBuilder(NeuronBuilder):
    """Izhikevich neurons, `nengo.Izhikevich`; see `izhikevich_step`."""

    state_names = ("voltage", "recovery")

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.parameters = {
            name: self.parameter(lambda neurons, name=name: getattr(neurons, name))
            for name in ("tau_recovery", "coupling", "reset_voltage", "reset_recovery")
        }
        self.spike_function: Callable[[tf.Tensor], tf.Tensor] | None = None

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder with a surrogate derivative: no formula gives the rates."""
        builder = cls(ops, config)
        surrogate = how.surrogate or Surrogate()
        builder.spike_function = partial(spikes_above, surrogate=surrogate)
        return builder

    def neuron_step(
        self, J: tf.Tensor, voltage: tf.Tensor, recovery: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Return the spikes, the voltage and the recovery variable."""
        spiked, *state = izhikevich_step(
            J,
            voltage,
            recovery,
            self.config.dt,
            **self.parameters,
            spike_function=self.spike_function,
        )
        if self.spike_function is not None:
            return spiked * (1 / self.config.dt), *state
        spikes = tf.where(spiked, constant(1 / self.config.dt, J), constant(0, J))
        return spikes, *state


@register(nengo.neurons.RegularSpiking, methods=("step",))
class RegularSpikingBuilder(NeuronBuilder):
    """Regular spikes at the rates of a base type, `nengo.RegularSpiking`."""

    state_names = ("voltage",)

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.spike = self.parameter(lambda neurons: neurons.amplitude / config.dt)
        self.surrogate: Surrogate | None = None

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder of rates, or of spikes with a surrogate derivative."""
        if how.surrogate is None:
            return _GivenRates(ops, config)
        builder = cls(ops, config)
        builder.surrogate = how.surrogate
        return builder

    @classmethod
    def merge_key(cls, op: SimNeurons) -> Hashable:
        """Return where the state is listed, and whether rates may be negative."""
        return super().merge_key(op), op.neurons.negative

    def _floor(self, voltage: tf.Tensor) -> tf.Tensor:
        if self.surrogate is None:
            return tf.floor(voltage)
        return whole_spikes(voltage, self.surrogate, self.ops[0].neurons.negative)

    def neuron_step(self, J: tf.Tensor, voltage: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the spikes and the voltage, given rates."""
        increment = rounded_product(J, self.config.dt)
        n_spikes, voltage = integrate_and_fire_step(increment, voltage, self._floor)
        return self.spike * n_spikes, voltage


@register(StochasticRounding)
class StochasticRoundingBuilder(_TrainedBuilder):
    """What `nengo.StochasticSpiking` does with random numbers drawn on the host.

    The mean of the output is the rate, so with any surrogate derivative the one of the
    mean is used.
    """

    #: Whether outputs have the derivative of their mean.
    is_trained = False

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder of rates, or of spikes with the derivative of the rates."""
        if how.surrogate is None:
            return _GivenRates(ops, config)
        builder = cls(ops, config)
        builder.is_trained = True
        return builder

    def __init__(self, ops: Sequence[StochasticRounding], config: BuildConfig):
        super().__init__(ops, config)
        self.spike = self.per_element(
            [op.neurons.amplitude / config.dt for op in ops],
            [op.output.size for op in ops],
        )

    @classmethod
    def flat(cls, op: StochasticRounding) -> bool:
        """Return True: neurons do not depend on each other."""
        return True

    @classmethod
    def merge_key(cls, op: StochasticRounding) -> Hashable:
        """Return whether rates may be negative."""
        return op.neurons.negative

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute one time step."""
        rates, draws = reads
        negative = self.ops[0].neurons.negative
        n_spikes = stochastic_rounding(rates, draws, self.config.dt, negative)
        if self.is_trained:
            mean = rates * self.config.dt
            n_spikes = mean + tf.stop_gradient(n_spikes - mean)
        return Writes(sets=(self.spike * n_spikes,))
