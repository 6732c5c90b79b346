"""Settings in Nengo's configuration system, and what they make trainable."""

import pickle
import re

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ConfigError, NetworkContextError, ValidationError

import nengo_dl
from nengo_dl import configure_settings, get_setting
from nengo_dl.builders.neurons import surrogates
from nengo_dl.config import SURROGATE_SHAPES, Surrogate


@pytest.fixture
def net():
    """Ensembles ``a`` and, in a subnetwork, ``b``, each with a connection to a node."""
    with nengo.Network(seed=0) as net:
        configure_settings(trainable=None)
        net.a = nengo.Ensemble(5, 1, label="a")
        net.node = nengo.Node(size_in=1)
        net.c = nengo.Connection(net.a, net.node)
        with nengo.Network() as net.sub:
            net.b = nengo.Ensemble(5, 1, label="b")
        net.d = nengo.Connection(net.b, net.node)
        net.probe = nengo.Probe(net.a)
    return net


def trained(net):
    """What a simulator would train, as pairs of objects and attributes."""
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        return {(p.obj, p.attribute) for p in sim._session.plan.trainable}


def everything(net, *ensembles):
    found = {(net.c, "weights"), (net.d, "weights")}
    for ens in ensembles or (net.a, net.b):
        found |= {(ens, "encoders"), (ens.neurons, "bias")}
    return found


def test_default_is_everything_but_probes(net):
    assert trained(net) == everything(net)


def test_default_needs_no_settings():
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1)
        conn = nengo.Connection(ens, nengo.Node(size_in=1))
    assert trained(net) == {
        (ens, "encoders"),
        (ens.neurons, "bias"),
        (conn, "weights"),
    }


def test_inner_network_is_switched_off_and_on(net):
    net.config[net.sub].trainable = False
    assert trained(net) == everything(net, net.a)
    net.config[net.b.neurons].trainable = True
    assert trained(net) == everything(net, net.a) | {(net.b.neurons, "bias")}
    net.config[net.sub].trainable = True
    net.config[nengo.Ensemble].trainable = False
    del net.config[net.b.neurons].trainable
    assert trained(net) == everything(net) - {(net.a, "encoders")}


def test_nearest_network_counts_and_probes_stay_untrained():
    with nengo.Network() as net:
        configure_settings(trainable=None)
        with nengo.Network() as outer, nengo.Network() as inner:
            ens = nengo.Ensemble(5, 1)
            nengo.Probe(ens)
    net.config[outer].trainable = False
    assert trained(net) == set()
    net.config[inner].trainable = True
    assert trained(net) == {(ens, "encoders"), (ens.neurons, "bias")}


def test_network_switched_off_holds_tensor_nodes():
    with nengo.Network() as net:
        configure_settings(trainable=None)
        with nengo.Network() as inner:
            nengo_dl.TensorNode(keras.layers.Dense(2), shape_in=3, pass_time=False)
        nengo.Probe(nengo.Node([0]))
    assert len(trained(net)) == 2
    net.config[inner].trainable = False
    assert trained(net) == set()


@pytest.mark.parametrize("value", [False, True])
def test_setting_of_all_leaves_tensor_nodes_alone(value):
    """As in the example of convolutions of digits of the older library."""
    with nengo.Network() as net:
        configure_settings(trainable=value)
        ens = nengo.Ensemble(5, 1)
        node = nengo_dl.TensorNode(keras.layers.Dense(2), shape_in=3, pass_time=False)
    ensembles = {(ens, "encoders"), (ens.neurons, "bias")} if value else set()
    assert len(trained(net) - ensembles) == 2
    assert get_setting(net, node, "trainable") is None
    net.config[nengo.Node].trainable = False
    assert trained(net) == ensembles


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((3, 3, "trainable"), r"network: Must be the nengo\.Network.*got 3"),
        ((None, None, "dtype"), r"Must be the nengo\.Network.*got None"),
        ((nengo.Network(), 3, "trainable"), r"one of its objects \(got 3"),
        ((nengo.Network(), [], "trainable"), r"one of its objects \(got \[\]"),
    ],
)
def test_settings_of_something_else_are_refused(arguments, message):
    with pytest.raises(ValidationError, match=message):
        get_setting(*arguments)


