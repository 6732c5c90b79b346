"""Decoders of connections from ensembles."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.connection import (
    build_solver,
    get_eval_points,
    get_targets,
    solve_for_decoders,
)
from nengo.exceptions import BuildError
from nengo.rc import rc
from nengo.solvers import NoSolver, Solver

from nengo_dl.building.decoder_cache import DecoderCache, Projection
from nengo_dl.building.least_squares import Factors, solve, solves
from nengo_dl.building.rates import neuron_rates

__all__ = ["DecoderSolver"]

# Activities that are kept for further connections, in bytes.
MAX_KEPT = 256 * 2**20


@dataclasses.dataclass
class _Activities:
    """Rates at an ensemble's evaluation points, and what was computed from them."""

    rates: np.ndarray
    factors: Factors = dataclasses.field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        n_points, n_neurons = self.rates.shape
        return self.rates.itemsize * n_neurons * (n_points + min(n_points, n_neurons))


class DecoderSolver:
    """Solves for the decoders of a network's connections.

    Ensembles with several connections have their rates computed once, and the matrix of
    the default solver factorized once, as long as there is memory to keep them.

    Parameters
    ----------
    network : nengo.Network or None
        The network that is built. With None, nothing is kept.
    compiled : bool
        Whether XLA may be used to compute rates.
    """

    def __init__(self, network: nengo.Network | None, compiled: bool = True):
        self._compiled = compiled
        self._left = Counter() if network is None else _count_uses(network)
        self._kept: dict[nengo.Ensemble, _Activities] = {}
        self._projections: dict[nengo.Ensemble, Projection] = {}
        self._n_bytes = 0

    def build(
        self, model: Model, solver: Solver, conn: nengo.Connection, rng: Any
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Solve for decoders, in the place of Nengo's ``build_solver``.

        Parameters
        ----------
        model : nengo.builder.Model
            The model that is built; holds the ensemble, and the cache of decoders.
        solver : nengo.solvers.Solver
            The connection's solver.
        conn : nengo.Connection
            A connection from an ensemble.
        rng : numpy.random.RandomState
            The connection's random numbers.

        Returns
        -------
        eval_points : numpy.ndarray
            Evaluation points, shape ``(n_points, dimensions)``.
        weights : numpy.ndarray
            Transposed decoders, shape ``(size_mid, n_neurons)``.
        solver_info : dict
            What the solver says about the solution.

        Raises
        ------
        BuildError
            If no neuron fires at any evaluation point (Nengo's error), or if the
            connection's function returns None.
        """
        if solver.weights and not solver.compositional:
            return build_solver(model, solver, conn, rng)
        ens = conn.pre_obj
        built = model.params[ens]
        eval_points = get_eval_points(model, conn, rng)
        targets = _targets(conn, eval_points)

        def solve_for(conn, gain, bias, x, targets, rng):
            activities = self._activities(conn, gain, bias, x)
            if activities is None:
                inputs = np.asarray(x)  # the error says what is wrong
                return solve_for_decoders(conn, gain, bias, inputs, targets, rng)
            if solves(solver):
                return solve(solver, activities.rates, targets, activities.factors)
            # a solver of the user's may write into its argument
            is_kept = self._kept.get(ens) is activities
            rates = activities.rates.copy() if is_kept else activities.rates
            return solver(rates, targets, rng=rng)

        projection = self._projection(conn, eval_points, built.encoders)
        cache = model.decoder_cache
        wrapped = cache.wrap_solver(solve_for) if model.seeded[conn] else solve_for
        is_late = wrapped is solve_for or isinstance(cache, DecoderCache)
        x = projection if is_late else np.asarray(projection)
        decoders, info = wrapped(conn, built.gain, built.bias, x, targets, rng=rng)
        projection.free()
        self._forget_used(conn)
        return eval_points, decoders.T, info

    def _projection(
        self, conn: nengo.Connection, points: np.ndarray, encoders: np.ndarray
    ) -> Projection:
        """Return the projection of a connection's points, one for each ensemble."""
        ens = conn.pre_obj
        if ens in self._projections and conn.eval_points is None:
            return self._projections[ens]
        projection = Projection(points, encoders, ens.radius)
        if conn.eval_points is None and self._left[ens] > 1:
            self._projections[ens] = projection
        return projection

    def _activities(
        self,
        conn: nengo.Connection,
        gain: np.ndarray,
        bias: np.ndarray,
        x: np.ndarray | Projection,
    ) -> _Activities | None:
        """Return rates that were kept or are new; None if all of them are zero."""
        ens = conn.pre_obj
        shared = conn.eval_points is None
        if shared and ens in self._kept:
            return self._kept[ens]
        inputs = np.asarray(x)
        rates = neuron_rates(ens.neuron_type, inputs, gain, bias, self._compiled)
        if not np.count_nonzero(rates):
            return None
        activities = _Activities(rates)
        n_bytes = self._n_bytes + activities.n_bytes
        if shared and self._left[ens] > 1 and n_bytes <= MAX_KEPT:
            self._kept[ens] = activities
            self._n_bytes = n_bytes
        return activities

    def _forget_used(self, conn: nengo.Connection) -> None:
        """Count a connection as solved for; forget rates after the last one."""
        if conn.eval_points is None:
            ens = conn.pre_obj
            self._left[ens] -= 1
            if self._left[ens] <= 0:
                self._projections.pop(ens, None)
                if ens in self._kept:
                    self._n_bytes -= self._kept.pop(ens).n_bytes


def _targets(conn: nengo.Connection, eval_points: np.ndarray) -> np.ndarray:
    """Return what to decode at each point, shape ``(n_points, size_mid)``.

    Nengo looks the function up for each point, which takes as long as a short function.
    """
    function = conn.function
    if not callable(function):
        return get_targets(conn, eval_points, dtype=rc.float_dtype)
    targets = np.zeros((len(eval_points), conn.size_mid), dtype=rc.float_dtype)
    for target, point in zip(targets, eval_points[:, conn.pre_slice], strict=True):
        value = function(point)
        if value is None:
            raise BuildError(
                f"{conn}: the function returned None for the point {point}; it must "
                f"return {conn.size_mid} numbers, so that decoders can be solved for"
            )
        target[:] = np.hstack(value) if isinstance(value, (tuple, list)) else value
    return targets


def _count_uses(network: nengo.Network) -> Counter[nengo.Ensemble]:
    """Count connections and probes that decode at their ensemble's own points."""
    connections = Counter(
        conn.pre_obj
        for conn in network.all_connections
        if isinstance(conn.pre_obj, nengo.Ensemble)
        and conn.eval_points is None
        and not isinstance(conn.solver, NoSolver)
    )
    probes = Counter(
        probe.target
        for probe in network.all_probes
        if isinstance(probe.target, nengo.Ensemble) and probe.attr == "decoded_output"
    )
    return connections + probes
