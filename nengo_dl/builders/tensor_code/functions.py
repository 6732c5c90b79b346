"""TensorFlow code of users as pure functions of weights, time and input.

Functions, Keras layers and models, and objects with variables of their own all become
a `TensorFunction` (the last two in ``tensor_objects.py``). Its weights are arguments,
so that each simulator has its own, and nothing of the user's is changed.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from nengo.exceptions import ValidationError

from nengo_dl.support.user_warnings import warn_user

__all__ = ["PlainFunction", "TensorFunction", "Weight"]

#: Operations that TensorFlow calls stateful although each call does the same.
_REPEATABLE = {
    "Placeholder",
    "ReadVariableOp",
    "VarHandleOp",
    "PartitionedCall",
    "StatefulPartitionedCall",
    "While",
    "If",
    "Case",
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A weight of a layer, model or object.

    Attributes
    ----------
    name : str
        Unique within the function.
    value : ndarray
        Initial value.
    trainable : bool
        Whether training changes it by its gradient.
    is_state : bool
        Whether a call in training replaces it.
    """

    name: str
    value: np.ndarray
    trainable: bool
    is_state: bool = False


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
        Whether it draws random numbers or has other effects, so that each call counts.

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
        self._copies: dict[np.dtype, Any] = {}
        self._problems: dict[tuple[np.dtype, int], str | None] = {}
        self.shape_out = shape_out
        self.shape_out, self.any_batch, self.is_random = self._explore()
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
    def prepare(self, dtype: np.dtype) -> None:
        """Make whatever calls need that cannot be made while something is traced."""

    @abc.abstractmethod
    def weights(self, seed: int) -> list[Weight]:
        """Return the weights with their initial values; those that are state last.

        Parameters
        ----------
        seed : int
            Seed of values that the source does not have yet.
        """

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
        return list(range(n_weights))

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
        """Return the result, and new values of all weights that are state."""

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
        with tf.init_scope():
            self.prepare(np.dtype(dtype))
        args = [arg for arg in (t, x) if arg is not None]
        result, state = self._run(np.dtype(dtype), args, weights, training)
        self.check(result, dtype, None if x is None else x.shape[0])
        return tf.ensure_shape(result, (result.shape[0], *self.shape_out)), state

    def _run(self, dtype, args, weights, training):
        try:
            return self._call(dtype, args, weights, training)
        except Exception as error:
            if isinstance(error, ValidationError) and error.attr == "tensor_func":
                raise
            given = ", ".join(f"{a.dtype.name} of shape {a.shape}" for a in args)
            raise self.error(
                f"failed while TensorFlow traced it with {given or 'no arguments'}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error

    def arguments(
        self, dtype: np.dtype, batch: int | None
    ) -> tuple[tf.TensorSpec | None, tf.TensorSpec | None, list[tf.TensorSpec]]:
        """Describe time, input and weights of a call."""
        return (
            tf.TensorSpec((), dtype) if self.passes_time else None,
            None
            if self.shape_in is None
            else tf.TensorSpec((batch, *self.shape_in), dtype),
            [
                tf.TensorSpec(shape, in_precision(found, dtype))
                for shape, found in self._weight_types()
            ],
        )

    def _weight_types(self) -> list[tuple[Shape, np.dtype]]:
        """Return shapes and types of the weights, in their order."""
        return []

    def numpy_step(self, dtype: np.dtype):
        """Return a function of arrays for one item; see `SimTensorNode`."""
        shape = None if self.shape_in is None else (1, *self.shape_in)
        call = tf.function(
            lambda t, x, weights: self(dtype, t, x, weights)[0], autograph=False
        )

        def step(t, x, weights):
            given = [tf.constant(w, in_precision(w.dtype, dtype)) for w in weights]
            output = call(
                None if t is None else tf.constant(t, dtype),
                None if x is None else tf.constant(x, dtype, shape),
                given,
            )
            return output.numpy().ravel()

        return step

    def xla_problem(self, dtype: np.dtype, batch: int) -> str | None:
        """Return why XLA cannot compile a call, None if it can; warn the first time.

        Code is only translated here, which takes a small part of the time of compiling.
        """
        key = np.dtype(dtype), batch
        if key in self._problems:
            return self._problems[key]

        self.prepare(np.dtype(dtype))
        t, x, weights = self.arguments(dtype, batch)
        specs = [spec for spec in (t, x) if spec is not None] + weights

        def call(*given):
            given = list(given)
            time = given.pop(0) if t is not None else None
            data = given.pop(0) if x is not None else None
            return self(dtype, time, data, given)[0]

        compiled = tf.function(call, jit_compile=True, autograph=False)
        compiled.get_concrete_function(*specs)  # raises what is wrong with the code
        problem = None
        try:
            compiled.experimental_get_compiler_ir(*specs)(stage="hlo")
        except (ValueError, tf.errors.OpError) as error:
            problem = first_line(error)
            warn_user(
                f"The code of {self.label} cannot be compiled by XLA, so it runs as "
                "TensorFlow operations, and so does the loop over time steps, which is "
                f"slower. XLA says: {problem}"
            )
        self._problems[key] = problem
        return problem

    # -- what comes out

    def _explore(self) -> tuple[Shape, bool, bool]:
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
                return tuple(result.shape[1:]), any_batch, _has_effects(graph)
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

        self.prepare(dtype)
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
        wanted = "(minibatch,) + shape_out"
        if self.shape_out is not None:
            wanted = f"(minibatch, {', '.join(map(str, self.shape_out))})"
        if not tf.is_tensor(result):
            what = "None" if result is None else f"{result!r}, which is no tensor"
            raise self.error(
                f"returned {what}; it must return a tensor of shape {wanted}"
            )
        shape = result.shape
        if result.dtype != tf.as_dtype(dtype):
            raise self.error(
                f"returned a tensor of type {result.dtype.name} where {dtype.name} is "
                "simulated; use tf.cast, or take the type from the arguments"
            )
        if shape.rank is None or shape.rank < 2:
            raise self.error(
                f"returned a tensor of shape {shape}; {wanted} is needed: an axis for "
                "the items of the minibatch, and at least one more"
            )
        fits = (
            all(n is not None for n in shape[1:])
            if self.shape_out is None
            else shape[1:].is_compatible_with(self.shape_out)
        )
        if batch is not None and shape[0] not in (None, 1, batch):
            fits = False
        if not fits:
            raise self.error(
                f"returned a tensor of shape {shape}; {wanted} is needed"
                + ("" if self.shape_out else ", with a known shape_out")
            )

    def error(self, reason: str) -> ValidationError:
        """Return an exception that names the node and its function."""
        name = getattr(self.source, "__name__", None) or type(self.source).__name__
        return ValidationError(f"{name!r} of {self.label} {reason}", attr="tensor_func")


class PlainFunction(TensorFunction):
    """A function without weights."""

    def prepare(self, dtype):
        """Make nothing."""

    def weights(self, seed):
        """Return none."""
        return []

    def _call(self, dtype, args, weights, training):
        return self.source(*args), []


def first_line(error: Exception) -> str:
    """Return what an exception says, without its details."""
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def in_precision(found: np.dtype, dtype: np.dtype) -> np.dtype:
    """Return the type of a weight in a simulation: its own unless it is a float's."""
    return dtype if np.issubdtype(found, np.floating) else np.dtype(found)


def _has_effects(graph: tf.Graph) -> bool:
    """Whether a graph, or a function that it calls, does something different each time.

    Functions within a graph are part of its definition.
    """
    definition = graph.as_graph_def()
    nodes = [
        *definition.node,
        *(node for f in definition.library.function for node in f.node_def),
    ]
    stateful = {
        op.type for op in graph.get_operations() if op.op_def and op.op_def.is_stateful
    }
    names = {node.op for node in nodes}
    inner = {name for name in names if name.startswith(_EFFECTS)}
    return bool((stateful | inner) - _REPEATABLE)


#: How operations are called that do something different each time, in inner functions.
_EFFECTS = ("Random", "PyFunc", "EagerPyFunc", "Assign", "Multinomial")
