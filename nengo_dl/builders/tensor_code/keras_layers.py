"""Keras layers and models as pure functions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.builders.tensor_code.copies import (
    copy_layer,
    generator_seeds,
    inner_layers,
    seeded,
    untracked_variables,
)
from nengo_dl.builders.tensor_code.functions import TensorFunction
from nengo_dl.builders.tensor_code.randomness import find_effects
from nengo_dl.builders.tensor_code.weights import Weight, first_line
from nengo_dl.compiler.tensor_nodes import StateTraits
from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["KerasFunction"]

#: Name that Keras gives to the state of each random generator.
_GENERATOR_STATE = "seed_generator_state"

Variables = list[keras.Variable]


class KerasFunction(TensorFunction):
    """A Keras layer or model; its weights are those of `stateless_call`.

    Attributes
    ----------
    needs_batch : bool
        Whether the layer has to know the number of items when it is built (stateful
        recurrent layers).
    """

    def __init__(self, *args, **kwargs):
        self._forget()
        super().__init__(*args, **kwargs)

    def _forget(self) -> None:
        self.needs_batch = False
        #: how each variable behaves (None: no call sets it); found when it is needed
        self._traits: list[StateTraits | None] | None = None
        #: variables outside of the layer that calls set, such as the state of Keras's
        #: global random generator
        self._foreign: Variables = []
        self._training_draws = False

    def __getstate__(self):
        found = super().__getstate__()
        for name in ("_traits", "_foreign"):  # variables of this process
            found.pop(name)
        return found

    def __setstate__(self, state):
        self._forget()
        self.__dict__.update(state)

    @property
    def _draws_in_training(self):
        return self._training_draws

    def _takes_time(self):
        """Whether ``call`` has an argument for the time, besides the input."""
        parameters = inspect.signature(self.source.call).parameters.values()
        named = [
            p
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            and p.name not in ("training", "mask")
            and p.default is p.empty
        ]
        return len(named) > 1 or self.shape_in is None

    # -- copies

    def prepare(self, dtype, batch):
        """Make a copy that computes in this precision; its weights do not matter."""
        if self._traits is None:
            self._find_traits(dtype)
        self._copy(dtype, batch)

    def _copy(self, dtype: np.dtype, batch: int | None) -> keras.Layer:
        key = (dtype, batch if self.needs_batch else None)
        if key not in self._copies:
            with seeded(0):
                self._copies[key] = self._make_copy(*key)
        return self._copies[key]

    def _make_copy(self, dtype: np.dtype | None, batch: int | None) -> keras.Layer:
        layer = self._uncalled_copy(dtype, batch)
        if layer is self.source and layer.built:
            return layer
        name = "float32" if dtype is None else dtype.name
        args = []
        if self.passes_time:
            args.append(keras.KerasTensor((), name))
        if self.shape_in is not None:
            args.append(keras.KerasTensor((batch, *self.shape_in), name))
        try:
            layer(*args, training=False)  # makes the variables
        except Exception as error:
            raise self.error(
                f"cannot be called with input of shape {self.shape_in}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error
        return layer

    def _uncalled_copy(self, dtype: np.dtype | None, batch: int | None) -> keras.Layer:
        try:
            return copy_layer(self.source, dtype, batch)
        except Exception as error:
            if batch is None:
                # its variables are not used in a call, so it can do without a copy; one
                # that was not built yet is built now, as by a call of the user's
                return self.source
            raise self.error(
                "cannot be copied, which a layer needs whose state has an axis for the "
                "items of the minibatch. Give the class a method get_config that "
                "returns the arguments of its constructor "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error

    # -- variables

    def _variables(self, layer: keras.Layer) -> Variables:
        return [
            *layer.trainable_variables,
            *layer.non_trainable_variables,
            *untracked_variables(layer),
            *self._foreign,
        ]

    def _find_traits(self, dtype: np.dtype) -> None:
        """Find out which variables calls set, and which have an axis for items."""
        self._copies.clear()
        self._forget()
        self.needs_batch = self._asks_for_batch(dtype)
        layer = self._copy(dtype, 1)
        assigned: dict[bool, set[int]] = {False: set(), True: set()}
        usual = len(layer.trainable_variables)
        if len(self._variables(layer)) > usual or any(
            not type(part).__module__.startswith("keras.")
            for part in inner_layers(layer)
        ):
            assigned = self._find_assigned(layer, dtype)
        per_item = set()
        if self.needs_batch:
            pairs = zip(self._variables(layer), self._variables(self._copy(dtype, 2)))
            per_item = {id(a) for a, b in pairs if a.shape != b.shape}
        seeds = generator_seeds(layer)
        self._traits = [
            StateTraits(
                advances=id(v) in assigned[False],
                per_item=id(v) in per_item,
                is_stream=id(v) in seeds or v.name == _GENERATOR_STATE,
                is_seeded=seeds.get(id(v)) is not None,
            )
            if id(v) in assigned[False] | assigned[True]
            else None
            for v in self._variables(layer)
        ]

    def _asks_for_batch(self, dtype: np.dtype) -> bool:
        if self.shape_in is None:
            return False
        if any(getattr(part, "stateful", False) for part in inner_layers(self.source)):
            return True
        try:
            self._copy(dtype, None)
        except ValidationError as error:
            self.needs_batch = True
            try:
                self._copy(dtype, 1)
            except ValidationError:
                raise error from error.__cause__
            return True
        return False

    def _find_assigned(
        self, layer: keras.Layer, dtype: np.dtype
    ) -> dict[bool, set[int]]:
        """Return which variables calls set, with and without training; by identity."""
        known = self._variables(layer)
        assigned: dict[bool, set[int]] = {False: set(), True: set()}

        def traced(t, x, weights):
            args = [arg for arg in (t, x) if arg is not None]
            for training in (False, True):
                _, updates = _call_with(layer, known, weights, args, training)
                assigned[training].update(updates)
                for variable, _ in updates.values():
                    if all(variable is not v for v in (*known, *self._foreign)):
                        self._foreign.append(variable)
            return tf.constant(0)

        specs = [tf.TensorSpec(v.shape, v.dtype) for v in known]
        failure: Exception
        for batch in (1,) if self.needs_batch else (None, 1):
            t = tf.TensorSpec((), dtype) if self.passes_time else None
            x = None
            if self.shape_in is not None:
                x = tf.TensorSpec((batch, *self.shape_in), dtype)
            try:
                found = tf.function(traced, autograph=False).get_concrete_function(
                    t, x, specs
                )
            except Exception as error:
                failure = error
                continue
            self._training_draws = find_effects(found.graph).draws
            return assigned
        args = [spec for spec in (t, x) if spec is not None]
        raise self.failed(args, failure) from failure

    def _ordered(
        self, layer: keras.Layer
    ) -> list[tuple[keras.Variable, bool, StateTraits | None]]:
        """Return variables, whether they are trainable, and their traits."""
        assert self._traits is not None, "prepare() finds them"
        n_trainable, n_listed = len(layer.trainable_variables), len(layer.variables)
        found = [
            (variable, number < n_trainable and traits is None, traits)
            for number, (variable, traits) in enumerate(
                zip(self._variables(layer), self._traits, strict=True)
            )
            if number < n_listed or traits is not None
        ]
        return sorted(found, key=lambda entry: (entry[2] is not None, not entry[1]))

    def own_variables(self):
        """Return the variables of the layer, if it has them."""
        if not self._is_complete():
            return {}
        self.prepare(np.dtype("float32"), 1)
        found = self._ordered(self.source)
        names = _unique_names([v for v, *_ in found], self.source.name)
        return {
            name: variable
            for name, (variable, _, traits) in zip(names, found, strict=True)
            if traits is None
        }

    def _is_complete(self) -> bool:
        """Whether the source has all variables that a copy has."""
        dtype = np.dtype("float32")
        self.prepare(dtype, 1)
        n_variables = len(self._variables(self._copy(dtype, 1)))
        return self.source.built and len(self._variables(self.source)) == n_variables

    def _own_weights(self, seed):
        """Return the variables of the layer, or those of a copy if it has none yet."""
        layer, batch = self.source, 1 if self.needs_batch else None
        if not self._is_complete():
            with seeded(seed):
                layer = self._make_copy(None, batch)
        found = self._ordered(layer)
        # items start with the state of a new layer
        fresh = self._ordered(self._copy(np.dtype("float32"), batch))
        names = _unique_names([variable for variable, *_ in found], layer.name)
        return [
            Weight(
                name,
                new.numpy()[0] if traits and traits.per_item else v.numpy(),
                trains,
                traits,
            )
            for name, (v, trains, traits), (new, *_) in zip(
                names, found, fresh, strict=True
            )
        ]

    def listed(self, n_weights):
        """Return the positions of Keras's weights, in the order of ``get_weights``."""
        layer = next(iter(self._copies.values()))
        positions = {id(v): n for n, (v, *_) in enumerate(self._ordered(layer))}
        return [positions[id(v)] for v in layer.weights if id(v) in positions]

    def trained(self, values):
        """Return a copy of the layer that has other weights."""
        self.prepare(np.dtype("float32"), 1)
        layer = self._make_copy(None, 1 if self.needs_batch else None)
        if layer is self.source:
            raise self.error(
                "cannot be copied, so trained weights cannot be stored in the network. "
                "Give the class a method get_config that returns the arguments of its "
                "constructor"
            )
        foreign = {id(variable) for variable in self._foreign}
        for (variable, _, traits), value in zip(
            self._ordered(layer), values, strict=False
        ):
            # what simulations change begins as in a new layer
            if id(variable) not in foreign and not (traits and traits.advances):
                dtype = tf.as_dtype(variable.dtype).as_numpy_dtype
                variable.assign(value.astype(dtype))
        return layer

    def _weight_types(self):
        layer = next(iter(self._copies.values()))
        return [
            (
                tuple(v.shape)[1:] if traits and traits.per_item else tuple(v.shape),
                tf.as_dtype(v.dtype).as_numpy_dtype,
                traits,
            )
            for v, _, traits in self._ordered(layer)
        ]

    # -- calls

    def _call(self, dtype, args, weights, training):
        batch = None if self.shape_in is None else args[-1].shape[0]
        layer = self._copy(dtype, batch)
        ordered = self._ordered(layer)
        variables = [variable for variable, *_ in ordered]
        result, updates = _call_with(layer, variables, weights, args, training)
        if tf.is_tensor(result) and result.dtype.is_floating:
            result = tf.cast(result, dtype)  # from a layer in another precision
        state = []
        for (variable, _, traits), weight in zip(ordered, weights, strict=True):
            if traits is not None:
                _, new = updates.get(id(variable), (variable, weight))
                state.append(tf.cast(new, weight.dtype))
        return result, state


