"""What users may pass as optimizers, in one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from nengo.exceptions import ValidationError

__all__ = ["Optimizers"]

#: Applies gradients, one for each variable.
Apply = Callable[[Sequence[tf.Tensor]], None]


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
            self._known[id(optimizer)] = (optimizer, self._make_apply(optimizer))
        return self._known[id(optimizer)]

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

    def _make_apply(self, optimizer: Any) -> Apply:
        variables = self.variables
        if isinstance(optimizer, keras.optimizers.Optimizer):
            if optimizer.built:
                raise ValidationError(
                    f"This {type(optimizer).__name__} optimizer belongs to other "
                    "variables, such as those of another simulator; make a new one",
                    attr="optimizer",
                    obj=self.owner,
                )
            optimizer.build(variables)
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
            return apply
        raise ValidationError(
            "Must be a Keras optimizer, a tf.compat.v1.train.Optimizer, or a name such "
            f"as 'adam' (got {type(optimizer).__name__})",
            attr="optimizer",
            obj=self.owner,
        )
