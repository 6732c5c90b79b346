"""Nodes whose output is TensorFlow code."""

import pickle
import random
import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ReadonlyError, ValidationError

import nengo_dl


def network(function, shape_in=None, value=None, **kwargs):
    """A network with one TensorNode, its input, and a probe."""
    kwargs.setdefault("label", "code")
    with nengo.Network(seed=0) as net:
        net.node = nengo_dl.TensorNode(function, shape_in=shape_in, **kwargs)
        if net.node.size_in:
            if value is None:
                value = np.linspace(-1, 1, net.node.size_in)
            net.inp = nengo.Node(value)
            nengo.Connection(net.inp, net.node, synapse=None)
        net.probe = nengo.Probe(net.node)
    return net


def outputs(net, n_steps=3, simulator=nengo_dl.Simulator, **kwargs):
    with simulator(net, progress_bar=False, **kwargs) as sim:
        sim.run_steps(n_steps)
        return sim.data[net.probe]


def dense(units=2, **kwargs):
    return keras.layers.Dense(units, **kwargs)


def cnn():
    return keras.Sequential(
        [
            keras.layers.Conv2D(3, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )


def normalized():
    return keras.Sequential([dense(3), keras.layers.BatchNormalization()])


class Scale(tf.Module):
    """An object that makes its variable when it is built."""

    def __init__(self, value=2.0):
        super().__init__()
        self.value = value
        self.built = False

    def build(self, shape):
        self.shape = shape
        self.scale = tf.Variable(tf.fill(shape[1:], self.value))
        self.built = True

    def __call__(self, x):
        return self.scale * x


# -- construction


def test_node_finds_its_shapes():
    net = network(lambda t, x: tf.reshape(x, (-1, 6)) * t, shape_in=(2, 3))
    assert net.node.shape_in == (2, 3)
    assert net.node.shape_out == (6,)
    assert (net.node.size_in, net.node.size_out) == (6, 6)
    assert net.node.pass_time
    assert net.node in net.nodes


def test_node_flattens_the_output():
    net = network(lambda x: x[:, :, :1], shape_in=(2, 3), pass_time=False)
    assert net.node.shape_out == (2, 1)
    np.testing.assert_allclose(outputs(net, 1), [[-1, 0.2]])


def test_sizes_can_be_given_instead_of_shapes():
    with nengo.Network():
        node = nengo_dl.TensorNode(lambda t, x: x[:, :2], size_in=3, size_out=2)
    assert (node.shape_in, node.shape_out) == ((3,), (2,))


def test_node_without_input_is_no_input_of_the_simulation():
    net = network(lambda t: tf.ones((1, 2)) * t)
    assert net.node.size_in == 0
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(ValidationError, match="input"):
            sim.run_steps(1, input_feeds={net.node: np.zeros((1, 1, 2))})


def test_attributes_are_read_only():
    net = network(tf.square, shape_in=2, pass_time=False)
    with pytest.raises(ReadonlyError):
        net.node.tensor_func = tf.sqrt
    assert net.node.output is tf.square


def test_network_with_nodes_can_be_copied():
    net = network(dense(kernel_initializer="ones"), shape_in=3)
    copy = net.copy()
    (probe,) = copy.probes
    with nengo_dl.Simulator(copy, progress_bar=False) as sim:
        sim.run_steps(1)
        np.testing.assert_allclose(sim.data[probe], [[0, 0]], atol=1e-6)


# -- bad input


@pytest.mark.parametrize("function", [None, 3, "f", np.ones(2), dict])
def test_what_is_no_function_is_refused(function):
    with pytest.raises(ValidationError, match="Must be a function, a Keras layer"):
        network(function, shape_in=2)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda t, x: None, "returned None; it must return a tensor"),
        (lambda t, x: 3.0, "returned 3.0, which is no tensor"),
        (lambda t, x: np.zeros((1, 2)), "which is no tensor"),
        (lambda t, x: [x, x], "which is no tensor"),
        (lambda t, x: t, r"returned a tensor of shape \(\)"),
        (lambda t, x: x[0], r"returned a tensor of shape \(2,\)"),
        (lambda t, x: tf.argmax(x, axis=1)[:, None], "type int64 where float"),
        (lambda t, x: tf.cast(x, tf.float16), "type float16 where float"),
        (lambda t: t, "TypeError: .*takes 1 positional argument but 2"),
        (lambda t, x: x + tf.ones((1, 3)), r"with float32 of shape .*, float32"),
    ],
)
def test_wrong_code_is_refused_when_the_node_is_made(function, message):
    with pytest.raises(ValidationError, match=message) as caught:
        network(function, shape_in=2)
    assert "<TensorNode 'code'>" in str(caught.value)


