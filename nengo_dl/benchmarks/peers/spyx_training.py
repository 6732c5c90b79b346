"""The spiking perceptron ``mlp`` in Spyx, with JAX.

Neurons integrate and leak, without refractory time, and the output is not filtered:
less work than the problem asks for. The products with inputs of all steps are one.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import spyx
import spyx.nn


def train(problem):
    """Train; see `TrainingWorker` for arguments and results."""
    arrays = problem.arrays
    n_hidden = len(arrays["w_out"])
    beta = math.exp(-0.001 / 0.02)
    cell = _cell((n_hidden,), beta=beta, activation=spyx.axn.superspike(5))
    parameters = [jnp.asarray(arrays[name]) for name in ("w_in", "bias", "w_out")]
    optimizer = optax.adam(1e-3)

    def loss_of(parameters, inputs, labels):
        w_in, bias, w_out = parameters
        if problem.varying:
            currents = jnp.einsum("bti,ih->tbh", inputs, w_in) + bias
        else:
            currents = inputs[:, 0] @ w_in + bias
            currents = jnp.broadcast_to(currents, (problem.n_steps, *currents.shape))
        spikes, _ = spyx.nn.run(cell, (1 - beta) * currents)
        outputs = (spikes @ w_out).mean(0)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()

    @jax.jit
    def update(parameters, state, inputs, labels):
        loss, gradients = jax.value_and_grad(loss_of)(parameters, inputs, labels)
        changes, state = optimizer.update(gradients, state)
        return optax.apply_updates(parameters, changes), state, loss

    rng = np.random.RandomState(0)
    current = [parameters, optimizer.init(parameters)]
    labels = arrays["labels"].astype("int32")

    def run(n_minibatches):
        order = rng.permutation(n_minibatches * problem.minibatch)
        losses = []
        for rows in order.reshape(n_minibatches, problem.minibatch):
            *current[:], loss = update(*current, arrays["inputs"][rows], labels[rows])
            losses.append(float(loss))
        return losses[0]

    return run, sum(value.size for value in parameters)


def _cell(shape, **settings):
    try:
        return spyx.nn.LIF(shape, **settings)
    except TypeError:  # since Spyx 1.0 its parameters are made with a key
        from flax import nnx

        return spyx.nn.LIF(shape, rngs=nnx.Rngs(0), **settings)
