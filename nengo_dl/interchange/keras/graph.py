"""The calls that make up a Keras model, read through Keras's public interface.

Keras keeps the graph of a model under private names. `keras.models.clone_model` walks
it for everyone: here it calls stand-ins, which note what was called with what, and
leave the layers of the model as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.support.lazy_imports import keras

__all__ = [
    "Call",
    "Graph",
    "Tensor",
    "build_inner_layers",
    "evaluate",
    "find_tensor",
    "read_graph",
]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a model.

    Attributes
    ----------
    number : int
        The same for tensors that are computed in the same way.
    shape : tuple of int or None
        Without the axis of the batch.
    dtype : str
        Type of its elements.
    call : Call or None
        What computes it; None for inputs of the model.
    index : int
        Which of the call's outputs, or of the model's inputs, it is.
    name : str
        Keras's name.
    """

    number: int
    shape: tuple[int | None, ...]
    dtype: str
    call: Call | None
    index: int
    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a layer.

    Attributes
    ----------
    layer : keras.Operation
        What is called.
    node_id : int
        How many calls of the layer came before.
    args : tuple
        Positional arguments, with a `Tensor` for each tensor.
    kwargs : dict
        Keyword arguments.
    inputs : list of Tensor
        All tensors among the arguments.
    outputs : list of Tensor
        What the call returns.
    """

    layer: keras.Operation
    node_id: int
    args: tuple
    kwargs: Mapping[str, Any]
    inputs: list[Tensor]
    outputs: list[Tensor] = field(default_factory=list)

    def __call__(self, values: Mapping[Tensor, Any], training: bool = False) -> Any:
        """Compute the call with Keras, with values in the place of tensors."""
        args, kwargs = _filled((self.args, dict(self.kwargs)), values)
        if isinstance(self.layer, keras.Layer):
            kwargs.setdefault("training", training)
        return self.layer(*args, **kwargs)


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a model, in an order in which they can be computed.

    Calls of nested models are those of their layers.

    Attributes
    ----------
    model : keras.Model
        The model.
    inputs, outputs : list of Tensor
        Its inputs and outputs, in the order of ``model.inputs`` and ``model.outputs``.
    calls : list of Call
        Its calls.
    numbers : dict
        Numbers of tensors, by how they are computed.
    """

    model: keras.Model
    inputs: list[Tensor]
    outputs: list[Tensor]
    calls: list[Call]
    numbers: dict[Any, int]

    def readers(self) -> dict[Tensor, list[Call | None]]:
        """Return which calls read each tensor; None stands for the model's output."""
        found: dict[Tensor, list[Call | None]] = {
            t: [] for t in [*self.inputs, *(t for c in self.calls for t in c.outputs)]
        }
        for call in self.calls:
            for tensor in call.inputs:
                found[tensor].append(call)
        for tensor in self.outputs:
            found[tensor].append(None)
        return found


def read_graph(model: keras.Model) -> Graph:
    """Read the calls of a functional or sequential model.

    Parameters
    ----------
    model : keras.Model
        A model that was built.

    Returns
    -------
    Graph
        Its calls.

    Raises
    ------
    ValidationError
        If it is no model, or one whose calls Keras does not know.
    """
    if not isinstance(model, keras.Model):
        raise ValidationError(
            f"Must be a keras.Model (got {type(model).__name__})", attr="model"
        )
    if not _has_graph(model):
        raise ValidationError(
            f"The calls of {model.name!r} are not known. Converted are functional "
            "models, and sequential models that were built: give the latter a "
            "keras.Input(shape) first. A subclass of keras.Model that computes in its "
            "method 'call' can be a nengo_dl.TensorNode as a whole",
            attr="model",
        )
    return _read(model, list(model.outputs), {})


def find_tensor(graph: Graph, tensor: keras.KerasTensor) -> Tensor | None:
    """Return what a tensor of the user is in a graph; None if it is not in it."""
    try:
        found = _read(graph.model, [tensor], dict(graph.numbers)).outputs[0]
    except ValueError:  # Keras: it does not depend on these inputs only
        return None
    known = [*graph.inputs, *(t for call in graph.calls for t in call.outputs)]
    return next((t for t in known if t.number == found.number), None)


def evaluate(
    graph: Graph, inputs: Sequence[np.ndarray], training: bool = False
) -> dict[Tensor, np.ndarray]:
    """Compute all tensors of a model with Keras.

    Parameters
    ----------
    graph : Graph
        The model's calls.
    inputs : sequence of ndarray
        Values of its inputs, each with an axis of the batch.
    training : bool
        Whether layers behave as in training.

    Returns
    -------
    dict of {Tensor: ndarray}
        Values of all tensors.
    """
    values: dict[Tensor, Any] = {
        tensor: keras.ops.convert_to_tensor(value, dtype=tensor.dtype)
        for tensor, value in zip(graph.inputs, inputs, strict=True)
    }
    for call in graph.calls:
        results = keras.tree.flatten(call(values, training))
        values.update(zip(call.outputs, results, strict=True))
    return {t: keras.ops.convert_to_numpy(value) for t, value in values.items()}