def test_exceptions_of_the_code_are_chained():
    def broken(t, x):
        raise ZeroDivisionError("oh no")

    message = "'broken' of <TensorNode 'code'> failed while .*ZeroDivisionError: oh no"
    with pytest.raises(ValidationError, match=message) as caught:
        network(broken, shape_in=2)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_shape_out_is_checked():
    message = r"of shape \(1, 2\); \(minibatch, 3\) is needed"
    with pytest.raises(ValidationError, match=message):
        network(lambda t, x: x, shape_in=2, shape_out=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"shape_in": 0}, "Must be a positive integer or a tuple"),
        ({"shape_in": (2, -1)}, "Must be a positive integer or a tuple"),
        ({"shape_in": "ab"}, "Must be a positive integer or a tuple"),
        ({"shape_in": 2.5}, "Must be a positive integer or a tuple"),
        ({"shape_in": 2, "size_in": 3}, "Has 2 elements, but size_in is 3"),
        ({"size_in": -1}, "Must be a positive number of elements"),
        ({"pass_time": False}, "needs an input"),
        ({"pass_time": 3}, "bool"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValidationError, match=message):
        network(lambda *args: args[-1], **arguments)


def test_code_that_creates_variables_is_refused():
    with pytest.raises(ValidationError, match="creates variables when it is called"):
        network(lambda x: tf.Variable(1.0) * x, shape_in=2, pass_time=False)
    with pytest.raises(ValidationError, match="Pass the Keras layer"):
        network(lambda x: dense()(x), shape_in=2, pass_time=False)


def test_wrong_number_of_items_is_refused_when_it_is_known():
    net = network(lambda t, x: tf.ones((3, 2)), shape_in=2)
    assert outputs(net, 1, minibatch_size=3).shape == (3, 1, 2)
    with pytest.raises(ValidationError, match=r"of shape \(3, 2\); .* is needed"):
        outputs(net, 1, minibatch_size=2)


def test_layer_that_does_not_fit_its_input_is_refused():
    with pytest.raises(ValidationError, match=r"'Conv2D' of .* input of shape \(4,\)"):
        network(keras.layers.Conv2D(2, 3), shape_in=4)


