"""Writers of parts of a signal are found, few or many."""

import numpy as np
import pytest
from nengo.builder.signal import Signal

from nengo_dl.compiler import dependencies
from nengo_dl.compiler.dependencies import _Writers


@pytest.mark.parametrize("few", [0, 1000], ids=["sorted", "one by one"])
@pytest.mark.parametrize("n_writers", [1, 7, 60])
def test_writers_of_a_range_are_found(few, n_writers, monkeypatch):
    monkeypatch.setattr(dependencies, "_FEW", few)
    rng = np.random.RandomState(n_writers)
    base, writers, ranges = Signal(np.zeros(100)), _Writers(), []
    for number in range(n_writers):
        low = rng.randint(99)
        high = rng.randint(low + 1, 101)
        writers.add(number, base[low:high])
        ranges.append((low, high))
    for low, high in ((0, 100), (0, 1), (40, 41), (99, 100), (10, 60)):
        expected = [
            number
            for number, (first, end) in enumerate(ranges)
            if first < high and end > low
        ]
        assert sorted(writers.overlapping(low, high)) == expected
