"""Graphs without variables, in operations that converters know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nengo.exceptions import ValidationError

from nengo_dl.support.lazy_imports import tf

__all__ = ["FrozenGraph", "freeze_graph"]


@dataclass(frozen=True)
class FrozenGraph:
    """A graph of literals and placeholders.

    Attributes
    ----------
    definition : tf.compat.v1.GraphDef
        The graph.
    inputs, outputs : dict of {str: str}
        Names of tensors, by the names of arguments and results.
    """

    definition: Any
    inputs: dict[str, str]
    outputs: dict[str, str]

    def __call__(self, values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Compute the graph's results as a part of the current one."""
        results = tf.graph_util.import_graph_def(
            self.definition,
            {tensor: values[name] for name, tensor in self.inputs.items()},
            list(self.outputs.values()),
            name="",
        )
        return dict(zip(self.outputs, results, strict=True))


def freeze_graph(traced: Any) -> FrozenGraph:
    """Return the graph of a function of named tensors, with all values in it.

    Functions that converters lack, or whose replacements are less precise, are
    expressed by others, except within functions that the graph calls.

    Parameters
    ----------
    traced : tf.types.experimental.ConcreteFunction
        Takes named tensors, and returns a dict of them.

    Raises
    ------
    ValidationError
        If it uses variables in a way that cannot be followed.
    """
    original = traced.graph.as_graph_def()
    definition = tf.compat.v1.GraphDef()
    definition.CopyFrom(original)
    del definition.node[:]
    values = _captured_values(traced)
    for node in original.node:
        source = node.input[0] if node.input else ""
        if node.op == "ReadVariableOp" and source in values:
            definition.node.append(_literal(node.name, values[source]))
        elif node.name in values:
            if isinstance(values[node.name], tf.Variable):
                continue  # its readers have become literals
            definition.node.append(_literal(node.name, values[node.name]))
        elif node.op in _REPLACEMENTS:
            definition.node.extend(_in_other_words(node, traced.graph))
        else:
            definition.node.append(node)
            # what would compute a gradient is not there any more
            definition.node[-1].attr.pop("_gradient_op_type", None)
    _check_no_variables(definition, values)
    placeholders = {tensor.op.name: tensor.name for tensor in traced.inputs}
    return FrozenGraph(
        definition,
        {name: placeholders[name] for name in traced.structured_input_signature[1]},
        {
            name: tensor.name
            for name, tensor in zip(
                sorted(traced.structured_outputs), traced.outputs, strict=True
            )
        },
    )


def _captured_values(traced: Any) -> dict[str, Any]:
    """Return what a function takes from outside: variables and tensors, by name."""
    captured = traced.captured_inputs
    placeholders = traced.inputs[len(traced.inputs) - len(captured) :]
    variables = {id(v.handle): v for v in traced.graph.variables}
    return {
        placeholder.op.name: variables.get(id(value), value)
        for placeholder, value in zip(placeholders, captured, strict=True)
    }


def _literal(name: str, value: Any) -> Any:
    value = value.numpy()
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node


def _check_no_variables(definition: Any, values: Mapping[str, Any]) -> None:
    variables = {n: v for n, v in values.items() if isinstance(v, tf.Variable)}
    for node in definition.node:
        for source in node.input:
            variable = variables.get(source.lstrip("^").partition(":")[0])
            if variable is not None:
                raise ValidationError(
                    f"Code of a TensorNode uses the variable {variable.name!r} in a "
                    "loop or an inner function, which cannot be written in this "
                    "format; use its value outside of it, or the format "
                    "'tf_saved_model'",
                    attr="format",
                )


# -- operations in terms of others


def _one(x: tf.Tensor) -> tf.Tensor:
    """Return ones, which optimizers do not know.

    They take ``(x + 1) - 1`` for ``x``, and the precision is lost.
    """
    return tf.where(tf.equal(x, x), tf.ones((), x.dtype), x)


def _log1p(x: tf.Tensor) -> tf.Tensor:
    """Return ``log(1 + x)``, precise for small numbers [1]_.

    References
    ----------
    .. [1] W. Kahan. Interval arithmetic options in the proposed IEEE floating point
       arithmetic standard. In: Interval Mathematics 1980, pp. 99-128, 1980.
    """
    one = _one(x)
    u = x + one
    rounded = u - one
    is_small, is_large = tf.equal(u, one), tf.equal(rounded, u)
    ratio = x / tf.where(is_small | is_large, one, rounded)
    log = tf.math.log(u)
    return tf.where(is_small, x, tf.where(is_large, log, log * ratio))


def _expm1(x: tf.Tensor) -> tf.Tensor:
    """Return ``exp(x) - 1``, precise for small numbers; see `_log1p`."""
    one = _one(x)
    u = tf.exp(x)
    difference = u - one
    is_small = tf.equal(u, one)
    # where the exponential vanishes or overflows, the difference is right
    is_plain = tf.equal(difference, -one) | tf.equal(difference, u)
    log = tf.math.log(tf.where(is_small | is_plain, one + one, u))
    return tf.where(is_small, x, tf.where(is_plain, difference, difference * (x / log)))


def _softplus(x: tf.Tensor) -> tf.Tensor:
    """Return ``log(1 + exp(x))``, precise where it is small."""
    return tf.maximum(x, tf.zeros((), x.dtype)) + _log1p(tf.exp(-tf.abs(x)))


_REPLACEMENTS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "Log1p": _log1p,
    "Expm1": _expm1,
    "Softplus": _softplus,
}


def _in_other_words(node: Any, graph: Any) -> list[Any]:
    """Return operations that compute what one does, the last of the same name."""
    source = node.input[0]
    tensor = graph.get_tensor_by_name(source if ":" in source else f"{source}:0")
    function = tf.function(_REPLACEMENTS[node.op], autograph=False)
    made = function.get_concrete_function(tf.TensorSpec(tensor.shape, tensor.dtype))
    (placeholder,), (output,) = made.inputs, made.outputs

    def renamed(name: str) -> str:
        if name == placeholder.op.name:
            return source
        return f"{node.name}/{name}"

    found = []
    for inner in made.graph.as_graph_def().node:
        if inner.name == placeholder.op.name:
            continue
        copy = tf.compat.v1.NodeDef()
        copy.CopyFrom(inner)
        copy.name = renamed(inner.name)
        copy.input[:] = [renamed(name) for name in inner.input]
        found.append(copy)
    last = tf.compat.v1.NodeDef(name=node.name, op="Identity")
    last.attr["T"].type = tensor.dtype.as_datatype_enum
    last.input.append(renamed(output.op.name))
    return [*found, last]
