"""Reports about simulators: summaries, and firing rates."""

import sys

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.support.tables import Table, format_bytes


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, seed=0, progress_bar=False, **kwargs)


def make_net(python=False):
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node([0.5])
        net.a = nengo.Ensemble(20, 1, label="a")
        with nengo.Network(label="inner"):
            net.b = nengo.Ensemble(30, 2, label="b")
            net.c = nengo.Ensemble(5, 1)
        net.conn = nengo.Connection(net.a, net.b[0])
        nengo.Connection(net.stim, net.a)
        nengo.Connection(net.a, net.c, learning_rule_type=nengo.PES())
        if python:
            net.node = nengo.Node(lambda t, x: x, size_in=1, label="controller")
            nengo.Connection(net.a, net.node)
            direct = nengo.Ensemble(1, 1, neuron_type=nengo.Direct(), label="direct")
            nengo.Connection(direct, net.c, function=lambda x: x**2)
        net.spikes = nengo.Probe(net.a.neurons)
        net.more = nengo.Probe(net.b.neurons)
    return net


# -- tables


def test_columns_are_aligned_and_long_tables_are_cut():
    table = Table("Things", ("name", "count>"), [("x", "1"), ("longer", "100")])
    assert table.text().splitlines() == [
        "Things",
        "  name    count",
        "  x           1",
        "  longer    100",
    ]
    long = Table("Many", ("a",), [(str(i),) for i in range(45)])
    assert long.text().endswith("... and 5 more")
    assert "... and 5 more" in long.html()


def test_html_is_escaped():
    table = Table("T", ("<b>", "n>"), [("<Ensemble 'a'>", "1")])
    assert "&lt;Ensemble &#x27;a&#x27;&gt;" in table.html()
    assert "<Ensemble" not in table.html()


def test_bytes_have_a_unit():
    sizes = [0, 1023, 1024, 3 * 2**20, 5 * 2**40]
    found = [format_bytes(size) for size in sizes]
    assert found == ["0 B", "1023 B", "1.0 KiB", "3.0 MiB", "5120.0 GiB"]


# -- summary


def test_summary_counts_objects_and_operators():
    with simulator(make_net()) as sim:
        summary = sim.summary()
        assert summary.operators["built"] == len(sim.model.operators)
    assert summary.objects == {
        "networks": 2,
        "ensembles": 3,
        "neurons": 55,
        "nodes": 1,
        "connections": 3,
        "probes": 2,
    }
    counts = list(summary.operators.values())
    assert counts == sorted(counts, reverse=True)
    assert sum(n for _, n, _ in summary.groups) == summary.operators["remove_unread"]
    assert len(summary.groups) == summary.operators["groups"]
    assert summary.obstacles == []


def test_summary_lists_parameters_with_their_sizes():
    net = make_net()
    with simulator(net, minibatch_size=3, dtype="float64") as sim:
        rows = {row.name: row for row in sim.summary().parameters}
        trained = {p.name for p in sim.trainable_parameters}
    assert {name for name, row in rows.items() if row.trainable} == trained
    encoders = rows["net.networks[0].ensembles[0].encoders"]
    assert (encoders.obj, encoders.shape, encoders.n_bytes) == (net.b, (30, 2), 480)
    learned = rows["net.connections[2].weights"]
    # each item of the minibatch has its own
    assert learned.learned and learned.n_bytes == 3 * 20 * 8


def test_summary_is_readable():
    with simulator(make_net()) as sim:
        summary = sim.summary()
    text, html = str(summary), summary._repr_html_()
    for found in (text, html):
        for words in ("Objects", "built by Nengo", "LIF.", "20 x 1", "trained"):
            assert words in found
    assert "0x" not in text and html.count("<table>") == 6
    assert repr(summary).startswith("<Summary of")


def test_summary_measures_the_compilation():
    with simulator(make_net(), jit_compile=True) as sim:
        before = sim.summary()
        sim.run_steps(2)
        after = sim.summary()
    assert "loop" not in before.seconds and "not done yet" in str(before)
    assert 0 < after.seconds["loop"] and "not done yet" not in str(after)
    assert all(value >= 0 for value in before.seconds.values())


def test_summary_says_what_keeps_the_loop_from_being_compiled():
    with simulator(make_net(python=True)) as sim:
        summary = sim.summary()
    assert "Node 'controller' calls Python in each step" in summary.obstacles
    assert any("direct" in reason for reason in summary.obstacles)
    assert sum(calls for _, _, calls in summary.groups) >= 1
    assert "- Node 'controller' calls Python" in str(summary)
    assert "controller" in summary._repr_html_()


def test_summary_names_what_has_no_tensorflow_version():
    class Wobble(nengo.Process):
        def make_state(self, shape_in, shape_out, dt, dtype=None):
            return {}

        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t, x: -x

    with nengo.Network() as net:
        node = nengo.Node(Wobble(default_size_in=1, default_size_out=1), label="node")
        nengo.Connection(nengo.Node([1]), node)
        nengo.Probe(node)
    with pytest.warns(UserWarning, match="Wobble has no TensorFlow version"):
        sim = simulator(net, jit_compile=False)
    with sim:
        obstacles = sim.summary().obstacles
    assert obstacles == [
        "jit_compile=False turns compilation off",
        "Wobble of 'node' runs in Python in each step",
    ]


def test_summary_tells_how_short_runs_are_executed():
    with simulator(make_net()) as sim:
        assert "longer runs use the compiled loop" in " ".join(sim.summary().notes)
    with simulator(make_net(), jit_compile=True) as sim:
        assert sim.summary().notes == []


