"""Run and train Nengo networks with TensorFlow."""

from nengo_dl import builders, objectives
from nengo_dl.config import Surrogate, configure_settings, get_setting
from nengo_dl.neurons import SoftLIFRate
from nengo_dl.simulator import Simulator
from nengo_dl.version import __version__

__all__ = [
    "Simulator",
    "SoftLIFRate",
    "Surrogate",
    "__version__",
    "builders",
    "configure_settings",
    "get_setting",
    "objectives",
]
