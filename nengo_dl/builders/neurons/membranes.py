"""Membranes that are reset at the end of a step, and such that do not spike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from nengo.builder.neurons import SimNeurons

from nengo_dl.builders.base import OpBuilder
from nengo_dl.builders.build_config import BuildConfig, NeuronTraining
from nengo_dl.builders.neurons.base import NeuronBuilder, RatesOfSpikes
from nengo_dl.builders.neurons.equations import Parameter, constant, rounded_product
from nengo_dl.builders.neurons.lif_equations import lif_rates, soft_lif_rates
from nengo_dl.builders.neurons.surrogates import spikes_above
from nengo_dl.builders.registry import register
from nengo_dl.config import Surrogate
from nengo_dl.neurons.membranes import CubaLIF, LeakyIntegrator, ResetLIF
from nengo_dl.neurons.parameters import membrane_factor, retained
from nengo_dl.neurons.thresholds import Heaviside
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "CubaLIFBuilder",
    "HeavisideBuilder",
    "LeakyIntegratorBuilder",
    "ResetLIFBuilder",
]


def _advanced(
    voltage: tf.Tensor, J: tf.Tensor, factor: Parameter, leak: Parameter
) -> tf.Tensor:
    """Return the voltage after a step, with the roundings of NumPy."""
    if not isinstance(leak, float):
        drive = J - leak * voltage
    else:
        drive = J - voltage if leak else J
    return voltage + rounded_product(drive, factor)


class _MembraneBuilder(NeuronBuilder):
    """What builders of membranes share; see `ResetLIF` for the equations."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.factor = self.parameter(
            lambda n: membrane_factor(n.tau_rc, config.dt, n.method)
        )
        self.leak = self.parameter(lambda n: retained(n.tau_rc))

    @classmethod
    def merge_key(cls, op: SimNeurons) -> Hashable:
        """Return where the state is listed, and which of the neurons leak."""
        leaks = np.unique(retained(op.neurons.tau_rc))
        return super().merge_key(op), tuple(leaks.tolist())


class _Rates(NeuronBuilder):
    """Rates of neurons that are reset at the end of a step, for short steps."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.reset = self.parameter(lambda n: n.reset)
        self.span = self.parameter(lambda n: np.subtract(n.threshold, n.reset))
        self.amplitude = self.parameter(lambda n: n.amplitude)
        self.leak = self.parameter(lambda n: retained(n.tau_rc))
        self.tau_rc = self.parameter(
            lambda n: np.where(np.isfinite(n.tau_rc), n.tau_rc, 1.0)
        )

        #: Width of the smoothed threshold; set in training.
        self.sigma: Parameter | None = None

    def rates(self, J: tf.Tensor) -> tf.Tensor:
        """Return rates; without leak, they are linear."""
        if isinstance(self.leak, float):
            return self._leaky(J) if self.leak else self._linear(J)
        return tf.where(self.leak > 0, self._leaky(J), self._linear(J))

    def _leaky(self, J: tf.Tensor) -> tf.Tensor:
        # the rates of LIF neurons with reset 0 and threshold 1
        J = (J - self.reset) / self.span
        if self.sigma is None:
            return lif_rates(J, self.tau_rc, 0.0, self.amplitude)
        return soft_lif_rates(J, self.tau_rc, 0.0, self.amplitude, self.sigma)

    def _linear(self, J: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(J) * (self.amplitude / self.span)


class _ResetLIFRates(RatesOfSpikes, _Rates):
    """Rates of `nengo_dl.ResetLIF`."""

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the rates."""
        return (self.rates(J),)


class _CubaLIFRates(_Rates):
    """Rates of `nengo_dl.CubaLIF`; of the state, only the current is used."""

    state_names = ("voltage", "current")

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.synapse = _synapse_factor(self)

    def neuron_step(
        self, J: tf.Tensor, voltage: tf.Tensor, current: tf.Tensor
    ) -> tuple[tf.Tensor | None, ...]:
        """Return the rates, and the state of which only the current changes."""
        current = _advanced(current, J, self.synapse, 1.0)
        return self.rates(current), None, current


