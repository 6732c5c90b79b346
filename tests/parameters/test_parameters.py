"""Live parameters, parameters as arguments of new objects, and freezing."""

import pickle
import warnings

import hypothesis
import nengo
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from nengo.builder.connection import BuiltConnection
from nengo.exceptions import SimulatorClosed, ValidationError

import nengo_dl
from nengo_dl.parameters.arguments import FixedWeights
from nengo_dl.support import tuning
from tests import networks
from tests.networks import FIXED, assert_equal_data, recorded, reference_data

pytestmark = pytest.mark.filterwarnings(
    # user-defined processes run their NumPy step, and say so
    "ignore:.*has no TensorFlow version:UserWarning"
)

SEED = 3
N_STEPS = 25

generated = hypothesis.settings(
    max_examples=8, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)


@pytest.fixture(scope="module", autouse=True)
def no_decoder_cache():
    before = nengo.rc.get("decoder_cache", "enabled")
    nengo.rc.set("decoder_cache", "enabled", "False")
    yield
    nengo.rc.set("decoder_cache", "enabled", before)


@pytest.fixture(scope="module", autouse=True)
def steps_are_not_compiled():
    """Single steps run in NumPy, also those of larger networks: compiling takes long.

    With ``jit_compile=True`` a simulator compiles nevertheless.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "SHORT_RUN_SECONDS", 0.05)
        yield


def simulator(net, **kwargs):
    kwargs = {"seed": SEED, "dtype": tf.float64, "progress_bar": False, **kwargs}
    return nengo_dl.Simulator(net, **kwargs)


def change(sim, obj, attribute, value):
    """Replace one parameter, as training would."""
    values = sim._parameters
    values.write({values.signal_of(obj, attribute): value})


def perturb(sim, seed=0, size=0.05):
    """Change all parameters a little, as training would; return their new values."""
    rng = np.random.RandomState(seed)
    values = sim._parameters
    new = {}
    for parameter in values.parameters:
        value = values.read([parameter.signal])[parameter.signal][0]
        new[parameter.signal] = value[0] * rng.normal(1, size, size=value[0].shape)
    values.write(new)
    return new


def run(sim, case, n_steps=N_STEPS):
    """Run in single steps, which need no compilation."""
    for _ in range(n_steps):
        sim.step()
    return recorded(sim, case)


@pytest.fixture
def net():
    """A small network with parameters of every kind."""
    with nengo.Network(seed=1, label="small") as net:
        net.stim = nengo.Node([0.3, -0.2])
        net.a = nengo.Ensemble(20, 2, radius=1.5, label="a")
        net.b = nengo.Ensemble(15, 1, label="b")
        net.to_a = nengo.Connection(net.stim, net.a, transform=1)
        net.decoded = nengo.Connection(
            net.a, net.b, function=networks.sine_and_sum, transform=[[1, -1]]
        )
        net.direct = nengo.Connection(
            net.a.neurons[::2], net.b.neurons, transform=nengo.dists.Uniform(-0.01, 0)
        )
        net.probe = nengo.Probe(net.b, synapse=0.01)
        net.spikes = nengo.Probe(net.b.neurons)
    return net


@pytest.fixture
def learning():
    """A network whose weights and encoders change in a run."""
    with nengo.Network(seed=2) as net:
        net.stim = nengo.Node([0.5])
        net.pre = nengo.Ensemble(12, 1)
        net.post = nengo.Ensemble(10, 1)
        net.to_pre = nengo.Connection(
            net.stim, net.pre, learning_rule_type=nengo.Voja(learning_rate=0.1)
        )
        net.conn = nengo.Connection(
            net.pre, net.post, learning_rule_type=nengo.PES(learning_rate=1e-2)
        )
        nengo.Connection(net.stim, net.conn.learning_rule)
        net.probe = nengo.Probe(net.post)
    return net


# -- live values


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_data_of_a_new_simulator_is_exactly_what_nengo_built(net, dtype):
    with simulator(net, dtype=dtype) as sim:
        for obj, built in sim.model.params.items():
            for field in getattr(built, "_fields", ()):
                expected = getattr(built, field)
                actual = getattr(sim.data[obj], field)
                if isinstance(expected, np.ndarray):
                    assert actual.dtype == expected.dtype
                    np.testing.assert_array_equal(actual, expected)
                else:
                    assert actual is expected


def test_data_follows_changed_encoders_and_keeps_the_gain(net):
    with simulator(net) as sim:
        before = sim.data[net.a]
        scaled = before.scaled_encoders * np.linspace(0.5, 2, 20)[:, None]
        change(sim, net.a, "encoders", scaled)
        after = sim.data[net.a]
    np.testing.assert_array_equal(after.gain, before.gain)
    np.testing.assert_array_equal(after.scaled_encoders, scaled)
    np.testing.assert_allclose(after.encoders, scaled * 1.5 / before.gain[:, None])
    np.testing.assert_array_equal(after.eval_points, before.eval_points)


def test_data_of_what_did_not_change_is_exact_in_single_precision(net):
    with simulator(net, dtype=tf.float32) as sim:
        before = sim.data[net.a]
        scaled = np.array(before.scaled_encoders)
        scaled[3] *= 2
        change(sim, net.a, "encoders", scaled)
        after = sim.data[net.a]
    others = np.arange(20) != 3
    np.testing.assert_array_equal(after.encoders[others], before.encoders[others])
    np.testing.assert_allclose(after.encoders[3], 2 * before.encoders[3], rtol=1e-6)


def test_rates_and_intercepts_follow_changed_biases(net):
    with simulator(net) as sim:
        bias = sim.data[net.a].bias + 2
        change(sim, net.a.neurons, "bias", bias)
        data = sim.data[net.a]
        assert data.bias is not bias
    np.testing.assert_array_equal(data.bias, bias)
    rates, intercepts = nengo.LIF().max_rates_intercepts(data.gain, bias)
    np.testing.assert_allclose(data.max_rates, rates)
    np.testing.assert_allclose(data.intercepts, intercepts)


def test_data_cannot_be_written_to(net):
    with simulator(net) as sim:
        perturb(sim)
        for value in (
            sim.data[net.a].encoders,
            sim.data[net.a].gain,
            sim.data[net.a].bias,
            sim.data[net.a].intercepts,
            sim.data[net.decoded].weights,
        ):
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0


def test_data_of_neurons_is_that_of_their_ensemble(net):
    with simulator(net) as sim:
        perturb(sim)
        assert net.a.neurons in sim.data
        np.testing.assert_array_equal(
            sim.data[net.a.neurons].bias, sim.data[net.a].bias
        )


def test_data_of_sparse_weights_follows_changes():
    with nengo.Network(seed=0) as net:
        a, b = nengo.Node([1.0, 2.0]), nengo.Node(size_in=2)
        sparse = nengo.Connection(
            a, b, transform=nengo.Sparse((2, 2), indices=[(1, 0), (0, 1)], init=[3, 4])
        )
        probe = nengo.Probe(b)
    with simulator(net) as sim:
        np.testing.assert_array_equal(
            sim.data[sparse].weights.toarray(), [[0, 4], [3, 0]]
        )
        change(sim, sparse, "weights", [5, 6])
        np.testing.assert_array_equal(
            sim.data[sparse].weights.toarray(), [[0, 6], [5, 0]]
        )
        sim.run_steps(30)
    np.testing.assert_allclose(sim.data[probe][-1], [12, 5], rtol=0.01)


@pytest.mark.parametrize("minibatch_size", [None, 1, 3])
def test_learned_parameters_have_a_batch_axis(learning, minibatch_size):
    with simulator(learning, minibatch_size=minibatch_size) as sim:
        for _ in range(20):
            sim.step()
        batch = () if minibatch_size is None else (minibatch_size,)
        weights = sim.data[learning.conn].weights
        encoders = sim.data[learning.pre].encoders
        assert weights.shape == (*batch, 1, 12)
        assert encoders.shape == sim.data[learning.pre].scaled_encoders.shape
        assert encoders.shape == (*batch, 12, 1)
        assert sim.data[learning.pre].bias.shape == (12,)
        assert sim.data[learning.post].encoders.shape == (10, 1)
        assert not np.allclose(weights, sim.model.params[learning.conn].weights)
    np.testing.assert_array_equal(sim.data[learning.conn].weights, weights)


def test_learned_weights_equal_those_of_nengo(learning):
    with nengo.Simulator(learning, seed=SEED, progress_bar=False) as reference:
        reference.run_steps(30)
        expected = reference.signals[reference.model.sig[learning.conn]["weights"]]
    with simulator(learning, jit_compile=True) as sim:
        sim.run_steps(30)
    np.testing.assert_allclose(sim.data[learning.conn].weights, expected)


def test_data_stays_readable_after_close(net):
    with simulator(net) as sim:
        new = perturb(sim)
    signal = sim._parameters.signal_of(net.decoded, "weights")
    np.testing.assert_array_equal(sim.data[net.decoded].weights, new[signal])
    assert sim.data.get_params((net.a, "bias"))[0].shape == (20,)


def test_data_of_unknown_objects_is_an_error(net):
    with nengo.Network():
        other = nengo.Ensemble(5, 1)
    with simulator(net) as sim:
        for unknown in (other, other.neurons, []):
            with pytest.raises(ValidationError, match="not part of the simulated"):
                sim.data[unknown]
        with pytest.raises(ValidationError, match="no object has this label"):
            sim.data["no label"]


def test_get_params_returns_one_value_for_each_argument(net):
    with simulator(net) as sim:
        perturb(sim)
        values = sim.data.get_params(
            (net.b, "bias"), (net.direct, "weights"), (net.a.neurons, "gain")
        )
        assert sim.data.get_params() == []
        np.testing.assert_array_equal(values[0], sim.data[net.b].bias)
        np.testing.assert_array_equal(values[1], sim.data[net.direct].weights)
        np.testing.assert_array_equal(values[2], sim.data[net.a].gain)


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda net: (net.a, "weights"), "has no parameter 'weights'; it has eval"),
        (lambda net: (net.stim, "weights"), "is no Ensemble, Neurons, Connection or"),
        (lambda net: ([], "weights"), "is no Ensemble, Neurons, Connection or"),
        (lambda net: net.a, "must be a tuple of an object and the name"),
    ],
)
def test_get_params_refuses_what_has_no_parameters(net, choose, message):
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match=message):
            sim.data.get_params(choose(net))


def test_unread_parameters_can_be_replaced():
    """A connection whose result nobody uses is not compiled, yet has parameters."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        unused = nengo.Ensemble(1, 1, neuron_type=nengo.Direct())
        conn = nengo.Connection(node, unused, transform=[[2.0]])
        nengo.Probe(node)
    with simulator(net) as sim:
        change(sim, conn, "weights", [[3.0]])
        assert sim.data[conn].weights == 3
        copy = pickle.loads(pickle.dumps(sim))
        (again,) = copy.model.toplevel.connections
        assert copy.data[again].weights == 3
        copy.close()


