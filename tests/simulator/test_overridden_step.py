"""A subclass that overrides `step` is used by `run` and `run_steps`, as in core."""

import nengo
import numpy as np
import pytest

import nengo_dl


@pytest.fixture
def net():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node(lambda t: np.sin(30 * t))
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(net.node, ens)
        net.probe = nengo.Probe(ens)
    return net


def counting(base):
    class Counting(base):
        n_calls = 0

        def step(self):
            self.n_calls += 1
            super().step()

    return Counting


def test_run_calls_step_as_often_as_core(net):
    found = []
    for base, kwargs in (
        (nengo.Simulator, {"optimize": False}),
        (nengo_dl.Simulator, {"dtype": "float64"}),
    ):
        with counting(base)(net, progress_bar=False, **kwargs) as sim:
            sim.run(0.02)
            sim.run_steps(5)
            sim.step()
            found.append((sim.n_calls, sim.n_steps, sim.data[net.probe].copy()))
    (n_core, steps_core, expected), (n_ours, steps_ours, data) = found
    assert n_core == n_ours == steps_core == steps_ours == 26
    np.testing.assert_allclose(data, expected, atol=1e-12)


def test_steps_that_are_called_get_the_feeds_of_the_run(net):
    feeds = {net.node: np.linspace(0, 1, 8).reshape(1, 8, 1)}
    data = []
    for cls in (nengo_dl.Simulator, counting(nengo_dl.Simulator)):
        with cls(net, progress_bar=False, dtype="float64") as sim:
            sim.run_steps(8, input_feeds=feeds)
            data.append(sim.data[net.probe].copy())
            assert getattr(sim, "n_calls", 8) == 8
    np.testing.assert_allclose(data[1], data[0], atol=1e-12)


def test_a_step_of_the_object_itself_is_called_too(net):
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        step, calls = sim.step, []

        def counted():
            calls.append(sim.n_steps)
            step()

        sim.step = counted
        sim.run_steps(4)
        assert calls == [0, 1, 2, 3] and sim.n_steps == 4


def test_a_step_may_end_a_run_with_an_exception(net):
    class Ending(nengo_dl.Simulator):
        def step(self):
            if self.n_steps == 3:
                raise StopIteration
            super().step()

    with Ending(net, progress_bar=False) as sim:
        with pytest.raises(StopIteration):
            sim.run_steps(10)
        assert sim.n_steps == 3 == len(sim.data[net.probe])


def test_steps_with_arguments_do_not_call_themselves(net):
    with counting(nengo_dl.Simulator)(net, progress_bar=False) as sim:
        nengo_dl.Simulator.step(sim, progress_bar=False)
        assert (sim.n_calls, sim.n_steps) == (0, 1)
