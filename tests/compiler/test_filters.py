"""Systems of filters are those of Nengo, each kind found once."""

import nengo
import numpy as np
import pytest
from nengo.synapses import LinearFilter

from nengo_dl.compiler.filters import FilterSystems

FILTERS = [
    nengo.Lowpass(0.1),
    nengo.Lowpass(0),
    nengo.Alpha(0.05),
    LinearFilter([1], [0.001, 0.1, 1], method="bilinear"),
    LinearFilter([0.5, 0.1], [1, -0.9], analog=False),
    LinearFilter([2], [1]),
]


@pytest.mark.parametrize("process", FILTERS, ids=repr)
def test_system_is_nengos(process):
    found = FilterSystems(0.001).find(process)
    state = process.make_state((1,), (1,), 0.001)
    expected = process.make_step((1,), (1,), 0.001, None, state)
    assert type(found) is type(expected)
    for name in "ABCD":
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_each_kind_is_discretized_once_for_each_time_step(monkeypatch):
    calls = []
    original = LinearFilter._get_ss
    monkeypatch.setattr(
        LinearFilter, "_get_ss", lambda self, dt: calls.append(dt) or original(self, dt)
    )
    systems = FilterSystems(0.001)
    found = [systems.find(nengo.Lowpass(tau)) for tau in (0.1, 0.1, 0.2, 0.1)]
    assert found[0] is found[1] is found[3] is not found[2]
    once = len(calls)
    systems.find(nengo.Lowpass(0.2))
    assert len(calls) == once
    assert FilterSystems(0.002).find(nengo.Lowpass(0.1)).a != found[0].a


@pytest.mark.parametrize(
    "other",
    [
        LinearFilter([1], [0.1, 1], method="euler"),
        LinearFilter([1], [0.1, 1], analog=False),
        LinearFilter([1], [0.2, 1]),
        LinearFilter([2], [0.1, 1]),
    ],
    ids=["method", "analog", "denominator", "numerator"],
)
def test_kinds_differ_in_all_that_matters(other):
    systems = FilterSystems(0.001)
    one = systems.find(LinearFilter([1], [0.1, 1]))
    assert systems.find(other) is not one


def test_subclasses_are_asked_each_time():
    class Fading(nengo.Lowpass):
        gain = 1.0

        def _get_ss(self, dt):
            A, B, C, D = super()._get_ss(dt)
            return A, self.gain * B, C, D

    systems = FilterSystems(0.001)
    weak, strong = Fading(0.1), Fading(0.1)
    strong.gain = 2.0
    assert systems.find(strong).b == 2 * systems.find(weak).b