class _Recording(keras.StatelessScope):
    """Values in the place of variables; keeps what is assigned to any variable."""

    def __init__(self, state_mapping):
        super().__init__(state_mapping=state_mapping)
        self.updates: dict[int, tuple[keras.Variable, tf.Tensor]] = {}

    def add_update(self, update):
        """Note an assignment."""
        variable, value = update
        self.updates[id(variable)] = variable, value
        super().add_update(update)


def _call_with(
    layer: keras.Layer,
    variables: Sequence[keras.Variable],
    values: Sequence[tf.Tensor],
    args: Sequence[tf.Tensor],
    training: bool,
) -> tuple[Any, dict[int, tuple[keras.Variable, tf.Tensor]]]:
    """Call a layer with values in the place of its variables.

    Returns
    -------
    result : object
        What the layer returns.
    updates : dict of {int: (keras.Variable, tf.Tensor)}
        Variables that the call set with their new values, by identity.
    """
    with _Recording(list(zip(variables, values, strict=True))) as scope:
        result = layer(*args, training=training)
    return result, scope.updates


def _unique_names(variables: Sequence[keras.Variable], owner: str) -> list[str]:
    """Return paths of variables, without the name of the layer that owns them all."""
    names: list[str] = []
    for variable in variables:
        name = variable.path.removeprefix(f"{owner}/")
        while name in names:
            name += "_"
        names.append(name)
    return names
