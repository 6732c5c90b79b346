"""The table of networks."""

from collections import namedtuple

__all__ = ["NETWORKS", "Benchmark", "benchmark"]

Benchmark = namedtuple(
    "Benchmark", ["build", "title", "small", "minibatch", "method", "takes_minutes"]
)
Benchmark.__doc__ = """A standard network.

Attributes
----------
build : callable
    Makes the network and returns it. Its arguments are sizes, with defaults.
title : str
    What it is, in a few words.
small : dict of {str: int}
    Sizes for quick checks.
minibatch : int or None
    How many inputs a simulator runs at once if it can.
method : str
    How it is simulated: ``"run_steps"``, or one step at a time with ``"step"``.
takes_minutes : bool
    Whether Nengo needs minutes for it, so that it is measured only by its name.
"""

#: Filled by the decorator `benchmark`: one entry for each name.
NETWORKS: dict = {}


def benchmark(
    name, title, small, minibatch=None, method="run_steps", takes_minutes=False
):
    """Return a decorator that adds a network to the table; see `Benchmark`."""

    def register(build):
        NETWORKS[name] = Benchmark(
            build, title, small, minibatch, method, takes_minutes
        )
        return build

    return register
