"""NumPy steps run merged groups where they can: the same data, with fewer calls."""

import nengo
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from nengo.exceptions import SimulationError

from nengo_dl.execution.live_arrays import LiveArrays
from tests.execution.sessions import core_data, make_session, run
from tests.networks import FIXED, assert_equal_data, generated_networks

N_STEPS = 40

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* has no TensorFlow version:UserWarning"
)


def numpy_data(net, n_steps=N_STEPS, **kwargs):
    """Return what NumPy steps record, and the item that ran them."""
    session = make_session(net, executor="numpy", **kwargs)
    data = run(session, n_steps)
    return data, session.numpy.items()[0]


def assert_equals_core(net, n_steps=N_STEPS):
    """Compare NumPy steps with the reference; return the item that ran them."""
    data, item = numpy_data(net, n_steps)
    for actual, expected in zip(data, core_data(net, n_steps), strict=True):
        assert np.any(expected)
        np.testing.assert_allclose(
            actual[:, 0].reshape(expected.shape), expected, rtol=1e-9, atol=1e-11
        )
    return item


@pytest.mark.parametrize("name", FIXED)
def test_fixed_networks_equal_core(name):
    case = FIXED[name]()
    data, _ = numpy_data(case.net)
    by_probe = dict(zip(case.net.all_probes, data, strict=True))
    expected = dict(zip(case.net.all_probes, core_data(case.net, N_STEPS), strict=True))
    assert_equal_data(
        case,
        [by_probe[p][:, 0].reshape(expected[p].shape) for p in case.probes],
        [expected[p] for p in case.probes],
    )


@given(case=generated_networks())
@settings(
    max_examples=max(settings.default.max_examples // 4, 1),
    derandomize=settings.default.max_examples <= 100,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_generated_networks_equal_core(case):
    data, _ = numpy_data(case.net)
    expected = core_data(case.net, N_STEPS)
    order = [case.net.all_probes.index(probe) for probe in case.probes]
    assert_equal_data(
        case,
        [data[n][:, 0].reshape(expected[n].shape) for n in order],
        [expected[n] for n in order],
    )


def array(n_ensembles=20, **kwargs):
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node([0.5] * n_ensembles)
        first = nengo.networks.EnsembleArray(20, n_ensembles, **kwargs)
        second = nengo.networks.EnsembleArray(20, n_ensembles, **kwargs)
        nengo.Connection(stimulus, first.input)
        nengo.Connection(first.output, second.input)
        nengo.Probe(second.output, synapse=0.01)
    return net


def test_number_of_calls_does_not_grow_with_the_network():
    few, many = (assert_equals_core(array(n)) for n in (3, 30))
    assert len(few.functions) == len(many.functions) <= 11


def test_neurons_with_other_parameters_run_apart():
    net = array(4)
    with net:
        for ens, tau in zip(net.all_ensembles, [0.02, 0.02, 0.03, 0.03, 0.02]):
            ens.neuron_type = nengo.LIF(tau_rc=tau)
    item = assert_equals_core(net)
    n_calls = sum("SimNeurons" in str(owner) for owner in item.owners)
    assert 2 <= n_calls <= 4


class Scaled(nengo.RectifiedLinear):
    """Has an attribute that is no parameter, which Nengo does not compare."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def step(self, dt, J, output):
        output[...] = self.scale * np.maximum(J, 0)


@pytest.mark.parametrize("scales", [(1.0, 3.0), (np.ones(2), np.array([1.0, 2.0]))])
def test_neurons_with_other_attributes_run_apart(scales):
    with nengo.Network(seed=0) as net:
        for scale in scales:
            neuron_type = Scaled(scale)
            ens = nengo.Ensemble(
                2, 1, neuron_type=neuron_type, gain=[1, 1], bias=[1, 2]
            )
            nengo.Probe(ens.neurons)
    assert Scaled(1.0) == Scaled(2.0)
    assert_equals_core(net, 3)


def test_chain_of_filters_reads_old_values():
    with nengo.Network(seed=0) as net:
        nodes = [nengo.Node(lambda t: np.sin(50 * t))]
        for tau in (0.003, 0.004, 0.005, 0.006):
            nodes.append(nengo.Node(size_in=1))
            nengo.Connection(*nodes[-2:], synapse=tau)
            nengo.Probe(nodes[-1])
    assert_equals_core(net)


def test_circle_of_filters_of_two_orders_reads_old_values():
    with nengo.Network(seed=0) as net:
        nodes = [nengo.Node(size_in=1) for _ in range(6)]
        for number, node in enumerate(nodes):
            synapse = (nengo.Lowpass, nengo.Alpha)[number % 2](0.01 * (number + 1))
            nengo.Connection(
                node, nodes[(number + 1) % 6], synapse=synapse, transform=0.9
            )
            nengo.Probe(node)
        nengo.Connection(nengo.Node(lambda t: t < 0.01), nodes[0], synapse=None)
    assert_equals_core(net)


def test_probe_of_a_copy_shows_it_before_the_updates():
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: [t, -t])
        filtered = nengo.Node(size_in=2)
        nengo.Connection(wave, filtered, synapse=0.01)
        copied = nengo.Node(size_in=2)
        nengo.Connection(filtered[[1, 0]], copied, synapse=None)
        nengo.Probe(filtered)
        nengo.Probe(copied)
    assert_equals_core(net)


def test_items_of_a_minibatch_do_not_share_arrays():
    session = make_session(array(4), executor="numpy", minibatch_size=3)
    run(session, 5)
    vectors = [next(iter(signals.vectors.values())) for signals in session.host.signals]
    assert all(isinstance(signals, LiveArrays) for signals in session.host.signals)
    assert len({vector.ctypes.data for vector in vectors}) == 3
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_error_in_a_merged_group_names_it(monkeypatch):
    def fail(self, dt, J, output):
        raise ValueError("no such rate")

    session = make_session(
        array(3, neuron_type=nengo.RectifiedLinear()), executor="numpy"
    )
    monkeypatch.setattr(nengo.RectifiedLinear, "step", fail)
    with pytest.raises(SimulationError, match=r"6 x SimNeurons \(.*no such rate"):
        run(session, 1)


def test_matrices_of_many_shapes_are_multiplied_at_once():
    with nengo.Network(seed=0) as net:
        previous = nengo.Node([0.5])
        for size in range(10, 26):
            ens = nengo.Ensemble(size, 1 + size % 3)
            nengo.Connection(previous, ens[0], synapse=0.002)
            previous = nengo.Node(size_in=1)
            nengo.Connection(ens[0], previous)
        nengo.Probe(previous, synapse=0.005)
    item = assert_equals_core(net)
    assert sum("DotInc" in str(owner) for owner in item.owners) <= 24
