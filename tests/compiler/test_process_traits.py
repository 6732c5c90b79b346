"""One row of facts for each type of process."""

import nengo
import numpy as np
import pytest
from nengo.builder.operator import SimPyFunc, TimeUpdate
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.processes import (
    BrownNoise,
    FilteredNoise,
    Piecewise,
    PresentInput,
    WhiteNoise,
    WhiteSignal,
)

from nengo_dl.compiler.operators import RandomSample
from nengo_dl.compiler.process_traits import is_random, is_restless, traits_of


class Mine(WhiteNoise):
    """Of a user: nobody knows what it does."""


def operator(process):
    x, t = Signal(np.zeros(1), name="x"), Signal(np.zeros(()), name="t")
    return SimProcess(process, None, x, t, state={})


@pytest.mark.parametrize(
    "make",
    [WhiteNoise, FilteredNoise, BrownNoise, lambda **kw: WhiteSignal(1, 10, **kw)],
    ids=["WhiteNoise", "FilteredNoise", "BrownNoise", "WhiteSignal"],
)
def test_values_of_noise_are_random_unless_there_is_a_seed(make):
    process, seeded = make(), make(seed=1)
    assert is_random(operator(process)) and not is_random(operator(seeded))
    assert is_restless(operator(process)) and is_restless(operator(seeded))


@pytest.mark.parametrize(
    "process", [PresentInput([[0.0], [1.0]], 0.1), Piecewise({0: 0, 1: 1})]
)
def test_data_is_the_same_for_all(process):
    assert not is_random(operator(process))
    assert not traits_of(process).draws


@pytest.mark.parametrize(
    "process, draws",
    [(WhiteNoise(), True), (BrownNoise(), True), (WhiteSignal(1, 10), False)],
)
def test_numbers_are_drawn_in_each_step_or_at_the_start(process, draws):
    """Draw with the step function that Nengo makes, and watch the stream."""
    rng = np.random.RandomState(0)
    state = process.make_state((0,), (1,), 0.001)
    step = process.make_step((0,), (1,), 0.001, rng, state)
    before = rng.get_state()[2]
    for n in range(3):
        step(n * 0.001)
    assert (rng.get_state()[2] != before) is draws
    assert traits_of(process).draws is draws


def test_a_subclass_of_a_user_may_do_anything():
    traits = traits_of(Mine())
    assert traits.keeps_more and traits.draws and traits.is_random
    assert not traits_of(WhiteNoise()).keeps_more
    assert not traits_of(nengo.synapses.Lowpass(0.1)).keeps_more


def test_functions_and_the_clock_are_not_random_but_draws_are():
    x, t = Signal(np.zeros(1), name="x"), Signal(np.zeros(()), name="t")
    clock, function = TimeUpdate(Signal(np.zeros(())), t), SimPyFunc(x, np.sin, t, None)
    draws = RandomSample(np.random.RandomState(0), x)
    assert [is_random(op) for op in (clock, function, draws)] == [False, False, True]
    assert [is_restless(op) for op in (clock, function, draws)] == [True, False, True]