@pytest.mark.parametrize("how", ["reset", "soft_reset"])
def test_resets_return_to_what_nengo_built(net, how):
    with net:
        unused = nengo.Ensemble(1, 1, neuron_type=nengo.Direct())
        conn = nengo.Connection(net.stim[0], unused, transform=[[2.0]])
    with simulator(net) as sim:
        built = sim.model.params
        perturb(sim)
        sim._parameters.write({}, {net.b: 2 * built[net.b].gain})
        assert sim.data[conn].weights != 2
        if how == "reset":
            sim.reset()
        else:
            sim.soft_reset(include_trainable=True)
        for obj, attr in ((net.a, "bias"), (net.b, "gain"), (conn, "weights")):
            (value,) = sim.data.get_params((obj, attr))
            np.testing.assert_array_equal(value, getattr(built[obj], attr))


# -- freezing


def trained_feed_forward():
    with nengo.Network(seed=5) as net:
        stim = nengo.Node(networks.wave)
        hidden = nengo.Ensemble(30, 2)
        output = nengo.Ensemble(20, 1, neuron_type=nengo.SpikingRectifiedLinear())
        nengo.Connection(stim, hidden.neurons, transform=nengo.dists.Gaussian(0, 0.5))
        nengo.Connection(
            hidden.neurons, output.neurons, transform=nengo.dists.Gaussian(0, 0.02)
        )
        nengo.Connection(hidden, output, function=np.prod)
        probes = [nengo.Probe(hidden.neurons), nengo.Probe(output.neurons)]
        probes.append(nengo.Probe(output, synapse=0.01))
    return networks.Case(net, probes, "feed-forward")


