"""Code of the model that looks at its simulator sees what it would see in core."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError

import nengo_dl

#: A function of the time runs ahead of the device, one with input in its steps.
KINDS = ["time", "input"]


def network(kind, look):
    """Return a network whose node calls ``look`` in each step."""

    def function(t, *x):
        look()
        return np.sin(20 * t)

    with nengo.Network(seed=0) as net:
        size_in = 0 if kind == "time" else 1
        node = nengo.Node(function, size_in=size_in, size_out=1)
        ens = nengo.Ensemble(10, 1)
        if size_in:
            nengo.Connection(nengo.Node(0.3), node, synapse=None)
        nengo.Connection(node, ens)
        learned = nengo.Connection(ens, ens, learning_rule_type=nengo.PES())
        nengo.Connection(ens, learned.learning_rule)
        net.probe = nengo.Probe(ens, synapse=0.01)
        net.sampled = nengo.Probe(ens, sample_every=0.003)
        net.learned = learned
    return net


def record(make, kind, look):
    """Return what ``look`` saw of a simulator in 25 steps, in three runs."""
    seen, held = [], []
    net = network(kind, lambda: held and seen.append(look(held[0], net)))
    with make(net) as sim:
        held.append(sim)
        sim.run(0.008)
        sim.step()
        sim.run_steps(16)
        return seen, np.array(sim.data[net.probe])


def core(net):
    return nengo.Simulator(net, optimize=False, progress_bar=False)


def ours(jit_compile):
    return lambda net: nengo_dl.Simulator(
        net, dtype="float64", jit_compile=jit_compile, progress_bar=False
    )


LOOKS = {
    "time": lambda sim, net: (sim.n_steps, sim.time),
    "signals": lambda sim, net: (
        sim.signals[sim.model.step].item(),
        sim.signals[sim.model.time].item(),
    ),
    "data": lambda sim, net: (len(sim.data[net.probe]), len(sim.data[net.sampled])),
    "params": lambda sim, net: (
        len(sim.model.params[net.probe]),
        [row.round(9).tolist() for row in sim.model.params[net.probe][-2:]],
    ),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jit_compile", [None, True])
def test_what_is_seen_in_a_run_is_what_core_shows(jit_compile, kind, look):
    expected, data = record(core, kind, LOOKS[look])
    found, ours_data = record(ours(jit_compile), kind, LOOKS[look])
    assert len(expected) == 25
    assert found == expected
    np.testing.assert_allclose(ours_data, data, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jit_compile", [None, True])
def test_state_that_is_seen_is_that_of_the_step(jit_compile, kind):
    """Core shows weights before or after their change, as its order of operators is."""

    def look(sim, net):
        return sim.signals[sim.model.sig[net.learned]["weights"]].copy()

    expected, _ = record(core, kind, look)
    found, _ = record(ours(jit_compile), kind, look)
    assert len(found) == len(expected) == 25
    assert np.abs(expected[-1] - expected[5]).max() > 0
    for i in range(5, 24):
        errors = [np.abs(found[i] - expected[j]).max() for j in (i - 1, i, i + 1)]
        assert min(errors) < 1e-12


def test_state_that_is_first_read_in_the_middle_of_a_chunk_is_refused():
    def look(sim, net):
        return sim.signals[sim.model.sig[net.learned]["weights"]] if late() else None

    def late():
        calls.append(1)
        return len(calls) > 5

    calls = []
    with pytest.raises(SimulationError, match=r"in step 6.*Read it in the first step"):
        record(ours(True), "time", look)


def test_time_outside_of_a_run_is_that_of_the_simulation():
    net = network("time", lambda: None)
    with ours(True)(net) as sim:
        sim.run_steps(7)
        assert (sim.n_steps, sim.time) == (7, 0.007)
        assert sim.signals[sim.model.step] == 7


def test_params_of_probes_hold_rows_of_items():
    net = network("input", lambda: None)
    with nengo_dl.Simulator(net, minibatch_size=3, progress_bar=False) as sim:
        rows = sim.model.params[net.probe]
        assert len(rows) == 0 and list(rows) == []
        sim.run_steps(4)
        assert len(rows) == 4 and rows[1].shape == (3, 1)
        np.testing.assert_array_equal(np.array(rows)[2], sim.data[net.probe][:, 2])
