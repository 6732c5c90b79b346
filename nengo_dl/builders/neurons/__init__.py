"""Kernels of neurons."""

from nengo_dl.builders.neurons import lif, membranes, spiking
from nengo_dl.builders.neurons.base import NeuronBuilder

__all__ = ["NeuronBuilder", "lif", "membranes", "spiking"]
