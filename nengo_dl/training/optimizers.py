"""What users may pass as optimizers, in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.optimizer_kinds import (
    keras_names,
    remember_names,
    sees_variables,
)
from nengo_dl.training.trained_parameters import TrainedParameters
from nengo_dl.training.updates import OptimizerState, Update, array_of

__all__ = ["Optimizers", "SavedOptimizer"]

#: From so many parameters on, an optimizer that sees each of them takes long.
MANY_PARAMETERS = 200


@dataclass(frozen=True, eq=False)
class SavedOptimizer:
    """Values for an optimizer that may not exist yet.

    Attributes
    ----------
    kind : str
        Name of its class.
    own : dict of {int: ndarray}
        Values of `OptimizerState.own` by position.
    slots : dict of {(str, str): ndarray}
        For a name of `OptimizerState.slots` and that of a parameter, its values.
    """

    kind: str
    own: dict[int, np.ndarray] = field(default_factory=dict)
    slots: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


class Optimizers:
    """Optimizers of some parameters, with their state, as long as somebody has them.

    The one that was used last is kept in any case, and those that are known by name.

    Parameters
    ----------
    parameters : TrainedParameters
        What is optimized.
    """

    def __init__(self, parameters: TrainedParameters):
        self.parameters = parameters
        self._by_name: dict[str, Any] = {}
        self._updates: dict[int, Update] = {}
        self._last: Any = None
        self._pending: list[SavedOptimizer] = []
        self._warned = False

    @property
    def updates(self) -> list[Update]:
        """What can still be used, in the order of first use."""
        return [u for u in self._updates.values() if u.optimizer is not None]

    @property
    def last(self) -> Update | None:
        """What was used last."""
        return None if self._last is None else self._updates[id(self._last)]

    def prepare(self, optimizer: Any) -> tuple[Any, Update]:
        """Return an optimizer object, and what applies gradients with it.

        Its variables exist afterwards, so that the update can be traced anywhere.

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
        known = self._updates.get(id(optimizer))
        if known is None or known.optimizer is not optimizer:
            # what is half built could never be used again
            with DeferredInterrupt():
                update = self._make_update(optimizer)
                self._updates = {id(u.optimizer): u for u in self.updates}
                self._updates[id(optimizer)] = update
                self._restore_pending()
        self._last = optimizer
        update = self._updates[id(optimizer)]
        update.follow()
        return optimizer, update

    def check(self, optimizer: Any) -> Any:
        """Return an optimizer object that `prepare` will take; a name makes a new one.

        Raises
        ------
        ValidationError
            As `prepare`.
        """
        if isinstance(optimizer, str):
            return self._from_name(optimizer)
        known = self._updates.get(id(optimizer))
        if known is None or known.optimizer is not optimizer:
            self._check_new(optimizer)
        return optimizer

    def reset(self) -> None:
        """Let all optimizers start anew, as if they had not been used."""
        self._by_name.clear()
        self._pending = []
        for update in self.updates:
            update.reset()
        self._last = None

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
        states = [update.state for update in self.updates]
        for saved in self._pending:
            number = numbers.setdefault(saved.kind, 0)
            numbers[saved.kind] += 1
            same = [state for state in states if state.kind == saved.kind]
            if number < len(same):
                self._assign(same[number], saved)
                saved = SavedOptimizer(saved.kind)  # keeps its number, does no more
            left.append(saved)
        self._pending = left

    def _assign(self, state: OptimizerState, saved: SavedOptimizer) -> None:
        values: dict[int, tuple[Any, np.ndarray]] = {}
        for number, value in saved.own.items():
            if (
                number >= len(state.own)
                or tuple(state.own[number].shape) != value.shape
            ):
                raise ValidationError(
                    f"The {state.kind} optimizer differs from the saved one: it has no "
                    f"variable {number} of shape {value.shape}",
                    attr="optimizer",
                )
            values[id(state.own[number])] = state.own[number], value
        names = {piece.name: n for n, piece in enumerate(self.parameters.pieces)}
        for (slot, name), value in saved.slots.items():
            number = names[name]
            piece = self.parameters.pieces[number]
            variable = state.slots.get(
                (slot, number if state.by_parameter else piece.block)
            )
            if variable is None:
                raise ValidationError(
                    f"The {state.kind} optimizer differs from the saved one: it keeps "
                    f"no {slot!r} of parameters",
                    attr="optimizer",
                )
            _, whole = values.setdefault(id(variable), (variable, array_of(variable)))
            start = 0 if state.by_parameter else piece.start
            whole.reshape(-1)[start : start + value.size] = value.reshape(-1)
        for variable, value in values.values():
            variable.assign(value.astype(array_of(variable).dtype))

    def _from_name(self, name: str) -> keras.optimizers.Optimizer:
        # Keras numbers optimizers, and their variables' names with them; TensorFlow
        # keeps memory for each name that a variable ever had, so all get one name
        config = {"name": name.lower()}
        try:
            return keras.optimizers.get({"class_name": name, "config": config})
        except ValueError:
            raise ValidationError(
                f"There is no optimizer {name!r}; Keras has {', '.join(keras_names())}",
                attr="optimizer",
            ) from None

    def _check_new(self, optimizer: Any) -> None:
        if not isinstance(
            optimizer, keras.optimizers.Optimizer | tf.compat.v1.train.Optimizer
        ):
            raise ValidationError(
                "Must be a Keras optimizer, a tf.compat.v1.train.Optimizer, or a name "
                f"such as 'adam' (got {type(optimizer).__name__})",
                attr="optimizer",
            )
        if getattr(optimizer, "built", False):
            raise ValidationError(
                f"This {type(optimizer).__name__} optimizer belongs to other "
                "variables, such as those of another simulator; make a new one",
                attr="optimizer",
            )

    def _make_update(self, optimizer: Any) -> Update:
        self._check_new(optimizer)
        by_parameter = sees_variables(optimizer)
        parameters = self.parameters
        if by_parameter:
            self._warn_of_many(optimizer)
        build = _build if isinstance(optimizer, keras.optimizers.Optimizer) else _create
        slots = build(optimizer, parameters.of_optimizer(by_parameter))
        return Update(optimizer, parameters, slots, by_parameter)

    def _warn_of_many(self, optimizer: Any) -> None:
        """Say once what it costs to have a variable for each of many parameters."""
        count, blocks = len(self.parameters.pieces), len(self.parameters.blocks)
        if count < MANY_PARAMETERS or self._warned:
            return
        self._warned = True
        warn_user(
            f"{type(optimizer).__name__}, or one of its options (clipnorm, use_ema, "
            "exclude_from_weight_decay), looks at each parameter, so the "
            f"{count:,} parameters are updated one by one instead of as {blocks} "
            "blocks: compiling and each update take longer, about in proportion, and "
            "parameters are in memory twice. Optimizers that work element by "
            "element, such as Adam with clipvalue or global_clipnorm, do not cost that",
        )