class Wrapper(keras.layers.Layer):
    """Has no get_config, so it cannot be copied."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def call(self, x):
        return 2 * self.part(x)


@pytest.mark.parametrize("built", [True, False])
def test_layers_without_configuration_work_without_a_copy(built):
    part = dense(2)
    wrapper = Wrapper(part)
    if built:
        wrapper(np.ones((1, 3)))
    net = network(wrapper, shape_in=3)
    found = outputs(net, dtype=tf.float64)
    kernel, bias = (v.numpy() for v in part.weights)
    expected = 2 * (np.linspace(-1, 1, 3) @ kernel + bias)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    with nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as sim:
        sim.train(*random_data(net), keras.optimizers.SGD(0.1))
        trained = list(weights_of(sim, net).values())
        assert not np.allclose(trained[0], kernel)
    np.testing.assert_array_equal(part.weights[0], kernel)  # the user's is left alone


def test_functions_in_layers_without_configuration_work():
    found = outputs(network(Wrapper(lambda x: x + 1), shape_in=3))
    np.testing.assert_allclose(found[0], 2 * np.linspace(-1, 1, 3) + 2)


def test_layers_whose_call_needs_to_know_whether_it_trains():
    class Strict(keras.layers.Layer):
        def call(self, x, training):
            return x + tf.cast(tf.constant(training), x.dtype)

    net = network(Strict(), shape_in=3)
    np.testing.assert_allclose(outputs(net)[0], np.linspace(-1, 1, 3), atol=1e-7)
    with nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as sim:
        x = {net.inp: np.zeros((8, 1, 3))}
        y = {net.probe: np.zeros((8, 1, 3))}
        assert (sim.loss(x, y), sim.loss(x, y, training=True)) == (0, 1)


def test_code_for_one_precision_is_refused_in_the_other():
    net = network(lambda x: x + tf.ones((1, 2), tf.float64), 2, pass_time=False)
    assert outputs(net, dtype=tf.float64).shape == (3, 2)
    with pytest.raises(ValidationError, match="float32"):
        outputs(net)


# -- simulation


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize(
    "function, shape_in, pass_time",
    [
        (lambda t: tf.stack([t, tf.sin(t)])[None], None, True),
        (lambda t, x: x * tf.exp(-10 * t), 3, True),
        (lambda x: tf.reduce_sum(x, axis=2), (2, 3), False),
        (lambda x: tf.ones((1, 2), x.dtype), 2, False),
    ],
)
def test_output_is_that_of_core(function, shape_in, pass_time, jit_compile):
    net = network(function, shape_in, pass_time=pass_time)
    expected = outputs(net, 10, nengo.Simulator)
    found = outputs(net, 10, dtype=tf.float64, jit_compile=jit_compile)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(outputs(net, 10), expected, rtol=1e-5, atol=1e-6)


def test_time_and_input_are_tensors_of_the_simulation():
    seen = []

    def function(t, x):
        seen.append((t.shape, t.dtype, x.shape, x.dtype))
        return x

    net = network(function, shape_in=(2, 1))
    seen.clear()
    outputs(net, dtype=tf.float64, minibatch_size=3, jit_compile=True)
    assert ((), tf.float64, (3, 2, 1), tf.float64) in seen


def test_items_of_a_minibatch_have_their_own_input():
    net = network(lambda t, x: x**2, shape_in=2)
    with nengo_dl.Simulator(net, minibatch_size=3, progress_bar=False) as sim:
        x = np.random.RandomState(0).uniform(size=(3, 5, 2))
        sim.run_steps(5, input_feeds={net.inp: x})
        np.testing.assert_allclose(sim.data[net.probe], x**2, rtol=1e-5)


def test_items_of_a_minibatch_draw_their_own_numbers():
    net = network(lambda x: x + tf.random.normal(tf.shape(x)), 2, pass_time=False)
    found = outputs(net, 4, minibatch_size=3)
    assert len(np.unique(found)) == found.size


def test_stateless_random_numbers_follow_the_time():
    def function(t):
        seed = tf.stack([0, tf.cast(tf.round(t * 1000), tf.int32)])
        return tf.random.stateless_normal((1, 2), seed, dtype=t.dtype)

    net = network(function)
    first = outputs(net)
    assert len(np.unique(first)) == first.size
    np.testing.assert_array_equal(outputs(net), first)


def test_slices_and_networks_inside_networks():
    with nengo.Network() as net:
        inp = nengo.Node([1, 2, 3])
        with nengo.Network():
            node = nengo_dl.TensorNode(lambda t, x: 10 * x, shape_in=3)
        end = nengo.Node(size_in=2)
        nengo.Connection(inp[:2], node[1:], synapse=None)
        nengo.Connection(node[[2, 0]], end, synapse=None)
        net.probe = nengo.Probe(end)
    np.testing.assert_allclose(outputs(net, 1), [[20, 0]])


def test_function_with_a_fixed_batch_is_simulated():
    net = network(lambda x: x * tf.ones(x.shape), 2, pass_time=False)
    assert outputs(net, 2, minibatch_size=2).shape == (2, 2, 2)


def test_network_of_tensor_nodes_in_a_feedback_loop():
    with nengo.Network() as net:
        node = nengo_dl.TensorNode(lambda x: x + 1, shape_in=1, pass_time=False)
        nengo.Connection(node, node, synapse=0)
        net.probe = nengo.Probe(node)
    np.testing.assert_allclose(outputs(net, 3), [[1], [2], [3]])


def test_nodes_of_one_function_are_one_group():
    calls = []

    def function(x):
        calls.append(x.shape)
        return tf.cumsum(x, axis=1)

    with nengo.Network() as net:
        inp = nengo.Node(np.arange(20))
        nodes = [
            nengo_dl.TensorNode(function, shape_in=2, pass_time=False)
            for _ in range(10)
        ]
        for i, node in enumerate(nodes):
            nengo.Connection(inp[2 * i : 2 * i + 2], node, synapse=None)
        probes = [nengo.Probe(node) for node in nodes]
    calls.clear()
    with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
        sim.run_steps(1)
        found = np.array([sim.data[probe][0] for probe in probes])
    x = np.arange(20).reshape(10, 2)
    np.testing.assert_allclose(found, np.cumsum(x, axis=1))
    assert len(calls) < 5


def test_code_that_xla_cannot_compile_runs_without_it():
    def function(x):
        return tf.ensure_shape(
            tf.numpy_function(lambda x: 2 * x, [x], x.dtype), x.shape
        )

    net = network(function, shape_in=2, pass_time=False)
    with pytest.warns(UserWarning, match="<TensorNode 'code'> cannot be compiled"):
        sim = nengo_dl.Simulator(net, progress_bar=False)
    with sim:
        sim.run_steps(20)
        np.testing.assert_allclose(sim.data[net.probe][-1], [-2, 2])
        assert "XLA cannot compile the code of TensorNode 'code'" in str(sim.summary())


def test_warning_of_xla_points_at_the_user():
    net = network(
        lambda x: tf.ensure_shape(tf.numpy_function(np.sin, [x], x.dtype), x.shape),
        shape_in=2,
        pass_time=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nengo_dl.Simulator(net, progress_bar=False).close()
    assert [w.filename for w in caught if "XLA" in str(w.message)] == [__file__]


def test_only_code_that_xla_can_compile_is_compiled_around_it():
    """What other nodes compute is the same, whoever runs outside of XLA."""
    with nengo.Network(seed=0) as net:
        inp = nengo.Node(lambda t: [np.sin(t), np.cos(t)])
        net.node = nengo_dl.TensorNode(
            lambda t, x: tf.ensure_shape(tf.py_function(np.sin, [x], x.dtype), x.shape),
            shape_in=2,
            label="python",
        )
        ens = nengo.Ensemble(20, 2)
        nengo.Connection(inp, net.node, synapse=None)
        nengo.Connection(net.node, ens)
        net.probe = nengo.Probe(ens, synapse=0.01)
    expected = outputs(net, 30, nengo.Simulator)
    for jit_compile in (None, True):
        with pytest.warns(UserWarning, match="'python'> cannot be compiled by XLA"):
            found = outputs(net, 30, dtype=tf.float64, jit_compile=jit_compile)
        np.testing.assert_allclose(found, expected, atol=1e-8)
    found = outputs(net, 30, dtype=tf.float64, jit_compile=False)  # and no warning
    np.testing.assert_allclose(found, expected, atol=1e-8)


# -- weights


def test_weights_of_a_built_layer_are_where_a_simulation_begins():
    layer = dense()
    layer.build((None, 3))
    net = network(layer, shape_in=3)
    found = outputs(net, 1, dtype=tf.float64)
    expected = layer(np.linspace(-1, 1, 3)[None])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_weights_of_an_unbuilt_layer_follow_the_seed():
    nets = [network(dense(), shape_in=3) for _ in range(2)]
    first, second = (outputs(net, 1) for net in nets)
    np.testing.assert_array_equal(first, second)
    nets[0].seed = 1
    assert not np.allclose(outputs(nets[0], 1), first)


def test_weights_do_not_touch_the_random_numbers_of_python():
    layer = dense()
    random.seed(3)
    expected = random.random()
    random.seed(3)
    outputs(network(layer, shape_in=3), 1)
    assert random.random() == expected


def test_users_layer_is_left_alone():
    layer = cnn()
    net = network(layer, shape_in=(4, 4, 1))
    outputs(net, 1)
    assert not layer.built


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_model_computes_in_the_precision_of_the_simulation(dtype):
    model = cnn()
    model.build((None, 4, 4, 1))
    net = network(model, shape_in=(4, 4, 1))
    expected = outputs(net, 1, nengo.Simulator)
    found = outputs(net, 1, dtype=dtype)
    np.testing.assert_allclose(
        found, expected, rtol=1e-4 if dtype == tf.float32 else 1e-12, atol=1e-6
    )


def functional_model():
    inp = keras.Input((3,))
    return keras.Model(inp, keras.layers.Add()([dense()(inp), dense()(inp)]))


def model_of_own_layer():
    return keras.Sequential([dense(4), Scaled(3.0), keras.layers.Lambda(lambda x: -x)])


def subclassed_model():
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = dense(units)

        def call(self, x):
            return self.dense(x)

    model = Own(2)
    model(np.zeros((1, 3)))
    return model


@pytest.mark.parametrize(
    "make", [functional_model, model_of_own_layer, subclassed_model]
)
def test_kinds_of_models_can_be_used(make):
    model = make()
    model(np.zeros((1, 3)))
    net = network(model, shape_in=3)
    expected = model(np.linspace(-1, 1, 3)[None])
    for dtype in (tf.float32, tf.float64):
        np.testing.assert_allclose(outputs(net, 1, dtype=dtype), expected, rtol=1e-5)


class Scaled(keras.layers.Layer):
    """A layer of one's own, with an argument."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def get_config(self):
        return {"scale": self.scale}

    def call(self, x):
        return self.scale * x


