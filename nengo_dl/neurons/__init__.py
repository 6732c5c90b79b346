"""Neuron types that Nengo does not have; they work in any Nengo simulator."""

from nengo_dl.neurons.membranes import CubaLIF, LeakyIntegrator, ResetLIF
from nengo_dl.neurons.softened import (
    LeakyReLU,
    SoftLIFRate,
    SpikingLeakyReLU,
    soft_lif_rates,
)
from nengo_dl.neurons.thresholds import Heaviside

__all__ = [
    "CubaLIF",
    "Heaviside",
    "LeakyIntegrator",
    "LeakyReLU",
    "ResetLIF",
    "SoftLIFRate",
    "SpikingLeakyReLU",
    "soft_lif_rates",
]
