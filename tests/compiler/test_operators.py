"""The NumPy steps of our own operators against what they replace."""

import nengo
import numpy as np
import pytest
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.operators import RandomSample, StochasticRounding


@pytest.mark.parametrize("base", [nengo.RectifiedLinear(), nengo.Tanh()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sample_and_rounding_reproduce_stochastic_spiking(base, dtype):
    neurons = nengo.StochasticSpiking(base, amplitude=0.7)
    n_neurons, dt = 50, 0.001
    rates = Signal(np.zeros(n_neurons, dtype), name="rates")
    draws = Signal(np.zeros(n_neurons), name="draws")
    output = Signal(np.zeros(n_neurons, dtype), name="output")
    ops = [
        RandomSample(np.random.RandomState(4), draws),
        StochasticRounding(neurons, rates, draws, output),
    ]
    signals = SignalDict()
    for op in ops:
        op.init_signals(signals)
    steps = [op.make_step(signals, dt, np.random) for op in ops]

    rng, core_rng = np.random.RandomState(0), np.random.RandomState(4)
    for _ in range(20):
        signals[rates][...] = 3000 * (rng.rand(n_neurons) - 0.5 * neurons.negative)
        for step in steps:
            step()
        expected = np.zeros(n_neurons, dtype)
        neurons.step(dt, signals[rates], expected, rng=core_rng)
        assert np.array_equal(signals[output], expected)
        assert np.any(expected)


def test_operators_list_their_signals():
    rates, draws, output = (Signal(np.zeros(3), name=name) for name in "abc")
    neurons = nengo.StochasticSpiking(nengo.RectifiedLinear())
    rounding = StochasticRounding(neurons, rates, draws, output)
    assert (rounding.J, rounding.draws, rounding.output) == (rates, draws, output)
    assert rounding.reads == [rates, draws]
    assert rounding.sets == [output]
    assert "StochasticSpiking" in str(rounding)
    sample = RandomSample(np.random.RandomState(0), draws)
    assert sample.sets == [draws]
    assert sample.reads == sample.incs == sample.updates == []
    assert "b" in str(sample)