def test_layer_with_two_arguments_gets_the_time():
    class Timed(keras.layers.Layer):
        def call(self, t, x):
            return t * x

    net = network(Timed(), shape_in=2, value=np.ones(2))
    np.testing.assert_allclose(outputs(net, 2), [[0.001] * 2, [0.002] * 2], rtol=1e-6)


def test_objects_with_variables_have_weights():
    source = Scale()
    net = network(source, shape_in=2, pass_time=False)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1)
        np.testing.assert_allclose(sim.data[net.probe], [[-2, 2]])
        assert list(sim.data[net.node].weights) == ["scale"]
        np.testing.assert_array_equal(sim.data[net.node].weights["scale"], [2, 2])
    assert not source.built


def test_variables_in_lists_and_modules_are_weights():
    class Model:
        def __init__(self):
            self.parts = [Scale(3.0), Scale(4.0)]
            for part in self.parts:
                part.build((None, 2))
            self.tables = {"bias": tf.Variable([1.0, 2.0])}

        def __call__(self, t, x):
            for part in self.parts:
                x = part(x)
            return x + self.tables["bias"]

    source = Model()
    net = network(source, shape_in=2, value=np.ones(2))
    with nengo_dl.Simulator(net, dtype=tf.float64, progress_bar=False) as sim:
        sim.run_steps(1)
        np.testing.assert_allclose(sim.data[net.probe], [[13, 14]])
        assert len(sim.data[net.node].weights) == 3
        assert sum(v.shape.num_elements() for v in sim.trainable_variables) == 6
    assert isinstance(source.tables["bias"], tf.Variable)


