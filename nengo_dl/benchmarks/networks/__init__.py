"""The standard networks, for any simulator of Nengo networks.

This folder is also loaded by interpreters in which peers are installed. It therefore
imports nothing but nengo and NumPy, and works with nengo 2.8 to 4.1 and Python 3.6.
Every network is seeded: two processes build the same one. It has one probe.
"""

import numpy as np

from . import (  # noqa: F401 (they add themselves to the table)
    ensembles,
    layered,
    python,
    recurrent,
    semantic,
    unlike,
)
from .layered import legendre_delay
from .registry import NETWORKS, Benchmark

__all__ = ["NETWORKS", "Benchmark", "legendre_delay", "make_network"]


def make_network(name, sizes):
    """Return a standard network.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    sizes : dict of {str: int or float}
        Sizes that differ from the defaults.

    Returns
    -------
    nengo.Network
        The network, with one probe.
    """
    with np.errstate(all="ignore"):  # of nengo.spa, with vectors of length zero
        return NETWORKS[name].build(**sizes)