def _build(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> dict[tuple[str, int], Any]:
    """Build a Keras optimizer; return which of its variables belong to which.

    Keras names them after the variable that they belong to. What it names in another
    way counts as the optimizer's own.
    """
    optimizer.build(list(variables))
    remember_names(optimizer, variables)
    numbers = {
        f"{variable.path.replace('/', '_')}_": number
        for number, variable in enumerate(variables)
    }
    slots: dict[tuple[str, int], Any] = {}
    for made in optimizer.variables:
        name = made.name
        ends = [end for end in range(len(name), 0, -1) if name[end - 1] == "_"]
        end = next((end for end in ends if name[:end] in numbers), None)
        if end is None:
            continue
        number = numbers[name[:end]]
        if tuple(made.shape) == tuple(variables[number].shape):
            slots.setdefault((name[end:], number), made)
    return slots


def _create(
    optimizer: tf.compat.v1.train.Optimizer, variables: Sequence[keras.Variable]
) -> dict[tuple[str, int], Any]:
    """Let an optimizer of TensorFlow 1 make its variables, and return them."""
    plain = [variable.value for variable in variables]

    # tracing creates the optimizer's variables and runs nothing
    @tf.function(autograph=False)
    def create():
        gradients = [tf.zeros_like(variable) for variable in plain]
        optimizer.apply_gradients(list(zip(gradients, plain, strict=True)))
        return tf.constant(0)

    create.get_concrete_function()
    slots = {}
    for number, variable in enumerate(plain):
        for name in optimizer.get_slot_names():
            slot = optimizer.get_slot(variable, name)
            if slot is not None:
                slots[name, number] = slot
    return slots
