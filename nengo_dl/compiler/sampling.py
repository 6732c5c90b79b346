"""Which steps a probe keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Sampling"]


@dataclass(frozen=True, order=True)
class Sampling:
    r"""The steps whose values are kept: every so many, all, or only the last of them.

    Attributes
    ----------
    period : float
        After how many steps a value is kept; need not be whole. 1 or less: all are.
    only_last : bool
        Whether only the last of the values that are kept is wanted.

    Notes
    -----
    Nengo's rule: step :math:`n`, counted from 1, is kept if
    :math:`n \bmod \mathrm{period} < 1`.

    Examples
    --------
    >>> from nengo_dl.compiler.sampling import Sampling
    >>> [step for step in range(1, 8) if Sampling(2.5).keeps(step)]
    [3, 5]
    """

    period: float = 1.0
    only_last: bool = False

    @classmethod
    def every(
        cls, sample_every: float | None, dt: float, only_last: bool = False
    ) -> Sampling:
        """Return the rule of a sampling period in seconds (None: each step)."""
        return cls(1.0 if sample_every is None else sample_every / dt, only_last)

    def keeps(self, step: int) -> bool:
        """Whether the value of a step is kept (``only_last`` does not count)."""
        return self.period <= 1 or step % self.period < 1

    def mask(self, first: int, n_steps: int) -> np.ndarray:
        """Return, for some steps, whether each is kept.

        Parameters
        ----------
        first : int
            Number of the step before the first one.
        n_steps : int
            How many steps.

        Returns
        -------
        (n_steps,) ndarray of bool
            As of `keeps`.
        """
        if self.period <= 1:
            return np.ones(n_steps, dtype=bool)
        return np.arange(first + 1, first + n_steps + 1) % self.period < 1

    def n_kept(self, first: int, n_steps: int) -> int:
        """Return how many values of some steps are kept (see `mask`)."""
        all_kept = self.period <= 1
        count = n_steps if all_kept else int(self.mask(first, n_steps).sum())
        return min(count, 1) if self.only_last else count

    def room(self, n_steps: int) -> int:
        """Return how many slots any ``n_steps`` steps need at most (see `slots`)."""
        if self.only_last:
            return 2  # the value that is wanted, and those of steps after it
        return n_steps if self.period <= 1 else int(n_steps / self.period) + 2

    def slots(self, first: int, n_steps: int) -> np.ndarray:
        """Return where the value of each step goes.

        A later step replaces an earlier one that is not to be kept.

        Parameters
        ----------
        first, n_steps : int
            As for `mask`.

        Returns
        -------
        (n_steps,) ndarray of int
            Positions; the first `n_kept` of them then hold what is kept.
        """
        kept = self.mask(first, n_steps)
        if self.only_last:
            last = np.max(np.flatnonzero(kept), initial=-1)
            return (np.arange(n_steps) > last).astype(int)
        return np.cumsum(kept) - kept
