"""Products of many shapes: several for each vector, and with columns filled up."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.operator import DotInc
from nengo.builder.signal import Signal

import nengo_dl
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.products.dense import DotIncBuilder
from nengo_dl.builders.products.padded import (
    PaddedColumnsBuilder,
    PaddedDotIncBuilder,
)
from nengo_dl.builders.products.stacked import StackedDotIncBuilder
from nengo_dl.support import tuning


def stacks(rng):
    """Return products of matrices with 12 columns, several for each vector."""
    vectors = [Signal(np.zeros(12), name=f"X{n}") for n in range(3)]
    return [
        DotInc(
            Signal(rng.randn(n_rows, 12), readonly=True, name=f"A{n_rows}"),
            vectors[n],
            Signal(np.zeros(n_rows), name=f"Y{n_rows}"),
        )
        for n_rows, n in ((1, 0), (3, 1), (2, 0), (4, 2), (5, 0))
    ]


def given_to(builder, ops, a, x):
    """Return what a step of a builder is given: matrices, and each vector once."""
    signals = list(dict.fromkeys(op.X for op in ops))
    reads = [
        np.concatenate([v.reshape(len(v), -1) for v in a], axis=1),
        np.concatenate([x[signal] for signal in signals], axis=1),
    ]
    return [tf.constant(value) for value in reads]


@pytest.mark.parametrize("batches", [(1, 1), (1, 3), (3, 3), (3, 1)])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("minibatch", [1, 3])
def test_stacked_products_are_those_of_the_matrices(constant, batches, minibatch):
    rng = np.random.RandomState(0)
    ops = stacks(rng)
    config = BuildConfig(0.001, np.float64, minibatch_size=minibatch)
    builder = StackedDotIncBuilder(ops, config)
    n_a, n_x = (1, batches[1]) if constant else batches
    a = [rng.randn(n_a, *op.A.shape) for op in ops]
    x = {op.X: rng.randn(n_x, 12) for op in ops}
    reads = given_to(builder, ops, a, x)
    if constant:
        builder.constant_reads = {0}
        reads[0] = builder.arrange(0, reads[0])
    step = tf.function(lambda *operands: builder.step(operands, []).incs[0])
    compiled = tf.function(step, jit_compile=True)
    expected = [(m @ x[op.X][..., None])[..., 0] for m, op in zip(a, ops, strict=True)]
    np.testing.assert_allclose(compiled(*reads), np.concatenate(expected, axis=1))


@pytest.mark.parametrize("batch", [1, 2])
def test_stacked_products_have_the_derivatives_of_products(batch):
    rng = np.random.RandomState(0)
    ops = stacks(rng)
    builder = StackedDotIncBuilder(ops, BuildConfig(0.001, np.float64))
    a = [op.A.initial_value[None] for op in ops]
    reads = given_to(builder, ops, a, {op.X: rng.randn(batch, 12) for op in ops})
    theoretical, numerical = tf.test.compute_gradient(
        lambda *operands: tf.sin(builder.step(operands, []).incs[0]), reads
    )
    for one, other in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("batches", [(1, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize("constant", [True, False])
def test_padded_columns_are_multiplied_like_any_others(constant, batches):
    rng = np.random.RandomState(0)
    ops = [
        DotInc(
            Signal(rng.randn(40, n_columns), readonly=True),
            Signal(np.zeros(n_columns)),
            Signal(np.zeros(40)),
        )
        for n_columns in (1, 3, 4, 2)
    ]
    assert PaddedColumnsBuilder.n_zeros(ops) == 6 * 40
    builder = PaddedColumnsBuilder(ops, BuildConfig(0.001, np.float64))
    n_a, n_x = (1, batches[1]) if constant else batches
    a = [rng.randn(n_a, *op.A.shape) for op in ops]
    x = {op.X: rng.randn(n_x, op.X.size) for op in ops}
    reads = given_to(builder, ops, a, x)
    if constant:
        builder.constant_reads = {0}
        reads[0] = builder.arrange(0, reads[0])
    step = tf.function(lambda *read: builder.step(read, ()).incs[0], jit_compile=True)
    found = step(*reads)
    expected = [(m @ x[op.X][..., None])[..., 0] for m, op in zip(a, ops, strict=True)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1))


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        ((4, 50), (StackedDotIncBuilder, PaddedDotIncBuilder)),
        ((50, 4), (PaddedColumnsBuilder, PaddedDotIncBuilder)),
        ((4, 6), (PaddedDotIncBuilder,)),
        ((1000, 1000), ()),
    ],
)
def test_the_ways_to_merge_follow_from_the_shape(shape, classes):
    op = DotInc(Signal(np.zeros(shape)), Signal(shape=shape[1]), Signal(shape=shape[0]))
    assert DotIncBuilder.for_unlike(op) == classes


def unlike_network():
    """Return ensembles of two sizes and many dimensions, with many connections."""
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node([0.5])
        ensembles = [
            nengo.Ensemble(
                20 + 10 * (n % 2), 1 + n % 8, max_rates=nengo.dists.Choice([200])
            )
            for n in range(40)
        ]
        for _ in range(90):
            pre, post = (ensembles[rng.randint(40)] for _ in range(2))
            transform = rng.randn(post.dimensions, pre.n_neurons) / 2e3
            nengo.Connection(pre.neurons, post, transform=transform)
        nengo.Connection(stimulus, ensembles[0][0], synapse=None)
        probes = [nengo.Probe(ensemble.neurons) for ensemble in ensembles[:4]]
    return net, probes


@pytest.mark.parametrize("minibatch", [None, 2])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_networks_of_many_shapes_equal_nengo(jit_compile, minibatch):
    net, probes = unlike_network()
    n_steps = 40
    with nengo.Simulator(net, optimize=False, progress_bar=False) as reference:
        reference.run_steps(n_steps)
    with nengo_dl.Simulator(
        net,
        dtype=tf.float64,
        jit_compile=jit_compile,
        minibatch_size=minibatch,
        progress_bar=False,
    ) as sim:
        builders = {bound.group.builder for bound in sim._session.plan.layout.groups}
        assert {StackedDotIncBuilder, PaddedColumnsBuilder} <= builders
        sim.run_steps(n_steps)
        for probe in probes:
            assert reference.data[probe].any()
            data = sim.data[probe] if minibatch is None else sim.data[probe][1]
            np.testing.assert_array_equal(data, reference.data[probe])


@pytest.mark.parametrize("minibatch", [1, 2])
def test_training_and_files_are_the_same_as_with_products_apart(
    minibatch, monkeypatch, tmp_path
):
    net, probes = unlike_network()
    rng = np.random.RandomState(1)
    inputs = rng.uniform(-1, 1, size=(2, 12, 1))
    targets = {probes[0]: 100 * rng.rand(2, 12, 20)}
    losses, spikes = [], []
    for most_shapes in (tuning.MOST_SHAPES, 10**6):
        monkeypatch.setattr(tuning, "MOST_SHAPES", most_shapes)
        with nengo_dl.Simulator(
            net, minibatch_size=minibatch, dtype="float64", progress_bar=False
        ) as sim:
            before = sim.loss(inputs, targets)
            sim.train(inputs, targets, tf.keras.optimizers.SGD(1e-6), n_epochs=2)
            losses.append((before, sim.loss(inputs, targets)))
            if most_shapes < 10**6:
                sim.save_params(tmp_path / "trained.npz")
            else:
                sim.load_params(tmp_path / "trained.npz")
            sim.run_steps(30)
            spikes.append(sim.data[probes[0]])
    assert losses[0][0] != losses[0][1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)
    assert spikes[0].any()
    np.testing.assert_array_equal(spikes[0], spikes[1])
