"""The training problems by hand in TensorFlow: the limits to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nengo_dl.benchmarks.training.keras_sides import make_model, shaped_inputs
from nengo_dl.benchmarks.training.lif_by_hand import lif_rates, lif_spikes

__all__ = ["bare_step", "loop", "mean_crossentropy"]


def mean_crossentropy(output: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the loss of labels given the mean of an output over time.

    Parameters
    ----------
    output : tf.Tensor, shape (minibatch, n_steps, n_classes)
        Logits.
    labels : tf.Tensor of int, shape (minibatch,) or (minibatch, 1)
        Classes.

    Returns
    -------
    tf.Tensor
        A scalar.
    """
    logits = tf.reduce_mean(output, axis=1)
    labels = tf.reshape(labels, (-1,))
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )


def loop(problem: Any, jit_compile: bool = True) -> tuple[Callable[[int], float], int]:
    """Return a function that trains with a loop over time in TensorFlow.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.
    jit_compile : bool
        Whether XLA compiles the whole step: loop, gradient and update.

    Returns
    -------
    train : callable
        Trains with a number of minibatches, and returns the first loss.
    n_parameters : int
        Number of trained values.
    """
    names, model = {"mlp": _mlp, "lmu": _lmu}[problem.kind](problem)
    variables = [tf.Variable(problem.arrays[name], name=name) for name in names]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = mean_crossentropy(model(variables, x), y)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    train = _in_minibatches(step, problem, problem.arrays["inputs"], True)
    return train, _size(variables)


def bare_step(
    problem: Any, jit_compile: bool = False
) -> tuple[Callable[[int], float], int]:
    """Return a function that calls nothing but a compiled step of a Keras model.

    Minibatches are taken in order, without copying.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.
    jit_compile : bool
        Whether XLA compiles the step.

    Returns
    -------
    train : callable
        Trains with a number of minibatches, and returns the first loss.
    n_parameters : int
        Number of trained values.
    """
    model, loss = make_model(problem)
    variables = model.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        optimizer.apply(tape.gradient(value, variables), variables)
        return value

    train = _in_minibatches(step, problem, shaped_inputs(problem), False)
    return train, _size(variables)


def _in_minibatches(
    step: Callable, problem: Any, inputs: np.ndarray, shuffle: bool
) -> Callable[[int], float]:
    """Return a function that calls a step with some minibatches."""
    labels = problem.arrays["labels"].astype(np.int32)
    rng = np.random.RandomState(0)
    minibatch = problem.minibatch

    def train(count: int) -> float:
        losses = []
        order = rng.permutation(count * minibatch) if shuffle else None
        for start in range(0, count * minibatch, minibatch):
            rows: Any = slice(start, start + minibatch)
            rows = rows if order is None else order[rows]
            x, y = tf.convert_to_tensor(inputs[rows]), tf.constant(labels[rows])
            losses.append(float(step(x, y)))
        return losses[0]

    return train


def _size(variables: Sequence[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def _scan(body: Callable, state: Any, problem: Any, n_outputs: int) -> tf.Tensor:
    """Return outputs of a loop, shape (minibatch, n_steps, n_outputs).

    ``body(i, state)`` returns the next state and the output of a step.
    """
    arrays = tf.TensorArray(
        tf.float32, problem.n_steps, element_shape=(problem.minibatch, n_outputs)
    )

    def iterate(i, state, outputs):
        state, output = body(i, state)
        return i + 1, state, outputs.write(i, output)

    *_, outputs = tf.while_loop(
        lambda i, *_: i < problem.n_steps,
        iterate,
        (tf.constant(0), state, arrays),
        maximum_iterations=problem.n_steps,
    )
    return tf.transpose(outputs.stack(), (1, 0, 2))


# -- spiking network of two layers, over time


def _mlp(problem):
    n_hidden, n_outputs = problem.arrays["w_out"].shape
    decay = float(np.exp(-problem.dt / problem.synapse)) if problem.synapse else 0.0
    zeros = tf.zeros((problem.minibatch, n_hidden))
    start = (zeros, zeros) if problem.spiking else ()

    def model(variables, x):
        w_in, bias, w_out = variables
        # the product of the inputs of all steps at once
        rows = tf.transpose(x, (1, 0, 2)) if problem.varying else x[:, 0]
        currents = tf.tensordot(rows, w_in, 1) + bias

        def body(i, state):
            neurons, y = state
            J = currents[i] if problem.varying else currents
            if problem.spiking:
                r, neurons = lif_spikes(J, neurons, problem)
            else:
                r = lif_rates(J, problem)
            u = tf.matmul(r, w_out)
            # as in Nengo, what a filter gets is seen in its output one step later
            shown = y if problem.synapse else u
            return (neurons, decay * y + (1 - decay) * u), shown

        state = start, tf.zeros((problem.minibatch, n_outputs))
        return _scan(body, state, problem, n_outputs)

    return ("w_in", "bias", "w_out"), model


# -- Legendre memory unit


def _lmu(problem):
    a, b = problem.arrays["A"].T, problem.arrays["B"].T
    n_outputs = problem.arrays["w_out"].shape[1]

    def model(variables, x):
        e_x, e_h, e_m, w_x, w_h, w_m, w_out = variables
        x = tf.transpose(x, (1, 0, 2))

        def body(i, state):
            h, m = state
            u = tf.matmul(x[i], e_x) + tf.matmul(h, e_h) + tf.matmul(m, e_m)
            m = tf.matmul(m, a) + tf.matmul(u, b)
            h = tf.tanh(tf.matmul(x[i], w_x) + tf.matmul(h, w_h) + tf.matmul(m, w_m))
            return (h, m), tf.matmul(h, w_out)

        start = (
            tf.zeros((problem.minibatch, problem.n_units)),
            tf.zeros((problem.minibatch, problem.order)),
        )
        return _scan(body, start, problem, n_outputs)

    return ("e_x", "e_h", "e_m", "w_x", "w_h", "w_m", "w_out"), model
