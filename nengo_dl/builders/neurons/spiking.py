"""Other neurons that spike: without leak, at the rates of a base type, Izhikevich's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

import nengo.neurons
from nengo.builder.neurons import SimNeurons

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig, NeuronTraining
from nengo_dl.builders.neurons.base import (
    LeakyReLUBuilder,
    NeuronBuilder,
    RatesOfSpikes,
    RectifiedLinearBuilder,
    TrainedBuilder,
)
from nengo_dl.builders.neurons.equations import (
    constant,
    integrate_and_fire_step,
    izhikevich_step,
    leaky_drive,
    rounded_product,
    stochastic_rounding,
)
from nengo_dl.builders.neurons.surrogates import spikes_above, whole_spikes
from nengo_dl.builders.registry import register
from nengo_dl.compiler.operators import StochasticRounding
from nengo_dl.config import Surrogate
from nengo_dl.neurons import SpikingLeakyReLU
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "IzhikevichBuilder",
    "RegularSpikingBuilder",
    "SpikingLeakyReLUBuilder",
    "SpikingRectifiedLinearBuilder",
    "StochasticRoundingBuilder",
]


class _LinearRates(RatesOfSpikes, RectifiedLinearBuilder):
    """Rates of `nengo.SpikingRectifiedLinear`."""


class _LeakyRates(RatesOfSpikes, LeakyReLUBuilder):
    """Rates of `nengo_dl.SpikingLeakyReLU`."""


class _GivenRates(RatesOfSpikes):
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
class StochasticRoundingBuilder(TrainedBuilder):
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


@register(nengo.neurons.Izhikevich, methods=("step",))
class IzhikevichBuilder(NeuronBuilder):
    """Izhikevich neurons, `nengo.Izhikevich`; see `izhikevich_step`."""

    state_names = ("voltage", "recovery")

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.parameters = {
            name: self.parameter(attrgetter(name))
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
