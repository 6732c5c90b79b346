"""TensorFlow versions of Nengo's synapses (`nengo.synapses`).

Processes without input depend on time only; they run on the host and have no builder.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby

import numpy as np
from nengo.builder.processes import SimProcess
from nengo.synapses import LinearFilter, Triangle

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.registry import register
from nengo_dl.builders.shapes import reshape, with_axis
from nengo_dl.compiler.filters import FilterSystems
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf
from nengo_dl.synapses import Delay

__all__ = ["DelayBuilder", "LinearFilterBuilder", "TriangleBuilder"]


class _SynapseBuilder(OpBuilder):
    """What all synapses share: one input, one output, and their named state."""

    @classmethod
    def used_reads(cls, op: SimProcess) -> Sequence[int]:
        """Return the input only: synapses do not depend on the time, ``reads[0]``."""
        return (1,)

    def _writes(self, output: tf.Tensor, **state: tf.Tensor) -> Writes:
        op = self.ops[0]
        updates = [output] * len(op.updates)
        for name, index in op.state_idxs.items():
            updates[index] = state[name]
        return Writes(
            sets=(output,) if op.mode == "set" else (),
            incs=(output,) if op.mode == "inc" else (),
            updates=tuple(updates),
        )


@register(LinearFilter)
class LinearFilterBuilder(_SynapseBuilder):
    r"""Linear time-invariant filters of any order, `nengo.synapses.LinearFilter`.

    Filters of the same order merge, whatever their coefficients and sizes.

    Notes
    -----
    The discretized system :math:`(A, B, C, D)` is the one of the step function that
    ``process.make_step`` returns, so the coefficients are Nengo's to the last bit. As
    there, a system without direct feedthrough skips the delay of the general form:

    .. math::

       x_t &= A x_{t-1} + B u_t \\
       y_t &= \begin{cases} C x_t & \text{if } D = 0 \\
                            C x_{t-1} + D u_t & \text{otherwise} \end{cases}

    References
    ----------
    .. [1] Discretization of linear state space models.
       https://en.wikipedia.org/wiki/Discretization
    """

    def __init__(self, ops: Sequence[SimProcess], config: BuildConfig):
        super().__init__(ops, config)
        self.sizes = [op.output.size for op in ops]
        self.order = ops[0].state["X"].shape[0]
        known = FilterSystems(config.dt)
        systems = [known.find(op.process) for op in ops]
        if self.order == 0:
            self.D = self._spread([s.d for s in systems])
            return

        first_order = [isinstance(s, LinearFilter.OneX) for s in systems]
        delayed = [isinstance(s, LinearFilter.General) for s in systems]
        A = np.array([s.A for s in systems], dtype=np.float64)
        B = np.array([s.B.ravel() for s in systems], dtype=np.float64)
        C = np.array([s.C.ravel() for s in systems], dtype=np.float64)
        for i, system in enumerate(systems):
            if first_order[i]:
                # Nengo folds the output gain into the input gain
                B[i], C[i] = system.b, 1.0
        self.A = [[self._spread(c) for c in row] for row in np.moveaxis(A, 0, -1)]
        self.B = [self._spread(b) for b in B.T]
        self.C = [self._spread(c) for c in C.T]
        self.D = self._spread([s.D.item() for s in systems])
        self.state_is_output = all(first_order)
        if self.state_is_output and ops[0].mode == "update":
            self.equal_updates = range(len(ops[0].updates))
        # None of the two outputs is computed in vain in a uniform group
        self.delayed = delayed[0] if len(set(delayed)) == 1 else self._mask(delayed)
        self._arrange()

    @classmethod
    def merge_key(cls, op: SimProcess) -> Hashable:
        """Return the mode and order, and the method, which decides on feedthrough.

        The last only keeps groups uniform, which is faster; mixed ones work.
        """
        process = op.process
        method = process.method if process.analog else None
        return op.mode, op.state["X"].shape[0], method

    @classmethod
    def flat(cls, op: SimProcess) -> bool:
        """Return True: elements are filtered independently."""
        return True

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Filter the input by one step.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            The input, shape ``(batch, n_elements)``.
        previous : sequence of tf.Tensor
            The updated signals, among them the state, shape
            ``(batch, order * n_elements)``.

        Returns
        -------
        Writes
            The output as set, increment or update, according to the operators' mode,
            and the new state as update.
        """
        (u,) = reads
        X = previous[self.ops[0].state_idxs["X"]]
        if self.order == 0:
            return self._writes(self.D * u, X=X)
        if self.state_is_output:
            X = X * self.A[0][0] + self.B[0] * u
            return self._writes(X, X=X)

        old = self._rows(X)
        new = [
            _dot(A, old) + (0.0 if _is_zero(b) else b * u)
            for A, b in zip(self.A, self.B, strict=True)
        ]
        if self.delayed is False:
            output = _dot(self.C, new)
        else:
            output = _dot(self.C, old) + self.D * u
            if self.delayed is not True:
                output = tf.where(self.delayed, output, _dot(self.C, new))
        return self._writes(output, X=self._unrows(new))

    def _spread(self, values: Sequence[float]) -> float | tf.Tensor:
        return self.per_element(list(values), self.sizes)

    def _mask(self, values: Sequence[bool]) -> tf.Tensor:
        with tf.init_scope():
            return tf.constant(np.repeat(values, self.sizes)[None, :])

    def _arrange(self) -> None:
        """Find how the state, ``(order, size)`` per operator, splits into rows."""
        self.runs = [(size, len(list(run))) for size, run in groupby(self.sizes)]
        self.gathers = None
        if self.order > 1 and len(self.runs) > tuning.MOST_SLICED_RUNS:
            ends = np.cumsum([self.order * size for size in self.sizes])
            rows = np.concatenate(
                [
                    np.arange(end - self.order * size, end).reshape(self.order, size)
                    for size, end in zip(self.sizes, ends, strict=True)
                ],
                axis=1,
            )
            with tf.init_scope():
                self.gathers = (
                    tf.constant(rows.astype(np.int32)),
                    tf.constant(np.argsort(rows, axis=None).astype(np.int32)),
                )

    def _rows(self, X: tf.Tensor) -> list[tf.Tensor]:
        """Split the state into one tensor ``(batch, n_elements)`` per variable."""
        if self.order == 1:
            return [X]
        if self.gathers is not None:
            return tf.unstack(tf.gather(X, self.gathers[0], axis=1), axis=1)
        parts = tf.split(X, [self.order * size * n for size, n in self.runs], axis=1)
        parts = [
            reshape(part, (-1, n, self.order, size))
            for part, (size, n) in zip(parts, self.runs, strict=True)
        ]
        return [
            tf.concat(
                [
                    reshape(part[:, :, j], (-1, size * n))
                    for part, (size, n) in zip(parts, self.runs, strict=True)
                ],
                axis=1,
            )
            for j in range(self.order)
        ]

    def _unrows(self, rows: list[tf.Tensor]) -> tf.Tensor:
        """Undo `_rows`."""
        if self.order == 1:
            return rows[0]
        if self.gathers is not None:
            return tf.gather(tf.concat(rows, axis=1), self.gathers[1], axis=1)
        splits = [size * n for size, n in self.runs]
        split_rows = zip(*[tf.split(row, splits, axis=1) for row in rows], strict=True)
        return tf.concat(
            [
                reshape(
                    tf.stack([reshape(r, (-1, n, size)) for r in parts], axis=2),
                    (-1, n * self.order * size),
                )
                for parts, (size, n) in zip(split_rows, self.runs, strict=True)
            ],
            axis=1,
        )