# -- firing rates


def test_rates_are_those_of_the_spikes():
    net = make_net()
    with simulator(net) as sim:
        sim.run_steps(200)
        report = sim.spike_rates()
        late = sim.spike_rates(net.a, start=0.15)
        spikes = sim.data[net.spikes]
    assert [entry.name for entry in report] == ["a", "b"]
    assert report.unprobed == ["net.networks[0].ensembles[1]"]
    entry = report[net.a]
    assert np.allclose(entry.rates, (spikes > 0).mean(axis=0) * 1000)
    assert np.isclose(entry.mean, entry.rates.mean())
    assert np.array_equal(entry.is_dead, ~spikes.any(axis=0))
    assert 0 < entry.n_dead < 20
    assert np.allclose(late[0].rates, (spikes[150:] > 0).mean(axis=0) * 1000)
    assert len(late) == 1 and np.isclose(late.seconds, 0.05)


def test_amplitudes_and_items_do_not_matter():
    with nengo.Network(seed=0) as net:
        neuron_type = nengo.SpikingRectifiedLinear(amplitude=0.01)
        ens = nengo.Ensemble(
            4, 1, neuron_type=neuron_type, gain=np.ones(4), bias=[0, 100, 200, 1500]
        )
        nengo.Probe(ens.neurons)
    with simulator(net, minibatch_size=2) as sim:
        sim.run_steps(1000)
        (entry,) = sim.spike_rates()
    assert np.allclose(entry.rates, [0, 100, 200, 1500], rtol=0.02)
    assert entry.is_dead.tolist() == [True, False, False, False]
    assert entry.limit is None and entry.n_saturated == 0


def test_saturated_neurons_fire_as_fast_as_they_can():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(3, 1, gain=np.ones(3), bias=[0.5, 2, 1000.0], label="e")
        nengo.Probe(ens.neurons)
    with simulator(net) as sim:
        sim.run_steps(500)
        (entry,) = sim.spike_rates()
        (strict,) = sim.spike_rates(saturation=1)
        (lax,) = sim.spike_rates(saturation=0.1)
    assert entry.limit == 500
    assert entry.is_saturated.tolist() == [False, False, True]
    assert lax.is_saturated.tolist() == [False, True, True]
    assert strict.n_saturated <= 1


def test_probes_of_parts_are_put_together():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1)
        parts = [nengo.Probe(ens.neurons[:4]), nengo.Probe(ens.neurons[4:7])]
        nengo.Probe(ens.neurons[2:6])
    with simulator(net) as sim:
        sim.run_steps(100)
        (entry,) = sim.spike_rates()
        spikes = np.concatenate([sim.data[probe] for probe in parts], axis=1)
    assert np.allclose(entry.rates, (spikes > 0).mean(axis=0) * 1000)


def test_rates_are_readable():
    net = make_net()
    with simulator(net) as sim:
        sim.run_steps(50)
        report = sim.spike_rates()
    text = str(report)
    assert "Firing rates in Hz, over 0.05 s" in text
    assert f"{report[net.a].n_dead} ({report[net.a].n_dead / 20:.0%})" in text
    assert "nengo.Probe(ensemble.neurons)): net.networks[0].ensembles[1]" in text
    assert "<table>" in report._repr_html_()
    assert repr(report) == "<SpikeRates of 2 ensembles>"


def test_plot_has_a_panel_for_each_ensemble():
    pytest.importorskip("matplotlib")
    net = make_net()
    with simulator(net) as sim:
        sim.run_steps(50)
        report = sim.spike_rates()
    for panel, entry in zip(report.plot(), report, strict=True):
        assert panel.get_title().startswith(entry.name)
        counts = sum(bar.get_height() for bar in panel.patches)
        assert counts == len(entry.rates)
        words = [text.get_text() for text in panel.get_legend().get_texts()]
        assert f"{entry.n_dead} dead" in words


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    net = make_net()
    with simulator(net) as sim:
        sim.run_steps(10)
        report = sim.spike_rates()
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        report.plot()


@pytest.mark.parametrize(
    "probe_of",
    [
        lambda ens: None,
        lambda ens: nengo.Probe(ens),
        lambda ens: nengo.Probe(ens.neurons, synapse=0.1),
        lambda ens: nengo.Probe(ens.neurons, sample_every=0.002),
        lambda ens: nengo.Probe(ens.neurons, "voltage"),
    ],
)
def test_it_is_said_what_to_probe(probe_of):
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1, label="lonely")
        probe_of(ens)
    with simulator(net) as sim:
        sim.run_steps(2)
        for ensembles in (None, ens, [ens]):
            with pytest.raises(
                ValidationError, match=r"nengo.Probe\(ensemble.neurons\).*lonely"
            ):
                sim.spike_rates(ensembles)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"start": 0.01}, "10 were simulated, and the first 10 are left out"),
        ({"start": -1}, "not negative"),
        ({"saturation": 0}, "above 0"),
        ({"saturation": "high"}, "above 0"),
        ({"ensembles": ["a"]}, "There is none for 'a'"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message):
    with simulator(make_net()) as sim:
        sim.run_steps(10)
        with pytest.raises(ValidationError, match=message):
            sim.spike_rates(**kwargs)


def test_rates_need_a_run():
    with simulator(make_net()) as sim:
        with pytest.raises(ValidationError, match="Run the simulator first"):
            sim.spike_rates()
        sim.run_steps(5)
        sim.clear_probes()
        with pytest.raises(ValidationError, match="recorded nothing"):
            sim.spike_rates()
