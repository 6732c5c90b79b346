"""Run and train Nengo networks with TensorFlow."""

from nengo_dl import builders
from nengo_dl.simulator import Simulator
from nengo_dl.version import __version__

__all__ = ["Simulator", "__version__", "builders"]
