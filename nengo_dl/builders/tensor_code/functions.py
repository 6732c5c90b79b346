"""TensorFlow code of users as pure functions of weights, time and input.

Functions, Keras layers and models, and objects with variables of their own all become
a `TensorFunction` (the last two in ``keras_layers.py`` and ``objects.py``). Its weights
are arguments, so that each simulator has its own, and nothing of the user's is changed.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.builders.tensor_code.randomness import (
    Effects,
    call_with_seed,
    find_effects,
)
from nengo_dl.builders.tensor_code.results import find_problem
from nengo_dl.builders.tensor_code.weights import (
    Shape,
    Weight,
    first_line,
    hint,
    in_precision,
)
from nengo_dl.compiler.tensor_nodes import StateTraits
from nengo_dl.support.lazy_imports import tf

__all__ = ["PlainFunction", "TensorFunction"]

#: Name of the weight that holds a seed, and the number of the next call.
_SEED = "random_seed"


class TensorFunction(abc.ABC):
    """What a TensorNode computes.

    Parameters
    ----------
    source : callable
        The user's function, layer, model or object.
    shape_in : tuple of int or None
        Shape of the input, without the batch axis.
    shape_out : tuple of int or None
        Shape of the output, without the batch axis. None: whatever comes out.
    pass_time : bool
        Whether the time is the first argument.
    label : str
        Name of the node, for messages.

    Attributes
    ----------
    shape_out : tuple of int
        Shape of the output, without the batch axis.
    any_batch : bool
        Whether batches of any length can be computed, item by item.
    is_random : bool
        Whether it has effects that no weight tells of, so that each call counts.
    draws : bool
        Whether it draws from TensorFlow's random streams; then a seed is among the
        weights.
    checks : bool
        Whether it raises errors about values, which XLA would leave out.
    draws_inside : bool
        Whether functions that the code calls draw numbers, which no seed reaches.

    Raises
    ------
    ValidationError
        If the code cannot be traced, or its result is no output.
    """

    def __init__(
        self,
        source: Any,
        shape_in: Shape | None,
        shape_out: Shape | None,
        pass_time: bool,
        label: str,
    ):
        self.source = source
        self.shape_in = shape_in
        self.pass_time = pass_time
        self.passes_time = pass_time and self._takes_time()
        self.label = label
        #: copies of the source, by precision; made again when they are needed
        self._copies: dict[Any, Any] = {}
        #: answers of `xla_problem`
        self.problems: dict[tuple[np.dtype, int], str | None] = {}
        self.draws = False
        self.shape_out = shape_out
        self.shape_out, self.any_batch, effects = self._explore()
        self.draws = effects.draws or self._draws_in_training
        self.draws_inside = effects.draws_inside
        self.checks = effects.checks
        self.is_random = effects.others or effects.draws_inside
        self._copies.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copies": {}}

    @property
    def key(self) -> tuple:
        """Functions with equal keys compute the same from the same arguments."""
        return id(self.source), self.shape_in, self.shape_out, self.pass_time

    # -- what kinds of functions differ in

    def _takes_time(self) -> bool:
        """Whether the code has an argument for the time."""
        return True

    @abc.abstractmethod
    def prepare(self, dtype: np.dtype, batch: int | None) -> None:
        """Make whatever calls need that cannot be made while something is traced."""

    @abc.abstractmethod
    def _own_weights(self, seed: int) -> list[Weight]:
        """Return weights of the source; see `weights`."""

    def listed(self, n_weights: int) -> list[int]:
        """Return which weights users see, in their order.

        Parameters
        ----------
        n_weights : int
            How many `weights` returned before.

        Returns
        -------
        list of int
            Positions in that list; all of them, unless the source says otherwise.
        """
        return list(range(n_weights - self.draws))  # not the seed

    def trained(self, values: Sequence[np.ndarray]) -> Any:
        """Return a copy of the source that has other weights.

        Parameters
        ----------
        values : sequence of ndarray
            Values of all weights, in the order of `weights`.

        Raises
        ------
        ValidationError
            If it cannot be copied.
        """
        return self.source

    @abc.abstractmethod
    def _call(
        self,
        dtype: np.dtype,
        args: Sequence[tf.Tensor],
        weights: Sequence[tf.Tensor],
        training: bool,
    ) -> tuple[Any, list[tf.Tensor]]:
        """Return the result, and new values of all weights of the source's state."""

    @property
    def _draws_in_training(self) -> bool:
        """Whether calls in training draw, besides those in simulations."""
        return False

    def own_variables(self) -> dict[str, Any]:
        """Return the user's variables, by the names of the weights that copy them."""
        return {}

    # -- its weights

    def weights(self, seed: int) -> list[Weight]:
        """Return the weights with their initial values; those that are state last.

        Parameters
        ----------
        seed : int
            Seed of values that the source does not have yet.
        """
        found = self._own_weights(seed)
        if self.draws:
            start = np.array([seed % 2**31, 0], dtype=np.int32)
            traits = StateTraits(advances=True, is_stream=True)
            found.append(Weight(_SEED, start, False, traits))
        return found

    def _weight_types(self) -> list[tuple[Shape, np.dtype, StateTraits | None]]:
        """Return shapes (for one item), types and traits of the source's weights."""
        return []

    # -- calling it

    def __call__(
        self,
        dtype: np.dtype,
        t: tf.Tensor | None,
        x: tf.Tensor | None,
        weights: Sequence[tf.Tensor],
        training: bool = False,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Compute the output.

        Parameters
        ----------
        dtype : numpy.dtype
            Precision of the simulation.
        t : tf.Tensor, shape (), or None
            Time in seconds, if the function takes it.
        x : tf.Tensor, shape (batch, *shape_in), or None
            Input, if there is one.
        weights : sequence of tf.Tensor
            Values of `weights`, in their order: those that are state come last.
        training : bool
            Whether layers behave as in training.

        Returns
        -------
        output : tf.Tensor, shape (batch or 1, *shape_out)
            The result.
        state : list of tf.Tensor
            New values of the weights that are state.

        Raises
        ------
        ValidationError
            If the code fails, or returns something else.
        """
        batch = None if x is None else x.shape[0]
        with tf.init_scope():
            self.prepare(np.dtype(dtype), batch)
        args = [arg for arg in (t, x) if arg is not None]
        result, state = self._run(np.dtype(dtype), args, weights, training)
        self.check(result, dtype, batch)
        assert self.shape_out is not None, "found by tracing"
        return tf.ensure_shape(result, (result.shape[0], *self.shape_out)), state

    def _run(self, dtype, args, weights, training):
        try:
            if not self.draws:
                return self._call(dtype, args, weights, training)
            *weights, seed = weights
            given = [*args, *map(tf.convert_to_tensor, weights)]

            def call(*tensors):
                first = len(args)
                return self._call(dtype, tensors[:first], tensors[first:], training)

            result, state = call_with_seed(call, given, seed)
            return result, [*state, seed + tf.constant([0, 1])]
        except Exception as error:
            if isinstance(error, ValidationError) and error.attr == "tensor_func":
                raise
            raise self.failed(args, error) from error

    def failed(self, args: Sequence[Any], error: Exception) -> ValidationError:
        """Return an exception that says that a call failed, and why."""
        given = ", ".join(f"{a.dtype.name} of shape {a.shape}" for a in args)
        return self.error(
            f"failed while TensorFlow traced it with {given or 'no arguments'}: "
            f"{type(error).__name__}: {first_line(error)}{hint(error)}"
        )

    def arguments(
        self, dtype: np.dtype, batch: int | None
    ) -> tuple[tf.TensorSpec | None, tf.TensorSpec | None, list[tf.TensorSpec]]:
        """Describe time, input and weights of a call."""
        weights = []
        for shape, found, traits in self._weight_types():
            items = (batch,) if traits is not None and traits.per_item else ()
            spec = tf.TensorSpec((*items, *shape), in_precision(found, dtype))
            weights.append(spec)
        if self.draws:
            weights.append(tf.TensorSpec((2,), tf.int32))
        return (
            tf.TensorSpec((), dtype) if self.passes_time else None,
            None
            if self.shape_in is None
            else tf.TensorSpec((batch, *self.shape_in), dtype),
            weights,
        )

    def numpy_step(self, dtype: np.dtype):
        """Return a function of arrays for one item; see `SimTensorNode`."""
        shape = None if self.shape_in is None else (1, *self.shape_in)
        call = tf.function(functools.partial(self, dtype), autograph=False)
        self.prepare(dtype, 1)
        specs = self.arguments(dtype, 1)[2]

        def step(t, x, weights):
            given = [
                tf.constant(weight, spec.dtype, spec.shape)
                for weight, spec in zip(weights, specs, strict=True)
            ]
            output, state = call(
                None if t is None else tf.constant(t, dtype),
                None if x is None else tf.constant(x, dtype, shape),
                given,
            )
            states = weights[len(weights) - len(state) :]
            return output.numpy().ravel(), [
                np.reshape(new, np.shape(old))
                for new, old in zip(state, states, strict=True)
            ]

        return step

    # -- what comes out

    def _explore(self) -> tuple[Shape, bool, Effects]:
        """Return the output's shape, and of which kind the code is; see class."""
        first: ValidationError | None = None
        batches = (None, 1) if self.shape_in is not None else (None,)
        for dtype in (np.dtype("float32"), np.dtype("float64")):
            for batch in batches:
                try:
                    graph, result = self._trace(dtype, batch)
                except ValidationError as error:
                    # what fails with a batch of one is worth more than the rest
                    if first is None or (batch == 1 and dtype == np.float32):
                        first = error
                    continue
                any_batch = batch is None and result.shape[0] in (None, 1)
                return tuple(result.shape[1:]), any_batch, find_effects(graph)
        assert first is not None, "one call at least was traced"
        raise first

    def _trace(self, dtype, batch):
        created, results = [], []

        def note(make_next, **kwargs):
            created.append(kwargs)
            return make_next(**kwargs)

        def traced(t, x, weights):
            args = [arg for arg in (t, x) if arg is not None]
            with tf.variable_creator_scope(note):
                results.append(self._run(dtype, args, weights, False)[0])
            return tf.constant(0)

        self.prepare(dtype, batch)
        specs = self.arguments(dtype, batch)
        try:
            function = tf.function(traced, autograph=False)
            graph = function.get_concrete_function(*specs).graph
        except Exception:
            if not created:
                raise
        if created:
            raise self.error(
                "creates variables when it is called. Pass the Keras layer or model "
                "itself, or an object that makes its variables in a method build()"
            )
        self.check(results[-1], dtype, batch)
        return graph, results[-1]

    def check(self, result: Any, dtype: np.dtype, batch: int | None) -> None:
        """Raise if a result is no tensor of shape (batch, *shape_out)."""
        problem = find_problem(result, self.shape_out, dtype, batch)
        if problem is not None:
            raise self.error(problem)

    def error(self, reason: str) -> ValidationError:
        """Return an exception that names the node and its function."""
        name = getattr(self.source, "__name__", None) or type(self.source).__name__
        return ValidationError(f"{name!r} of {self.label} {reason}", attr="tensor_func")


class PlainFunction(TensorFunction):
    """A function without weights."""

    def prepare(self, dtype, batch):
        """Make nothing."""

    def _own_weights(self, seed):
        """Return none."""
        return []

    def _call(self, dtype, args, weights, training):
        return self.source(*args), []