def _synapse_factor(builder: NeuronBuilder) -> Parameter:
    dt = builder.config.dt
    return builder.parameter(lambda n: membrane_factor(n.tau_syn, dt, n.method))


@register(ResetLIF, methods=("step",))
class ResetLIFBuilder(_MembraneBuilder):
    """Integrate-and-fire neurons reset at the end of a step, `nengo_dl.ResetLIF`."""

    state_names: ClassVar[tuple[str, ...]] = ("voltage",)

    #: What stands for these neurons in training.
    rates_builder: ClassVar[type[_Rates]] = _ResetLIFRates

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.spike = self.parameter(lambda n: n.amplitude / config.dt)
        self.reset = self.parameter(lambda n: n.reset)
        self.threshold = self.parameter(lambda n: n.threshold)
        self.inverse_span = self.parameter(
            lambda n: 1 / np.subtract(n.threshold, n.reset)
        )
        self.spike_function: Callable[[tf.Tensor], tf.Tensor] | None = None

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder of rates, or of spikes with a surrogate derivative."""
        if how.surrogate is None:
            rates = cls.rates_builder(ops, config)
            rates.sigma = how.smoothing
            return rates
        builder = cls(ops, config)
        builder.spike_function = partial(spikes_above, surrogate=how.surrogate)
        return builder

    def neuron_step(self, J: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the spikes and the voltage."""
        (voltage,) = state
        voltage = _advanced(voltage, J, self.factor, self.leak)
        spiked = voltage > constant(self.threshold, J)
        after = tf.where(spiked, constant(self.reset, J), voltage)
        if self.spike_function is None:
            spikes = tf.where(spiked, constant(self.spike, J), constant(0, J))
            return spikes, after
        # in multiples of the distance from reset to threshold
        distance = (voltage - self.threshold) * self.inverse_span
        return self.spike * self.spike_function(distance), after


@register(CubaLIF, methods=("step",))
class CubaLIFBuilder(ResetLIFBuilder):
    """The same with a synapse of their own, `nengo_dl.CubaLIF`."""

    state_names = ("voltage", "current")
    rates_builder = _CubaLIFRates

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.synapse = _synapse_factor(self)

    def neuron_step(self, J: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the spikes, the voltage and the current."""
        voltage, current = state
        current = _advanced(current, J, self.synapse, 1.0)
        return *super().neuron_step(current, voltage), current


@register(LeakyIntegrator, methods=("step",))
class LeakyIntegratorBuilder(_MembraneBuilder):
    """Membranes that do not spike, `nengo_dl.LeakyIntegrator`."""

    state_names = ("voltage",)

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.amplitude = self.parameter(lambda n: n.amplitude)

    def neuron_step(self, J: tf.Tensor, voltage: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the output and the voltage."""
        voltage = _advanced(voltage, J, self.factor, self.leak)
        is_one = isinstance(self.amplitude, float) and self.amplitude == 1
        return (voltage if is_one else self.amplitude * voltage), voltage


@register(Heaviside, methods=("step",))
class HeavisideBuilder(NeuronBuilder):
    """Units that are on above a threshold, `nengo_dl.Heaviside`."""

    def __init__(self, ops: Sequence[SimNeurons], config: BuildConfig):
        super().__init__(ops, config)
        self.threshold = self.parameter(lambda n: n.threshold)
        self.amplitude = self.parameter(lambda n: n.amplitude)
        self.spike_function: Callable[[tf.Tensor], tf.Tensor] | None = None

    @classmethod
    def build_training(
        cls, ops: Sequence[Any], config: BuildConfig, how: NeuronTraining
    ) -> OpBuilder:
        """Return a builder with a surrogate derivative."""
        builder = cls(ops, config)
        surrogate = how.surrogate or Surrogate()
        builder.spike_function = partial(spikes_above, surrogate=surrogate)
        return builder

    def neuron_step(self, J: tf.Tensor) -> tuple[tf.Tensor]:
        """Return the outputs."""
        if self.spike_function is not None:
            return (self.amplitude * self.spike_function(J - self.threshold),)
        on = J > constant(self.threshold, J)
        return (tf.where(on, constant(self.amplitude, J), constant(0, J)),)
