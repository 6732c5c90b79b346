"""Loops over time that can be differentiated cheaply inside compiled functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nengo_dl.support.lazy_imports import tf

__all__ = ["Body", "Product", "scan"]

Tensors: TypeAlias = "list[tf.Tensor]"


@dataclass(frozen=True, eq=False)
class Product:
    """A product that each step computes, and whose derivative does not need it.

    Attributes
    ----------
    multiply : callable
        ``multiply(constant, operand) -> result``; both have a batch axis, which the
        constant has with length 1.
    invariant : int
        Which of the invariants is the constant.
    operand_shape, result_shape : tuple of int
        Shapes, with the batch axis.
    dtype : tf.DType
        Type of all of them.
    """

    multiply: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    invariant: int
    operand_shape: tuple[int, ...]
    result_shape: tuple[int, ...]
    dtype: tf.DType


@dataclass
class _Multiplier:
    """Computes the products of a step, or takes them from what was kept."""

    products: Sequence[Product]
    invariants: Sequence[tf.Tensor]
    kept: Sequence[tf.Tensor] | None = None
    operands: dict[int, tf.Tensor] = field(default_factory=dict)
    results: dict[int, tf.Tensor] = field(default_factory=dict)

    def __call__(self, number: int, operand: tf.Tensor) -> tf.Tensor:
        product = self.products[number]
        constant = self.invariants[product.invariant]
        operand = tf.broadcast_to(operand, product.operand_shape)
        if self.kept is not None:
            constant = tf.stop_gradient(constant)
        result = product.multiply(constant, operand)
        if self.kept is not None:
            result = _with_value(result, self.kept[number])
        self.operands[number], self.results[number] = operand, result
        return result


def _with_value(computed: Any, value: Any) -> Any:
    """Return a value that is known, with the derivative of its computation.

    Nothing needs the result of the computation any more, so it is left out.
    """

    @tf.custom_gradient
    def known(computed: Any, value: Any) -> Any:
        return tf.identity(value), lambda upstream: (upstream, None)

    return known(computed, value)


#: ``body(invariants, state, items, multiply) -> (state, outputs)``, where
#: ``multiply(number, operand)`` returns a product
Body: TypeAlias = (
    "Callable[[Tensors, Tensors, Tensors, _Multiplier], tuple[Tensors, Tensors]]"
)


def scan(
    body: Body,
    invariants: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    sequences: Sequence[tf.Tensor],
    n_steps: int,
    output_shapes: Sequence[tuple[tf.DType, tuple[int, ...]]],
    recompute: bool = True,
    products: Sequence[Product] = (),
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
    products : sequence of Product
        Products in a step that are worth keeping.

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
    to its place. Products are kept as well, as computing them is most of the work, and
    the gradients of their constants come from all steps together, after the loop.
    Loops that call Python must not be computed twice.
    """
    if n_steps == 1:
        # a loop would compute the step twice, and keep convolutions on one thread
        items = [values[0] for values in sequences]
        state, outputs = body(
            list(invariants), list(state), items, _Multiplier(products, invariants)
        )
        return list(state), [output[None] for output in outputs]
    last: Any
    if not recompute:
        last, _, _, outputs = _forward(
            body, invariants, state, sequences, n_steps, output_shapes, products, False
        )
        return last, outputs

    counts = [len(invariants), len(state), len(sequences)]

    @tf.custom_gradient
    def run(*arguments: Any) -> Any:
        invariants, state, sequences = _split(arguments, counts)
        last, history, kept, outputs = _forward(
            body, invariants, state, sequences, n_steps, output_shapes, products, True
        )

        def gradient(*upstream: Any, variables: Any = None) -> Any:
            d_state, d_outputs = _split(upstream, [len(last), len(outputs)])
            found = _backward(
                body,
                invariants,
                history,
                sequences,
                n_steps,
                products,
                kept,
                d_state,
                d_outputs,
            )
            # a step may use variables of the user's, which are none of the network's
            return found if variables is None else (found, [None] * len(variables))

        return [*last, *outputs], gradient

    results = run(*invariants, *state, *sequences)
    last, outputs = _split(results, [len(state), len(output_shapes)])
    return last, outputs


def _split(values: Any, counts: Any) -> Any:
    """Divide a sequence into lists of given lengths."""
    parts, start = [], 0
    for count in counts:
        parts.append(list(values[start : start + count]))
        start += count
    return parts


def _forward(
    body: Any,
    invariants: Any,
    state: Any,
    sequences: Any,
    n_steps: Any,
    output_shapes: Any,
    products: Any,
    keeps_history: Any,
) -> Any:
    arrays = [
        tf.TensorArray(dtype, size=n_steps, element_shape=shape)
        for dtype, shape in output_shapes
    ]
    history = [
        tf.TensorArray(value.dtype, size=n_steps, element_shape=value.shape)
        for value in state
        if keeps_history
    ]
    kept = [
        tf.TensorArray(p.dtype, size=n_steps, element_shape=p.result_shape)
        for p in products
        if keeps_history
    ]

    def one_step(i: Any, state: Any, history: Any, kept: Any, arrays: Any) -> Any:
        history = [array.write(i, value) for array, value in zip(history, state)]
        items = [values[i] for values in sequences]
        multiply = _Multiplier(products, invariants)
        state, outputs = body(invariants, state, items, multiply)
        arrays = [array.write(i, value) for array, value in zip(arrays, outputs)]
        kept = [
            array.write(i, multiply.results[number])
            for number, array in enumerate(kept)
        ]
        return i + 1, list(state), history, kept, arrays

    _, state, history, kept, arrays = tf.while_loop(
        lambda i, *_: i < n_steps,
        one_step,
        (tf.constant(0), list(state), history, kept, arrays),
        parallel_iterations=1,
        maximum_iterations=n_steps,
    )
    return (
        state,
        [array.stack() for array in history],
        [array.stack() for array in kept],
        [array.stack() for array in arrays],
    )