def test_nodes_of_one_layer_share_its_weights():
    layer = dense()
    with nengo.Network(seed=0) as net:
        inp = nengo.Node([1, 2, 3])
        nodes = [nengo_dl.TensorNode(layer, shape_in=3) for _ in range(2)]
        for node in nodes:
            nengo.Connection(inp, node, synapse=None)
        probes = [nengo.Probe(node) for node in nodes]
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1)
        np.testing.assert_array_equal(*(sim.data[probe] for probe in probes))
        assert sum(v.shape.num_elements() for v in sim.trainable_variables) == 3 * 2 + 2
        first, second = (sim.data[node].weights["kernel"] for node in nodes)
        np.testing.assert_array_equal(first, second)


# -- training


def random_data(net, n_items=8, n_steps=1, seed=0):
    rng = np.random.RandomState(seed)
    x = rng.uniform(-1, 1, (n_items, n_steps, net.node.size_in))
    y = rng.uniform(-1, 1, (n_items, n_steps, net.node.size_out))
    return {net.inp: x}, {net.probe: y}


def weights_of(sim, net):
    return {k: np.array(v) for k, v in sim.data[net.node].weights.items()}


def test_training_changes_the_weights_of_one_simulator():
    layer = dense()
    layer.build((None, 3))
    net = network(layer, shape_in=3)
    before = [v.numpy() for v in layer.weights]
    with (
        nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as sim,
        nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as other,
    ):
        inputs, targets = random_data(net)
        loss = sim.loss(inputs, targets)
        sim.train(inputs, targets, tf.keras.optimizers.SGD(0.5), n_epochs=5)
        assert sim.loss(inputs, targets) < 0.9 * loss
        assert other.loss(inputs, targets) == pytest.approx(loss)
        names = " ".join(v.name for v in sim.trainable_variables)
        assert ".weights.0.kernel" in names and ".weights.1.bias" in names
    for variable, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_training_gives_what_keras_gives(n_steps):
    model = keras.Sequential([dense(5, activation="tanh"), dense(2)])
    model.build((None, 3))
    net = network(model, shape_in=3)
    with nengo_dl.Simulator(
        net, minibatch_size=8, progress_bar=False, dtype=tf.float32
    ) as sim:
        inputs, targets = random_data(net, n_steps=n_steps)
        history = sim.train(
            inputs, targets, keras.optimizers.Adam(0.1), n_epochs=4, shuffle=False
        )
        found = weights_of(sim, net)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x, y = inputs[net.inp].reshape(-1, 3), targets[net.probe].reshape(-1, 2)
    expected = model.fit(
        x, y, batch_size=len(x), epochs=4, shuffle=False, verbose=0
    ).history["loss"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-4)
    for value, variable in zip(found.values(), model.weights, strict=True):
        np.testing.assert_allclose(value, variable.numpy(), rtol=1e-3, atol=1e-5)


