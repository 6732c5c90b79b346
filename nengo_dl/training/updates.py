"""Updates of parameters by an optimizer, which leave no trace if they go wrong."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.exceptions import SimulationError

from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.training.optimizer_kinds import optimizer_key
from nengo_dl.training.trained_parameters import TrainedParameters

__all__ = ["OptimizerState", "Update", "array_of"]


@dataclass(frozen=True, eq=False)
class OptimizerState:
    """What an optimizer remembers.

    Attributes
    ----------
    kind : str
        Name of its class.
    own : list of variables
        Those of the optimizer as a whole, such as the number of updates; not the
        learning rate, which belongs to the user.
    slots : dict of {(str, int): variable}
        Those of a trained variable, by their name and the number of that variable.
    by_parameter : bool
        Whether the optimizer has variables of parameters, not of blocks.
    """

    kind: str
    own: list[Any]
    slots: dict[tuple[str, int], Any]
    by_parameter: bool

    @property
    def variables(self) -> list[Any]:
        """All of them."""
        return [*self.own, *self.slots.values()]


def array_of(variable: Any) -> np.ndarray:
    """Return a copy of the value of a variable of Keras or TensorFlow."""
    return np.array(variable.numpy())


class Update:
    """Applies gradients, unless they, the loss, or a result is not finite.

    Gradients may be finite, and their squares, which many optimizers keep, not.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer
        Whose update it is; it is built, and not kept alive from here.
    parameters : TrainedParameters
        What is optimized.
    slots : dict of {(str, int): variable}
        What the optimizer keeps of each of its trained variables.
    by_parameter : bool
        Whether it was built with variables of parameters, not with blocks.

    Attributes
    ----------
    key : hashable
        Equal for optimizers that compute the same, with variables of their own.
    variables : list of tf.Variable
        All variables of the optimizer, in an order that equal ones share.
    state : OptimizerState
        What the optimizer remembers.
    """

    def __init__(
        self,
        optimizer: Any,
        parameters: TrainedParameters,
        slots: Mapping[tuple[str, int], Any],
        by_parameter: bool,
    ):
        self._optimizer = weakref.ref(optimizer)
        self.parameters = parameters
        self.by_parameter = by_parameter
        self._identity = object()
        self.key: tuple[Hashable, bool] = (self._identity, by_parameter)
        self.variables: list[tf.Variable] = []
        self.follow()
        self.state = _state_of(optimizer, slots, by_parameter)
        self._copies: list[tf.Variable] = []
        self._initial = [_compact(array_of(v)) for v in self.state.variables]

    @property
    def optimizer(self) -> Any:
        """The optimizer; None if nobody else has it."""
        return self._optimizer()

    def follow(self) -> None:
        """Look again at options that the user may have changed."""
        optimizer = self.optimizer
        key = optimizer_key(optimizer)
        self.key = (self._identity if key is None else key, self.by_parameter)
        found = optimizer.variables
        found = found() if callable(found) else found
        self.variables = [_plain(variable) for variable in found]

    def reset(self) -> None:
        """Let the optimizer forget everything; its learning rate stays."""
        for variable, value in zip(self.state.variables, self._initial, strict=True):
            variable.assign(np.broadcast_to(value, tuple(variable.shape)))

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Return what gradients are taken of."""
        if isinstance(self.optimizer, keras.optimizers.Optimizer):
            return self.optimizer.scale_loss(loss)
        return loss

    def finalize(self) -> None:
        """Let the optimizer replace trained values, such as by their averages."""
        optimizer = self.optimizer
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            return
        optimizer.finalize_variable_values(
            self.parameters.of_optimizer(self.by_parameter)
        )
        self.parameters.store.take_changes()

    def __call__(
        self,
        loss: tf.Tensor,
        gradients: Sequence[tf.Tensor],
        compiled: bool,
        reached: Sequence[bool] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply gradients.

        Parameters
        ----------
        loss : tf.Tensor
            Loss.
        gradients : sequence of tf.Tensor
            Gradients of what `scale_loss` returned, one for each block.
        compiled : bool
            Whether XLA compiles the function that this happens in.
        reached : sequence of bool, optional
            Which parameters have a gradient; the others stay as they are.

        Returns
        -------
        tf.Tensor, shape (n_blocks,)
            Whether a gradient and what was made of it are finite.
        tf.Tensor
            Whether all are, and the loss; else nothing has changed.
        """
        apply = self._apply_to(reached)
        if compiled:
            return self._compiled(apply, loss, gradients)
        return self._interpreted(apply, loss, gradients)

    # -- what an optimizer does

    def _apply_to(self, reached: Sequence[bool] | None) -> Callable:
        """Return a function that applies gradients of blocks."""
        parameters, optimizer = self.parameters, self.optimizer
        blocks = parameters.blocks
        masks = None
        if reached is not None and not all(reached):
            masks = parameters.mask(reached)

        def apply(gradients):
            old = [tf.identity(block) for block in blocks] if masks else []
            variables = parameters.of_optimizer(self.by_parameter)
            if self.by_parameter:
                values = parameters.split([tf.convert_to_tensor(b) for b in blocks])
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
                _step(optimizer, parameters.split(gradients), variables)
                for block, value in zip(
                    blocks, parameters.join(variables), strict=True
                ):
                    block.assign(value)
            else:
                _step(optimizer, gradients, variables)
            for block, value, mask in zip(blocks, old, masks or (), strict=False):
                block.assign(tf.where(mask, tf.convert_to_tensor(block), value))

        return apply

    # -- and how it is undone

    @property
    def _skips(self) -> bool:
        """Whether the optimizer itself skips gradients that are not finite."""
        return isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def _parts(self) -> list[list[Any]]:
        """Return the blocks, each with what is kept of it."""
        blocks = self.parameters.blocks
        parts: list[list[Any]] = [[block] for block in blocks]
        pieces = self.parameters.pieces
        if self.by_parameter:
            for piece, variable in zip(pieces, self.parameters.variables, strict=True):
                parts[piece.block].append(variable)
        for (_, number), slot in self.state.slots.items():
            place = pieces[number].block if self.by_parameter else number
            parts[place].append(slot)
        return parts

    def _look(self, parts, loss, gradients):
        """Return what was and is finite, after the update."""
        after = tf.stack([tf.reduce_all([_is_finite(v) for v in p]) for p in parts])
        if self._skips:
            return after, tf.reduce_all(after) & tf.math.is_finite(loss)
        before = tf.stack([_is_finite(gradient) for gradient in gradients])
        # a gradient that is not finite is the reason of whatever comes after it
        fine = tf.where(tf.reduce_all(before), after, before)
        return fine, tf.reduce_all(fine) & tf.math.is_finite(loss)

    def _compiled(self, apply, loss, gradients):
        parts = self._parts()
        changed = [*(v for part in parts for v in part), *self.state.own]
        old = [tf.identity(tf.convert_to_tensor(variable)) for variable in changed]
        apply(gradients)
        fine, ok = self._look(parts, loss, gradients)
        _undo(ok, changed, old)
        return fine, ok

    def _interpreted(self, apply, loss, gradients):
        """Without XLA, passes over all elements take long.

        Copies go to memory of their own: of variables that somebody has read,
        TensorFlow would change a new copy.
        """
        parts = self._parts()
        large = [variable for part in parts for variable in part]
        if not self._copies:
            with tf.init_scope():
                self._copies = [tf.Variable(tf.zeros(v.shape, v.dtype)) for v in large]
        copies = iter(self._copies)
        for part, gradient in zip(parts, gradients, strict=True):
            # not before: at first, everything waits for the convolutions
            with tf.control_dependencies([gradient]):
                for variable in part:
                    _fill(next(copies), tf.convert_to_tensor(variable))
        own = [tf.identity(tf.convert_to_tensor(v)) for v in self.state.own]
        apply(gradients)
        # where a sum of squares is finite, all elements are
        values = [tf.convert_to_tensor(variable) for variable in large]
        if not self._skips:
            values += gradients
        sums = [
            tf.cast(tf.nn.l2_loss(value), loss.dtype)
            for value in values
            if value.dtype.is_floating
        ]

        def look_again():
            fine, ok = self._look(parts, loss, gradients)
            old = [*(tf.convert_to_tensor(copy) for copy in self._copies), *own]
            _undo(ok, [*large, *self.state.own], old)
            return fine, ok

        return tf.cond(
            tf.math.is_finite(tf.add_n([loss, *sums])),
            lambda: (tf.ones(len(parts), tf.bool), tf.constant(True)),
            look_again,
        )


def _step(optimizer: Any, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
    if isinstance(optimizer, keras.optimizers.Optimizer):
        optimizer.apply(gradients, variables)
        return
    plain = [_plain(variable) for variable in variables]
    optimizer.apply_gradients(list(zip(gradients, plain, strict=True)))


def _plain(variable: Any) -> tf.Variable:
    if not isinstance(variable, keras.Variable):
        return variable
    value = variable.value
    if not isinstance(value, tf.Variable):
        raise SimulationError(
            "Cannot train in the call of a Keras layer of mixed precision: Keras casts "
            "the optimizer's variables there. Train before the layer is called"
        )
    return value


def _undo(ok: tf.Tensor, variables: Sequence, old: Sequence[tf.Tensor]) -> None:
    for variable, value in zip(variables, old, strict=True):
        variable.assign(tf.where(ok, tf.convert_to_tensor(variable), value))


def _fill(variable: tf.Variable, value: tf.Tensor) -> None:
    """Assign a value in the memory that a variable has."""
    nothing = tf.zeros(0, tf.int32)
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=variable.handle, begin=nothing, end=nothing, strides=nothing, value=value
    )


def _is_finite(variable: Any) -> tf.Tensor:
    value = tf.convert_to_tensor(variable)
    if not value.dtype.is_floating:
        return tf.constant(True)
    return tf.reduce_all(tf.math.is_finite(value))


def _state_of(
    optimizer: Any, slots: Mapping[tuple[str, int], Any], by_parameter: bool
) -> OptimizerState:
    variables = optimizer.variables
    known = {id(variable) for variable in slots.values()}
    known.add(id(getattr(optimizer, "learning_rate", None)))
    own = variables() if callable(variables) else variables
    return OptimizerState(
        type(optimizer).__name__,
        [variable for variable in own if id(variable) not in known],
        dict(slots),
        by_parameter,
    )


def _compact(values: np.ndarray) -> np.ndarray:
    """Return one value instead of an array of equal ones."""
    if values.size > 1 and (values == values.flat[0]).all():
        return values.reshape(-1)[0]
    return values
