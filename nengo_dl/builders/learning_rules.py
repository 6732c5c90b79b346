"""TensorFlow versions of the operators in `nengo.builder.learning_rules`.

All items of a batch learn on their own, so weights that a rule reads may have a batch
axis. The outer products are broadcast multiplications: XLA fuses them with what adds
the result to the weights, so that the change itself is never stored when nothing else
reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimRLS, SimVoja

from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.kernels import rows_apart
from nengo_dl.builders.registry import register
from nengo_dl.builders.shapes import outer, reshape, with_axis
from nengo_dl.support import tuning
from nengo_dl.support.lazy_imports import tf

__all__ = [
    "SimBCMBuilder",
    "SimOjaBuilder",
    "SimPESBuilder",
    "SimRLSBuilder",
    "SimVojaBuilder",
]


class _LearningRuleBuilder(OpBuilder):
    """A learning rule whose learning rate may differ between merged operators."""

    def _per_op(self, values: Sequence[float], n_axes: int) -> float | tf.Tensor:
        """Return one number, or a tensor of one number per operator.

        Parameters
        ----------
        values : sequence of float
            One number per operator.
        n_axes : int
            Number of axes of the signals that the result is multiplied with.
        """
        result = self.per_element(list(values), [1] * len(self.ops))
        if isinstance(result, float):
            return result
        if isinstance(result, tf.Variable):
            self.shared_variables = self.shared_variables[:-1]
            value = result.numpy()
            return self.shared_variable(value.reshape(1, -1, *(1,) * n_axes))
        with tf.init_scope():
            return reshape(result, (1, len(self.ops)) + (1,) * n_axes)

    def _changes(self, value: tf.Tensor) -> tf.Tensor:
        """Return changes of weights in a form that a loop carries well.

        Large ones are kept apart by what is done with the state (`find_overwritten`);
        there, a division of each element would take longer than all else. (BCM, 300 x
        300: 75 µs of CPU time for a step, 120 with divisions.)

        Parameters
        ----------
        value : tf.Tensor, shape (batch or 1, n_ops, m, n)
            The changes.
        """
        size = self.config.minibatch_size * prod(value.shape[1:])
        return value if size > tuning.SMALL_OVERWRITTEN else rows_apart(value)


@register(SimPES)
class SimPESBuilder(_LearningRuleBuilder):
    r"""The prescribed error sensitivity (PES) rule.

    Notes
    -----
    For :math:`n` presynaptic neurons with activities :math:`a_i` and errors
    :math:`e_j`,

    .. math:: \Delta \omega_{ji} = -\frac{\kappa \, dt}{n} e_j a_i

    References
    ----------
    .. [1] MacNeil, D., & Eliasmith, C. (2011). Fine-tuning and the stability of
       recurrent neural networks. PLoS ONE, 6(9), e22885.
    """

    def __init__(self, ops: Sequence[SimPES], config: BuildConfig):
        super().__init__(ops, config)
        self.alpha = self._per_op(
            [-op.learning_rate * config.dt / op.pre_filtered.shape[0] for op in ops], 1
        )

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the weight changes.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Presynaptic activities ``(batch, n_ops, n_pre)`` and errors
            ``(batch, n_ops, n_out)``.
        previous : sequence of tf.Tensor
            The last changes (unused).

        Returns
        -------
        Writes
            Updates: the changes, shape ``(batch, n_ops, n_out, n_pre)``.
        """
        pre, error = reads
        return Writes(updates=(self._changes(outer(self.alpha * error, pre)),))


@register(SimBCM)
class SimBCMBuilder(_LearningRuleBuilder):
    r"""The Bienenstock-Cooper-Munroe (BCM) rule.

    Notes
    -----
    For presynaptic activities :math:`a_i`, postsynaptic activities :math:`a_j` and
    their slow averages :math:`\theta_j`,

    .. math:: \Delta \omega_{ji} = \kappa \, dt \, a_j (a_j - \theta_j) a_i

    References
    ----------
    .. [1] Bienenstock, E. L., Cooper, L. N., & Munro, P. W. (1982). Theory for the
       development of neuron selectivity. Journal of Neuroscience, 2(1), 32-48.
    """

    def __init__(self, ops: Sequence[SimBCM], config: BuildConfig):
        super().__init__(ops, config)
        self.alpha = self._per_op([op.learning_rate * config.dt for op in ops], 1)

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the weight changes.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Presynaptic activities ``(batch, n_ops, n_pre)``, postsynaptic activities
            and thresholds ``(batch, n_ops, n_post)``.
        previous : sequence of tf.Tensor
            The last changes (unused).

        Returns
        -------
        Writes
            Updates: the changes, shape ``(batch, n_ops, n_post, n_pre)``.
        """
        pre, post, theta = reads
        changes = outer(self.alpha * post * (post - theta), pre)
        return Writes(updates=(self._changes(changes),))


@register(SimOja)
class SimOjaBuilder(_LearningRuleBuilder):
    r"""The Oja rule.

    Notes
    -----
    For presynaptic activities :math:`a_i`, postsynaptic activities :math:`a_j` and a
    forgetting rate :math:`\beta`,

    .. math:: \Delta \omega_{ji} = \kappa \, dt (a_j a_i - \beta a_j^2 \omega_{ji})

    References
    ----------
    .. [1] Oja, E. (1982). A simplified neuron model as a principal component analyzer.
       Journal of Mathematical Biology, 15(3), 267-273.
    """

    def __init__(self, ops: Sequence[SimOja], config: BuildConfig):
        super().__init__(ops, config)
        self.alpha = self._per_op([op.learning_rate * config.dt for op in ops], 1)
        self.minus_beta = self._per_op([-op.beta for op in ops], 2)

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the weight changes.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Presynaptic activities ``(batch, n_ops, n_pre)``, postsynaptic activities
            ``(batch, n_ops, n_post)`` and weights
            ``(batch or 1, n_ops, n_post, n_pre)``.
        previous : sequence of tf.Tensor
            The last changes (unused).

        Returns
        -------
        Writes
            Updates: the changes, shape ``(batch, n_ops, n_post, n_pre)``.
        """
        pre, post, weights = reads
        post_squared = self.alpha * post * post
        forgetting = self.minus_beta * weights * with_axis(post_squared, -1)
        changes = forgetting + outer(self.alpha * post, pre)
        return Writes(updates=(self._changes(changes),))


