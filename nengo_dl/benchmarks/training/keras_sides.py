"""The training problems as Keras models, and by KerasLMU if that is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nengo_dl.benchmarks.training.lif_by_hand import lif_rates, lif_spikes

__all__ = ["fit", "keras_lmu", "make_model", "shaped_inputs", "train_on_batch"]

Side = tuple[Callable[[int], float], int]


def fit(problem: Any) -> Side:
    """Return a function that trains a model by ``Model.fit``.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.

    Returns
    -------
    train : callable
        Trains with a number of minibatches, and returns the first loss.
    n_parameters : int
        Number of trained values.
    """
    return _fitted(problem, *make_model(problem))


def keras_lmu(problem: Any) -> Side:
    """Return a function that trains the cell of KerasLMU by ``Model.fit``.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.

    Returns
    -------
    train, n_parameters
        As of `fit`.

    Raises
    ------
    ImportError
        If KerasLMU is not installed.
    """
    import keras_lmu as library

    arrays = problem.arrays
    cell = library.LMUCell(
        memory_d=1,
        order=problem.order,
        theta=problem.n_steps,
        hidden_cell=keras.layers.SimpleRNNCell(problem.n_units, use_bias=False),
        hidden_to_memory=True,
        memory_to_memory=True,
        input_to_hidden=True,
    )
    model = _sequence(problem, keras.layers.RNN(cell, return_sequences=True))
    cell.kernel.assign(np.concatenate([arrays["e_x"], arrays["e_h"]]))
    cell.recurrent_kernel.assign(arrays["e_m"])
    cell.hidden_cell.set_weights(
        [np.concatenate([arrays["w_m"], arrays["w_x"]]), arrays["w_h"]]
    )
    return _fitted(problem, model, _loss())


def train_on_batch(problem: Any) -> Side:
    """Return a function that trains a model by ``Model.train_on_batch``.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.

    Returns
    -------
    train, n_parameters
        As of `fit`.
    """
    model, loss = make_model(problem)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    inputs, labels = shaped_inputs(problem), problem.arrays["labels"]
    rng = np.random.RandomState(0)

    def train(count: int) -> float:
        order = rng.permutation(count * problem.minibatch)
        # some versions of Keras return the mean of all losses since then
        model.reset_metrics()
        losses = [
            model.train_on_batch(inputs[rows], labels[rows])
            for rows in np.split(order, count)
        ]
        return float(losses[0])

    return train, model.count_params()


def make_model(problem: Any) -> tuple[keras.Model, keras.losses.Loss]:
    """Return a model with the initial weights of a problem, and its loss.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.

    Returns
    -------
    model : keras.Model
        From what `shaped_inputs` returns to logits.
    loss : keras.losses.Loss
        The mean cross-entropy.
    """
    make = {"mlp": _mlp, "convnet": _convnet, "lmu": _lmu}[problem.kind]
    return make(problem), _loss()


def shaped_inputs(problem: Any) -> np.ndarray:
    """Return inputs as the model wants them: images, vectors, or sequences.

    Parameters
    ----------
    problem : Problem
        Settings are attributes.

    Returns
    -------
    ndarray
        The first axis is that of items.
    """
    inputs = problem.arrays["inputs"]
    if problem.kind == "convnet":
        return inputs.reshape(-1, 28, 28, 1)
    return inputs if inputs.shape[1] == problem.n_steps else inputs[:, 0]


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _fitted(problem: Any, model: keras.Model, loss: keras.losses.Loss) -> Side:
    model.compile(keras.optimizers.Adam(1e-3), loss)
    inputs, labels = shaped_inputs(problem), problem.arrays["labels"]

    def train(count: int) -> float:
        items = slice(0, count * problem.minibatch)
        history = model.fit(inputs[items], labels[items], problem.minibatch, verbose=0)
        return history.history["loss"][0]

    return train, model.count_params()


def _dense(weights: np.ndarray, bias: np.ndarray | None = None) -> keras.layers.Dense:
    values = {"kernel_initializer": keras.initializers.Constant(weights)}
    if bias is not None:
        values["bias_initializer"] = keras.initializers.Constant(bias)
    return keras.layers.Dense(weights.shape[1], use_bias=bias is not None, **values)


class _SpikingCell(keras.layers.Layer):
    """LIF neurons with a surrogate derivative."""

    def __init__(self, problem, **kwargs):
        super().__init__(**kwargs)
        self.problem = problem
        self.output_size = problem.arrays["w_out"].shape[0]
        self.state_size = [self.output_size, self.output_size]

    def call(self, inputs, states):
        """Return spikes and the next state."""
        return lif_spikes(inputs, states, self.problem)


class _LowpassCell(keras.layers.Layer):
    """A filter whose output follows its input one step later."""

    def __init__(self, problem, **kwargs):
        super().__init__(**kwargs)
        self.decay = float(np.exp(-problem.dt / problem.synapse))
        self.state_size = self.output_size = problem.arrays["w_out"].shape[1]

    def call(self, inputs, states):
        """Return the output and the next state."""
        (y,) = states
        return y, [self.decay * y + (1 - self.decay) * inputs]


def _mlp(problem):
    arrays = problem.arrays
    n_inputs = arrays["w_in"].shape[0]
    model = keras.Sequential()
    if problem.varying:
        model.add(keras.Input((problem.n_steps, n_inputs)))
        model.add(_dense(arrays["w_in"], arrays["bias"]))
    else:
        model.add(keras.Input((n_inputs,)))
        model.add(_dense(arrays["w_in"], arrays["bias"]))
        model.add(keras.layers.RepeatVector(problem.n_steps))
    if problem.spiking:
        model.add(keras.layers.RNN(_SpikingCell(problem), return_sequences=True))
    else:
        model.add(keras.layers.Activation(lambda J: lif_rates(J, problem)))
    model.add(_dense(arrays["w_out"]))
    if problem.synapse:
        model.add(keras.layers.RNN(_LowpassCell(problem), return_sequences=True))
    model.add(keras.layers.GlobalAveragePooling1D())
    return model


def _convnet(problem):
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for number, (n_filters, stride) in enumerate(problem.layers):
        kernel = keras.initializers.Constant(problem.arrays[f"kernel_{number}"])
        model.add(
            keras.layers.Conv2D(
                n_filters,
                3,
                strides=stride,
                activation="relu",
                use_bias=False,
                kernel_initializer=kernel,
            )
        )
    model.add(keras.layers.Flatten())
    model.add(_dense(problem.arrays["w_out"]))
    return model


class _LegendreCell(keras.layers.Layer):
    """A Legendre memory unit."""

    def __init__(self, problem, **kwargs):
        super().__init__(**kwargs)
        self.problem = problem
        self.output_size = problem.n_units
        self.state_size = [problem.n_units, problem.order]

    def build(self, input_shape):
        """Make the weights."""
        for name in ("e_x", "e_h", "e_m", "w_x", "w_h", "w_m"):
            array = self.problem.arrays[name]
            values = keras.initializers.Constant(array)
            weights = self.add_weight(shape=array.shape, initializer=values, name=name)
            setattr(self, name, weights)
        self.a = tf.constant(self.problem.arrays["A"].T)
        self.b = tf.constant(self.problem.arrays["B"].T)

    def call(self, inputs, states):
        """Return the output and the next state."""
        h, m = states
        u = inputs @ self.e_x + h @ self.e_h + m @ self.e_m
        m = m @ self.a + u @ self.b
        h = keras.ops.tanh(inputs @ self.w_x + h @ self.w_h + m @ self.w_m)
        return h, [h, m]


def _lmu(problem):
    cell = _LegendreCell(problem)
    return _sequence(problem, keras.layers.RNN(cell, return_sequences=True))


def _sequence(problem, layer):
    return keras.Sequential(
        [
            keras.Input((problem.n_steps, 1)),
            layer,
            _dense(problem.arrays["w_out"]),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
