"""The simulator, a facade: checks arguments, keeps probe data, and delegates."""

from nengo_dl.simulator.simulator import Simulator

__all__ = ["Simulator"]