def test_moving_averages_are_kept_from_minibatch_to_minibatch():
    model = keras.Sequential([keras.layers.BatchNormalization(momentum=0.5)])
    model.build((None, 3))
    net = network(model, shape_in=3)
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        inputs, targets = random_data(net)
        sim.train(inputs, targets, keras.optimizers.SGD(0.1), shuffle=False)
        found = weights_of(sim, net)
        mean = np.zeros(3)
        for items in np.split(inputs[net.inp][:, 0], 2):
            mean = 0.5 * mean + 0.5 * items.mean(axis=0)
        name = "batch_normalization/moving_mean"
        moving = next(v for k, v in found.items() if k.endswith("moving_mean"))
        np.testing.assert_allclose(moving, mean, rtol=1e-5)
        assert moving.shape == (3,), name

        loss = sim.loss(inputs, targets)
        sim.soft_reset()
        assert sim.loss(inputs, targets) == loss
        np.testing.assert_equal(weights_of(sim, net), found)
        sim.run_steps(3)
        np.testing.assert_equal(weights_of(sim, net), found)
        sim.soft_reset(include_trainable=True)
        for name, value in weights_of(sim, net).items():
            expected = name.endswith(("gamma", "moving_variance"))
            np.testing.assert_array_equal(value, np.full(3, float(expected)))


def test_node_that_is_not_trained_behaves_as_in_simulation():
    net = network(normalized(), shape_in=3)
    with net:
        end = nengo_dl.TensorNode(dense(), shape_in=3)
        nengo.Connection(net.node, end, synapse=None)
        net.probe = nengo.Probe(end)
        nengo_dl.configure_settings(trainable=None)
    net.config[net.node].trainable = False
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        before = weights_of(sim, net)
        inputs = {net.inp: np.random.RandomState(0).uniform(size=(4, 1, 3))}
        targets = {net.probe: np.zeros((4, 1, 2))}
        loss = sim.loss(inputs, targets)
        assert sim.loss(inputs, targets, training=True) == pytest.approx(loss)
        sim.train(inputs, targets, keras.optimizers.SGD(0.1))
        np.testing.assert_equal(weights_of(sim, net), before)
        assert sim.loss(inputs, targets) < loss


def test_random_layers_draw_anew_in_each_minibatch():
    net = network(keras.layers.Dropout(0.5, seed=1), shape_in=100, value=np.ones(100))
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        x, y = {net.inp: np.ones((2, 3, 100))}, {net.probe: np.zeros((2, 3, 100))}
        assert sim.loss(x, y) == 1
        first = sim.loss(x, y, training=True)
        assert first > 1.2
        assert sim.loss(x, y, training=True) == first


