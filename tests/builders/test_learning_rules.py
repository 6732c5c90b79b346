"""Online learning rules: parity with nengo's steps for merged operators."""

import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimRLS, SimVoja
from nengo.builder.signal import Signal

from nengo_dl.builders import (
    BuildConfig,
    find_builder,
    learning_rules,  # noqa: F401 (registers the builders)
)
from tests.builders.harness import check_parity, random_inputs

N_PRE, N_POST = 7, 4


def vector(size):
    return Signal(shape=(size,))


def matrix():
    return Signal(shape=(N_POST, N_PRE))


def pes(rate):
    return SimPES(vector(N_PRE), vector(N_POST), matrix(), rate)


def bcm(rate):
    return SimBCM(vector(N_PRE), vector(N_POST), vector(N_POST), matrix(), rate)


def oja(rate):
    post = vector(N_POST)
    return SimOja(vector(N_PRE), post, matrix(), matrix(), rate, beta=1 + rate)


def voja(rate):
    scale = np.linspace(1, 2 + rate, N_POST)
    return SimVoja(
        vector(N_PRE),
        vector(N_POST),
        matrix(),
        matrix(),
        scale,
        Signal(shape=(1,)),
        rate,
    )


def voja_scalar_signal(rate):
    op = voja(rate)
    op.reads[3] = Signal(np.array(0.0))
    return op


def rls(rate):
    return SimRLS(vector(N_PRE), vector(N_POST), matrix(), Signal(np.eye(N_PRE) * rate))


RULES = [pes, bcm, oja, voja, voja_scalar_signal, rls]


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make_op", RULES)
def test_rules_match_nengo(make_op, batch, jit_compile):
    ops = [make_op(0.1), make_op(0.3), make_op(0.1)]
    check_parity(ops, random_inputs(), batch=batch, jit_compile=jit_compile)


@pytest.mark.parametrize("make_op", RULES)
def test_rules_match_nengo_in_single_precision(make_op):
    ops = [make_op(0.1), make_op(0.1)]
    check_parity(ops, random_inputs(), dtype=np.float32, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make_op", [oja, voja])
def test_weights_may_be_shared_by_the_batch(make_op, batch):
    """A leading axis of 1 gives the same changes as weights repeated for each item."""
    op = make_op(0.2)
    config = BuildConfig(0.001, np.dtype(np.float64), minibatch_size=batch)
    builder = find_builder(op)([op], config)
    rng = np.random.RandomState(0)
    reads = [rng.uniform(size=(batch, 1, *sig.shape)) for sig in op.reads]
    reads[2] = reads[2][:1]
    shared = builder.step([tf.constant(r) for r in reads], [None]).updates[0]
    reads[2] = np.repeat(reads[2], batch, axis=0)
    repeated = builder.step([tf.constant(r) for r in reads], [None]).updates[0]
    np.testing.assert_array_equal(shared, repeated)


@pytest.mark.parametrize("make_op", RULES)
def test_gradients_match_finite_differences(make_op):
    op = make_op(0.5)
    builder = find_builder(op)([op], BuildConfig(0.1, np.dtype(np.float64)))
    rng = np.random.RandomState(1)
    reads = [tf.constant(rng.uniform(size=(1, 1, *sig.shape))) for sig in op.reads]
    previous = [
        tf.constant(np.array(sig.initial_value)[None, None]) for sig in op.updates
    ]

    def loss(*reads):
        updates = builder.step(reads, previous).updates
        return tf.add_n([tf.reduce_sum(tf.sin(u)) for u in updates])

    theoretical, numerical = tf.test.compute_gradient(loss, reads)
    for one, other in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
