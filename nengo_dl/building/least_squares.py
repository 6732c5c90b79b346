"""Regularized least squares by the Cholesky decomposition, for Nengo's solvers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from nengo.solvers import LstsqL2, LstsqL2nz, Solver
from nengo.utils.least_squares_solvers import Cholesky, rmses

__all__ = ["Factors", "solve", "solves"]

# In more than one thread, OpenBLAS crashes when it multiplies matrices with themselves
# (``syrk``), or factorizes matrices, of 16,000 rows.
MOST_ROWS = 12_000

# Up to this number of right sides, solving for each alone rounds as for all at once.
MAX_ALONE = 32

Factors = dict[tuple[bool, bytes], np.ndarray]


def solves(solver: Solver) -> bool:
    """Return whether `solve` knows a solver: one of Nengo's defaults, not a subclass.

    Parameters
    ----------
    solver : nengo.solvers.Solver
        Any solver.

    Returns
    -------
    bool
        Whether to call `solve` with it.
    """
    return type(solver) in _NOISE and type(solver.solver) is Cholesky


def solve(
    solver: LstsqL2, activities: np.ndarray, targets: np.ndarray, factors: Factors
) -> tuple[np.ndarray, dict[str, Any]]:
    """Solve for decoders, as ``solver(activities, targets)`` does.

    Parameters
    ----------
    solver : nengo.solvers.LstsqL2 or nengo.solvers.LstsqL2nz
        Solver with the ``Cholesky`` method.
    activities : numpy.ndarray
        Rates at the evaluation points, shape ``(n_points, n_neurons)``.
    targets : numpy.ndarray
        Values to decode, shape ``(n_points, size_mid)``.
    factors : dict
        Triangular factors that were computed for these activities. A new one is added.

    Returns
    -------
    decoders : numpy.ndarray
        Shape ``(n_neurons, size_mid)``.
    info : dict
        ``"rmses"``, root mean squared errors, shape ``(size_mid,)``, and ``"time"`` in
        seconds.

    Raises
    ------
    ValueError
        If there are numbers that are not finite (Nengo's error).
    numpy.linalg.LinAlgError
        If the regularized matrix is not positive definite (Nengo's error).

    Notes
    -----
    Nengo multiplies with NumPy and factorizes with SciPy, which usually have a copy of
    OpenBLAS each. The threads of one still wait for work, on the cores that those of
    the other need: both together took 7.6 ms for 200 neurons, and 0.84 ms with NumPy's
    factorization. The numbers are the same if both copies are of the same kind. With
    one right side, SciPy's uses no threads.

    Nengo's solver within a limit of one thread (``threadpoolctl``) was tried in the
    place of this function. From 500 neurons on its decoders are others than Nengo's,
    since products are summed in another order; looking for the libraries takes 1 to 2
    ms for each connection; and it cannot reuse the factors of an ensemble.
    """
    start = time.time()
    try:
        from scipy.linalg import cho_solve
    except ImportError:
        return solver(activities, targets)
    n_points, n_neurons = activities.shape
    sigma = _NOISE[type(solver)](solver, activities)
    fat = solver.solver.transpose
    if fat is None:
        fat = n_points < n_neurons and sigma.size == 1
    key = (bool(fat), sigma.tobytes())
    factor = factors.get(key)
    if factor is None:
        gram = _gram(activities.T if fat else activities)
        np.fill_diagonal(gram, gram.diagonal() + n_points * sigma**2)
        try:
            factor = _factorize(gram)
        except np.linalg.LinAlgError:
            factor = None
        del gram
        if factor is None or not np.all(np.isfinite(factor.diagonal())):
            return solver(activities, targets)  # which says what is wrong
        factors[key] = factor = np.asfortranarray(factor)

    sides = targets if fat else np.dot(activities.T, targets)
    if not np.all(np.isfinite(sides)):
        return solver(activities, targets)
    system = (factor, False)
    if sides.shape[1] <= MAX_ALONE:
        decoders = np.empty(sides.shape)
        for i, side in enumerate(sides.T):
            decoders[:, i] = cho_solve(system, side, check_finite=False)
    else:
        decoders = cho_solve(system, sides, check_finite=False)
    if fat:
        decoders = np.dot(activities.T, decoders)
    info = {"rmses": rmses(activities, decoders, targets)}
    info["time"] = time.time() - start
    return decoders, info


def _gram(columns: np.ndarray) -> np.ndarray:
    """Return the products of all pairs of columns, the upper triangle of large ones."""
    n = columns.shape[1]
    if n <= MOST_ROWS:
        return columns.T @ columns
    first, second = columns[:, : n // 2], columns[:, n // 2 :]
    gram = np.zeros((n, n), dtype=columns.dtype)
    gram[: n // 2, : n // 2] = _gram(first)
    gram[: n // 2, n // 2 :] = first.T @ second
    gram[n // 2 :, n // 2 :] = _gram(second)
    return gram


def _factorize(gram: np.ndarray) -> np.ndarray:
    """Return the upper triangular factor of a matrix, of large ones by their quarters.

    Large matrices are overwritten, to save memory, and keep what is below the diagonal.
    Nengo itself crashes with such ensembles, unless it is kept to one thread.
    """
    if len(gram) <= MOST_ROWS:
        return np.linalg.cholesky(gram, upper=True)
    from scipy.linalg import solve_triangular

    half = len(gram) // 2
    first, right, last = gram[:half, :half], gram[:half, half:], gram[half:, half:]
    first[...] = _factorize(first)
    right[...] = solve_triangular(first, right, trans="T", check_finite=False)
    last -= right.T @ right
    last[...] = _factorize(last)
    return gram


def _l2_noise(solver: LstsqL2, activities: np.ndarray) -> np.ndarray:
    return solver.reg * activities.max()


def _l2nz_noise(solver: LstsqL2nz, activities: np.ndarray) -> np.ndarray:
    size = np.abs(activities)
    sigma = solver.reg * size.max() * np.sqrt((size > 0).mean(axis=0))
    sigma[sigma == 0] = sigma.max()
    return sigma


# standard deviations that the solvers assume, for all neurons or for each of them
_NOISE: dict[type[Solver], Callable[[Any, np.ndarray], np.ndarray]] = {
    LstsqL2: _l2_noise,
    LstsqL2nz: _l2nz_noise,
}