def test_frozen_layers_and_settings_are_respected():
    model = keras.Sequential([dense(4), dense(2)])
    model.build((None, 3))
    model.layers[0].trainable = False
    net = network(model, shape_in=3)
    with nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as sim:
        before = list(weights_of(sim, net).values())
        sim.train(*random_data(net), keras.optimizers.SGD(0.1))
        after = list(weights_of(sim, net).values())
        changed = [not np.array_equal(a, b) for a, b in zip(before, after)]
        assert changed == [False, False, True, True]

    with net:
        nengo_dl.configure_settings(trainable=None)
    net.config[net.node].trainable = False
    with nengo_dl.Simulator(net, minibatch_size=8, progress_bar=False) as sim:
        assert sim.trainable_variables == []


@pytest.mark.parametrize(
    "function, shape_in, pass_time",
    [
        (lambda x: tf.tanh(x) ** 2, 3, False),
        (lambda t, x: tf.sin(x) * (1 + 100 * t), 3, True),
        (dense(2, activation="tanh"), 3, True),
        (Scale(), 3, False),
        (keras.layers.SimpleRNN(2), (2, 2), True),
    ],
)
def test_gradients_flow_through_nodes(function, shape_in, pass_time):
    net = network(function, shape_in, pass_time=pass_time)
    with net:
        ens = nengo.Ensemble(5, net.node.size_out, neuron_type=nengo.Tanh())
        nengo.Connection(net.node, ens, synapse=0.01)
        probe = nengo.Probe(ens)
    with nengo_dl.Simulator(
        net, dtype=tf.float64, minibatch_size=2, progress_bar=False
    ) as sim:
        sim.check_gradients([net.probe, probe])


def test_nodes_in_loops_can_be_trained_with_truncation():
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.zeros(2))
        net.node = nengo_dl.TensorNode(dense(activation="tanh"), shape_in=2)
        nengo.Connection(net.inp, net.node, synapse=None)
        nengo.Connection(net.node, net.node, synapse=0.005)
        net.probe = nengo.Probe(net.node)
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        inputs, targets = random_data(net, n_steps=6)
        loss = sim.loss(inputs, targets)
        sim.train(
            inputs, targets, keras.optimizers.Adam(0.05), n_epochs=20, truncation=3
        )
        assert sim.loss(inputs, targets) < 0.9 * loss


# -- parameters


def test_weights_are_saved_reset_and_pickled(tmp_path):
    net = network(normalized(), shape_in=3)
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        inputs, targets = random_data(net)
        before = weights_of(sim, net)
        sim.train(inputs, targets, keras.optimizers.Adam(0.1))
        after = weights_of(sim, net)
        loss = sim.loss(inputs, targets)
        path = sim.save_params(tmp_path / "params")
        with np.load(path, allow_pickle=False) as file:
            assert "net.nodes[0].weights[0].kernel" in file.files
        sim.reset()
        np.testing.assert_equal(weights_of(sim, net), before)
        sim.load_params(path)
        np.testing.assert_equal(weights_of(sim, net), after)
        assert sim.loss(inputs, targets) == loss
        copy = pickle.loads(pickle.dumps(sim))
    # names of layers differ from those of the first model
    other = network(normalized(), shape_in=3)
    with nengo_dl.Simulator(other, minibatch_size=2, progress_bar=False) as sim:
        sim.load_params(path)
        for a, b in zip(weights_of(sim, other).values(), after.values(), strict=True):
            np.testing.assert_array_equal(a, b)
    copied = copy.model.toplevel
    (node,) = [n for n in copied.nodes if isinstance(n, nengo_dl.TensorNode)]
    with copy:
        np.testing.assert_equal(dict(copy.data[node].weights), after)


def test_networks_with_functions_can_be_frozen():
    net = network(tf.tanh, shape_in=3, pass_time=False)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.freeze_params(net)
        sim.run_steps(3)
    expected = np.tanh(np.tile(np.linspace(-1, 1, 3), (3, 1)))
    np.testing.assert_allclose(sim.data[net.probe], expected, rtol=1e-6)
    frozen = outputs(net, simulator=nengo.Simulator)
    np.testing.assert_allclose(frozen, expected, rtol=1e-6)
