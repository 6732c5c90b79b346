"""Gradients against finite differences in double precision, over networks."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, SimulatorClosed, ValidationError

import nengo_dl
from nengo_dl.builders.products.sparse import SparseDotIncBuilder

# nengo's, for the currents that tests of thresholds need
pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Non-finite values detected"),
]

RATES = [
    nengo.LIFRate(),
    nengo.AdaptiveLIFRate(tau_n=0.01, inc_n=0.5),
    nengo.Sigmoid(),
    nengo.Tanh(),
    nengo.RectifiedLinear(),
    nengo_dl.SoftLIFRate(0.1),
    nengo_dl.LeakyReLU(0.2),
]
SPIKES = [
    nengo.LIF(),
    nengo.AdaptiveLIF(tau_n=0.01, inc_n=0.5),
    nengo.SpikingRectifiedLinear(),
    nengo_dl.SpikingLeakyReLU(0.2),
    nengo.RegularSpiking(nengo.LIFRate()),
    nengo.StochasticSpiking(nengo.Tanh()),
    nengo.PoissonSpiking(nengo.RectifiedLinear()),
]


def recurrent_network(neuron_type, synapse=0.003):
    with nengo.Network(seed=1) as net:
        node = nengo.Node([0.3, -0.2])
        a = nengo.Ensemble(8, 2, neuron_type=neuron_type)
        b = nengo.Ensemble(6, 1, neuron_type=neuron_type)
        nengo.Connection(node, a, synapse=None)
        nengo.Connection(a, b, function=lambda x: x[0] * x[1], synapse=synapse)
        nengo.Connection(b, a[0], synapse=synapse)
        nengo.Connection(
            b.neurons, b.neurons, transform=-1e-3 * np.ones((6, 6)), synapse=0.005
        )
        nengo.Probe(b, synapse=0.01)
        nengo.Probe(a.neurons)
    return net


def check(net, minibatch_size=2, inputs=None, **kwargs):
    with nengo_dl.Simulator(
        net, dtype="float64", minibatch_size=minibatch_size, progress_bar=False
    ) as sim:
        report = sim.check_gradients(inputs=inputs, **kwargs)
        assert 0 < report.excess <= 1 and report.n_entries > 0
        return report


@pytest.mark.parametrize("neuron_type", [*RATES, *SPIKES])
def test_neurons(neuron_type):
    check(recurrent_network(neuron_type))


@pytest.mark.parametrize(
    "synapse",
    [
        nengo.Alpha(0.003),
        nengo.LinearFilter([1], [1e-5, 3e-3, 1]),
        nengo.synapses.Triangle(0.003),
        0,
    ],
)
def test_synapses(synapse):
    check(recurrent_network(nengo.Tanh(), synapse))


def test_single_step_without_minibatch():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0.3])
        ens = nengo.Ensemble(8, 1, neuron_type=nengo.Sigmoid())
        nengo.Connection(node, ens, synapse=None)
        nengo.Probe(ens)
    check(net, None, inputs=1)


def test_convolutions_and_sparse_transforms():
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(2 * 5 * 5))
        conv = nengo.Convolution(3, (5, 5, 2), kernel_size=(3, 3))
        first = nengo.Ensemble(
            27, 1, neuron_type=nengo.Tanh(1), gain=[1] * 27, bias=[0] * 27
        )
        nengo.Connection(node, first.neurons, transform=conv, synapse=None)
        back = nengo.ConvolutionTranspose(2, (3, 3, 3), kernel_size=(2, 2))
        second = nengo.Ensemble(
            32, 1, neuron_type=nengo.Tanh(1), gain=[1] * 32, bias=[0] * 32
        )
        nengo.Connection(first.neurons, second.neurons, transform=back, synapse=None)
        sparse = nengo.Sparse(
            (4, 32),
            indices=[[i % 4, i] for i in range(32)],
            init=rng.uniform(-1, 1, 32),
        )
        out = nengo.Node(size_in=4)
        nengo.Connection(second.neurons, out, transform=sparse, synapse=0.01)
        nengo.Probe(out)
    check(net, inputs=2)


@pytest.mark.parametrize("way", ["dense", "slots", "segments"])
def test_sparse_weights_in_a_loop_that_run_as_one_product(way, monkeypatch):
    monkeypatch.setattr(
        SparseDotIncBuilder,
        "_costs",
        classmethod(lambda cls, *args: {"slots": 1, "segments": 1} | {way: 0}),
    )
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(5))
        first, second = (
            nengo.Ensemble(
                5, 1, neuron_type=nengo.Tanh(1), gain=np.ones(5), bias=np.zeros(5)
            )
            for _ in range(2)
        )
        nengo.Connection(node, first.neurons, synapse=None)
        for pre, post in ((first, second), (second, first)):
            indices = np.argwhere(rng.rand(5, 5) < 0.5)
            weights = nengo.Sparse((5, 5), indices, rng.uniform(-1, 1, len(indices)))
            nengo.Connection(pre.neurons, post.neurons, transform=weights, synapse=0.01)
        nengo.Probe(second.neurons)
    check(net, inputs=2)


@pytest.mark.parametrize("rule", [nengo.PES(), nengo.Voja()])
def test_through_learning_rules(rule):
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0.3])
        pre = nengo.Ensemble(8, 1, neuron_type=nengo.Sigmoid())
        post = nengo.Ensemble(6, 1, neuron_type=nengo.Sigmoid())
        nengo.Connection(node, pre, synapse=None)
        conn = nengo.Connection(pre, post, learning_rule_type=rule, synapse=None)
        nengo.Connection(node, conn.learning_rule, synapse=None)
        nengo.Probe(post)
    check(net)


def test_views_and_slices():
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(4))
        array = nengo.networks.EnsembleArray(6, 4, neuron_type=nengo.Tanh())
        nengo.Connection(node[::-1], array.input, synapse=None)
        nengo.Connection(array.output[[3, 1]], array.input[1:3], synapse=0.002)
        nengo.Probe(array.output[::2])
        nengo.Probe(array.ensembles[0].neurons[1:4])
    check(net)


def test_constant_input_equals_moving_input():
    net = recurrent_network(nengo.Tanh())
    check(net, inputs={net.nodes[0]: np.full((2, 4, 2), 0.3)})


def test_network_without_input():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(8, 1, neuron_type=nengo.Sigmoid())
        nengo.Connection(ens, ens, synapse=0.01)
        nengo.Probe(ens)
    check(net, inputs=3)


def test_some_probes_only():
    net = recurrent_network(nengo.Tanh())
    check(net, outputs=net.probes[:1])
    check(net, outputs=net.probes[1])
    with pytest.raises(ValidationError, match="not a probe"):
        check(net, outputs=[net.nodes[0]])


def test_spikes_with_surrogate_derivatives_are_found_out():
    net = recurrent_network(nengo.LIF())
    with net:
        nengo_dl.configure_settings(surrogate="arctan")
    with pytest.raises(SimulationError, match=r"differ most for .*by differentiation"):
        check(net)


def test_nothing_is_changed():
    net = recurrent_network(nengo.LIF())
    with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(5)
        before = [v.numpy() for v in sim.trainable_variables]
        data = sim.data[net.probes[0]].copy()
        sim.check_gradients()
        assert np.array_equal(sim.data[net.probes[0]], data) and sim.n_steps == 5
        for a, b in zip(before, sim.trainable_variables, strict=True):
            assert np.array_equal(a, b.numpy())
    with pytest.raises(SimulatorClosed):
        sim.check_gradients()


def test_single_precision():
    net = recurrent_network(nengo.Tanh())
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert sim.check_gradients().excess <= 1


def two_layers(seed, neuron_type):
    """What people train: two ensembles with decoders, and a filtered probe."""
    with nengo.Network(seed=seed) as net:
        stimulus = nengo.Node([0.3])
        layers = [nengo.Ensemble(30, 1, neuron_type=neuron_type) for _ in range(2)]
        nengo.Connection(stimulus, layers[0])
        nengo.Connection(*layers)
        nengo.Probe(layers[1], synapse=0.01)
    return net


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "neuron_type", [nengo.LIF(), nengo.RectifiedLinear(), nengo.Sigmoid()]
)
def test_networks_in_single_precision_raise_no_false_alarm(neuron_type, seed):
    net = two_layers(seed, neuron_type)
    with nengo_dl.Simulator(net, progress_bar=False, minibatch_size=2) as sim:
        report = sim.check_gradients()
    assert report.excess < 1
    assert report.precision == "float64"


def function_of_weight(function, weight, value=1.0):
    """A TensorFlow function of an input times a weight."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node([value])
        out = nengo_dl.TensorNode(function, size_in=1, size_out=1, pass_time=False)
        nengo.Connection(node, out, transform=[[weight]], synapse=None)
        nengo.Probe(out, label="shown")
    return net


DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@DTYPES
def test_outputs_that_are_infinite_are_named(dtype):
    net = function_of_weight(lambda x: 1 / x, 0.0)
    with nengo_dl.Simulator(net, dtype=dtype, progress_bar=False) as sim:
        with pytest.raises(
            SimulationError, match=r"shown.*shows inf at item 0, step 0"
        ):
            sim.check_gradients()


@DTYPES
def test_gradients_that_are_infinite_are_named(dtype):
    net = function_of_weight(tf.sqrt, 0.0)
    with nengo_dl.Simulator(net, dtype=dtype, progress_bar=False) as sim:
        match = r"gradient for <Connection.*element .0, 0. is inf, although"
        with pytest.raises(SimulationError, match=match):
            sim.check_gradients(inputs={net.nodes[0]: np.ones((1, 2, 1))})


@DTYPES
@pytest.mark.parametrize("function", [tf.nn.relu, tf.abs], ids=["relu", "abs"])
def test_gradients_at_kinks_may_be_those_of_either_side(function, dtype):
    net = function_of_weight(function, 0.0)
    with nengo_dl.Simulator(net, dtype=dtype, progress_bar=False) as sim:
        assert sim.check_gradients().excess <= 1


@tf.custom_gradient
def wrongly_squared(x):
    return tf.square(x), lambda upstream: upstream * 2.1 * x


