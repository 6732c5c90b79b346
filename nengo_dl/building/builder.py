"""Nengo's builder, with faster functions in place of some of Nengo's."""

from __future__ import annotations

from typing import Any

import nengo
from nengo.builder import Builder, Model
from nengo.builder.connection import build_solver

from nengo_dl.building.decoders import DecoderSolver

__all__ = ["FastBuilder"]


class FastBuilder(Builder):
    """Builds objects with the functions registered with Nengo, but solves faster.

    Decoders are solved for by `DecoderSolver`, where Nengo would call its own
    ``build_solver``. Functions that users register come first, as ever.

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
        if self._function(obj) is build_solver and not model.has_built(obj):
            return self._decoders.build(model, obj, *args, **kwargs)
        return super().build(model, obj, *args, **kwargs)

    def _function(self, obj: Any) -> Any:
        """Return the function that Nengo would build an object with, or None."""
        for kind in type(obj).__mro__:
            if kind in self.builders:
                return self.builders[kind]
        return None
