"""Run and train Nengo networks with TensorFlow."""

from nengo_dl import builders, dists, objectives
from nengo_dl.config import Surrogate, configure_settings, get_setting
from nengo_dl.layers import Layer, reshaped, tensor_layer
from nengo_dl.neurons import LeakyReLU, SoftLIFRate, SpikingLeakyReLU
from nengo_dl.simulator import Simulator
from nengo_dl.tensor_node import TensorNode
from nengo_dl.version import __version__

__all__ = [
    "Layer",
    "LeakyReLU",
    "Simulator",
    "SoftLIFRate",
    "SpikingLeakyReLU",
    "Surrogate",
    "TensorNode",
    "__version__",
    "builders",
    "configure_settings",
    "dists",
    "get_setting",
    "objectives",
    "reshaped",
    "tensor_layer",
]
