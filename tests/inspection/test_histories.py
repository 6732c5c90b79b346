"""What probes recorded: all values, or only those that are not zero."""

import pickle

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl


def network(**settings):
    """Pairs of equal probes, of which the second ones keep events only."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(sparse_events=None, keep_history=None)
        ens = nengo.Ensemble(30, 1, label="ens")
        nengo.Connection(nengo.Node(np.sin), ens)
        for kwargs in (
            {"target": ens.neurons},
            {"target": ens.neurons[3:7]},
            {"target": ens, "synapse": 0.01, "sample_every": 0.003},
        ):
            nengo.Probe(**kwargs)
            net.config[nengo.Probe(**kwargs)].sparse_events = True
    return net


def assert_pairs_are_equal(sim):
    probes = sim.model.probes
    for full, sparse in zip(probes[::2], probes[1::2], strict=True):
        events = sim.data[sparse]
        assert isinstance(events, nengo_dl.EventArray)
        rows, others = sim.model.params[full], sim.model.params[sparse]
        assert len(rows) == len(others)
        if not len(rows):
            assert events.size == 0
            continue
        assert events.shape == sim.data[full].shape
        np.testing.assert_array_equal(events, sim.data[full])
        np.testing.assert_array_equal(others[-1], rows[-1])
        np.testing.assert_array_equal(others[1:3], rows[1:3])
        np.testing.assert_array_equal(np.array(others), np.array(rows))


@pytest.mark.parametrize("minibatch", [None, 3], ids=["single", "minibatch"])
def test_sparse_probe_shows_what_others_show(minibatch):
    with nengo_dl.Simulator(
        network(), minibatch_size=minibatch, progress_bar=False
    ) as sim:
        assert_pairs_are_equal(sim)
        sim.run_steps(200)
        sim.step()
        sim.run_steps(9)
        assert sim.data[sim.model.probes[1]].n_events > 100
        assert_pairs_are_equal(sim)
        before = sim.data[sim.model.probes[1]]
        shown = np.array(before)
        sim.run_steps(10, stateful=False)
        assert sim.data[sim.model.probes[1]].shape[-2] == 10
        assert_pairs_are_equal(sim)
        sim.run_steps(300)
        assert_pairs_are_equal(sim)
        np.testing.assert_array_equal(before, shown)  # does not change any more
        for forget in (sim.soft_reset, sim.clear_probes, sim.reset):
            forget()
            assert_pairs_are_equal(sim)
            sim.run_steps(11)
            assert_pairs_are_equal(sim)
    assert_pairs_are_equal(sim)  # after close, too


def test_pickled_simulator_has_its_events():
    with nengo_dl.Simulator(network(), progress_bar=False) as sim:
        with pickle.loads(pickle.dumps(sim)) as empty:
            assert_pairs_are_equal(empty)
        sim.run_steps(50)
        with pickle.loads(pickle.dumps(sim)) as copy:
            assert_pairs_are_equal(copy)
            for simulator in (sim, copy):
                simulator.run_steps(50)
            assert_pairs_are_equal(copy)
            for probe, other in zip(sim.model.probes, copy.model.probes, strict=True):
                np.testing.assert_array_equal(sim.data[probe], copy.data[other])


def test_step_is_recorded_once_after_an_interrupt():
    with nengo_dl.Simulator(network(), progress_bar=False) as sim:
        history = sim._histories[sim.model.probes[1]]
        values = np.ones((1, 1, 30))
        history.append_missing(values)
        history.append_missing(values)
        assert len(history) == 1
        history.append_missing(values.copy())
        assert len(history) == 2


def test_memory_grows_with_events_not_with_steps():
    history = nengo_dl.inspection.histories.EventHistory((100,), np.float64, False)
    chunk = np.zeros((1000, 1, 100), dtype=np.float32)
    for _ in range(20):
        history.append(chunk)
    assert len(history) == 20_000
    assert history.array().nbytes == 8  # their common value
    chunk[::10, 0, 5] = 1000
    for _ in range(20):
        history.append(chunk)
    assert history.array().nbytes == 8 * 2000 + 4
    assert history._events.positions.nbytes <= 1.3 * 8 * 2000


def test_values_that_differ_are_kept():
    history = nengo_dl.inspection.histories.EventHistory((2,), np.float64, False)
    kinds = [(1, "f4"), (1, "f4"), (1 / 3, "f8"), (np.nan, "f4"), (0, "f4")]
    rows = [np.full((1, 1, 2), value, dtype) for value, dtype in kinds]
    for row in rows:
        history.append(row)
    np.testing.assert_array_equal(history.array(), np.concatenate(rows)[:, 0])


def test_rates_are_the_same():
    with nengo_dl.Simulator(network(), progress_bar=False) as sim:
        sim.run_steps(200)
        probes = sim.model.probes
        ens = sim.model.toplevel.ensembles[0]
        full = sim.spike_rates(start=0.05)[ens].rates
        del sim._histories[probes[0]]
        np.testing.assert_allclose(sim.spike_rates(start=0.05)[ens].rates, full)


def test_one_step_only_and_events_only_raises():
    net = network()
    net.config[net.probes[1]].keep_history = False
    with pytest.raises(ValidationError, match="sparse_events=True and keep_history"):
        nengo_dl.Simulator(net, progress_bar=False)


def test_setting_of_another_kind_raises():
    with pytest.raises(ValidationError, match="sparse_events: Must be True, False"):
        with nengo.Network():
            nengo_dl.configure_settings(sparse_events="yes")