def convolutional():
    with nengo.Network(seed=6) as net:
        stim = nengo.Node(np.linspace(-1, 1, 36))
        first = nengo.Convolution(2, (6, 6, 1), kernel_size=(3, 3), strides=(2, 2))
        layer = nengo.Ensemble(first.size_out, 1)
        nengo.Connection(stim, layer.neurons, transform=first)
        back = nengo.ConvolutionTranspose(1, first.output_shape, strides=(2, 2))
        out = nengo.Ensemble(back.size_out, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(layer.neurons, out.neurons, transform=back)
        probes = [nengo.Probe(layer.neurons), nengo.Probe(out.neurons)]
    return networks.Case(net, probes, "convolutional")


def nested():
    """Subnetworks without seeds of their own, one inside the other."""
    with nengo.Network(seed=7) as net:
        stim = nengo.Node([0.4])
        with nengo.Network() as outer:
            a = nengo.Ensemble(12, 1)
            with nengo.Network():
                b = nengo.Ensemble(10, 1, neuron_type=nengo.AdaptiveLIF())
                inner_probe = nengo.Probe(b, synapse=0.005)
            nengo.Connection(a, b, transform=nengo.dists.Uniform(-1, 1))
        nengo.Connection(stim, a)
        nengo.Connection(b, a, solver=nengo.solvers.LstsqL2(weights=True))
        probes = [inner_probe, nengo.Probe(a.neurons), nengo.Probe(a.neurons, "input")]
        assert outer in net.networks
    return networks.Case(net, probes, "nested")


FROZEN = {
    "trained_feed_forward": trained_feed_forward,
    "convolutional": convolutional,
    "nested": nested,
    # BasalGanglia, CircularConvolution, EnsembleArray, InputGatedMemory
    **{name: FIXED[name] for name in FIXED},
}


def run_frozen(case, n_steps):
    """Return what a changed simulator and Nengo record, and the frozen network."""
    with simulator(case.net) as sim:
        perturb(sim)
        frozen = sim.freeze_params(case.net)
        ours = run(sim, case, n_steps)
    with warnings.catch_warnings():
        # what Nengo makes of the rates that given gains and biases imply
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", "Non-finite values detected in `max_rates`")
        theirs = reference_data(case, n_steps, seed=SEED)
    return ours, theirs, frozen


def check_frozen(case, n_steps=N_STEPS):
    """Compare a changed simulator with Nengo's own on the frozen network."""
    ours, theirs, frozen = run_frozen(case, n_steps)
    assert_equal_data(case, ours, theirs)
    return frozen


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_network_gives_the_same_in_nengo(name):
    check_frozen(FROZEN[name]())


@generated
@hypothesis.given(seed=st.integers(0, 10**6))
def test_frozen_generated_network_gives_the_same_in_nengo(seed):
    case = networks.random_network(seed)
    ours, theirs, _ = run_frozen(case, N_STEPS)
    # with changed parameters some of them explode, and membrane voltages become what
    # rounding leaves of huge currents
    hypothesis.assume(max(np.max(np.abs(v), initial=0) for v in theirs) < 1e9)
    assert_equal_data(case, ours, theirs)


def test_frozen_network_gives_the_same_as_the_compiled_simulation():
    case = trained_feed_forward()
    with simulator(case.net, jit_compile=True) as sim:
        perturb(sim)
        sim.freeze_params(case.net)
        sim.run_steps(200)
        ours = recorded(sim, case)
    assert_equal_data(case, ours, reference_data(case, 200, seed=SEED))


def test_frozen_network_has_the_same_seeds_if_it_had_none(net):
    net.seed = None
    case = networks.Case(net, [net.probe, net.spikes], "without seed")
    with simulator(net) as sim:
        sim.freeze_params(net)
        ours = run(sim, case)
    assert_equal_data(case, ours, reference_data(case, N_STEPS, seed=SEED))


def test_learned_weights_are_frozen(learning):
    """After learning, with everything but what was learned in its initial state."""
    case = networks.Case(learning, [learning.probe], "learned")
    with simulator(learning) as sim:
        run(sim, case, 50)
        values = sim._parameters
        learned = [p.signal for p in values.parameters if p.learned]
        kept = {s: value for s, (value, _) in values.read(learned).items()}
        frozen = sim.freeze_params(learning)
        np.testing.assert_array_equal(
            learning.conn.solver.values, sim.data[learning.conn].weights.T
        )
        sim.reset()
        values.write(kept)
        ours = run(sim, case)
    assert_equal_data(case, ours, reference_data(case, N_STEPS, seed=SEED))
    assert {learning.pre, learning.conn} <= set(frozen.objects)


def test_item_of_a_minibatch_is_frozen(learning):
    feed = np.array([0.2, 0.9])[:, None, None]
    with simulator(learning, minibatch_size=2) as sim:
        for _ in range(20):
            sim.step(input_feeds={learning.stim: feed})
        weights = sim.data[learning.conn].weights
        assert not np.allclose(weights[0], weights[1])
        for item in range(2):
            sim.freeze_params(learning, item=item)
            np.testing.assert_array_equal(learning.conn.solver.values, weights[item].T)
        with pytest.raises(ValidationError, match="item of the minibatch, 0 to 1; got"):
            sim.freeze_params(learning, item=2)


@pytest.mark.parametrize("name", ["nested", "error_driven_learning", "transforms"])
def test_freezing_can_be_undone(name):
    case = FROZEN[name]()
    before = {
        (obj, attr): getattr(obj, attr)
        for obj in case.net.all_objects
        if not isinstance(obj, nengo.Network)
        for attr in obj.params
    }
    expected = reference_data(case, N_STEPS, seed=SEED)
    frozen = check_frozen(case)
    assert len(frozen.objects) > 2
    frozen.undo()
    for (obj, attr), value in before.items():
        assert getattr(obj, attr) is value or getattr(obj, attr) == value
    for data, target in zip(
        reference_data(case, N_STEPS, seed=SEED), expected, strict=True
    ):
        np.testing.assert_array_equal(data, target)


def test_only_the_given_objects_are_frozen(net):
    with simulator(net) as sim:
        perturb(sim)
        assert sim.freeze_params(net.a.neurons).objects == [net.a]
        np.testing.assert_array_equal(net.a.bias, sim.data[net.a].bias)
        assert net.b.bias is None
        sim.freeze_params([net.direct, net.b])
    np.testing.assert_array_equal(
        net.direct.transform.init, sim.data[net.direct].weights
    )
    np.testing.assert_array_equal(net.b.encoders, sim.data[net.b].encoders)
    assert isinstance(net.decoded.solver, nengo.solvers.LstsqL2)


def test_freezing_does_not_touch_shared_neuron_types(net):
    types = [ens.neuron_type for ens in net.ensembles]
    with simulator(net) as sim:
        sim.freeze_params(net)
    assert [ens.neuron_type for ens in net.ensembles] == types
    assert all(
        ens.neuron_type is kind for ens, kind in zip(net.ensembles, types, strict=True)
    )


def test_freezing_refuses_other_objects_and_changes_nothing(net):
    with nengo.Network():
        other = nengo.Ensemble(5, 1)
    with simulator(net) as sim:
        with pytest.raises(TypeError, match=r"can be frozen; got str 'a'"):
            sim.freeze_params([net.a, "a"])
        with pytest.raises(TypeError, match=r"can be frozen; got str 'ens'"):
            sim.freeze_params("ens")
        with pytest.raises(TypeError, match="can be frozen; got Node"):
            sim.freeze_params(net.stim)
        with pytest.raises(ValueError, match="not part of the simulated network"):
            sim.freeze_params([net.a, other])
        with pytest.raises(ValueError, match="not part of the simulated network"):
            sim.freeze_params(nengo.Network(add_to_container=False))
        assert net.a.bias is None
    with pytest.raises(SimulatorClosed, match="freeze"):
        sim.freeze_params(net)


def test_direct_ensembles_have_nothing_to_freeze():
    with nengo.Network(seed=0) as net:
        direct = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        other = nengo.Ensemble(10, 1)
        nengo.Connection(direct, other, function=np.prod)
    with simulator(net) as sim:
        assert direct not in sim.freeze_params(net).objects
        with pytest.raises(ValueError, match="Direct mode, so there is nothing"):
            sim.freeze_params(direct)
        with pytest.raises(ValueError, match="Direct mode, so it has no encoders"):
            sim.get_nengo_params(direct)


# -- arguments for new objects


def rebuild(net, sim):
    """Build a network anew, with parameters from `get_nengo_params`."""
    new = {}

    def end(obj, selection):
        if isinstance(obj, nengo.ensemble.Neurons):
            return new[obj.ensemble].neurons[selection]
        return new[obj][selection]

    with nengo.Network(seed=net.seed) as copy:
        for node in net.all_nodes:
            size_out = None if node.output is None else node.size_out
            new[node] = nengo.Node(node.output, node.size_in, size_out)
        for ens in net.all_ensembles:
            arguments = {"seed": sim.model.seeds[ens]}
            if not isinstance(ens.neuron_type, nengo.Direct):
                arguments |= sim.get_nengo_params(ens)
            new[ens] = nengo.Ensemble(
                ens.n_neurons,
                ens.dimensions,
                radius=ens.radius,
                neuron_type=ens.neuron_type,
                **arguments,
            )
        for conn in net.all_connections:
            nengo.Connection(
                end(conn.pre_obj, conn.pre_slice),
                end(conn.post_obj, conn.post_slice),
                synapse=conn.synapse,
                **sim.get_nengo_params(conn),
            )
        probes = [
            nengo.Probe(
                end(p.obj, p.slice),
                p.attr,
                synapse=p.synapse,
                sample_every=p.sample_every,
            )
            for p in probes_to_rebuild(net)
        ]
    return networks.Case(copy, probes, f"rebuilt {net}")


def probes_to_rebuild(net):
    """Probes that show what their object does, without decoders of their own."""
    kinds = nengo.Node | nengo.ensemble.Neurons
    return [probe for probe in net.all_probes if isinstance(probe.obj, kinds)]


def kinds_of_connections():
    rng = np.random.RandomState(0)
    with nengo.Network(seed=8) as net:
        stim = nengo.Node(networks.wave)
        a = nengo.Ensemble(15, 2, radius=2)
        b = nengo.Ensemble(10, 2, neuron_type=nengo.AdaptiveLIF())
        c = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        nengo.Connection(stim, a)
        nengo.Connection(stim, a, transform=0.5)
        nengo.Connection(stim, b, transform=[0.5, 0.2])
        nengo.Connection(stim[[1, 0]], b[::-1], function=np.sin)
        nengo.Connection(stim, c, transform=nengo.dists.Uniform(-1, 1))
        nengo.Connection(a, b, function=networks.sine_and_sum)
        nengo.Connection(a[0], b[1], function=np.cos, transform=2)
        nengo.Connection(a, b[0], function=np.prod, transform=-1)
        nengo.Connection(a, b, solver=nengo.solvers.LstsqL2(weights=True))
        nengo.Connection(a[1], b[0], solver=nengo.solvers.LstsqL2(weights=True))
        nengo.Connection(a, b, transform=1, solver=nengo.solvers.NnlsL2(weights=True))
        nengo.Connection(c, a, function=np.tanh, transform=0.1 * np.eye(2))
        nengo.Connection(a.neurons[3:8], b.neurons[::2], transform=0.01 * np.eye(5))
        nengo.Connection(a.neurons, b, transform=1e-3 * rng.randn(2, 15))
        nengo.Connection(
            a.neurons,
            b.neurons,
            transform=nengo.Sparse((10, 15), [(1, 2), (9, 14)], init=[0.01, -0.02]),
        )
        nengo.Connection(
            a.neurons,
            b.neurons[:5],
            transform=nengo.Convolution(1, (15, 1), (3,), (3,), "same"),
        )
        nengo.Connection(
            b.neurons[:5],
            a.neurons,
            transform=nengo.ConvolutionTranspose(
                1, (5, 1), (15, 1), kernel_size=(3,), strides=(3,), padding="same"
            ),
        )
        for obj in (a.neurons, b.neurons, c):
            nengo.Probe(obj, synapse=None)
    return net


def test_rebuilt_network_gives_the_same_in_nengo_and_here():
    net = kinds_of_connections()
    case = networks.Case(net, probes_to_rebuild(net), "kinds of connections")
    with simulator(net) as sim:
        perturb(sim)
        copy = rebuild(net, sim)
        ours = run(sim, case)
    assert_equal_data(case, reference_data(copy, N_STEPS, seed=SEED), ours)
    with simulator(copy.net) as sim:
        assert_equal_data(case, run(sim, copy), ours)


# Nengo's, when it finds no maximum rate for a neuron whose bias keeps it from firing
@pytest.mark.filterwarnings("ignore:invalid value encountered in log1p:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Non-finite values detected in `max_rates`")
@generated
@hypothesis.given(seed=st.integers(0, 10**6))
@hypothesis.example(seed=160)
def test_rebuilt_generated_network_gives_the_same_in_nengo(seed):
    # without noise and learning rules, which are no parameters of a connection
    net = networks.random_network(seed, smooth=True).net
    case = networks.Case(net, probes_to_rebuild(net), f"generated {seed}")
    with simulator(net) as sim:
        perturb(sim)
        copy = rebuild(net, sim)
        ours = run(sim, case, 15)
    assert_equal_data(case, reference_data(copy, 15, seed=SEED), ours)


# Nengo's, when it unpickles a passthrough Node
@pytest.mark.filterwarnings("ignore:'Node.size_out' is being overwritten:UserWarning")
@generated
@hypothesis.given(seed=st.integers(0, 10**6))
def test_unpickled_generated_simulator_goes_on(seed):
    case = networks.random_network(seed)
    numbers = [case.net.all_probes.index(probe) for probe in case.probes]
    with simulator(case.net) as sim:
        perturb(sim)
        run(sim, case, 10)
        pickled = pickle.dumps(sim)
        expected = run(sim, case, 10)
    with pickle.loads(pickled) as sim:
        for _ in range(10):
            sim.step()
        probes = sim.model.toplevel.all_probes
        found = [np.array(sim.data[probes[number]]) for number in numbers]
    for ours, original in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, original)