@DTYPES
@pytest.mark.parametrize("weight", [1e-5, 1.0, 1e5])
def test_wrong_gradients_are_found_whatever_the_size_of_parameters(weight, dtype):
    for function, is_right in ((tf.square, True), (wrongly_squared, False)):
        net = function_of_weight(lambda x, f=function: f(x), weight)
        with nengo_dl.Simulator(net, dtype=dtype, progress_bar=False) as sim:
            if is_right:
                assert sim.check_gradients(atol=0).excess <= 1
            else:
                with pytest.raises(SimulationError, match="differ most"):
                    sim.check_gradients(atol=0)


def test_code_that_has_one_precision_is_checked_in_it():
    factor = tf.constant([3.0], tf.float32)
    net = function_of_weight(lambda x: factor * tf.square(x), 0.5)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        report = sim.check_gradients(atol=1e-3)
    assert report.precision == "float32"
    assert report.excess <= 1


# -- surrogate derivatives


def bias_gradients(neuron_types, surrogate, currents, n_steps=30):
    """Gradients of the sum of outputs with respect to biases, single precision."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate=surrogate)
        ensembles = [
            nengo.Ensemble(
                len(J), 1, neuron_type=neuron_type, gain=np.ones(len(J)), bias=J
            )
            for neuron_type, J in zip(neuron_types, currents, strict=True)
        ]
        probes = [nengo.Probe(ens.neurons) for ens in ensembles]
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        signals = [sim.model.sig[ens.neurons]["bias"] for ens in ensembles]
        before = [np.array(sim.signals[signal]) for signal in signals]
        sim.train(
            n_steps,
            {p: np.ones((1, n_steps, p.size_in)) for p in probes},
            tf.compat.v1.train.GradientDescentOptimizer(1.0),
            objective=None,
        )
        after = [sim.signals[signal] for signal in signals]
    return [old - new for old, new in zip(before, after, strict=True)]


def test_every_spiking_type_has_surrogate_derivatives():
    types = [*SPIKES, nengo.Izhikevich()]
    currents = [np.array([1.5, 3.0, -1.0, 1.0, 0.0, 100.0])] * len(SPIKES)
    currents.append(np.array([5.0, 10.0, -100.0, 0.0, 20.0, 30.0]))
    for found in bias_gradients(types, "fast_sigmoid", currents):
        assert np.all(np.isfinite(found)) and np.any(found != 0)


@pytest.mark.parametrize(
    "surrogate",
    [
        *nengo_dl.config.SURROGATE_SHAPES,
        nengo_dl.Surrogate("arctan", slope=2),
        lambda x: tf.exp(-tf.abs(x)),
    ],
    ids=range(7),
)
def test_shapes_of_surrogate_derivatives(surrogate):
    currents = [np.array([1.5, 3.0, -1.0, 1.0])]
    (found,) = bias_gradients([nengo.LIF()], surrogate, currents)
    assert np.all(np.isfinite(found)) and np.any(found != 0)


def test_straight_through_gradient_of_integrators_is_that_of_rates():
    n_steps = 20
    currents = [np.array([70.0, 333.0])]
    (found,) = bias_gradients(
        [nengo.SpikingRectifiedLinear()], "straight_through", currents, n_steps
    )
    # the rate in Hz is the current
    assert np.allclose(found, n_steps, rtol=1e-4)


def test_mixed_settings_train_side_by_side():
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate=None, lif_smoothing=None)
        node = nengo.Node([0.5])
        ensembles = [nengo.Ensemble(5, 1, label=str(i)) for i in range(3)]
        for ens in ensembles:
            nengo.Connection(node, ens, synapse=None)
        probes = [nengo.Probe(ens.neurons) for ens in ensembles]
    net.config[ensembles[1]].lif_smoothing = 0.5
    net.config[ensembles[2]].surrogate = "arctan"
    found = []

    x = np.full((1, 20, 1), 0.5)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        for probe in probes:
            found.append(
                sim.loss(
                    {node: x},
                    {},
                    {probe: lambda output, target: tf.reduce_max(output)},
                    training=True,
                )
            )
        sim.train({node: x}, {p: np.zeros((1, 20, 5)) for p in probes}, "sgd")
    assert found[0] < 450 and found[1] < 450 and found[0] != found[1]
    assert np.isclose(found[2], 1000)


def test_gradients_are_finite_in_single_precision():
    types = [*RATES, *SPIKES]
    currents = [np.array([0.0, 1.0, 1 + 1e-7, -50.0, 1e6])] * len(types)
    for found in bias_gradients(types, None, currents):
        assert np.all(np.isfinite(found)) and np.all(found >= 0)
