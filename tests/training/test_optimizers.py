"""Optimizers see the user's parameters, and give what they give in Keras."""

import gc
import warnings
import weakref

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.training import optimizers as optimizers_module
from nengo_dl.training.optimizer_kinds import (
    keras_names,
    optimizer_key,
    sees_variables,
)
from nengo_dl.training.recipe import TrainingRecipe

MINIBATCH, N_MINIBATCHES = 4, 9
RNG = np.random.RandomState(0)
X = RNG.uniform(-1, 1, size=(MINIBATCH * N_MINIBATCHES, 4))
Y = np.stack([X[:, 0] * X[:, 1], X[:, 2] - X[:, 3] ** 2], axis=1)
WEIGHTS = [RNG.normal(size=shape) for shape in [(4, 6), (6,), (6, 2)] * 2]


def branches():
    """Two equal branches, whose parameters lie in the same blocks."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        net.x = nengo.Node(np.zeros(4))
        net.out = nengo.Node(size_in=2)
        net.parts = []
        for kernel, bias, readout in (WEIGHTS[:3], WEIGHTS[3:]):
            ens = nengo.Ensemble(
                6, 1, neuron_type=nengo.RectifiedLinear(), gain=np.ones(6), bias=bias
            )
            net.config[ens].trainable = False
            net.config[ens.neurons].trainable = True
            first = nengo.Connection(
                net.x, ens.neurons, transform=kernel.T, synapse=None
            )
            second = nengo.Connection(
                ens.neurons, net.out, transform=readout.T, synapse=None
            )
            net.parts.append((first, ens, second))
        net.probe = nengo.Probe(net.out)
    return net


def simulator(net, **kwargs):
    kwargs = {"minibatch_size": MINIBATCH, "dtype": tf.float64} | kwargs
    return nengo_dl.Simulator(net, progress_bar=False, **kwargs)


def trained_by_nengo(optimizer, n_epochs=1, **kwargs):
    net = branches()
    with simulator(net, **kwargs) as sim:
        x, y = {net.x: X[:, None]}, {net.probe: Y[:, None]}
        sim.train(x, y, optimizer, n_epochs=n_epochs, shuffle=False)
        found = []
        for first, ens, second in net.parts:
            found += [
                sim.data[first].weights.T,
                sim.data[ens].bias,
                sim.data[second].weights.T,
            ]
    return found


def trained_by_keras(optimizer, n_epochs=1, dtype="float64"):
    dense = keras.layers.Dense
    x = keras.Input((4,), dtype=dtype)
    parts = []
    for number in range(2):
        hidden = dense(6, "relu", dtype=dtype, name=f"hidden_{number}")(x)
        parts.append(dense(2, use_bias=False, dtype=dtype)(hidden))
    model = keras.Model(x, keras.layers.Add(dtype=dtype)(parts))
    hidden = [layer for layer in model.layers if layer.name.startswith("hidden")]
    readouts = [
        layer
        for layer in model.layers
        if isinstance(layer, dense) and layer not in hidden
    ]
    order = []
    for one, other in zip(hidden, readouts, strict=True):
        order += [*one.weights, *other.weights]
    for variable, value in zip(order, WEIGHTS, strict=True):
        variable.assign(value)
    if type(optimizer).__name__ == "ScheduleFreeAdamW":  # new in Keras 3.15
        # where `fit` builds it, Keras 3.15 loses what it assigns to its averages
        optimizer.build(model.trainable_variables)
    model.compile(optimizer, "mse")
    model.fit(X, Y, MINIBATCH, epochs=n_epochs, shuffle=False, verbose=0)
    return [variable.numpy() for variable in order]


def make(name, **options):
    """An optimizer, with a learning rate at which nine updates do something."""
    kind = getattr(keras.optimizers, name)
    if name == "LossScaleOptimizer":
        return kind(keras.optimizers.Adam(0.05, **options))
    if name == "Muon":  # its scaling by size fails for float64, in Keras too
        options.setdefault("rms_rate", None)
    if name == "MultiOptimizer":
        chosen = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.05))
        chosen["bias"] = keras.optimizers.SGD(0.1)
        return kind(chosen)
    return kind(0.05, **options)


KINDS = [*keras_names()]
OPTIONS = {
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "centered": ("RMSprop", {"centered": True, "momentum": 0.5}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "clipnorm": ("Adam", {"clipnorm": 0.1}),
    "clipnorm of SGD": ("SGD", {"clipnorm": 0.1}),
    "clipvalue": ("SGD", {"clipvalue": 0.02}),
    "global_clipnorm": ("SGD", {"global_clipnorm": 0.1}),
    "use_ema": ("SGD", {"use_ema": True, "ema_momentum": 0.7}),
    "ema_overwrite_frequency": (
        "Adam",
        {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    ),
    "weight_decay": ("SGD", {"weight_decay": 0.1}),
    "loss_scale_factor": ("Adam", {"loss_scale_factor": 1024.0}),
    "gradient_accumulation_steps": ("Adam", {"gradient_accumulation_steps": 2}),
    "Adafactor by size": ("Adafactor", {"relative_step": False}),
    "Muon with layers left out": ("Muon", {"exclude_layers": ["no such layer"]}),
    "scaled, with clipnorm": ("LossScaleOptimizer", {"clipnorm": 0.1}),
}


def assert_equal(found, expected):
    for one, other, before in zip(found, expected, WEIGHTS, strict=True):
        assert not np.allclose(other, before, rtol=1e-3)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_every_optimizer_of_keras_gives_what_it_gives_in_keras(name):
    assert_equal(trained_by_nengo(make(name)), trained_by_keras(make(name)))


@pytest.mark.parametrize("option", OPTIONS)
def test_options_give_what_they_give_in_keras(option):
    name, options = OPTIONS[option]
    found = trained_by_nengo(make(name, **options))
    assert_equal(found, trained_by_keras(make(name, **options)))


@pytest.mark.parametrize("name", ["Lamb", "SGD"])
def test_without_xla_optimizers_give_the_same(name):
    options = {} if name == "Lamb" else {"clipnorm": 0.1}
    found = trained_by_nengo(make(name, **options), jit_compile=False)
    assert_equal(found, trained_by_keras(make(name, **options)))


def test_parameters_are_excluded_from_weight_decay_by_name():
    made = []
    for _ in range(2):
        optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        made.append(optimizer)
    assert_equal(trained_by_nengo(made[0]), trained_by_keras(made[1]))
    plain = trained_by_keras(keras.optimizers.AdamW(0.05, weight_decay=0.5))
    assert not np.allclose(plain[1], trained_by_keras(_excluding())[1])


def _excluding():
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize("scaled", [False, True])
def test_parameters_are_excluded_from_weight_decay_by_name_of_their_object(scaled):
    net = branches()
    with simulator(net) as sim:
        optimizer = keras.optimizers.SGD(0.05, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=[r"ensembles\.1\.", "nothing"])
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        zeros = {net.probe: np.zeros((MINIBATCH, 1, 2))}
        sim.train({net.x: X[:MINIBATCH, None]}, zeros, optimizer, objective=None)
        first, second = (sim.data[ens].bias for _, ens, _ in net.parts)
    np.testing.assert_allclose(first, WEIGHTS[1] * 0.975)
    np.testing.assert_allclose(second, WEIGHTS[4])


def test_parameters_are_excluded_from_weight_decay_by_variable():
    net = branches()
    with simulator(net) as sim:
        optimizer = keras.optimizers.SGD(0.05, weight_decay=0.5)
        wanted = [v for v in sim.trainable_variables if v.name.endswith(".bias")]
        assert len(wanted) == 2
        optimizer.exclude_from_weight_decay(var_list=wanted)
        zeros = {net.probe: np.zeros((MINIBATCH, 1, 2))}
        sim.train({net.x: X[:MINIBATCH, None]}, zeros, optimizer, objective=None)
        first, ens, _ = net.parts[0]
        np.testing.assert_allclose(sim.data[ens].bias, WEIGHTS[1])
        np.testing.assert_allclose(sim.data[first].weights.T, WEIGHTS[0] * 0.975)


def test_parameters_that_the_loss_does_not_see_do_not_decay():
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        x, outs = nengo.Node([1.0]), [nengo.Node(size_in=1) for _ in range(2)]
        conns = [nengo.Connection(x, out, transform=2, synapse=None) for out in outs]
        probes = [nengo.Probe(out) for out in outs]
    data = np.ones((MINIBATCH, 1, 1))
    with simulator(net) as sim:
        optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
        sim.train({x: data}, {probes[0]: data * 2}, optimizer)
        assert sim.data[conns[0]].weights == pytest.approx(1.9)
        assert sim.data[conns[1]].weights == 2


# -- what optimizers see


def test_optimizers_that_look_at_variables_get_those_of_parameters():
    net = branches()
    optimizer = keras.optimizers.Lamb(0.05)
    with simulator(net) as sim:
        sim.train({net.x: X[:, None]}, {net.probe: Y[:, None]}, optimizer)
        names = [variable.name for variable in optimizer.variables]
        assert "net.ensembles.1.bias_momentum" in names
        shapes = {v.name: tuple(v.shape) for v in sim.trainable_variables}
        assert shapes["net.connections.0.weights"] == (6, 4)
        assert shapes["net.ensembles.1.bias"] == (6,)


def test_optimizers_that_work_by_element_see_blocks():
    net = branches()
    optimizer = keras.optimizers.Adam(0.05)
    with simulator(net) as sim:
        sim.train({net.x: X[:, None]}, {net.probe: Y[:, None]}, optimizer)
        n_blocks = len(sim._session.store.trained_variables)
        assert n_blocks < len(sim.trainable_variables) == 6
        slots = [v for v in optimizer.variables if "momentum" in v.name]
        assert len(slots) == n_blocks


class _Own(keras.optimizers.SGD):
    """An optimizer of which nothing is known."""


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (keras.optimizers.Adam(), False),
        (keras.optimizers.AdamW(global_clipnorm=1.0), False),
        (keras.optimizers.Adam(clipvalue=1.0), False),
        (keras.optimizers.Adam(clipnorm=1.0), True),
        (keras.optimizers.Adam(use_ema=True), True),
        (keras.optimizers.Lamb(), True),
        (keras.optimizers.Adafactor(), True),
        (keras.optimizers.Muon(), True),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), False),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.Lamb()), True),
        (_excluding(), True),
        (_Own(), True),
        (tf.compat.v1.train.AdamOptimizer(), False),
    ],
)
def test_which_optimizers_look_at_variables(optimizer, expected):
    assert sees_variables(optimizer) is expected


def test_large_networks_warn_once_of_what_such_an_optimizer_costs(monkeypatch):
    monkeypatch.setattr(optimizers_module, "MANY_PARAMETERS", 6)
    net = branches()
    data = {net.x: X[:, None]}, {net.probe: Y[:, None]}
    with simulator(net) as sim:
        sim.train(*data, keras.optimizers.Adam())
        with pytest.warns(UserWarning, match="Lamb.*6 parameters are updated one by"):
            sim.train(*data, keras.optimizers.Lamb())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sim.train(*data, keras.optimizers.Lamb())


def test_trainable_variables_follow_and_lead_the_parameters():
    net = branches()
    _, ens, readout = net.parts[1]
    with simulator(net) as sim:
        variables = {v.name: v for v in sim.trainable_variables}
        bias = variables["net.ensembles.1.bias"]
        sim.train({net.x: X[:, None]}, {net.probe: Y[:, None]}, "adam")
        np.testing.assert_array_equal(bias.numpy(), sim.data[ens].bias)
        assert not np.allclose(bias.numpy(), WEIGHTS[4])
        bias.assign(np.full(6, 3.0))
        np.testing.assert_array_equal(sim.data[ens].bias, 3.0)
        variables["net.connections.2.weights"].assign(np.zeros((6, 4)))
        variables["net.connections.0.weights"].assign(np.zeros((6, 4)))
        variables["net.ensembles.0.bias"].assign(np.zeros(6))
        sim.run_steps(1)
        expected = 3.0 * sim.data[readout].weights.sum(axis=1)
        np.testing.assert_allclose(sim.data[net.probe][0, 0], expected)
        sim.reset()
        np.testing.assert_array_equal(bias.numpy(), WEIGHTS[4])


# -- the life of optimizers


def test_a_new_equal_optimizer_compiles_nothing():
    net = branches()
    data = {net.x: X[:, None]}, {net.probe: Y[:, None]}
    found = []
    with simulator(net) as sim:
        for make_one in (
            lambda: keras.optimizers.Adam(0.05),
            lambda: keras.optimizers.Lamb(0.05),
        ):
            for rate in (0.05, 0.05, 0.0):
                sim.soft_reset(include_trainable=True)
                optimizer = make_one()
                optimizer.learning_rate = rate
                sim.train(*data, optimizer, shuffle=False)
                found.append([v.numpy() for v in sim.trainable_variables])
                assert optimizer.iterations == N_MINIBATCHES
        assert len(sim._training.trainer.functions._functions) == 2
    for index in (0, 3):
        for one, other in zip(found[index], found[index + 1], strict=True):
            np.testing.assert_array_equal(one, other)
        assert not np.allclose(found[index][0], found[index + 2][0])


def test_optimizers_that_nobody_has_are_forgotten():
    net = branches()
    data = {net.x: X[:, None]}, {net.probe: Y[:, None]}
    with simulator(net) as sim:
        seen = []
        for _ in range(3):
            optimizer = keras.optimizers.Adam(0.05)
            seen.append(weakref.ref(optimizer))
            sim.train(*data, optimizer)
        del optimizer
        gc.collect()
        assert [one() is None for one in seen] == [True, True, False]
        assert len(sim._training.trainer.optimizers.updates) == 1
        (state,) = (p for p in sim._checkpoint().extra if p.prefix == "optimizer/")
        names = list(state.save())
    assert {n.partition("/")[0] for n in names if "Adam" in n} == {"0-Adam"}


def test_optimizers_given_by_name_leave_no_new_names_with_tensorflow():
    paths = []
    for name in ("Adam", "adam"):
        net = branches()
        with simulator(net) as sim:
            sim.train({net.x: X[:, None]}, {net.probe: Y[:, None]}, name)
            (update,) = sim._training.trainer.optimizers.updates
            paths.append([variable.path for variable in update.optimizer.variables])
    assert paths[0] == paths[1]
    assert paths[0][0] == "adam/iteration"


def test_all_optimizers_are_saved_on_request(tmp_path):
    net = branches()
    data = {net.x: X[:, None]}, {net.probe: Y[:, None]}
    with simulator(net) as sim:
        for optimizer in (kept := [keras.optimizers.Lamb(), keras.optimizers.SGD()]):
            sim.train(*data, optimizer)
        found = []
        for wanted in (False, True):
            path = sim.save_params(tmp_path / "params", all_optimizers=wanted)
            with np.load(path) as file:
                found.append({n.split("/")[1] for n in file if "optimizer/" in n})
        lamb = kept[0].variables[2].numpy()
        sim.load_params(path)
        np.testing.assert_array_equal(kept[0].variables[2].numpy(), lamb)
    others = {"random", "updates"}
    assert found[0] - others == {"0-SGD"}
    assert found[1] - others == {"0-Lamb", "1-SGD"}


def test_optimizers_are_as_new_after_a_reset():
    net = branches()
    data = {net.x: X[:, None]}, {net.probe: Y[:, None]}
    optimizer = keras.optimizers.Adagrad(0.05)
    found = []
    with simulator(net) as sim:
        for _ in range(2):
            sim.train(*data, optimizer, n_epochs=2)
            assert optimizer.iterations == 2 * N_MINIBATCHES
            found.append([v.numpy() for v in sim.trainable_variables])
            sim.reset()
        assert optimizer.iterations == 0
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_optimizer_is_usable_after_an_interrupt_at_its_first_use(monkeypatch):
    net = branches()
    data = {net.x: X[:, None]}, {net.probe: Y[:, None]}
    optimizer = keras.optimizers.Adam(0.05)
    with simulator(net) as sim:
        functions = sim._get_training().trainer.functions

        def interrupted(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(functions, "run", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sim.train(*data, optimizer)
        sim.train(*data, optimizer)
        assert optimizer.iterations == N_MINIBATCHES


def test_optimizer_of_another_model_is_refused():
    optimizer = keras.optimizers.Adam()
    optimizer.build([keras.Variable(np.zeros(3))])
    net = branches()
    with simulator(net) as sim, pytest.raises(ValidationError, match="other variables"):
        sim.train({net.x: X[:, None]}, {net.probe: Y[:, None]}, optimizer)


def test_gradients_that_overflow_are_skipped_by_loss_scaling():
    net = branches()
    inner = keras.optimizers.SGD(0.05)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1e38)
    with simulator(net, dtype=tf.float32) as sim:
        x, y = {net.x: X[:, None]}, {net.probe: 100 * Y[:, None]}
        sim.train(x, y, optimizer, n_epochs=3, shuffle=False)
        assert optimizer.dynamic_scale < 1e38
        assert 0 < inner.iterations < 3 * N_MINIBATCHES


def test_keys_of_optimizers_with_equal_options_are_equal():
    adam, schedules = keras.optimizers.Adam, keras.optimizers.schedules
    assert optimizer_key(adam(0.1)) == optimizer_key(adam(0.2)) is not None
    assert optimizer_key(adam(0.1)) != optimizer_key(adam(0.1, clipnorm=1.0))
    assert optimizer_key(adam(0.1)) != optimizer_key(adam(0.1, beta_1=0.5))
    one, other = (schedules.CosineDecay(0.1, n) for n in (5, 6))
    assert optimizer_key(adam(one)) != optimizer_key(adam(other))
    assert optimizer_key(adam(one)) == optimizer_key(
        adam(schedules.CosineDecay(0.1, 5))
    )
    assert optimizer_key(_excluding()) != optimizer_key(keras.optimizers.AdamW())
    # of these nobody can tell
    assert optimizer_key(_Own()) is None
    assert optimizer_key(adam(lambda: 0.1)) is None
    assert optimizer_key(tf.compat.v1.train.AdamOptimizer()) is None


def test_muon_with_scaling_by_size_gives_what_it_gives_in_keras():
    """In single precision, whose rounding its iterations enlarge."""
    found, expected = (
        train(keras.optimizers.Muon(0.01), dtype="float32")
        for train in (trained_by_nengo, trained_by_keras)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"clipnorm": 100.0}], ids=["blocks", "each"])
def test_objectives_may_look_at_trainable_variables(options):
    """A penalty on weights has a gradient, whatever the optimizer sees."""
    net = branches()
    zeros = {net.probe: np.zeros((MINIBATCH, 1, 2))}
    with simulator(net) as sim:

        def penalty(output, target):
            return sum(
                0.5 * tf.reduce_sum(variable.value**2)
                for variable in sim.trainable_variables
                if variable.name.endswith(".bias")
            ) + 0 * tf.reduce_sum(output)

        optimizer = keras.optimizers.SGD(0.1, **options)
        data = {net.x: X[:MINIBATCH, None]}
        sim.train(data, zeros, optimizer, n_epochs=3, objective=penalty)
        first, ens, _ = net.parts[1]
        np.testing.assert_allclose(sim.data[ens].bias, WEIGHTS[4] * 0.9**3)
        np.testing.assert_array_equal(sim.data[first].weights.T, WEIGHTS[3])


def test_recipes_of_equal_training_have_equal_keys():
    adam, loss = keras.optimizers.Adam, keras.losses.Huber
    one = TrainingRecipe(adam(0.1), {"y": loss(delta=2.0)}, truncation=5)
    assert one.key == TrainingRecipe(adam(0.2), {"y": loss(delta=2.0)}, None, 5).key
    for other in (
        TrainingRecipe(adam(0.1, beta_1=0.5), {"y": loss(delta=2.0)}, truncation=5),
        TrainingRecipe(adam(0.1), {"y": loss(delta=3.0)}, truncation=5),
        TrainingRecipe(adam(0.1), {"y": loss(delta=2.0)}, truncation=6),
        TrainingRecipe("adam", {"y": loss(delta=2.0)}, truncation=5),
    ):
        assert one.key != other.key
    with pytest.raises(AttributeError):
        one.truncation = 6
