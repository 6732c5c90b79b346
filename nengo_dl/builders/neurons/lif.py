"""Leaky integrate-and-fire neurons: spikes and rates, adaptive or not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, ClassVar

import nengo.neurons
import numpy as np
from nengo.builder.neurons import SimNeurons

from nengo_dl.builders.base import OpBuilder
from nengo_dl.builders.build_config import BuildConfig, NeuronTraining
from nengo_dl.builders.neurons.base import NeuronBuilder, RatesOfSpikes
from nengo_dl.builders.neurons.equations import Parameter, constant
from nengo_dl.builders.neurons.lif_equations import (
    LIFParameters,
    adaptation_step,
    lif_rates,
    lif_step,
    soft_lif_rates,
)
from nengo_dl.builders.neurons.surrogates import spikes_above
from nengo_dl.builders.registry import register
from nengo_dl.compiler.polynomials import atanh_series, decay_series
from nengo_dl.config import Surrogate
from nengo_dl.neurons import SoftLIFRate
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "AdaptiveLIFBuilder",
    "AdaptiveLIFRateBuilder",
    "LIFBuilder",
    "LIFRateBuilder",
    "SoftLIFRateBuilder",
]


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

    def rates(self, J: tf.Tensor) -> tf.Tensor:
        """Return the rates with given currents."""
        if self.sigma is None:
            return lif_rates(J, self.tau_rc, self.tau_ref, self.amplitude)
        return soft_lif_rates(J, self.tau_rc, self.tau_ref, self.amplitude, self.sigma)

    def neuron_step(
        self, J: tf.Tensor, *state: tf.Tensor
    ) -> tuple[tf.Tensor | None, ...]:
        """Return the rates; there is no state."""
        () = state
        return (self.rates(J),)


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

    def neuron_step(
        self, J: tf.Tensor, *state: tf.Tensor
    ) -> tuple[tf.Tensor | None, ...]:
        """Return the rates and the adaptation."""
        (adaptation,) = state
        output = self.rates(J - adaptation)
        adaptation = adaptation_step(adaptation, output, self.dt_over_tau_n, self.inc_n)
        return output, adaptation


class _LIFRatesOfSpikes(RatesOfSpikes, LIFRateBuilder):
    """Rates of `nengo.LIF`."""


class _AdaptiveLIFRatesOfSpikes(AdaptiveLIFRateBuilder):
    """Rates of `nengo.AdaptiveLIF`; of the state, only the adaptation is used."""

    @classmethod
    def state_sets(cls, op: SimNeurons) -> tuple[int, ...]:
        """Return where the whole state is; the group was planned with it."""
        return AdaptiveLIFBuilder.state_sets(op)

    def neuron_step(
        self, J: tf.Tensor, *state: tf.Tensor
    ) -> tuple[tf.Tensor | None, ...]:
        """Return the rates, and the state of which only the adaptation changes."""
        _voltage, _refractory_time, adaptation = state
        output, adaptation = super().neuron_step(J, adaptation)
        return output, None, None, adaptation


@register(nengo.neurons.LIF, methods=("step",))
class LIFBuilder(NeuronBuilder):
    """Leaky integrate-and-fire neurons, `nengo.LIF`; see `lif_step`."""

    state_names: ClassVar[tuple[str, ...]] = ("voltage", "refractory_time")

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
            voltage_apart=self._has_many_neurons(),
        )

    def _has_many_neurons(self) -> bool:
        config = self.config
        return (
            config.simulates_by_xla_on_cpu
            and config.minibatch_size * sum(self.sizes) >= tuning.MANY_NEURONS
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

    def neuron_step(self, J: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the spikes, the voltage and the refractory time."""
        voltage, refractory_time = state
        spiked, *after = lif_step(J, voltage, refractory_time, self.lif)
        if self.lif.spike_function is not None:
            return self.spike * spiked, *after
        spikes = tf.where(spiked, constant(self.spike, J), constant(0, J))
        return spikes, *after


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

    def neuron_step(self, J: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the spikes, the voltage, the refractory time and the adaptation."""
        *membrane, adaptation = state
        spikes, *after = super().neuron_step(J - adaptation, *membrane)
        adaptation = adaptation_step(adaptation, spikes, self.dt_over_tau_n, self.inc_n)
        return spikes, *after, adaptation
