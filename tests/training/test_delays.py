"""Too few steps for a parameter to show: Nengo says how many it takes."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl

RATES = nengo.RectifiedLinear()
SYNAPSES = {
    "none": None,
    "zero": nengo.synapses.Lowpass(0),
    "lowpass": nengo.Lowpass(0.005),
    "alpha": nengo.Alpha(0.005),
    "triangle": nengo.synapses.Triangle(0.004),
    "delay": nengo.LinearFilter([1], [1, 0, 0, 0], analog=False),
    "passes on": nengo.LinearFilter([1, 0.5], [1, 0], analog=False),
    "second order": nengo.LinearFilter([1], [2e-5, 0.01, 1]),
}


def chain(synapse, probe_synapse=None):
    """A weight, a synapse, and a probe."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([1.0])
        first = nengo.Node(size_in=1)
        second = nengo.Node(size_in=1)
        net.conn = nengo.Connection(net.node, first, transform=[[1.0]], synapse=None)
        nengo.Connection(first, second, synapse=synapse)
        net.probe = nengo.Probe(second, synapse=probe_synapse)
    return net


def filtered_neurons(synapse):
    """Weights into neurons, whose activity is filtered by the probe itself."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([1.0])
        ens = nengo.Ensemble(
            1, 1, neuron_type=RATES, gain=[1], bias=[0], encoders=[[1]]
        )
        net.conn = nengo.Connection(
            net.node, ens.neurons, transform=[[1.0]], synapse=None
        )
        net.probe = nengo.Probe(ens.neurons, synapse=synapse)
    return net


def feedback(synapse):
    """A weight that is on a recurrent path only."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([1.0])
        sum_ = nengo.Node(size_in=1)
        nengo.Connection(net.node, sum_, synapse=None)
        side = nengo.Node(size_in=1)
        nengo.Connection(sum_, side, synapse=synapse)
        net.conn = nengo.Connection(side, sum_, transform=[[1.0]], synapse=0)
        net.probe = nengo.Probe(sum_)
    return net


def late_input(synapse):
    """A weight behind a filter of its input."""
    with nengo.Network(seed=0) as net:
        net.node = nengo.Node([1.0])
        first = nengo.Node(size_in=1)
        second = nengo.Node(size_in=1)
        nengo.Connection(net.node, first, synapse=synapse)
        net.conn = nengo.Connection(first, second, transform=[[1.0]], synapse=None)
        net.probe = nengo.Probe(second)
    return net


def steps_that_it_takes(make, most=12):
    """How many steps Nengo simulates until the weight shows in the probe."""
    shown = []
    for weight in (1.0, 1.1):
        net = make()
        net.conn.transform = [[weight]]
        with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
            sim.run_steps(most)
        shown.append(sim.data[net.probe][:, 0])
    return int(np.argmax(shown[0] != shown[1])) + 1


def trained(net, n_steps, **kwargs):
    """Train with some steps; return whether the weight changed, and what was said."""
    x = np.ones((4, n_steps, 1))
    with nengo_dl.Simulator(
        net, minibatch_size=2, progress_bar=False, dtype="float64"
    ) as sim:
        before = sim.data[net.conn].weights.copy()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            sim.train({net.node: x}, {net.probe: 3 * x}, "sgd", **kwargs)
        changed = not np.array_equal(before, sim.data[net.conn].weights)
    return changed, [str(w.message) for w in said]


NETWORKS = {
    **{f"chain, {k}": (chain, s) for k, s in SYNAPSES.items()},
    "chain, probe": (lambda s: chain(s, 0.01), SYNAPSES["alpha"]),
    "neurons": (filtered_neurons, SYNAPSES["lowpass"]),
    "neurons, delay": (filtered_neurons, SYNAPSES["delay"]),
    **{f"late input, {k}": (late_input, s) for k, s in SYNAPSES.items()},
    "feedback": (feedback, SYNAPSES["lowpass"]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_too_few_steps_are_said_with_the_number_that_it_takes(name):
    make, synapse = NETWORKS[name]
    needed = steps_that_it_takes(lambda: make(synapse))
    if needed > 1:
        changed, said = trained(make(synapse), needed - 1)
        assert not changed
        (message,) = said
        assert f"data of {needed} steps or more" in message
        assert str(synapse) in message or name == "chain, probe"
    changed, said = trained(make(synapse), needed)
    assert changed
    assert not said


def test_message_names_synapses_and_where_they_are():
    net = chain(nengo.Lowpass(0.005))
    net.probe.label = "answer"
    with pytest.warns(UserWarning, match="so nothing will be learned") as said:
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            sim.train({net.node: np.ones((1, 1, 1))}, np.ones((1, 1, 1)), "sgd")
    message = str(said[0].message)
    assert said[0].filename == __file__
    assert 'In 1 time step, what <Probe "answer" of' in message
    assert "Lowpass(tau=0.005) of <Connection from <Node (unlabeled)" in message


def test_truncation_counts_as_the_number_of_steps():
    changed, said = trained(chain(nengo.Lowpass(0.005)), 6, truncation=1)
    assert not changed
    assert "In 1 time step" in said[0]


def test_parameters_that_show_are_not_named():
    net = chain(nengo.Lowpass(0.005))
    with net:
        late = nengo.Node(size_in=1)
        behind = nengo.Connection(net.node, late, transform=[[1.0]], synapse=None)
        nengo.Connection(late, net.probe.target, synapse=None)
    changed, (message,) = trained(net, 1)
    assert not changed
    assert f"{net.conn}.weights will not be trained with 1 time step" in message
    assert str(behind) not in message


def test_datasets_are_looked_at_before_the_first_update():
    net = chain(nengo.Lowpass(0.005))
    x = np.ones((4, 1, 1))
    pairs = tf.data.Dataset.from_tensor_slices((x, x)).batch(2)
    with (
        nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim,
        pytest.warns(UserWarning, match="so nothing will be learned"),
    ):
        sim.train(pairs, None, keras.optimizers.SGD(0.1))
