"""Evaluation points of ensembles, computed when somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder import ensemble as nengos
from nengo.dists import QuasirandomSequence, ScatteredHypersphere
from nengo.utils.builder import default_n_eval_points

from nengo_dl.building.randomness import FastRandom

__all__ = ["LateEnsemble", "LatePoints", "later"]


@dataclass(frozen=True)
class LatePoints:
    """Evaluation points that can be drawn when they are needed.

    Attributes
    ----------
    distribution : ScatteredHypersphere
        What they are drawn from.
    n_points, dimensions : int
        How many, and of how many dimensions.
    radius : float
        What they are multiplied by.
    seed : int
        Of the stream that begins with them.
    dtype : numpy.dtype
        Their type.
    """

    distribution: ScatteredHypersphere
    n_points: int
    dimensions: int
    radius: float
    seed: int
    dtype: np.dtype

    def skip(self, rng: np.random.RandomState) -> None:
        """Advance a stream as drawing the points would.

        Parameters
        ----------
        rng : numpy.random.RandomState
            The stream.
        """
        n, d = self.n_points, self.dimensions
        if d == 1:  # both halves of a line, and both together
            for n_drawn in (n // 2, n - n // 2):
                rng.uniform(size=1)
                rng.shuffle(np.arange(n_drawn))
            rng.shuffle(np.arange(n))
        else:
            rng.uniform(size=d)
            rng.shuffle(np.arange(n))
            rng.standard_normal((d, d))

    def compute(self) -> np.ndarray:
        """Return the points, shape ``(n_points, dimensions)``."""
        rng = FastRandom(self.seed)
        points = self.distribution.sample(self.n_points, self.dimensions, rng)
        points = points.astype(self.dtype)
        points *= self.radius
        return points


class LateEnsemble(nengos.BuiltEnsemble):
    """Nengo's record of an ensemble, whose evaluation points are computed when read.

    Only decoders need them: an ensemble of which the decoders are given never does. A
    thousand points in four dimensions take 0.8 ms and 32 kB.
    """

    _points: np.ndarray | None = None

    @property
    def eval_points(self) -> np.ndarray:
        """Evaluation points, shape ``(n_points, dimensions)``."""
        late: Any = tuple.__getitem__(self, 0)
        if not isinstance(late, LatePoints):
            return late
        if self._points is None:
            self._points = late.compute()
        return self._points

    def __iter__(self) -> Iterator[Any]:
        yield self.eval_points
        yield from tuple.__getitem__(self, slice(1, None))

    def __getitem__(self, key: Any) -> Any:
        return tuple(self)[key]

    def __repr__(self) -> str:
        return repr(nengos.BuiltEnsemble(*self))

    def __reduce__(self) -> tuple[Any, ...]:
        return LateEnsemble, tuple.__getitem__(self, slice(None))


def later(ens: nengo.Ensemble, seed: int, dtype: np.dtype) -> LatePoints | None:
    """Return the evaluation points of an ensemble, to be computed later.

    Parameters
    ----------
    ens : nengo.Ensemble
        An ensemble.
    seed : int
        Its seed.
    dtype : numpy.dtype
        Type of the points.

    Returns
    -------
    LatePoints or None
        None if it is not known how many random numbers are drawn for them: if they are
        not distributed as Nengo's default is.
    """
    distribution = ens.eval_points
    if (
        type(distribution) is not ScatteredHypersphere
        or type(distribution.base) is not QuasirandomSequence
        or distribution.surface
    ):
        return None
    n_points = ens.n_eval_points
    if n_points is None:
        n_points = default_n_eval_points(ens.n_neurons, ens.dimensions)
    if n_points < 2:
        return None
    return LatePoints(distribution, n_points, ens.dimensions, ens.radius, seed, dtype)