@register(SimVoja)
class SimVojaBuilder(_LearningRuleBuilder):
    r"""The vector Oja (Voja) rule, which moves encoders towards the input.

    Notes
    -----
    For a decoded input :math:`x`, postsynaptic activities :math:`a_j`, encoders
    :math:`e_j` scaled by :math:`s_j` and a learning signal :math:`l`,

    .. math:: \Delta e_j = \kappa \, dt \, l \, a_j (s_j x - e_j)

    References
    ----------
    .. [1] Voelker, A. R., Crawford, E., & Eliasmith, C. (2014). Learning large-scale
       heteroassociative memories in spiking neurons. Unconventional Computation and
       Natural Computation.
    """

    def __init__(self, ops: Sequence[SimVoja], config: BuildConfig):
        super().__init__(ops, config)
        self.alpha = self._per_op([op.learning_rate * config.dt for op in ops], 2)
        scale = np.stack([np.asarray(op.scale, dtype=config.dtype) for op in ops])
        with tf.init_scope():
            self.scale = tf.constant(scale[None, :, :, None])

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the changes of the scaled encoders.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Decoded input ``(batch, n_ops, n_dims)``, postsynaptic activities
            ``(batch, n_ops, n_post)``, scaled encoders
            ``(batch or 1, n_ops, n_post, n_dims)`` and the learning signal
            ``(batch, n_ops, 1)`` or ``(batch, n_ops)``.
        previous : sequence of tf.Tensor
            The last changes (unused).

        Returns
        -------
        Writes
            Updates: the changes, shape ``(batch, n_ops, n_post, n_dims)``.
        """
        pre, post, encoders, learning = reads
        if learning.shape.rank == 2:
            learning = with_axis(learning, -1)
        difference = self.scale * outer(post, pre) - with_axis(post, -1) * encoders
        changes = self.alpha * with_axis(learning, -2) * difference
        return Writes(updates=(self._changes(changes),))


@register(SimRLS)
class SimRLSBuilder(OpBuilder):
    r"""The recursive least squares (RLS) rule.

    The learning rate is contained in the initial value of the inverse activity matrix.

    Notes
    -----
    For presynaptic activities :math:`r`, errors :math:`e` and the symmetric inverse
    activity matrix :math:`P`,

    .. math::

       g &= P r \\
       P &\leftarrow P - \frac{g g^T}{1 + r^T g} \\
       \Delta \omega &= -\frac{e g^T}{1 + r^T g}

    References
    ----------
    .. [1] Sussillo, D., & Abbott, L. F. (2009). Generating coherent patterns of
       activity from chaotic neural networks. Neuron, 63(4), 544-557.
    """

    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute the weight changes and the new inverse activity matrices.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            Presynaptic activities ``(batch, n_ops, n_pre)`` and errors
            ``(batch, n_ops, n_out)``.
        previous : sequence of tf.Tensor
            The last changes (unused) and the inverse activity matrices
            ``(batch, n_ops, n_pre, n_pre)``.

        Returns
        -------
        Writes
            Updates: the changes, shape ``(batch, n_ops, n_out, n_pre)``, and the
            inverse activity matrices.
        """
        r, error = reads
        P = previous[1]
        Pr = tf.linalg.matvec(P, r)
        gain = 1.0 / (1.0 + tf.reduce_sum(r * Pr, axis=-1, keepdims=True))
        return Writes(
            updates=(
                rows_apart(outer(error, -gain * Pr)),
                rows_apart(P - outer(Pr, Pr * gain)),
            )
        )
