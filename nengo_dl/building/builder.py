"""Nengo's builder, with faster functions in place of some of Nengo's."""

from __future__ import annotations

from typing import Any

import nengo
from nengo.builder import Builder, Model
from nengo.builder.connection import build_solver
from nengo.builder.ensemble import build_ensemble as nengos_ensemble
from nengo.builder.processes import build_process
from nengo.params import FrozenObject

from nengo_dl.building.decoders import DecoderSolver
from nengo_dl.building.ensembles import build_ensemble
from nengo_dl.building.filters import Filters, build_filter
from nengo_dl.compiler.filters import FilterSystems

__all__ = ["FastBuilder"]


class FastBuilder(Builder):
    """Builds objects with the functions registered with Nengo, but faster.

    Decoders are solved for by `DecoderSolver`, where Nengo would call its own
    ``build_solver``. Filters are discretized once for all of a kind, and ensembles
    shuffle random numbers fast. Functions that users register come first, as ever.

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
        self._decoders = DecoderSolver(None, compiled)
        self._filters: Filters | None = None

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
            self._decoders = DecoderSolver(obj, self._compiled)
            try:
                return super().build(model, obj, *args, **kwargs)
            finally:
                self._decoders = DecoderSolver(None, self._compiled)
                self._filters = None
        function = self._function(obj)
        if function is nengos_ensemble and not (args or kwargs or model.has_built(obj)):
            return build_ensemble(model, obj)
        if not isinstance(obj, FrozenObject) or not _is_nengos(function):
            return super().build(model, obj, *args, **kwargs)
        # Nengo builds these as often as it is asked to: whether it has done so already,
        # which hashes all of their arrays, need not be found out
        if function is build_solver:
            return self._decoders.build(model, obj, *args, **kwargs)
        if function is build_process and FilterSystems.knows(obj):
            if self._filters is None or self._filters.model is not model:
                self._filters = Filters(model)
            return build_filter(self._filters, model, obj, *args, **kwargs)
        return function(model, obj, *args, **kwargs)

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
