"""Random numbers of Nengo, drawn and shuffled in less time."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FastRandom"]


class FastRandom(np.random.RandomState):
    """Random numbers of ``numpy.random.RandomState``, which are shuffled fast.

    NumPy shuffles the rows of matrices in Python, at a microsecond each, but vectors in
    C. Both draw the same numbers, so a vector can say where each row goes.

    Parameters
    ----------
    seed : int, optional
        As of ``RandomState``.

    Examples
    --------
    >>> import numpy as np
    >>> from nengo_dl.building.randomness import FastRandom
    >>> rows, same = np.arange(6).reshape(3, 2), np.arange(6).reshape(3, 2)
    >>> FastRandom(1).shuffle(rows)
    >>> np.random.RandomState(1).shuffle(same)
    >>> (rows == same).all()
    np.True_
    """

    def shuffle(self, x: Any) -> None:
        """Shuffle a sequence in place; see ``numpy.random.RandomState.shuffle``.

        Parameters
        ----------
        x : ndarray or sequence
            What to shuffle, along its first axis.
        """
        if type(x) is not np.ndarray or x.ndim < 2:
            super().shuffle(x)
            return
        order = np.arange(len(x))
        super().shuffle(order)
        x[...] = x[order]