def build_inner_layers(graph: Graph) -> None:
    """Let layers inside of layers make the weights that they do not have yet.

    Keras knows the output of ``Activation(PReLU())`` without a call of the inner layer,
    whose weights it makes in the first call with numbers.
    """
    if not any(_lacks_weights(call.layer, set()) for call in graph.calls):
        return
    evaluate(
        graph,
        [
            np.zeros([1, *(1 if n is None else n for n in tensor.shape)])
            for tensor in graph.inputs
        ],
    )


def _lacks_weights(layer: keras.Operation, seen: set[int]) -> bool:
    seen.add(id(layer))
    inner = [
        value
        for value in vars(layer).values()
        if isinstance(value, keras.Layer) and id(value) not in seen
    ]
    return any(not other.built or _lacks_weights(other, seen) for other in inner)


def _has_graph(layer: Any) -> bool:
    if not isinstance(layer, keras.Sequential | keras.Model):
        return False
    if isinstance(layer, keras.Sequential) and not layer.built:
        return False
    # subclasses have these attributes only if they are functional, too
    return bool(getattr(layer, "inputs", None) and getattr(layer, "outputs", None))


def _read(
    model: keras.Model, outputs: list[keras.KerasTensor], numbers: dict[Any, int]
) -> Graph:
    recorder = _Recorder(numbers)
    inputs = [
        Tensor(
            recorder.number("input", position),
            tuple(t.shape[1:]),
            keras.backend.standardize_dtype(t.dtype),
            None,
            position,
            t.name,
        )
        for position, t in enumerate(model.inputs)
    ]
    batches = [t.shape[0] for t in model.inputs]
    found = recorder.record(model.inputs, outputs, inputs, batches)
    return Graph(model, inputs, found, recorder.calls, numbers)


class _StandIn(keras.Operation):
    """Is called in the place of a layer, so that nothing is written to the layer."""

    def __init__(self, layer: keras.Operation):
        super().__init__()
        self.layer = layer

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(*args, **kwargs)


class _Recorder:
    """Notes the calls of a model, and of models in it."""

    def __init__(self, numbers: dict[Any, int]):
        self.numbers = numbers
        self.calls: list[Call] = []
        self._counts: dict[int, int] = {}

    def number(self, *key: Any) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

    def record(
        self,
        inputs: Sequence[keras.KerasTensor],
        outputs: Sequence[keras.KerasTensor],
        given: Sequence[Tensor],
        batches: Sequence[int | None],
    ) -> list[Tensor]:
        """Note the calls between some tensors, with others in the place of inputs."""
        # a model of its own: neither compiled nor of a class with a constructor
        plain = keras.Model(list(inputs), list(outputs))
        starts = [
            keras.Input(batch_shape=(batch, *t.shape), dtype=t.dtype)
            for batch, t in zip(batches, given, strict=True)
        ]
        # Keras's tensors are kept, since their identities are what they are found by
        known = {id(start): (start, t) for start, t in zip(starts, given, strict=True)}

        def note(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
            results = _StandIn(layer)(*args, **kwargs)
            flat = keras.tree.flatten(results)
            for result, t in zip(flat, self._call(layer, args, kwargs, flat, known)):
                known[id(result)] = (result, t)
            return results

        clone = keras.models.clone_model(
            plain,
            input_tensors=starts,
            clone_function=lambda layer: layer,
            call_function=note,
        )
        return [known[id(t)][1] for t in clone.outputs]

    def _call(
        self,
        layer: keras.Operation,
        args: tuple,
        kwargs: dict[str, Any],
        results: list[keras.KerasTensor],
        known: dict[int, tuple[Any, Tensor]],
    ) -> list[Tensor]:
        def replaced(leaf: Any) -> Any:
            return known[id(leaf)][1] if id(leaf) in known else leaf

        batches = [
            leaf.shape[0]
            for leaf in keras.tree.flatten((args, kwargs))
            if id(leaf) in known
        ]
        args, kwargs = keras.tree.map_structure(replaced, (args, kwargs))
        leaves = keras.tree.flatten((args, kwargs))
        inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if _has_graph(layer):
            return self.record(layer.inputs, layer.outputs, inputs, batches)
        node_id = self._counts.get(id(layer), 0)
        self._counts[id(layer)] = node_id + 1
        call = Call(layer, node_id, args, kwargs, inputs)
        key = (
            id(layer),
            *(t.number if isinstance(t, Tensor) else repr(t) for t in leaves),
        )
        for index, result in enumerate(results):
            call.outputs.append(
                Tensor(
                    self.number(*key, index),
                    tuple(result.shape[1:]),
                    keras.backend.standardize_dtype(result.dtype),
                    call,
                    index,
                    result.name,
                )
            )
        self.calls.append(call)
        return call.outputs


def _filled(arguments: Any, values: Mapping[Tensor, Any]) -> Any:
    return keras.tree.map_structure(
        lambda leaf: values[leaf] if isinstance(leaf, Tensor) else leaf, arguments
    )
