"""Random numbers and other effects of TensorFlow code.

``tf.random.normal`` and its like draw from streams inside of TensorFlow, which XLA
replaces by one that nobody can seed. Here their operations are replaced by stateless
ones that take a seed as input, so that the numbers depend on a seed of the simulation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nengo_dl.support.lazy_imports import tf

__all__ = ["Effects", "call_with_seed", "find_effects"]

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

#: How operations are called that do something different each time, in inner functions.
_EFFECTS = ("Random", "PyFunc", "EagerPyFunc", "Assign", "Multinomial", "Truncated")

#: Operations that look at values and raise; XLA leaves them out.
_CHECKS = {"Assert", "CheckNumerics"}

#: Operations that draw numbers of a shape, and what replaces them.
_SHAPED = {
    "RandomStandardNormal": "StatelessRandomNormal",
    "RandomUniform": "StatelessRandomUniform",
    "TruncatedNormal": "StatelessTruncatedNormal",
}

_DRAWS = {
    *_SHAPED,
    *("RandomUniformInt", "RandomPoissonV2", "RandomGamma"),
    *("Multinomial", "RandomShuffle"),
}


@dataclass(frozen=True)
class Effects:
    """What a graph does besides computing a result from its inputs.

    Attributes
    ----------
    draws : bool
        Whether it draws random numbers that can be made to depend on a seed.
    draws_inside : bool
        Whether functions that it calls (those of loops, say) draw such numbers.
    others : bool
        Whether it does anything else that differs from call to call.
    checks : bool
        Whether it raises errors about values.
    """

    draws: bool
    draws_inside: bool
    others: bool
    checks: bool


def find_effects(graph: tf.Graph) -> Effects:
    """Return what a graph does besides computing a result."""
    definition = graph.as_graph_def()
    # functions within a graph are part of its definition
    inner = {node.op for f in definition.library.function for node in f.node_def}
    stateful = {
        op.type for op in graph.get_operations() if op.op_def and op.op_def.is_stateful
    }
    effects = {name for name in inner if name.startswith(_EFFECTS)}
    return Effects(
        draws=not stateful.isdisjoint(_DRAWS),
        draws_inside=not inner.isdisjoint(_DRAWS),
        others=bool((stateful | effects) - _REPEATABLE - _CHECKS - _DRAWS),
        checks=not _CHECKS.isdisjoint(inner | {node.op for node in definition.node}),
    )


def call_with_seed(
    function: Callable[..., Any], args: Sequence[tf.Tensor], seed: tf.Tensor
) -> Any:
    """Call a function of tensors; what it draws depends on a seed only.

    Parameters
    ----------
    function : callable
        Returns tensors, possibly in lists and tuples.
    args : sequence of tf.Tensor
        What it is called with.
    seed : tf.Tensor, shape (2,), int32
        Seed, and number of the call.

    Returns
    -------
    object
        What the function returns.
    """
    specs = [tf.TensorSpec(arg.shape, arg.dtype) for arg in args]
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    definition, keys = _with_keys(traced.graph.as_graph_def())

    def call(seed, *given):
        sources = dict(
            zip(
                [tensor.name for tensor in traced.inputs],
                # what the code takes from outside, as tensors of this graph
                [*given, *map(tf.identity, traced.captured_inputs)],
                strict=True,
            )
        )
        for number, name in enumerate(keys):
            sources[f"{name}:0"] = tf.stack([seed[0], seed[1] * len(keys) + number])
        return tf.graph_util.import_graph_def(
            definition, sources, [tensor.name for tensor in traced.outputs], name=""
        )

    # a function of its own: what is imported has no gradients by itself
    seeded = tf.function(call, autograph=False)
    found = seeded.get_concrete_function(tf.TensorSpec((2,), tf.int32), *specs)
    results = found(seed, *args)
    for result, output in zip(results, traced.outputs, strict=True):
        result.set_shape(output.shape)
    return tf.nest.pack_sequence_as(traced.structured_outputs, results)


def _with_keys(
    definition: tf.compat.v1.GraphDef,
) -> tuple[tf.compat.v1.GraphDef, list[str]]:
    """Return a graph whose draws take keys, and the names of these placeholders."""
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(definition)
    del result.node[:]
    keys: list[str] = []
    for node in definition.node:
        if node.op not in _DRAWS:
            result.node.append(node)
            continue
        keys.append(f"{node.name}/nengo_dl_key")
        placeholder = result.node.add(name=keys[-1], op="Placeholder")
        placeholder.attr["dtype"].type = tf.int32.as_datatype_enum
        result.node.extend(_stateless(node, keys[-1]))
    return result, keys


def _stateless(node: Any, key: str) -> Iterable[Any]:
    """Yield the operations in the place of one that draws."""
    data = [name for name in node.input if not name.startswith("^")]
    make = functools.partial(_in_place_of, node)
    attr = node.attr
    if node.op in _SHAPED:
        yield make(
            *(_SHAPED[node.op], [data[0], key]),
            **{"dtype": attr["dtype"], "T": attr["T"], "Tseed": tf.int32},
        )
    elif node.op == "RandomUniformInt":
        yield make(
            *("StatelessRandomUniformInt", [data[0], key, *data[1:]]),
            **{"dtype": attr["Tout"], "T": attr["T"], "Tseed": tf.int32},
        )
    elif node.op == "Multinomial":
        yield make(
            *("StatelessMultinomial", [*data, key]),
            **{"T": attr["T"], "output_dtype": attr["output_dtype"]},
            Tseed=tf.int32,
        )
    elif node.op == "RandomShuffle":
        split, algorithm = f"{node.name}/nengo_dl_split", f"{node.name}/nengo_dl_alg"
        yield make("StatelessRandomGetKeyCounter", [key], split, Tseed=tf.int32)
        yield _integer(algorithm, 1)  # Philox
        yield make(
            "StatelessShuffle",
            [data[0], f"{split}:0", f"{split}:1", algorithm],
            T=attr["T"],
        )
    else:
        yield from _of_parameters(node, key)


def _of_parameters(node: Any, key: str) -> Iterable[Any]:
    """Yield what draws as many numbers for each element of a parameter."""
    data = [name for name in node.input if not name.startswith("^")]
    make = functools.partial(_in_place_of, node)
    attr = node.attr
    parameter, shape = f"{node.name}/nengo_dl_of", f"{node.name}/nengo_dl_shape"
    kind = attr["T"] if node.op == "RandomGamma" else attr["R"]
    yield make("Shape", [data[1]], parameter, T=kind, out_type=attr["S"])
    yield _integer(f"{shape}/axis", 0)
    number = tf.compat.v1.AttrValue(i=2)
    yield make(
        *("ConcatV2", [data[0], parameter, f"{shape}/axis"], shape),
        **{"N": number, "T": attr["S"], "Tidx": tf.int32},
    )
    rest = {"T": attr["S"], "Tseed": tf.int32}
    inputs = [shape, key, data[1]]
    if node.op == "RandomGamma":
        yield make("StatelessRandomGammaV2", inputs, dtype=attr["T"], **rest)
    else:
        rest = {**rest, "dtype": attr["dtype"], "Rtype": attr["R"]}
        yield make("StatelessRandomPoisson", inputs, **rest)


def _in_place_of(
    node: Any,
    op: str,
    inputs: Sequence[str],
    name: str | None = None,
    **attributes: Any,
) -> Any:
    """Return an operation for the place of a node: after the same, on its device."""
    made = tf.compat.v1.NodeDef(name=name or node.name, op=op, device=node.device)
    control = [name for name in node.input if name.startswith("^")]
    made.input.extend([*inputs, *control])
    for attribute, value in attributes.items():
        if isinstance(value, tf.DType):
            made.attr[attribute].type = value.as_datatype_enum
        else:
            made.attr[attribute].CopyFrom(value)
    return made


def _integer(name: str, value: int) -> Any:
    """Return a constant."""
    made = tf.compat.v1.NodeDef(name=name, op="Const")
    made.attr["dtype"].type = tf.int32.as_datatype_enum
    made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
    return made