def test_setting_for_all_objects(net):
    with net:
        configure_settings(trainable=False)
    assert trained(net) == set()


def test_setting_of_a_class(net):
    net.config[nengo.Ensemble].trainable = False
    net.config[nengo.ensemble.Neurons].trainable = False
    assert trained(net) == {(net.c, "weights"), (net.d, "weights")}


def test_setting_of_an_instance_beats_the_class(net):
    net.config[nengo.Connection].trainable = False
    net.config[net.d].trainable = True
    assert trained(net) == everything(net) - {(net.c, "weights")}


def test_setting_of_neurons(net):
    net.config[net.b.neurons].trainable = False
    assert trained(net) == everything(net) - {(net.b.neurons, "bias")}


def test_setting_of_an_inner_network_beats_the_outer_one(net):
    net.config[nengo.Ensemble].trainable = False
    with net.sub:
        configure_settings(trainable=None)
    net.sub.config[nengo.Ensemble].trainable = True
    assert trained(net) == everything(net) - {(net.a, "encoders")}


def test_instance_in_an_outer_network_beats_the_class_in_an_inner_one(net):
    with net.sub:
        configure_settings(trainable=False)
    net.config[net.b].trainable = True
    assert trained(net) == everything(net) - {(net.b.neurons, "bias")}


def test_setting_of_a_probe_makes_its_weights_trainable(net):
    net.config[net.probe].trainable = True
    found = trained(net) - everything(net)
    ((conn, attribute),) = found
    assert conn.post_obj is net.probe and attribute == "weights"


def test_direct_ensembles_have_no_parameters():
    with nengo.Network() as net:
        nengo.Ensemble(5, 1, neuron_type=nengo.Direct())
    assert trained(net) == set()


def learning_network():
    with nengo.Network(seed=0) as net:
        configure_settings(trainable=None)
        net.a = nengo.Ensemble(5, 1)
        post = nengo.Node(size_in=1)
        net.learned = nengo.Connection(net.a, post, learning_rule_type=nengo.PES())
        nengo.Connection(post, net.learned.learning_rule)
    return net


def test_learned_connections_are_not_trainable():
    net = learning_network()
    with net:
        configure_settings(trainable=True)
    assert (net.learned, "weights") not in trained(net)


def test_learned_connection_set_trainable_is_trained_with_a_warning():
    net = learning_network()
    net.config[net.learned].trainable = True
    with pytest.warns(UserWarning, match="value with which it starts"):
        assert (net.learned, "weights") in trained(net)


def test_variables_are_named_after_the_users_objects(net):
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        names = [variable.name for variable in sim.trainable_variables]
        places = [p.name for p in sim.trainable_parameters]
        # in graphs of TensorFlow, names have no brackets
        assert names == [p.replace("[", ".").replace("]", "") for p in places]
        assert [variable.path for variable in sim.trainable_variables] == names
        shapes = [tuple(variable.shape) for variable in sim.trainable_variables]
        assert shapes == [p.shape for p in sim.trainable_parameters]
    assert {"net.ensembles.0.encoders", "net.ensembles.0.bias"} <= set(names)


def test_blocks_are_named_after_the_users_objects(net):
    """In graphs of TensorFlow, which accept not all characters."""
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        blocks = sim._session.store.trained_variables
        names = {variable.name.partition(":")[0] for variable in blocks}
    parts = {part for name in names for part in name.split("/")}
    assert parts >= {"a.encoders", "a.neurons.bias"}
    assert all(re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\-/>]*", name) for name in names)


def test_names_of_connections_are_those_of_their_ends_or_their_label():
    with nengo.Network() as net:
        a = nengo.Ensemble(5, 1, label="größe [1]")
        b = nengo.Node(size_in=1)
        nengo.Connection(a, b)
        nengo.Connection(a.neurons, b, transform=np.ones((1, 5)), label="readout")
        nengo.Probe(b)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        blocks = sim._session.store.trained_variables
        names = " ".join(variable.name for variable in blocks)
    assert "gr_e_1.encoders" in names
    assert "gr_e_1->node.weights" in names
    assert "readout.weights" in names


