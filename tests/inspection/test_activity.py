"""Synaptic operations, spikes, sparsity, and estimates of energy."""

import json

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.inspection.energy import ENERGY_COSTS, EnergyCosts


def products(weights, values):
    """NeuroBench's count: with every value that is not zero replaced by one."""
    return float(((weights != 0) @ (values != 0).T.astype(float)).sum())


def by_name(activity):
    return {entry.name: entry for entry in activity.operations}


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "events"])
@pytest.mark.parametrize("minibatch", [None, 3])
def test_operations_are_those_of_neurobench(rng, minibatch, sparse):
    weights = rng.randn(20, 30) * (rng.rand(20, 30) < 0.6)
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(sparse_events=sparse)
        stim = nengo.Node([1.0, 0.0, 0.3], label="stim")
        a = nengo.Ensemble(30, 2, label="a")
        b = nengo.Ensemble(20, 1, label="b", neuron_type=nengo.RectifiedLinear())
        c = nengo.Ensemble(10, 1, label="c")
        out = nengo.Node(size_in=2, label="out")
        nengo.Connection(stim, a, transform=rng.randn(2, 3))
        spiking = nengo.Connection(a.neurons, b.neurons, transform=weights)
        nengo.Connection(b.neurons[5:15], out, transform=[[1] * 10, [0] * 10])
        decoded = nengo.Connection(a[0], c, label="decoded")
        full = nengo.Connection(a, c, function=lambda x: x[0], label="full",
                                solver=nengo.solvers.LstsqL2(weights=True))  # fmt: skip
        probes = [nengo.Probe(x) for x in (stim, a.neurons, b.neurons)]
        given = nengo.Probe(a, "input", synapse=None)
    with nengo_dl.Simulator(net, minibatch_size=minibatch, progress_bar=False) as sim:
        sim.run_steps(60)
        activity = sim.activity(start=0.02)
        items = minibatch or 1
        stims, spikes, rates, inputs = (
            np.asarray(sim.data[p])[..., 20:, :].reshape(-1, sim.data[p].shape[-1])
            for p in (*probes, given)
        )
        encoders = sim.data[a].encoders
        columns = {conn: sim.data[conn].weights for conn in (spiking, decoded, full)}
    found = by_name(activity)
    expected = {
        "stim -> a": (products(np.ones((2, 3)), stims), 0, 6),
        "a -> b": (0, products(columns[spiking], spikes), 600),
        "b -> out": (float((rates[:, 5:15] != 0).sum()), 0, 20),
        "decoded": (0, products(columns[decoded], spikes), 30),
        "full": (0, products(columns[full], spikes), 300),
        "encoders of a": (products(encoders, inputs), 0, 60),
        "encoders of c": (10 * 40 * items, 0, 10),
    }  # fmt: skip
    assert set(found) == set(expected)
    for name, (macs, acs, dense) in expected.items():
        assert found[name].effective_macs == pytest.approx(macs / items), name
        assert found[name].effective_acs == pytest.approx(acs / items), name
        assert found[name].dense == dense * 40, name
    assert [n for n, entry in found.items() if not entry.is_recorded] == [
        "encoders of c"
    ]
    assert activity.uncounted == []
    assert activity.spikes == pytest.approx((spikes > 0).sum() / items)
    zeros = (spikes == 0).sum() + (rates == 0).sum()
    assert activity.activation_sparsity == pytest.approx(
        zeros / (spikes.size + rates.size)
    )
    assert activity.steps, activity.seconds == (40, 0.04)


def test_numbers_are_means_over_inferences():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1, label="ens")
        nengo.Connection(ens.neurons, ens.neurons, transform=np.ones((20, 20)))
        nengo.Probe(ens.neurons)
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        sim.run_steps(100)
        whole, short = sim.activity(), sim.activity(inference_steps=25)
    assert (whole.n_inferences, short.n_inferences) == (2, 8)
    assert (short.steps, short.seconds) == (25, 0.025)
    for name in ("effective_acs", "dense", "spikes", "neuron_updates"):
        assert getattr(whole, name) == pytest.approx(4 * getattr(short, name)), name
        assert getattr(whole, name) > 0


def test_neurons_that_are_not_probed_are_listed():
    with nengo.Network(seed=0) as net:
        a, b = (nengo.Ensemble(10, 1, label=label) for label in "ab")
        nengo.Connection(a, b)
        nengo.Connection(b, a)
        nengo.Probe(b.neurons)
        nengo.Probe(a.neurons[:5])
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(10)
        activity = sim.activity()
    assert activity.uncounted == ["a -> b"]
    assert set(by_name(activity)) == {"b -> a", "encoders of a", "encoders of b"}
    assert "Not counted: a -> b" in str(activity)
    assert "never zero" in activity._repr_html_()


def test_parts_that_cover_all_neurons_count_as_all():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1, label="ens")
        out = nengo.Node(size_in=1, label="out")
        weights = np.arange(10)[None] < 3
        nengo.Connection(ens.neurons, out, transform=weights)
        parts = [nengo.Probe(ens.neurons[4:]), nengo.Probe(ens.neurons[:4])]
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(50)
        found = by_name(sim.activity())["ens -> out"]
        assert found.effective_acs == np.count_nonzero(sim.data[parts[1]][:, :3]) > 0


