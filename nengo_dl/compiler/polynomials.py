"""Short series for exponentials and logarithms whose arguments are known to be small.

In one time step a membrane decays by a few percent, so ``expm1`` and ``log1p`` are only
asked for a narrow range around zero, known when the model is built. Within it a handful
of multiplications replaces the library function; how many is computed here, from the
range and the precision, so that the truncated tail is below rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

__all__ = ["MAX_TERMS", "atanh_series", "decay_series", "evaluate"]

#: Series with more terms than this are not worth having: the library functions, which
#: cost about as much as thirty multiplications, take over.
MAX_TERMS = 14


def evaluate(coefficients: Sequence[float], x: Any) -> Any:
    """Evaluate a polynomial by Horner's rule.

    Parameters
    ----------
    coefficients : sequence of float
        Coefficients, constant term first.
    x : float, ndarray or tf.Tensor
        Where to evaluate; anything with multiplication and addition.

    Returns
    -------
    float, ndarray or tf.Tensor
        ``sum(c * x**k for k, c in enumerate(coefficients))``; a plain number if there
        is only the constant term.
    """
    value: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def decay_series(h_max: float, dtype: np.dtype) -> tuple[float, ...] | None:
    r"""Return coefficients from which ``1 - exp(-h)`` follows with one division.

    Parameters
    ----------
    h_max : float
        The argument lies in ``[0, h_max]`` (a time divided by a time constant).
    dtype : numpy.dtype
        Precision that the truncation error has to stay below.

    Returns
    -------
    tuple of float or None
        Coefficients ``b`` of the series in ``h**2`` below, or None if it would need
        more than `MAX_TERMS` of them.

    Notes
    -----
    The generating function of the Bernoulli numbers [1]_ gives

    .. math::

        1 - e^{-h} = \frac{h}{\tfrac{h}{2} + \sum_{k} b_k h^{2k}},
        \qquad b_k = \frac{B_{2k}}{(2k)!} .

    It converges for :math:`h < 2\pi`, has only even powers besides ``h / 2``, and the
    sum is well conditioned; the Taylor series of the exponential needs about twice as
    many terms.

    References
    ----------
    .. [1] M. Abramowitz and I. A. Stegun. Handbook of Mathematical Functions, 23.1.1.
    """
    if h_max >= 2 * math.pi:
        return None
    # successive terms shrink by at least this ratio: |B_2k|/(2k)! ~ 2 / (2 pi)^2k
    return _truncate(_decay_coefficient, h_max**2, (h_max / (2 * math.pi)) ** 2, dtype)


def atanh_series(s_max: float, dtype: np.dtype) -> tuple[float, ...] | None:
    r"""Return coefficients of ``atanh(s) / s`` as a polynomial in ``s**2``.

    Parameters
    ----------
    s_max : float
        The argument lies in ``[-s_max, s_max]``.
    dtype : numpy.dtype
        Precision that the truncation error has to stay below.

    Returns
    -------
    tuple of float or None
        Coefficients, constant term first, or None if more than `MAX_TERMS` were needed.

    Notes
    -----
    With :math:`s = x / (2 + x)`,

    .. math:: \log(1 + x) = 2 \operatorname{artanh}(s)
        = 2 s \sum_k \frac{s^{2k}}{2k + 1} ,

    which needs far fewer terms than the series of the logarithm in :math:`x`.
    """
    if s_max >= 1:
        return None
    return _truncate(_atanh_coefficient, s_max**2, s_max**2, dtype)


def _truncate(
    coefficient: Callable[[int], float], z_max: float, ratio: float, dtype: np.dtype
) -> tuple[float, ...] | None:
    """Cut a series whose sum is about 1 where its tail is below rounding."""
    tolerance = float(np.finfo(dtype).eps) / 4
    for n_terms in range(1, MAX_TERMS + 1):
        tail = abs(coefficient(n_terms)) * z_max**n_terms / (1 - ratio)
        if tail <= tolerance:
            return tuple(coefficient(k) for k in range(n_terms))
    return None


def _atanh_coefficient(k: int) -> float:
    return 1 / (2 * k + 1)


def _decay_coefficient(k: int) -> float:
    return float(_bernoulli(2 * k) / math.factorial(2 * k))


@cache
def _bernoulli(n: int) -> Fraction:
    if n == 0:
        return Fraction(1)
    return -sum(
        (math.comb(n + 1, k) * _bernoulli(k) for k in range(n)), Fraction(0)
    ) / (n + 1)
