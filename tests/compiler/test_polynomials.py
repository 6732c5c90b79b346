"""Truncated series against extended precision."""

import numpy as np
import pytest

from nengo_dl.compiler.polynomials import (
    MAX_TERMS,
    atanh_series,
    decay_series,
    evaluate,
)

needs_extended_precision = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="long double is double here"
)
PRECISIONS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def test_evaluate_is_a_polynomial_with_the_constant_first():
    assert evaluate((1, 2, 3), 2.0) == 1 + 2 * 2 + 3 * 4
    assert evaluate((7.0,), np.arange(3)) == 7.0


@needs_extended_precision
@PRECISIONS
@pytest.mark.parametrize("h_max", [1e-6, 0.01, 0.05, 0.2, 0.6])
def test_decay_series_is_accurate_to_rounding(h_max, dtype):
    h = np.linspace(0, h_max, 20001).astype(dtype)
    series = decay_series(h_max, dtype)
    decay = h / (h * dtype(0.5) + evaluate([dtype(c) for c in series], h * h))
    assert decay.dtype == dtype
    exact = -np.expm1(-h.astype(np.longdouble))
    ulps = np.abs(decay - exact)[1:] / exact[1:] / np.finfo(dtype).eps
    assert decay[0] == 0
    assert ulps.max() < 2


@needs_extended_precision
@PRECISIONS
@pytest.mark.parametrize("h_max", [1e-6, 0.01, 0.05, 0.2, 0.6])
def test_atanh_series_gives_log1p_to_rounding(h_max, dtype):
    s_max = np.tanh(h_max / 2)
    s = np.linspace(-s_max, s_max, 20001).astype(dtype)
    series = atanh_series(s_max, dtype)
    log = 2 * s * evaluate([dtype(c) for c in series], s * s)
    assert log.dtype == dtype
    wide = s.astype(np.longdouble)
    exact = np.log1p(2 * wide / (1 - wide))
    nonzero = s != 0
    ulps = np.abs(log - exact)[nonzero] / np.abs(exact[nonzero]) / np.finfo(dtype).eps
    assert np.all(log[~nonzero] == 0)
    assert ulps.max() < 2


@PRECISIONS
@pytest.mark.parametrize("series", [decay_series, atanh_series])
def test_number_of_terms_follows_the_range(series, dtype):
    lengths = [len(series(bound, dtype)) for bound in (0, 1e-9, 1e-3, 0.05, 0.2)]
    assert lengths[0] == lengths[1] == 1
    assert lengths == sorted(lengths)
    assert lengths[-1] <= MAX_TERMS


def test_default_neurons_need_few_terms():
    # dt = 1 ms, tau_rc = 20 ms
    assert len(decay_series(0.05, np.float32)) == 2
    assert len(decay_series(0.05, np.float64)) == 4
    assert len(atanh_series(0.025, np.float32)) == 3
    assert len(atanh_series(0.025, np.float64)) == 5


@PRECISIONS
def test_ranges_that_are_too_wide_have_no_series(dtype):
    assert decay_series(6.0, dtype) is None
    assert decay_series(1e6, dtype) is None
    assert atanh_series(0.9, dtype) is None
    assert atanh_series(1.0, dtype) is None
