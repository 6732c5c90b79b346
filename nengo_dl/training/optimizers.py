"""What users may pass as optimizers, in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import ValidationError

__all__ = ["OptimizerState", "Optimizers", "SavedOptimizer", "array_of"]

#: Called with a loss, its gradients, one for each variable, and whether XLA compiles
#: the function that this happens in. Applies the gradients, unless they, the loss, or a
#: result is not finite. Returns for each variable whether its gradient and what would
#: be made of it are finite, and whether the gradients were applied.
Apply = Callable[[tf.Tensor, Sequence[tf.Tensor], bool], tuple[tf.Tensor, tf.Tensor]]


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
    """

    kind: str
    own: list[Any]
    slots: dict[tuple[str, int], Any]


@dataclass(frozen=True, eq=False)
class SavedOptimizer:
    """Values for an optimizer that may not exist yet.

    Attributes
    ----------
    kind : str
        Name of its class.
    own : dict of {int: ndarray}
        Values of `OptimizerState.own` by position.
    slots : dict of {(str, int): list of (int, ndarray)}
        Values of parts of `OptimizerState.slots`: first element, and values.
    """

    kind: str
    own: dict[int, np.ndarray] = field(default_factory=dict)
    slots: dict[tuple[str, int], list[tuple[int, np.ndarray]]] = field(
        default_factory=dict
    )


def array_of(variable: Any) -> np.ndarray:
    """Return a copy of the value of a variable of Keras or TensorFlow."""
    return np.array(keras.ops.convert_to_numpy(variable))


class Optimizers:
    """Optimizers of some variables, with their state.

    Parameters
    ----------
    variables : sequence of tf.Variable
        What is optimized.
    owner : object
        For error messages.
    """

    def __init__(self, variables: Sequence[tf.Variable], owner: object):
        self.variables = list(variables)
        self.owner = owner
        self._by_name: dict[str, Any] = {}
        self._known: dict[int, tuple[Any, Apply]] = {}
        self._pending: list[SavedOptimizer] = []
        #: what the optimizers remember, in the order of their first use
        self.states: list[OptimizerState] = []

    def prepare(self, optimizer: Any) -> tuple[Any, Apply]:
        """Return an optimizer object, and a function that applies gradients.

        Its variables exist afterwards, so that the function can be traced anywhere.

        Parameters
        ----------
        optimizer : str or keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer
            A name stands for one and the same Keras optimizer in all calls.

        Raises
        ------
        ValidationError
            If it is something else, or belongs to another simulator.
        """
        if isinstance(optimizer, str):
            if optimizer not in self._by_name:
                self._by_name[optimizer] = self._from_name(optimizer)
            optimizer = self._by_name[optimizer]
        if id(optimizer) not in self._known:
            slots: dict[tuple[str, int], Any] = {}
            apply = self._make_apply(optimizer, slots)
            state = _state_of(optimizer, slots)
            guarded = _undo_if_not_finite(apply, self.variables, state)
            self._known[id(optimizer)] = (optimizer, guarded)
            self.states.append(state)
            self._restore_pending()
        return self._known[id(optimizer)]

    def restore(self, saved: Sequence[SavedOptimizer]) -> None:
        """Let optimizers continue where others of the same class were.

        The first saved one of each class is for the first one that is used, and so on;
        those that do not exist yet continue when they are used first.
        """
        self._pending = list(saved)
        self._restore_pending()

    def _restore_pending(self) -> None:
        left = []
        numbers: dict[str, int] = {}
        for saved in self._pending:
            number = numbers.setdefault(saved.kind, 0)
            numbers[saved.kind] += 1
            same = [state for state in self.states if state.kind == saved.kind]
            if number < len(same):
                self._assign(same[number], saved)
                saved = SavedOptimizer(saved.kind)  # keeps its number, does no more
            left.append(saved)
        self._pending = left

    def _assign(self, state: OptimizerState, saved: SavedOptimizer) -> None:
        values: list[tuple[Any, np.ndarray]] = []
        for number, value in saved.own.items():
            if (
                number >= len(state.own)
                or tuple(state.own[number].shape) != value.shape
            ):
                raise ValidationError(
                    f"The {state.kind} optimizer differs from the saved one: it has no "
                    f"variable {number} of shape {value.shape}",
                    attr="optimizer",
                    obj=self.owner,
                )
            values.append((state.own[number], value))
        for key, pieces in saved.slots.items():
            if key not in state.slots:
                raise ValidationError(
                    f"The {state.kind} optimizer differs from the saved one: it keeps "
                    f"no {key[0]!r} of parameters",
                    attr="optimizer",
                    obj=self.owner,
                )
            value = array_of(state.slots[key])
            for start, piece in pieces:
                value.reshape(-1)[start : start + piece.size] = piece.reshape(-1)
            values.append((state.slots[key], value))
        for variable, value in values:
            variable.assign(value.astype(array_of(variable).dtype))

    def _from_name(self, name: str) -> keras.optimizers.Optimizer:
        try:
            return keras.optimizers.get(name)
        except ValueError:
            known = [
                found
                for found, kind in vars(keras.optimizers).items()
                if isinstance(kind, type)
                and issubclass(kind, keras.optimizers.Optimizer)
                and kind is not keras.optimizers.Optimizer
            ]
            raise ValidationError(
                f"There is no optimizer {name!r}; Keras has {', '.join(sorted(known))}",
                attr="optimizer",
                obj=self.owner,
            ) from None

    def _make_apply(
        self, optimizer: Any, slots: dict[tuple[str, int], Any]
    ) -> Callable[[Sequence[tf.Tensor]], Any]:
        variables = self.variables
        if isinstance(optimizer, keras.optimizers.Optimizer):
            if optimizer.built:
                raise ValidationError(
                    f"This {type(optimizer).__name__} optimizer belongs to other "
                    "variables, such as those of another simulator; make a new one",
                    attr="optimizer",
                    obj=self.owner,
                )
            _build(optimizer, variables, slots)
            return lambda gradients: optimizer.apply(gradients, variables)
        if isinstance(optimizer, tf.compat.v1.train.Optimizer):

            def apply(gradients):
                pairs = list(zip(gradients, variables, strict=True))
                optimizer.apply_gradients(pairs)

            # tracing creates the optimizer's variables and runs nothing
            @tf.function(autograph=False)
            def create():
                apply([tf.zeros_like(variable) for variable in variables])
                return tf.constant(0)

            create.get_concrete_function()
            for number, variable in enumerate(variables):
                for name in optimizer.get_slot_names():
                    slot = optimizer.get_slot(variable, name)
                    if slot is not None:
                        slots[name, number] = slot
            return apply
        raise ValidationError(
            "Must be a Keras optimizer, a tf.compat.v1.train.Optimizer, or a name such "
            f"as 'adam' (got {type(optimizer).__name__})",
            attr="optimizer",
            obj=self.owner,
        )


