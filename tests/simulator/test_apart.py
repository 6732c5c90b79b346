"""Runs that begin in the initial state and leave the simulation as it was."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


def make_net():
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([0.5], label="in")
        net.noise = nengo.Node(
            nengo.processes.FilteredNoise(nengo.Alpha(0.1), seed=1), size_out=1
        )
        net.ens = nengo.Ensemble(20, 1)
        nengo.Connection(net.node, net.ens)
        nengo.Connection(net.noise, net.ens)
        net.probe = nengo.Probe(net.ens, synapse=0.01)
        net.noise_probe = nengo.Probe(net.noise)
        net.ramp = nengo.Probe(nengo.Node(lambda t: t))
    return net


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, progress_bar=False, seed=3, **kwargs)


@pytest.mark.parametrize("jit_compile", [True, None], ids=["compiled", "numpy"])
def test_run_apart_begins_at_the_start_and_leaves_the_state(jit_compile):
    net = make_net()
    with simulator(net, jit_compile=jit_compile) as sim:
        sim.run_steps(10)
        signal = sim.model.sig[net.ens.neurons]["voltage"]
        first, voltage = sim.data[net.ramp].copy(), np.array(sim.signals[signal])
        sim.run_steps(4, stateful=False)
        assert np.array_equal(sim.data[net.ramp], first[:4])
        assert sim.n_steps == 4 and len(sim.trange()) == 4
        assert np.array_equal(sim.signals[signal], voltage)
        sim.run_steps(3)
        assert sim.n_steps == 13 and len(sim.data[net.ramp]) == 13
        assert np.array_equal(sim.data[net.ramp][:10], first)
        assert sim.data[net.ramp][-1] == pytest.approx(0.013)


@pytest.mark.parametrize("jit_compile", [True, None], ids=["compiled", "numpy"])
def test_simulation_goes_on_as_if_a_run_apart_had_not_been(jit_compile):
    net = make_net()
    net.noise.output = nengo.processes.WhiteSignal(1, high=10, seed=1)
    results = []
    for goes_apart in (False, True):
        with simulator(net, jit_compile=jit_compile, dtype="float64") as sim:
            sim.run_steps(20)
            if goes_apart:
                sim.run_steps(7, stateful=False)
                sim.step(stateful=False)
                sim.run(0.005, data={"in": np.ones((1, 5, 1))}, stateful=False)
            sim.step()
            sim.run_steps(20)
            results.append([sim.data[p] for p in (net.probe, net.noise_probe)])
    for expected, found in zip(*results, strict=True):
        assert np.array_equal(found, expected)


def test_state_of_processes_is_as_before_a_run_apart():
    with nengo.Network() as net:
        process = Counter()
        probe = nengo.Probe(nengo.Node(process))
    with simulator(net) as sim:
        sim.run_steps(5)
        sim.run_steps(2, stateful=False)
        assert np.array_equal(sim.data[probe][:, 0], [1, 2])
        sim.run_steps(1)
        assert np.array_equal(sim.data[probe][:, 0], [1, 2, 3, 4, 5, 6])


class Counter(nengo.Process):
    """Counts steps, in Nengo's state."""

    def __init__(self):
        super().__init__(default_size_in=0, default_size_out=1)

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"count": np.zeros(1)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t):
            state["count"] += 1
            return state["count"]

        return step


def test_learned_weights_stay_in_runs_apart():
    with nengo.Network(seed=0) as net:
        pre, post = nengo.Ensemble(10, 1), nengo.Node(size_in=1)
        conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-2))
        nengo.Connection(nengo.Node([0.5]), conn.learning_rule)
        weights = nengo.Probe(conn, "weights")
    with simulator(net) as sim:
        sim.run_steps(50)
        learned = np.array(sim.data[conn].weights)
        sim.run_steps(50, stateful=False)
        assert np.allclose(sim.data[weights][0], learned, atol=1e-4)
        assert not np.allclose(sim.data[weights][-1], learned, atol=1e-4)
        assert np.array_equal(sim.data[conn].weights, learned)


def test_argument_beats_the_setting():
    net = make_net()
    with net:
        nengo_dl.configure_settings(stateful=False)
    with simulator(net) as sim:
        sim.run_steps(5, stateful=True)
        sim.run_steps(2)
        assert sim.n_steps == 2
        sim.run_steps(5, stateful=True)
        assert sim.n_steps == 10 and len(sim.data[net.ramp]) == 10


def test_runs_apart_with_an_overridden_step_are_one_run():
    class Counting(nengo_dl.Simulator):
        n_calls = 0

        def step(self, **kwargs):
            self.n_calls += 1
            super().step(**kwargs)

    net = make_net()
    with Counting(net, progress_bar=False) as sim:
        sim.run_steps(3)
        sim.run_steps(4, stateful=False)
        assert sim.n_calls == 7
        assert np.allclose(sim.data[net.ramp][:, 0], np.arange(1, 5) / 1000)
        sim.step()
        assert len(sim.data[net.ramp]) == sim.n_steps == 4


def test_saved_state_is_that_of_the_simulation(tmp_path):
    net = make_net()
    with simulator(net) as sim:
        sim.run_steps(6)
        sim.run_steps(2, stateful=False)
        sim.save_params(tmp_path / "state", include_state=True)
        sim.soft_reset(include_probes=True)
        assert sim.n_steps == 0
        sim.load_params(tmp_path / "state", include_state=True)
        assert sim.n_steps == 6


def test_data_is_another_name_of_input_feeds():
    net = make_net()
    with net:
        probe = nengo.Probe(net.node)
    with simulator(net) as sim:
        sim.run_steps(2, data={net.node: [[[1], [2]]]})
        sim.step(data={"in": [[[3]]]})
        sim.run(0.001, data={"in": [[[4]]]})
        assert np.array_equal(sim.data[probe][:, 0], [1, 2, 3, 4])
        with pytest.raises(ValidationError, match=r"data: .*another name of input_fee"):
            sim.run_steps(1, {net.node: [[[1]]]}, data={net.node: [[[1]]]})
        with pytest.raises(
            ValidationError, match="stateful: Must be True, False or No"
        ):
            sim.run_steps(1, stateful="no")