def test_arguments_have_the_documented_form(net):
    with simulator(net) as sim:
        perturb(sim)
        params = sim.get_nengo_params([net.a, net.b.neurons, net.decoded, net.direct])
        single = sim.get_nengo_params(net.a)
        data = [sim.data[obj] for obj in (net.a, net.b, net.decoded, net.direct)]
    assert isinstance(single, dict) and isinstance(params, list)
    assert set(single) == {"encoders", "gain", "bias", "normalize_encoders"}
    for name in ("encoders", "gain", "bias"):
        np.testing.assert_array_equal(params[0][name], getattr(data[0], name))
        np.testing.assert_array_equal(params[1][name], getattr(data[1], name))
        assert params[0][name].flags.writeable
    assert type(params[2]["solver"]) is nengo.solvers.NoSolver
    np.testing.assert_array_equal(params[2]["solver"].values, data[2].weights.T)
    np.testing.assert_array_equal(params[3]["transform"].init, data[3].weights)


def test_arguments_as_dict_have_labels_as_keys(net):
    with simulator(net) as sim:
        params = sim.get_nengo_params([net.a, net.b], as_dict=True)
        assert list(params) == ["a", "b"]
        with pytest.raises(ValueError, match=r"unique for as_dict=True; .* 'a' again"):
            sim.get_nengo_params([net.a, net.b, net.a], as_dict=True)
        with pytest.raises(ValueError, match=r"unique for as_dict=True; .* None"):
            sim.get_nengo_params([net.a, net.direct], as_dict=True)


