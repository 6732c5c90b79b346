"""Kernels of neurons."""

from nengo_dl.builders.neurons import lif, spiking
from nengo_dl.builders.neurons.base import NeuronBuilder

__all__ = ["NeuronBuilder", "lif", "spiking"]
