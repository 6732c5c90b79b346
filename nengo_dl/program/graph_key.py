"""What two traced functions have in common, whatever their parts are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nengo_dl.support.lazy_imports import tf

__all__ = ["FunctionGraph", "encode_tensor", "graph_of"]

#: Attributes of operations that are numbered as they come, or say where something came
#: from: they change nothing that is computed. (Gradients are part of the graph.)
_WITHOUT_EFFECT = frozenset(
    {
        "_class",
        "_gradient_op_type",
        "_user_specified_name",
        "backward_function_name",
        "container",
        "forward_function_name",
        "shared_name",
    }
)


@dataclass(frozen=True, eq=False)
class FunctionGraph:
    """A traced function, and those that it calls, under names made of what they do.

    Attributes
    ----------
    key : str
        Equal for functions that compute the same in the same way.
    functions : tuple of FunctionDef
        The function itself comes first.
    is_sharable : bool
        Whether the functions work without the Python objects that they were traced
        from: none of them calls Python.
    """

    key: str
    functions: tuple[Any, ...]
    is_sharable: bool

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.functions[0].signature.name

    @property
    def n_outputs(self) -> int:
        """How many tensors the function returns."""
        return len(self.functions[0].signature.output_arg)


def graph_of(concrete: Any, facts: Sequence[object] = ()) -> FunctionGraph:
    """Return a traced function under names that depend on what it computes alone.

    Parameters
    ----------
    concrete : tf.types.experimental.ConcreteFunction
        What was traced.
    facts : sequence of object
        What the key depends on besides; equal facts have equal representations.

    Returns
    -------
    FunctionGraph
        Copies of the definitions. Operations keep their names, which are scopes that
        profiles show; they are no part of the key, nor are the names of arguments.
    """
    main = concrete.function_def
    library = {
        function.signature.name: function
        for function in concrete.graph.as_graph_def().library.function
    }
    found = [main]
    numbers = {main.signature.name: 0}

    def number_of(name: str) -> int:
        if name not in numbers:
            numbers[name] = len(found)
            found.append(library[name])
        return numbers[name]

    digest = hashlib.sha256(repr(tuple(facts)).encode())
    for function in found:  # grows meanwhile
        _add_function(digest, function, library, number_of)
    key = digest.hexdigest()[:32]
    names = {
        name: f"nengo_dl_{key}" + (f"_{number}" if number else "")
        for name, number in numbers.items()
    }
    functions = tuple(_renamed(function, names) for function in found)
    calls_python = any(n.op in _PYTHON for f in functions for n in f.node_def)
    return FunctionGraph(key, functions, not calls_python)


#: Operations that call Python, by a number that is good for one process.
_PYTHON = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})


def _add_function(
    digest: Any, function: Any, library: Container[str], number_of: Callable[[str], int]
) -> None:
    """Add what a function computes to a digest."""
    arguments = function.signature.input_arg
    ids = {argument.name: f"a{i}" for i, argument in enumerate(arguments)}
    ids.update({node.name: f"n{i}" for i, node in enumerate(function.node_def)})

    def add(*parts: str | bytes) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else part.encode()
            digest.update(b"%d:" % len(data) + data)

    def add_attributes(attributes: Mapping[str, Any]) -> None:
        for name in sorted(attributes):  # a map of protobuf has another order each time
            if name in _WITHOUT_EFFECT:
                continue
            value = attributes[name]
            add(name)
            for called in _functions_in(value):
                add(str(number_of(called.name)))
                add_attributes(called.attr)
            if not value.HasField("func") and not value.list.func:
                add(value.SerializeToString(deterministic=True))

    for argument in (*arguments, *function.signature.output_arg):
        add("argument", str(argument.type))
    for number in sorted(function.arg_attr):
        add(str(number))
        add_attributes(function.arg_attr[number].attr)
    for node in function.node_def:
        op = str(number_of(node.op)) if node.op in library else node.op
        add("node", op, node.device, *(_renumbered(s, ids) for s in node.input))
        add_attributes(node.attr)
    for argument in function.signature.output_arg:
        add("output", _renumbered(function.ret[argument.name], ids))
    add("control", *sorted(ids[node] for node in function.control_ret.values()))
    add_attributes(function.attr)


def _functions_in(value: Any) -> list[Any]:
    """Return the functions that the value of an attribute names."""
    return [value.func] if value.HasField("func") else list(value.list.func)


def _renumbered(source: str, names: Mapping[str, str]) -> str:
    """Return an input of an operation, ``"^name"`` or ``"name:output:0"``."""
    control = "^" if source.startswith("^") else ""
    base, colon, rest = source.removeprefix("^").partition(":")
    return control + names.get(base, base) + colon + rest


def _renamed(function: Any, names: Mapping[str, str]) -> Any:
    """Return a copy of a function, with other names of functions and arguments."""
    result = type(function)()
    result.CopyFrom(function)
    result.signature.name = names[function.signature.name]
    arguments = {}
    taken = {node.name for node in function.node_def}
    for number, argument in enumerate(result.signature.input_arg):
        new = f"a{number}"
        while new in taken:
            new += "_"
        arguments[argument.name] = new
        argument.name = new
    for number in list(result.arg_attr):
        result.arg_attr[number].attr.pop("_user_specified_name", None)
    for name in list(result.ret):
        result.ret[name] = _renumbered(result.ret[name], arguments)
    for node in result.node_def:
        node.op = names.get(node.op, node.op)
        node.ClearField("experimental_debug_info")
        sources = [_renumbered(source, arguments) for source in node.input]
        del node.input[:]
        node.input.extend(sources)
        for name in node.attr:
            for called in _functions_in(node.attr[name]):
                called.name = names[called.name]
    return result


def encode_tensor(obj: object) -> bytes | None:
    """Return bytes for a tensor or its type; None for whatever else."""
    if isinstance(obj, tf.DType):
        return obj.name.encode()
    if isinstance(obj, tf.Variable):
        return f"variable {obj.dtype.name} {tuple(obj.shape)}".encode()
    if isinstance(obj, tf.Tensor) and hasattr(obj, "numpy"):
        value = obj.numpy()
        return f"{value.dtype.str} {value.shape} ".encode() + value.tobytes()
    return None