def _is_zero(coefficient: float | tf.Tensor) -> bool:
    return isinstance(coefficient, float) and coefficient == 0


def _dot(
    coefficients: Sequence[float | tf.Tensor], rows: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Sum the products in order, without those that are zero for all elements."""
    terms = [
        c * row for c, row in zip(coefficients, rows, strict=True) if not _is_zero(c)
    ]
    total = terms[0] if terms else tf.zeros_like(rows[0])
    for term in terms[1:]:
        total = total + term
    return total


@register(Triangle)
class TriangleBuilder(_SynapseBuilder):
    r"""Triangular finite impulse response filters, `nengo.synapses.Triangle`.

    Filters with the same number of taps merge.

    Notes
    -----
    For :math:`n` taps with weights :math:`c_k = (n - k) c_{n-1}` that sum to 1, the
    output changes by the newest input, less the last :math:`n` inputs times the
    difference of neighbouring weights, which a ring buffer keeps:

    .. math:: y_t = y_{t-1} + c_0 u_t - \sum_{k=1}^{n} c_{n-1} u_{t-k}
    """

    def __init__(self, ops: Sequence[SimProcess], config: BuildConfig):
        super().__init__(ops, config)
        state = ops[0].state
        self.n_taps = state["X"].shape[0]
        # in the type of the signals, as Nengo does
        taps = np.arange(self.n_taps, 0, -1, dtype=state["Y"].dtype)
        taps /= taps.sum()
        self.first, self.difference = float(taps[0]), float(taps[-1])

    @classmethod
    def merge_key(cls, op: SimProcess) -> Hashable:
        """Return the mode; the number of taps is part of the state's shape."""
        return op.mode

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Filter the input by one step.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            The input, shape ``(batch, n_ops) + signal.shape``.
        previous : sequence of tf.Tensor
            The updated signals; the state consists of ``Y`` (like the input), the ring
            buffer ``X``, shape ``(batch, n_ops, n_taps) + signal.shape``, and the
            position of its newest entry ``Xi``, shape ``(batch, n_ops, 1)``.

        Returns
        -------
        Writes
            The output as set, increment or update, according to the operators' mode,
            and the new state as updates.
        """
        (u,) = reads
        index = self.ops[0].state_idxs
        X, Xi = previous[index["X"]], previous[index["Xi"]]
        Y = previous[index["Y"]] + self.first * u
        Y = Y - tf.reduce_sum(X, axis=2)
        Xi = tf.math.floormod(Xi + 1, self.n_taps)
        # a mask instead of an indexed write: the buffer is read as a whole
        # anyway, and the position may have a batch axis
        newest = tf.equal(tf.range(self.n_taps, dtype=Xi.dtype), Xi)
        newest = reshape(
            newest, (-1, len(self.ops), self.n_taps) + (1,) * (u.shape.rank - 2)
        )
        X = tf.where(newest, with_axis(self.difference * u, 2), X)
        return self._writes(Y, Y=Y, X=X, Xi=Xi)


@register(Delay, methods=("make_step", "make_state", "n_steps"))
class DelayBuilder(_SynapseBuilder):
    """Delays of whole steps, `nengo_dl.Delay`.

    Delays with buffers of the same length merge.
    """

    def __init__(self, ops: Sequence[SimProcess], config: BuildConfig):
        super().__init__(ops, config)
        steps = np.array([op.process.n_steps(config.dt, op.input.size) for op in ops])
        self.n_steps = ops[0].state["X"].shape[0]
        self.elements = None
        if not np.all(steps == self.n_steps):
            size = steps.shape[1]
            places = (np.arange(len(ops))[:, None] * self.n_steps + steps - 1) * size
            with tf.init_scope():
                self.elements = tf.constant(
                    (places + np.arange(size)).ravel().astype(np.int32)
                )

    @classmethod
    def merge_key(cls, op: SimProcess) -> Hashable:
        """Return the mode; the length of the buffer is part of the state's shape."""
        return op.mode

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Delay the input.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            The input, shape ``(batch, n_ops) + signal.shape``.
        previous : sequence of tf.Tensor
            The updated signals; the state is the last inputs ``X``, newest first, shape
            ``(batch, n_ops, n_steps) + signal.shape``.

        Returns
        -------
        Writes
            The output as set, increment or update, according to the operators' mode,
            and the new state as update.
        """
        (u,) = reads
        X = previous[self.ops[0].state_idxs["X"]]
        newest = with_axis(u, 2)
        newest = tf.broadcast_to(newest, (X.shape[0], *newest.shape[1:]))
        X = tf.concat([newest, X[:, :, :-1]], axis=2)
        if self.elements is None:
            return self._writes(X[:, :, -1], X=X)
        output = tf.gather(reshape(X, (X.shape[0], -1)), self.elements, axis=1)
        return self._writes(reshape(output, (X.shape[0], *u.shape[1:])), X=X)
