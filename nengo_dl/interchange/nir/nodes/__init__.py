"""What Nengo makes of each type of node; a row for each, a module for each family."""

from nengo_dl.interchange.nir.nodes import convolutions, forms, linear, neurons
from nengo_dl.interchange.nir.nodes.registry import find_row

__all__ = ["convolutions", "find_row", "forms", "linear", "neurons"]