def test_arguments_for_other_objects_are_refused(net):
    with nengo.Network():
        other = nengo.Ensemble(5, 1)
    with simulator(net) as sim:
        with pytest.raises(ValueError, match="have parameters; got Node"):
            sim.get_nengo_params(net.stim)
        with pytest.raises(ValueError, match="have parameters; got str"):
            sim.get_nengo_params("a")
        with pytest.raises(ValueError, match="not part of the simulated network"):
            sim.get_nengo_params([net.a, other])
        with pytest.raises(ValueError, match="item of the minibatch, 0 to 0; got 1"):
            sim.get_nengo_params(net.a, item=1)
    with pytest.raises(SimulatorClosed, match="get parameters"):
        sim.get_nengo_params(net.a)


def test_gain_of_zero_with_trained_encoders_is_refused():
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(
            3, 1, gain=[0, 1, 2], bias=[1, 1, 1], encoders=[[1], [1], [-1]]
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sim = simulator(net)
    with sim:
        assert np.isfinite(sim.get_nengo_params(ens)["encoders"]).all()
        change(sim, ens, "encoders", [[0.5], [1], [-2]])
        with pytest.raises(ValidationError, match=r"Neuron 0 of .* has gain 0"):
            sim.get_nengo_params(ens)


def test_fixed_weights_are_not_multiplied_by_encoders():
    weights = np.random.RandomState(0).randn(6, 4)
    with nengo.Network(seed=0) as net:
        a, b = nengo.Ensemble(6, 1), nengo.Ensemble(4, 2)
        conn = nengo.Connection(a, b[0], solver=FixedWeights(weights))
    with nengo.Simulator(net, progress_bar=False) as sim:
        np.testing.assert_array_equal(sim.data[conn].weights, weights.T)


# -- pickling


def test_pickled_simulator_keeps_parameters_and_continues(net):
    case = networks.Case(net, [net.probe, net.spikes], "pickled")
    with simulator(net) as sim:
        new = perturb(sim)
        run(sim, case, 10)
        copy = pickle.loads(pickle.dumps(sim))
        expected = run(sim, case, 10)
    with copy:
        again = copy.model.toplevel
        twin = networks.Case(again, list(again.probes), "unpickled")
        assert_equal_data(twin, run(copy, twin, 10), expected, rtol=0, atol=0)
        for parameter, value in zip(
            copy._parameters.parameters, new.values(), strict=True
        ):
            if parameter.attribute != "encoders":
                (found,) = copy.data.get_params((parameter.obj, parameter.attribute))
                np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("neuron_type", [nengo.LIF(), nengo.Direct()])
def test_arrays_of_records_cannot_be_written_to(neuron_type):
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1, neuron_type=neuron_type)
        conn = nengo.Connection(ens, ens, eval_points=np.linspace(-1, 1, 9)[:, None])
    with simulator(net) as sim:
        for change in (None, np.zeros(10)):
            if change is not None and not isinstance(neuron_type, nengo.Direct):
                sim._parameters.write(
                    {sim._parameters.signal_of(ens.neurons, "bias"): change}
                )
            for record in (sim.data[ens], sim.data[ens.neurons], sim.data[conn]):
                arrays = {
                    name: value
                    for name, value in record._asdict().items()
                    if isinstance(value, np.ndarray)
                }
                assert "eval_points" in arrays or isinstance(record, BuiltConnection)
                writable = [n for n, value in arrays.items() if value.flags.writeable]
                assert writable == []
            if not isinstance(neuron_type, nengo.Direct):
                with pytest.raises(ValueError, match="read-only"):
                    sim.data[ens].max_rates[:] = 0
                with pytest.raises(ValueError, match="read-only"):
                    sim.data[ens].intercepts[0] = 0