def _undo_if_not_finite(
    apply: Callable[[Sequence[tf.Tensor]], Any],
    variables: Sequence[tf.Variable],
    state: OptimizerState,
) -> Apply:
    """Return a function that applies gradients only if all results are finite.

    Gradients may be finite, and their squares, which many optimizers keep, not.
    """
    parts: list[list[Any]] = [[variable] for variable in variables]
    for (_, number), slot in state.slots.items():
        parts[number].append(slot)
    large = [variable for part in parts for variable in part]
    copies: list[tf.Variable] = []

    def look(loss, gradients):
        """Return what an `Apply` returns, after the update."""
        before = tf.stack([_is_finite(gradient) for gradient in gradients])
        after = tf.stack([tf.reduce_all([_is_finite(v) for v in p]) for p in parts])
        # a gradient that is not finite is the reason of whatever comes after it
        fine = tf.where(tf.reduce_all(before), after, before)
        return fine, tf.reduce_all(fine) & tf.math.is_finite(loss)

    def undo(ok, old):
        for variable, value in zip([*large, *state.own], old, strict=True):
            variable.assign(tf.where(ok, tf.convert_to_tensor(variable), value))

    def compiled_apply(loss, gradients):
        old = [tf.identity(tf.convert_to_tensor(v)) for v in (*large, *state.own)]
        apply(gradients)
        fine, ok = look(loss, gradients)
        undo(ok, old)
        return fine, ok

    def guarded(loss, gradients, compiled):
        if compiled:
            return compiled_apply(loss, gradients)
        # without XLA, passes over all elements take long. Copies go to memory of their
        # own: of variables that somebody has read, TensorFlow would change a new copy
        if not copies:
            with tf.init_scope():
                copies.extend(tf.Variable(tf.zeros(v.shape, v.dtype)) for v in large)
        rest = iter(copies)
        for part, gradient in zip(parts, gradients, strict=True):
            # not before: at first, everything waits for the convolutions
            with tf.control_dependencies([gradient]):
                for variable in part:
                    _fill(next(rest), tf.convert_to_tensor(variable))
        own = [tf.identity(tf.convert_to_tensor(variable)) for variable in state.own]
        apply(gradients)
        # where a sum of squares is finite, all elements are
        values = [*gradients, *(tf.convert_to_tensor(variable) for variable in large)]
        sums = [
            tf.cast(tf.nn.l2_loss(value), loss.dtype)
            for value in values
            if value.dtype.is_floating
        ]

        def look_again():
            fine, ok = look(loss, gradients)
            undo(ok, [*(tf.convert_to_tensor(copy) for copy in copies), *own])
            return fine, ok

        return tf.cond(
            tf.math.is_finite(tf.add_n([loss, *sums])),
            lambda: (tf.ones(len(parts), tf.bool), tf.constant(True)),
            look_again,
        )

    return guarded


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


def _build(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[tf.Variable],
    slots: dict[tuple[str, int], Any],
) -> None:
    """Build a Keras optimizer, and note which of its variables belong to which."""
    make = optimizer.add_variable_from_reference

    def make_and_note(reference_variable, name=None, *args, **kwargs):
        made = make(reference_variable, name, *args, **kwargs)
        for number, variable in enumerate(variables):
            if variable is reference_variable:
                slots[str(name), number] = made
        return made

    optimizer.add_variable_from_reference = make_and_note
    try:
        optimizer.build(variables)
    finally:
        del optimizer.add_variable_from_reference


def _state_of(optimizer: Any, slots: Mapping[tuple[str, int], Any]) -> OptimizerState:
    variables = optimizer.variables
    known = {id(variable) for variable in slots.values()}
    known.add(id(getattr(optimizer, "learning_rate", None)))
    own = variables() if callable(variables) else variables
    return OptimizerState(
        type(optimizer).__name__,
        [variable for variable in own if id(variable) not in known],
        dict(slots),
    )
