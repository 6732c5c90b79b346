"""Zeros with which signals start."""

from __future__ import annotations

import numpy as np

__all__ = ["Zeros"]


class Zeros:
    """Zeros that signals share: simulators start with copies of initial values.

    Examples
    --------
    >>> import numpy as np
    >>> from nengo_dl.building.zeros import Zeros
    >>> zeros = Zeros()
    >>> zeros.of((2,), np.dtype(float)) is zeros.of((2,), np.dtype(float))
    True
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], np.dtype], np.ndarray] = {}

    def of(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return zeros that cannot be written.

        Parameters
        ----------
        shape : tuple of int
            Their shape.
        dtype : numpy.dtype
            Their type.
        """
        array = self._known.get((shape, dtype))
        if array is None:
            array = self._known[shape, dtype] = np.zeros(shape, dtype=dtype)
            array.setflags(write=False)
        return array