def test_keras_layers_are_counted():
    with nengo.Network(seed=0) as net:
        image = nengo.Node(np.arange(36) % 2, label="image")
        layer = keras.layers.Conv2D(4, 3, strides=2, padding="same")
        x = nengo_dl.tensor_layer(image, layer, shape_in=(6, 6, 1))
        x.label = "conv"
        x = nengo_dl.tensor_layer(x, keras.layers.ReLU())
        x = nengo_dl.tensor_layer(x, keras.Sequential(
            [keras.layers.Input((36,)), keras.layers.Dense(5),
             keras.layers.BatchNormalization(), keras.layers.Dense(3)]))  # fmt: skip
        x.label = "model"
        other = nengo_dl.TensorNode(lambda t, x: x, shape_in=(3,), label="function")
        nengo.Connection(x, other, synapse=None)
        nengo.Probe(image)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(2)
        activity = sim.activity()
    conv = nengo.Convolution(4, (6, 6, 1), (3, 3), (2, 2), "same")
    assert conv.output_shape.shape == (3, 3, 4)
    found = by_name(activity)
    # 3 x 3 positions of 3 x 3 elements, of which those at two borders are outside
    assert found["conv"].dense == 2 * 4 * (3 * 3 - 1) ** 2
    assert found["conv"].is_recorded
    # an image of zeros and ones is added up
    assert 0 < found["conv"].effective_acs < found["conv"].dense
    assert found["conv"].effective_macs == 0
    assert found["model, layer 1"].dense == 2 * 36 * 5
    assert found["model, layer 2"].effective_macs == 2 * 5 * 3
    assert activity.uncounted == ["TensorNode function"]


def test_recurrent_layers_are_not_counted():
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.ones(8))
        x = nengo_dl.tensor_layer(node, keras.layers.LSTM(3), shape_in=(4, 2))
        x.label = "lstm"
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1)
        assert sim.activity().uncounted == ["TensorNode lstm"]


def test_footprint_has_parameters_and_state():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 2, neuron_type=nengo_dl.ResetLIF())
        nengo.Connection(nengo.Node([1, 1]), ens, synapse=None)
        nengo.Probe(ens.neurons)
    for dtype, size in (("float32", 4), ("float64", 8)):
        with nengo_dl.Simulator(
            net, dtype=dtype, minibatch_size=5, progress_bar=False
        ) as sim:
            sim.run_steps(1)
            # encoders, biases, voltages
            assert sim.activity().footprint == size * (20 + 10 + 10)


def simple_activity():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1, label="ens")
        nengo.Connection(ens, ens, label="loop")
        nengo.Probe(ens.neurons)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(50)
        return sim.activity()


def test_energies_are_sums_over_operations():
    activity = simple_activity()
    assert activity.effective_macs > 0 and activity.effective_acs > 0
    costs = EnergyCosts("own", mac=3.0, ac=2.0, neuron_update=1.0)
    (estimate,) = activity.energies(costs)
    assert estimate.joules * 1e12 == pytest.approx(
        3 * activity.effective_macs + 2 * activity.effective_acs + 20 * 50
    )
    assert estimate.left_out == ()
    (estimate,) = activity.energies([EnergyCosts("none")])
    assert estimate.joules == 0
    assert estimate.left_out == ("MACs", "ACs", "neuron updates")
    assert all(costs.source and costs.remark for costs in ENERGY_COSTS)


def test_table_dict_and_plot_show_the_same():
    activity = simple_activity()
    text = str(activity)
    assert "estimated (not measured)" in text
    assert f"{activity.spikes:,.1f}" in text
    html = activity._repr_html_()
    assert html.count("<table>") == 3
    assert "loop" in html and "loop" in text
    found = json.loads(json.dumps(activity.to_dict()))
    assert found["effective_acs"] == activity.effective_acs
    assert len(found["operations"]) == len(activity.operations)
    assert all(entry["is_estimate"] for entry in found["energies"])
    assert found["energies"][0]["costs"]["source"].startswith("M. Horowitz")
    axes = activity.plot()
    assert axes.get_xlabel() == "synaptic operations per inference"
    lengths = {bar.get_width() for bar in axes.patches}
    assert {entry.effective_acs for entry in activity.operations} <= lengths
    assert activity.plot(ax=axes) is axes
    assert repr(activity).startswith("<Activity of ")


def test_energy_of_nothing_that_has_a_price_is_not_shown_as_zero():
    with nengo.Network(seed=0) as net:
        nengo.Connection(nengo.Node([1.0]), nengo.Node(size_in=1), transform=2)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1)
        activity = sim.activity()
    (line,) = [line for line in str(activity).splitlines() if "TrueNorth" in line]
    assert line.split() == ["TrueNorth", "-", "MACs"]
    assert activity.spikes is None and "not probed" in str(activity)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"inference_steps": 11}, "inference_steps: .* from 1 to 10, .*got 11"),
        ({"inference_steps": True}, "inference_steps: Must be a number of steps"),
        ({"start": -1}, "start: Must be a number of seconds"),
        ({"start": 0.01}, "start: There are no steps to look at: 10 were"),
    ],
)
def test_unusable_arguments_raise(arguments, message):
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(5, 1).neurons)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(10)
        with pytest.raises(ValidationError, match=message):
            sim.activity(**arguments)
        sim.clear_probes()
        with pytest.raises(ValidationError, match="has recorded nothing"):
            sim.activity()


def test_model_without_a_network_raises():
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(5, 1).neurons)
    model = nengo.builder.Model()
    model.build(net)
    model.toplevel = None
    with nengo_dl.Simulator(None, model=model, progress_bar=False) as sim:
        sim.run_steps(1)
        with pytest.raises(ValidationError, match="model without a network"):
            sim.activity()
