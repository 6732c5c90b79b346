"""The protocol that operator builders follow.

An operator builder is the TensorFlow version of one type of Nengo operator. It is
written for a *group* of operators that were merged, so that one thousand ensembles
cost one kernel instead of one thousand.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from nengo.builder.operator import Operator

from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.support.lazy_imports import tf

__all__ = ["Arranged", "OpBuilder", "Writes"]

#: A constant operand in the form in which a kernel takes it, see `OpBuilder.arrange`.
Arranged: TypeAlias = "tf.Tensor | tuple[tf.Tensor, ...]"


@dataclass(frozen=True)
class Writes:
    """The results of one step of a group, in the order of the operators' own lists.

    Every tensor has the form of its operand (see `OpBuilder`); the length of its
    leading axis may be 1 where all batch items share the value. None leaves a signal of
    the state as it was.

    Attributes
    ----------
    sets : tuple of (tf.Tensor or None)
        Values of ``op.sets``.
    incs : tuple of tf.Tensor
        What is added to ``op.incs``.
    updates : tuple of tf.Tensor
        Values of ``op.updates`` in the next step.

    Examples
    --------
    >>> output = tf.zeros((1, 5))
    >>> nengo_dl.builders.Writes(sets=(output,)).updates
    ()
    """

    sets: tuple[tf.Tensor | None, ...] = ()
    incs: tuple[tf.Tensor, ...] = ()
    updates: tuple[tf.Tensor, ...] = ()


class OpBuilder(abc.ABC):
    """TensorFlow version of a group of merged operators of one type.

    Operands reach `step` in one of two forms, chosen by `flat`:

    - *stacked*, shape ``(batch, n_ops) + signal.shape``: one row per operator. The
      planner then merges only operators whose operands have equal shapes.
    - *flat*, shape ``(batch, n_elements)``: the signals of all operators, each
      flattened in C order, one after the other. Operators of any sizes merge; this is
      the form for element by element computations.

    The leading axis has length `BuildConfig.minibatch_size`, or 1 where all items of
    the batch share the value (constants, parameters); computations must broadcast
    over it.

    Parameters
    ----------
    ops : sequence of Operator
        The merged operators, in the order in which their operands are stacked. They
        must not be modified.
    config : BuildConfig
        Properties of the simulation.

    Examples
    --------
    An operator that doubles what it reads, for any number of merged operators:

    >>> class DoubleBuilder(nengo_dl.builders.OpBuilder):
    ...     def step(self, reads, previous):
    ...         return nengo_dl.builders.Writes(sets=(2 * reads[0],))
    """

    #: True for builders whose step calls Python (see `builders.callbacks`).
    is_callback: ClassVar[bool] = False

    #: True for builders whose step calls code that may do more than compute its result,
    #: such as functions of users.
    runs_user_code: ClassVar[bool] = False

    #: False for builders through which no gradient flows, even in training.
    has_gradient: ClassVar[bool] = True

    #: True for builders whose step must be computed for each time step by itself, even
    #: if it keeps no state (it takes the time, or draws random numbers).
    is_stepwise: bool = False

    #: False for builders whose step gives something else when it is computed again.
    is_repeatable: bool = True

    #: True for builders whose step neither needs nor changes the state that their
    #: operators list (spiking neurons that are trained with their rates).
    ignores_state: bool = False

    #: Indices of the updates whose values are the same after every step, so that a loop
    #: need not carry all of them.
    equal_updates: Sequence[int] = ()

    #: Indices of the operands of `step` that are constant; set for each program.
    constant_reads: frozenset[int] = frozenset()

    #: Indices of the operands that hold each signal once, in the order in which they
    #: come first, although several operators of the group read it.
    reads_once: ClassVar[Collection[int]] = ()

    #: Variables for parameters that are no literals of the program.
    shared_variables: tuple[tf.Variable, ...] = ()

    #: True for builders whose step uses a routine of TensorFlow that is faster on CPUs
    #: than what XLA makes of it.
    avoids_xla: bool = False

    #: True for builders whose step multiplies constants by something: its derivative
    #: does not need the product, which is worth keeping.
    is_product: bool = False

    #: True for builders of which `step` computes products in another type, see
    #: `BuildConfig.product_dtype`.
    is_mixed: bool = False

    #: True for builders that only add products of their operands: if one of these is
    #: known to be zero, the step is left out.
    adds_products: ClassVar[bool] = False

    #: Number of multiplications in a step (of one item of a minibatch), for builders of
    #: which a step can be expensive: while their operands stay the same, a simulation
    #: does not compute them again.
    n_multiplications: int = 0

    @classmethod
    def build(cls, ops: Sequence[Operator], config: BuildConfig) -> OpBuilder:
        """Return a builder for a group; a class may choose another one for training."""
        return cls(ops, config)

    @classmethod
    def for_xla(
        cls, op: Operator, dtype: np.dtype, minibatch_size: int
    ) -> type[OpBuilder]:
        """Return the class to use for an operator if XLA is to compile it.

        Asked once for each operator, before operators are merged. What XLA cannot
        compile needs a class with ``is_callback = True``.
        """
        return cls

    @classmethod
    def for_unlike(cls, op: Operator) -> Sequence[type[OpBuilder]]:
        """Return classes that merge operators which this one keeps apart.

        They are used where there would be many groups otherwise, see
        `compiler.unlike`: the last one for operators of which few are alike, those
        before it, in order of preference, for many that are alike in part.
        """
        return ()

    @classmethod
    def n_zeros(cls, ops: Sequence[Operator]) -> int:
        """Return how many weights a group fills in to make operators alike."""
        return 0

    def __init__(self, ops: Sequence[Operator], config: BuildConfig):
        self.ops = tuple(ops)
        self.config = config

    @classmethod
    def merge_key(cls, op: Operator) -> Hashable:
        """Return a key; operators of this builder merge only if their keys are equal.

        Shapes (unless `flat`), dtypes and the number of operands are compared by the
        planner and need not be part of the key. An operator that must stay alone
        returns ``id(op)``.
        """
        return None

    @classmethod
    def flat(cls, op: Operator) -> bool:
        """Whether operands of this operator come in the flat form (see class)."""
        return False

    @classmethod
    def used_reads(cls, op: Operator) -> Sequence[int]:
        """Return the indices into ``op.reads`` that `step` consumes."""
        return range(len(op.reads))

    @classmethod
    def state_sets(cls, op: Operator) -> Sequence[int]:
        """Return the indices into ``op.sets`` that are read before they are written.

        Nengo lists the state of neurons (voltage, ...) under ``sets``, although its
        value of the previous step is needed.
        """
        return ()

    def arrange(self, index: int, value: tf.Tensor) -> Arranged:
        """Return a constant operand in the form in which `step` takes it.

        Called before the loop over steps, for the operands in `constant_reads`.

        Parameters
        ----------
        index : int
            Which operand of `step`.
        value : tf.Tensor
            The operand, stacked or flat.

        Returns
        -------
        tf.Tensor or tuple of tf.Tensor
            By default, the operand as it is.
        """
        return value

    @abc.abstractmethod
    def step(self, reads: Sequence[tf.Tensor], previous: Sequence[tf.Tensor]) -> Writes:
        """Compute one time step: a pure function of tensors.

        Parameters
        ----------
        reads : sequence of tf.Tensor
            The operands ``op.reads[i] for i in used_reads(op)``.
        previous : sequence of tf.Tensor
            Values before this step of ``op.sets[i] for i in state_sets(op)``, followed
            by those of all ``op.updates``.

        Returns
        -------
        Writes
            Tensors for all of ``op.sets``, ``op.incs`` and ``op.updates``.
        """

    def baked(self) -> Mapping[str, Any] | None:
        """Return what `step` depends on besides its operands.

        Simulators whose builders return the same share a program without tracing it
        first. (Those of builders that return None share one as well, if it turns out to
        be equal when it has been traced.)

        Returns
        -------
        mapping of {str: object} or None
            Numbers, arrays, tensors, objects of Nengo, lists and dicts of these. All
            that a step uses of its attributes and of the operators has to be there, but
            the values of signals. None: it is not known. Builders of users have to
            override this; what they inherit counts as None.

        Notes
        -----
        Here, these are all attributes. Of the operators, there are only the first one
        and their number: in whatever else they differ, a step uses attributes.

        Examples
        --------
        >>> class ScaleBuilder(nengo_dl.builders.OpBuilder):
        ...     def __init__(self, ops, config):
        ...         super().__init__(ops, config)
        ...         self.factor = self.per_element([op.factor for op in ops], [1])
        ...
        ...     def step(self, reads, previous):
        ...         return nengo_dl.builders.Writes(sets=(self.factor * reads[0],))
        ...
        ...     def baked(self):
        ...         return {"factor": self.factor}
        """
        baked = {name: value for name, value in vars(self).items() if name != "config"}
        return {**baked, "ops": (len(self.ops), self.ops[0])}

    def per_element(
        self, values: Sequence[Any], sizes: Sequence[int]
    ) -> float | tf.Tensor:
        """Spread one number per operator over the elements of a flat operand.

        Parameters
        ----------
        values : sequence of float or of ndarray
            One entry for each operator: a scalar, or an array of that operator's size.
        sizes : sequence of int
            Number of elements of each operator's operand.

        Returns
        -------
        float or tf.Tensor
            A Python float if all elements are equal (XLA then folds it into the
            kernel), else a tensor of shape ``(1, n_elements)``. With
            `BuildConfig.shared_parameters`, a variable of that shape, or of shape
            ``(1, 1)`` if all are equal, unless they are 0, 1 or infinite.

        Raises
        ------
        ValueError
            If there are not as many values as sizes.
        """
        # `repeat` would spread values over a single size; `zip` says what is wrong
        if any(map(np.ndim, values)) or len(values) != len(sizes):
            parts = [
                np.broadcast_to(np.ravel(value), (size,))
                for value, size in zip(values, sizes, strict=True)
            ]
            exact = np.concatenate(parts, dtype=np.float64)
        else:
            exact = np.repeat(np.asarray(values, np.float64), sizes)
        spread = exact.astype(self.config.dtype)
        is_uniform = bool(spread.size and (spread == spread[0]).all())
        is_special = is_uniform and spread[0] in (0, 1, np.inf, -np.inf)
        if self.config.shared_parameters and not is_special:
            return self.shared_variable(spread[None, : 1 if is_uniform else None])
        if is_uniform:
            # the float64 original, so that a float64 product of constants is exact
            return float(exact[0] if (exact == exact[0]).all() else spread[0])
        with tf.init_scope():
            return tf.constant(spread[None, :])

    def shared_variable(self, value: np.ndarray) -> tf.Variable:
        """Return a variable for a parameter that is no literal of the program.

        Parameters
        ----------
        value : ndarray
            Its value.
        """
        with tf.init_scope(), tf.device(self.config.device):
            variable = tf.Variable(value, trainable=False)
        self.shared_variables = (*self.shared_variables, variable)
        return variable