def test_trainable_parameters_are_listed_with_names_and_shapes():
    with nengo.Network() as net:
        node = nengo.Node([0, 0])
        ens = nengo.Ensemble(5, 2, label="a")
        conn = nengo.Connection(node, ens.neurons[:3], transform=np.ones((3, 2)))
        sparse = nengo.Sparse((2, 5), [(0, 1)], [2.0])
        nengo.Connection(ens.neurons, nengo.Node(size_in=2), transform=sparse)
        nengo.Probe(net.connections[1].post)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        found = sim.trainable_parameters
    assert [(p.name, p.shape, p.obj) for p in found] == [
        ("net.ensembles[0].encoders", (5, 2), ens),
        ("net.ensembles[0].bias", (5,), ens),
        ("net.connections[0].weights", (3, 2), conn),
        ("net.connections[1].weights", (1,), net.connections[1]),
    ]
    assert found.size == sum(p.size for p in found) == 22 and len(found) == 4
    assert repr(found) == "<4 trainable parameters, 22 values>"
    lines = str(found).splitlines()
    assert lines[0] == "net.ensembles[0].encoders   5 x 2  10  <Ensemble 'a'>"
    assert lines[-1].split() == ["all", "22"]


def test_trainable_and_other_signals_share_no_block(net):
    net.config[net.c].trainable = False
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        signals = {p.signal.base for p in sim._session.plan.trainable}
        for block in sim._session.step.layout.blocks:
            assert {signal in signals for signal in block.signals} <= {block.trainable}
        sizes = [v.shape.num_elements() for v in sim.trainable_variables]
        assert sum(sizes) == sum(signal.size for signal in signals)


def test_unknown_setting_lists_the_known_ones():
    with nengo.Network(), pytest.raises(ConfigError, match=r"'trainible'.*trainable"):
        configure_settings(trainible=False)
    with pytest.raises(ConfigError, match=r"'x'.*trainable"):
        get_setting(nengo.Network(), None, "x")


def test_settings_outside_of_a_network_raise():
    with pytest.raises(NetworkContextError, match="inside a network"):
        configure_settings(trainable=False)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("trainable", "yes", "True, False or None"),
        ("lif_smoothing", -1, "positive number"),
        ("can_be_fed", 2, "True, False or None"),
        ("zero_bias", "half", "Must be a number, or None"),
        ("lif_smoothing", True, "positive number"),
        ("surrogate", "foo", "one of fast_sigmoid"),
        ("surrogate", 3, "one of"),
    ],
)
def test_values_are_checked(name, value, message):
    with nengo.Network(), pytest.raises(ValidationError, match=message):
        configure_settings(**{name: value})


def test_values_of_instances_are_checked(net):
    with pytest.raises(ValidationError, match="True, False or None"):
        net.config[net.a].trainable = "yes"


def test_slope_of_a_surrogate_is_checked():
    with pytest.raises(ValidationError, match="positive"):
        Surrogate("arctan", slope=0)


def test_values_are_found(net):
    with net:
        configure_settings(surrogate="arctan", lif_smoothing=0.1)
    net.config[net.b].surrogate = Surrogate("gaussian", 2)
    assert get_setting(net, net.a, "surrogate") == Surrogate("arctan")
    assert get_setting(net, net.b, "surrogate") == Surrogate("gaussian", 2)
    assert get_setting(net, net.b, "lif_smoothing") == 0.1
    assert get_setting(net, net.a, "trainable") is None


@pytest.mark.filterwarnings("ignore:'Node.size_out' is being overwritten")
def test_networks_with_settings_can_be_pickled(net):
    net.config[net.b].trainable = False
    net.config[nengo.Connection].trainable = False
    copy = pickle.loads(pickle.dumps(net))
    assert {attribute for _, attribute in trained(copy)} == {"encoders", "bias"}
    assert len(trained(copy)) == 3


def test_all_surrogate_shapes_exist():
    x = np.linspace(-2, 2, 101).astype(np.float32)
    for shape in SURROGATE_SHAPES:
        values = surrogates.derivative(Surrogate(shape, 3), x).numpy()
        assert values.shape == x.shape
        assert values[50] == 1 and np.all(values >= 0)
        np.testing.assert_allclose(values, values[::-1], atol=1e-6)
