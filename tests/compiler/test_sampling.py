"""Which steps a probe keeps: Nengo's rule, however it is asked."""

import nengo
import numpy as np
import pytest

from nengo_dl.compiler.sampling import Sampling

PERIODS = [0.4, 1.0, 1.5, 2.0, 2.5, 7.3, 40.0]


@pytest.mark.parametrize("period", PERIODS)
def test_all_questions_have_one_answer(period):
    sampling = Sampling(period)
    kept = np.array([sampling.keeps(step) for step in range(1, 101)])
    np.testing.assert_array_equal(sampling.mask(0, 100), kept)
    for first, n_steps in ((0, 10), (3, 1), (17, 60), (5, 0)):
        part = kept[first : first + n_steps]
        np.testing.assert_array_equal(sampling.mask(first, n_steps), part)
        assert sampling.n_kept(first, n_steps) == part.sum()
        last = Sampling(period, only_last=True)
        assert last.n_kept(first, n_steps) == int(part.any())


@pytest.mark.parametrize("sample_every", [None, 0.0004, 0.001, 0.0025, 0.007])
def test_rule_is_that_of_core(sample_every):
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(lambda t: t), sample_every=sample_every)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(50)
    steps = np.flatnonzero(Sampling.every(sample_every, 0.001).mask(0, 50)) + 1
    np.testing.assert_allclose(sim.data[probe][:, 0], steps * 0.001)
