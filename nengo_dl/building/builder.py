"""Nengo's builder, with faster functions in place of some of Nengo's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nengo
from nengo.builder import Builder, Model
from nengo.builder.connection import build_connection as nengos_connection
from nengo.builder.connection import build_solver
from nengo.builder.ensemble import build_ensemble as nengos_ensemble
from nengo.builder.neurons import build_neurons as nengos_neurons
from nengo.builder.processes import build_process
from nengo.builder.transforms import build_dense as nengos_dense
from nengo.builder.transforms import build_no_transform as nengos_no_transform
from nengo.params import FrozenObject

from nengo_dl.building.connections import build_connection
from nengo_dl.building.ensembles import build_ensemble
from nengo_dl.building.filters import build_filter
from nengo_dl.building.neurons import build_neurons
from nengo_dl.building.transforms import build_dense, build_no_transform
from nengo_dl.building.workshop import Workshop
from nengo_dl.compiler.filters import FilterSystems

__all__ = ["FastBuilder"]


class FastBuilder(Builder):
    """Builds objects with the functions registered with Nengo, but faster.

    Where Nengo would call its own functions for ensembles, neurons, connections,
    decoders, dense transforms and filters, those of this folder are called, which make
    the same. Functions that users register come first, as ever.

    Parameters
    ----------
    compiled : bool
        Whether XLA may be used.

    Examples
    --------
    >>> from nengo_dl.building.builder import FastBuilder
    >>> with nengo.Network(seed=0) as net:
    ...     ens = nengo.Ensemble(10, 1)
    ...     conn = nengo.Connection(ens, nengo.Node(size_in=1))
    >>> model = nengo.builder.Model(builder=FastBuilder())
    >>> model.build(net)
    >>> model.params[conn].weights.shape
    (1, 10)
    """

    def __init__(self, compiled: bool = True):
        self._compiled = compiled
        self._shop: Workshop | None = None

    def build(self, model: Model, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an object into a model, see ``nengo.builder.Builder.build``.

        Parameters
        ----------
        model : nengo.builder.Model
            The model.
        obj : object
            What to build.
        *args, **kwargs
            Further arguments of the function that builds it.

        Returns
        -------
        object
            What that function returns.
        """
        if isinstance(obj, nengo.Network) and model.toplevel is None:
            self._shop = Workshop(obj, self._compiled)
            try:
                return super().build(model, obj, *args, **kwargs)
            finally:
                self._shop = None
        function = self._function(obj)
        shop = self._shop or Workshop(None, self._compiled)
        # Nengo builds these as often as it is asked to: whether it has done so already,
        # which hashes all of their arrays, need not be found out
        is_nengos = _is_nengos(function)
        if is_nengos and isinstance(obj, FrozenObject):
            if function is build_solver:
                return shop.decoders.build(model, obj, *args, **kwargs)
            if function is build_process and FilterSystems.knows(obj):
                return build_filter(shop.filters(model), model, obj, *args, **kwargs)
            if function in _FOR_PARTS:
                return _FOR_PARTS[function](shop, model, obj, *args, **kwargs)
            return function(model, obj, *args, **kwargs)
        if is_nengos and function in _FOR_OBJECTS and not model.has_built(obj):
            return _FOR_OBJECTS[function](shop, model, obj, *args, **kwargs)
        return super().build(model, obj, *args, **kwargs)

    def _function(self, obj: Any) -> Any:
        """Return the function that Nengo would build an object with, or None."""
        for kind in type(obj).__mro__:
            if kind in self.builders:
                return self.builders[kind]
        return None


def _is_nengos(function: Any) -> bool:
    """Return whether a build function is one of Nengo's own."""
    # the module of a function that was defined in a console or by exec can be None
    return (getattr(function, "__module__", None) or "").startswith("nengo.builder.")


# What is called instead of Nengo's functions: for objects, and for parts of these.
_FOR_OBJECTS: dict[Any, Callable[..., Any]] = {
    nengos_ensemble: build_ensemble,
    nengos_connection: build_connection,
}
_FOR_PARTS: dict[Any, Callable[..., Any]] = {
    nengos_neurons: build_neurons,
    nengos_dense: build_dense,
    nengos_no_transform: build_no_transform,
}