def _backward(
    body: Any,
    invariants: Any,
    history: Any,
    sequences: Any,
    n_steps: Any,
    products: Any,
    kept: Any,
    d_state: Any,
    d_outputs: Any,
) -> Any:
    """Return gradients for invariants, initial state and sequences, None for integers.

    Only what a step really depends on is accumulated or stored.
    """
    d_state = [
        _zeros_if_none(d, values[0])
        for d, values in zip(d_state, history)
        if values.dtype.is_floating
    ]
    arrays = _arrays_of_items(sequences, n_steps)
    totals = [tf.zeros_like(v) for v in invariants if v.dtype.is_floating]
    factors = _arrays_of_factors(products, n_steps)

    def one_step(i: Any, d_state: Any, totals: Any, arrays: Any, factors: Any) -> Any:
        d_given, d_before, d_items, pairs = _differentiate_step(
            body,
            i,
            [invariants, history, sequences],
            products,
            kept,
            d_state,
            d_outputs,
        )
        factors = [array.write(i, value) for array, value in zip(factors, pairs)]
        totals = [t if d is None else t + d for t, d in zip(totals, d_given)]
        d_before = [_zeros_if_none(d, v) for d, v in zip(d_before, d_state)]
        arrays = [
            array if d is None else array.write(i, d)
            for array, d in zip(arrays, d_items)
        ]
        return i - 1, d_before, totals, arrays, factors

    _, d_state, totals, arrays, factors = tf.while_loop(
        lambda i, *_: i >= 0,
        one_step,
        (tf.constant(n_steps - 1), d_state, totals, arrays, factors),
        parallel_iterations=1,
        maximum_iterations=n_steps,
    )
    floating = [n for n, v in enumerate(invariants) if v.dtype.is_floating]
    for number, product in enumerate(products):
        totals[floating.index(product.invariant)] += _gradient_of_constant(
            product,
            invariants[product.invariant],
            *factors[2 * number : 2 * number + 2],
        )
    return [
        *_at_floats(totals, invariants),
        *_at_floats(d_state, history),
        *_at_floats([array.stack() for array in arrays], sequences),
    ]


def _arrays_of_items(sequences: Any, n_steps: Any) -> Any:
    """Return arrays for the gradients of all items of sequences."""
    return [
        tf.TensorArray(values.dtype, size=n_steps, element_shape=values.shape[1:])
        for values in sequences
        if values.dtype.is_floating
    ]


def _arrays_of_factors(products: Any, n_steps: Any) -> Any:
    """Return arrays for operands, and gradients of results, of products."""
    return [
        tf.TensorArray(p.dtype, size=n_steps, element_shape=shape)
        for p in products
        for shape in (p.operand_shape, p.result_shape)
    ]


def _at_floats(gradients: Any, values: Any) -> Any:
    """Return gradients in the places of floating point values, None elsewhere."""
    found = iter(gradients)
    return [next(found) if v.dtype.is_floating else None for v in values]


def _zeros_if_none(value: Any, like: Any) -> Any:
    return tf.zeros_like(like) if value is None else value


def _differentiate_step(
    body: Any,
    i: Any,
    arguments: Any,
    products: Any,
    kept: Any,
    d_state: Any,
    d_outputs: Any,
) -> Any:
    """Compute step ``i`` again; return its gradients, and the factors of its products.

    Gradients are three lists, for those of the arguments (invariants, history,
    sequences) that are floating point. Factors are operands, and gradients of results,
    one after the other.
    """
    given, *sequences = map(list, arguments)
    before, items = ([values[i] for values in known] for known in sequences)
    sources = [v for v in (*given, *before, *items) if v.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        multiply = _Multiplier(products, given, [values[i] for values in kept])
        after, outputs = body(given, before, items, multiply)
    targets, upstream = [], []
    floating = [value for value in after if value.dtype.is_floating]
    for value, d in zip(floating, d_state):
        targets.append(value)
        upstream.append(d)
    for value, d in zip(outputs, d_outputs):
        if d is not None and value.dtype.is_floating:
            targets.append(value)
            upstream.append(d[i])
    results = [multiply.results[number] for number in range(len(products))]
    found = tape.gradient(targets, [*sources, *results], upstream)
    counts = [sum(value.dtype.is_floating for value in values) for values in arguments]
    *gradients, d_results = _split(found, [*counts, len(products)])
    factors = [
        value
        for number, (d, result) in enumerate(zip(d_results, results))
        for value in (multiply.operands[number], _zeros_if_none(d, result))
    ]
    return *gradients, factors


def _gradient_of_constant(
    product: Any, constant: Any, operands: Any, d_results: Any
) -> Any:
    """Return the gradient of what all steps multiply, from those of their results."""
    operand, d_result = (
        tf.reshape(array.stack(), (-1, *array.element_shape[1:]))
        for array in (operands, d_results)
    )
    with tf.GradientTape() as tape:
        tape.watch(constant)
        result = product.multiply(constant, operand)
    return tape.gradient(result, constant, d_result)
