"""Values that users feed, in the place of what Nodes produce."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nengo.builder.signal import Signal

__all__ = ["rows_of", "with_feeds"]

Values = Mapping[Signal, np.ndarray]


def rows_of(feeds: Values, start: int, count: int) -> dict[Signal, np.ndarray]:
    """Return what is fed in some of the steps."""
    return {signal: rows[start : start + count] for signal, rows in feeds.items()}


def with_feeds(
    values: Values, fed: Values, fixed_inputs: Values
) -> dict[Signal, np.ndarray]:
    """Put feeds and constant inputs in the place of what the host produces."""
    result = {
        signal: np.asarray(value)[None, None] for signal, value in fixed_inputs.items()
    }
    result.update(values)
    result.update(fed)
    return result
