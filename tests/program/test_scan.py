"""Loops over time: values, and gradients that are found without keeping everything."""

import numpy as np
import pytest
import tensorflow as tf

from nengo_dl.program.scan import Product, scan

N_STEPS, BATCH, SIZE = 7, 3, 4


def arrays(rng):
    weights = rng.normal(0, 0.5, (1, SIZE, SIZE))
    return weights, rng.normal(size=(BATCH, SIZE)), rng.normal(size=(N_STEPS, 1, SIZE))


def body(invariants, state, items, multiply):
    """A recurrent layer that also counts its steps, in whole numbers."""
    (weights,), (h, count), (x,) = invariants, state, items
    drive = tf.einsum("bi,bij->bj", h, tf.repeat(weights, BATCH, 0))
    h = tf.tanh(drive + x * tf.cast(count + 1, x.dtype))
    return [h, count + 1], [tf.reduce_sum(h**2, axis=1)]


def body_with_product(invariants, state, items, multiply):
    (h, count), (x,) = state, items
    h = tf.tanh(multiply(0, h) + x * tf.cast(count + 1, x.dtype))
    return [h, count + 1], [tf.reduce_sum(h**2, axis=1)]


PRODUCT = Product(
    lambda weights, h: tf.matmul(h, weights[0]),
    0,
    (BATCH, SIZE),
    (BATCH, SIZE),
    tf.float64,
)


def in_numpy(weights, h, x):
    outputs = []
    for n in range(len(x)):
        h = np.tanh(h @ weights[0] + x[n] * (n + 1))
        outputs.append((h**2).sum(axis=1))
    return h, np.array(outputs)


def run(weights, h, x, recompute=True, products=(), n_steps=N_STEPS):
    step = body_with_product if products else body
    return scan(
        step,
        [weights],
        [h, tf.constant(0)],
        [x],
        n_steps,
        [(tf.float64, (BATCH,))],
        recompute,
        products,
    )


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("products", [(), (PRODUCT,)], ids=["plain", "kept product"])
@pytest.mark.parametrize("n_steps", [1, 2, N_STEPS])
@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
def test_values_are_those_of_a_loop_in_numpy(
    n_steps, recompute, products, jit_compile, rng
):
    weights, h, x = arrays(rng)
    function = tf.function(
        lambda w, h, x: run(w, h, x, recompute, products, n_steps),
        jit_compile=jit_compile,
    )
    (last, count), (outputs,) = function(weights, h, x[:n_steps])
    expected_last, expected = in_numpy(weights, h, x[:n_steps])
    np.testing.assert_allclose(last, expected_last, rtol=1e-12)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)
    assert count == n_steps


def loss_of(state, outputs):
    """A number that depends on the last state, and on each output differently."""
    factors = tf.range(1, outputs[0].shape[0] + 1, dtype=tf.float64)
    return tf.reduce_sum(state[0]) + tf.reduce_sum(outputs[0] * factors[:, None])


def loss_in_numpy(weights, h, x):
    last, outputs = in_numpy(weights, h, x)
    return last.sum() + (outputs * np.arange(1, len(x) + 1)[:, None]).sum()


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("products", [(), (PRODUCT,)], ids=["plain", "kept product"])
def test_gradients_are_those_of_differences(recompute, products, rng):
    given = arrays(rng)
    tensors = [tf.constant(values) for values in given]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = loss_of(*run(*tensors, recompute, products))
    gradients = tape.gradient(loss, tensors)
    np.testing.assert_allclose(loss, loss_in_numpy(*given), rtol=1e-12)
    eps = 1e-6
    for number, gradient in enumerate(gradients):
        for index in np.ndindex(given[number].shape):
            above, below = ([np.array(v) for v in given] for _ in range(2))
            above[number][index] += eps
            below[number][index] -= eps
            numeric = (loss_in_numpy(*above) - loss_in_numpy(*below)) / (2 * eps)
            assert abs(gradient[index] - numeric) < 1e-6 * max(1, abs(numeric))


def test_what_no_output_depends_on_has_a_gradient_of_zero(rng):
    weights, h, x = (tf.constant(values) for values in arrays(rng))

    def ignoring(invariants, state, items, multiply):
        return [state[0] * 0.5], [tf.reduce_sum(state[0], axis=1)]

    with tf.GradientTape() as tape:
        tape.watch([weights, h, x])
        _, (outputs,) = scan(
            ignoring, [weights], [h], [x], N_STEPS, [(tf.float64, (BATCH,))]
        )
    d_weights, d_h, d_x = tape.gradient(outputs, [weights, h, x])
    assert not np.any(d_weights) and not np.any(d_x)
    np.testing.assert_allclose(d_h, np.full((BATCH, SIZE), 2 - 0.5 ** (N_STEPS - 1)))


def test_steps_that_are_not_repeated_run_once(rng):
    weights, h, x = (tf.constant(values) for values in arrays(rng))
    calls = []

    def counting(invariants, state, items, multiply):
        calls.append(tf.py_function(lambda: seen.append(1), [], []))
        return body(invariants, state, items, multiply)

    for recompute, times in ((False, 1), (True, 2)):
        seen = []
        with tf.GradientTape() as tape:
            tape.watch(weights)
            state, outputs = scan(
                counting,
                [weights],
                [h, tf.constant(0)],
                [x],
                N_STEPS,
                [(tf.float64, (BATCH,))],
                recompute,
            )
            loss = loss_of(state, outputs)
        tape.gradient(loss, weights)
        assert len(seen) == times * N_STEPS
