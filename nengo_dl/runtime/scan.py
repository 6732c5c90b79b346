"""Loops over time that can be differentiated cheaply inside compiled functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

__all__ = ["Body", "scan"]

Tensors = list[tf.Tensor]

#: ``body(invariants, state, items) -> (state, outputs)``
Body = Callable[[Tensors, Tensors, Tensors], tuple[Tensors, Tensors]]


def scan(
    body: Body,
    invariants: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    sequences: Sequence[tf.Tensor],
    n_steps: int,
    output_shapes: Sequence[tuple[tf.DType, tuple[int, ...]]],
    recompute: bool = True,
) -> tuple[Tensors, Tensors]:
    """Apply a function once for each time step, handing its state on.

    Parameters
    ----------
    body : callable
        Computes one step from the invariants, the state, and this step's items of the
        sequences.
    invariants : sequence of tf.Tensor
        What is the same in all steps; gradients flow to it.
    state : sequence of tf.Tensor
        State before the first step.
    sequences : sequence of tf.Tensor, shapes (n_steps, ...)
        What differs between the steps.
    n_steps : int
        Number of steps.
    output_shapes : sequence of (tf.DType, tuple of int)
        Types and shapes of the outputs of one step.
    recompute : bool
        Differentiate by computing each step again from the state before it.

    Returns
    -------
    state : list of tf.Tensor
        State after the last step.
    outputs : list of tf.Tensor, shapes (n_steps, ...)
        Outputs of all steps.

    Notes
    -----
    The derivative that TensorFlow finds for a loop keeps every intermediate result of
    every step, and adds the gradient with respect to a whole sequence in each step.
    With ``recompute``, only the state is kept; the backward loop computes a step again,
    its derivative right after it (most of it fuses), and writes each item's gradient
    to its place. Loops that call Python must not be computed twice.
    """
    if not recompute:
        state, _, outputs = _forward(
            body, invariants, state, sequences, n_steps, output_shapes, False
        )
        return state, outputs

    counts = [len(invariants), len(state), len(sequences)]

    @tf.custom_gradient
    def run(*arguments):
        invariants, state, sequences = _split(arguments, counts)
        last, history, outputs = _forward(
            body, invariants, state, sequences, n_steps, output_shapes, True
        )

        def gradient(*upstream):
            d_state, d_outputs = _split(upstream, [len(last), len(outputs)])
            return _backward(
                body, invariants, history, sequences, n_steps, d_state, d_outputs
            )

        return [*last, *outputs], gradient

    results = run(*invariants, *state, *sequences)
    last, outputs = _split(results, [len(state), len(output_shapes)])
    return last, outputs


def _split(values, counts):
    """Divide a sequence into lists of given lengths."""
    parts, start = [], 0
    for count in counts:
        parts.append(list(values[start : start + count]))
        start += count
    return parts


def _forward(body, invariants, state, sequences, n_steps, output_shapes, keeps_history):
    arrays = [
        tf.TensorArray(dtype, size=n_steps, element_shape=shape)
        for dtype, shape in output_shapes
    ]
    history = [
        tf.TensorArray(value.dtype, size=n_steps, element_shape=value.shape)
        for value in state
        if keeps_history
    ]

    def one_step(i, state, history, arrays):
        history = [array.write(i, value) for array, value in zip(history, state)]
        items = [values[i] for values in sequences]
        state, outputs = body(invariants, state, items)
        arrays = [array.write(i, value) for array, value in zip(arrays, outputs)]
        return i + 1, list(state), history, arrays

    _, state, history, arrays = tf.while_loop(
        lambda i, *_: i < n_steps,
        one_step,
        (tf.constant(0), list(state), history, arrays),
        parallel_iterations=1,
        maximum_iterations=n_steps,
    )
    return (
        state,
        [array.stack() for array in history],
        [array.stack() for array in arrays],
    )


def _backward(body, invariants, history, sequences, n_steps, d_state, d_outputs):
    """Return gradients for invariants, initial state and sequences, None for integers.

    Only what a step really depends on is accumulated or stored.
    """

    def zeros_if_none(value, like):
        return tf.zeros_like(like) if value is None else value

    floats = [value.dtype.is_floating for value in history]
    d_state = [
        zeros_if_none(d, values[0])
        for d, values, is_float in zip(d_state, history, floats)
        if is_float
    ]
    arrays = [
        tf.TensorArray(values.dtype, size=n_steps, element_shape=values.shape[1:])
        for values in sequences
        if values.dtype.is_floating
    ]
    totals = [tf.zeros_like(v) for v in invariants if v.dtype.is_floating]

    def one_step(i, d_state, totals, arrays):
        given = list(invariants)
        before = [values[i] for values in history]
        items = [values[i] for values in sequences]
        sources = [v for v in (*given, *before, *items) if v.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            after, outputs = body(given, before, items)
        targets, upstream = [], []
        floating = [value for value in after if value.dtype.is_floating]
        for value, d in zip(floating, d_state):
            targets.append(value)
            upstream.append(d)
        for value, d in zip(outputs, d_outputs):
            if d is not None and value.dtype.is_floating:
                targets.append(value)
                upstream.append(d[i])
        found = tape.gradient(targets, sources, upstream)
        d_given, d_before, d_items = _split(
            found, [len(totals), len(d_state), len(arrays)]
        )
        totals = [t if d is None else t + d for t, d in zip(totals, d_given)]
        d_before = [zeros_if_none(d, v) for d, v in zip(d_before, d_state)]
        arrays = [
            array if d is None else array.write(i, d)
            for array, d in zip(arrays, d_items)
        ]
        return i - 1, d_before, totals, arrays

    _, d_state, totals, arrays = tf.while_loop(
        lambda i, *_: i >= 0,
        one_step,
        (tf.constant(n_steps - 1), d_state, totals, arrays),
        parallel_iterations=1,
        maximum_iterations=n_steps,
    )
    totals, d_state = iter(totals), iter(d_state)
    arrays = iter([array.stack() for array in arrays])
    return [
        *(next(totals) if v.dtype.is_floating else None for v in invariants),
        *(next(d_state) if is_float else None for is_float in floats),
        *(next(arrays) if v.dtype.is_floating else None for v in sequences),
    ]
