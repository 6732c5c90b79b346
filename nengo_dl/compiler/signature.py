"""A key that two plans share if the same compiled program serves both.

A program depends on where signals lie, on what each group reads and writes, and on what
the builders of the groups write into it as literals. It does not depend on the values
of parameters and state: those are variables.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.params import FrozenObject

from nengo_dl.compiler.blocks import Block, ReadPlan, WritePlan
from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.layout import Layout
from nengo_dl.compiler.sparse import coo

__all__ = ["Signature", "sign_plan"]

#: Packages whose classes and functions mean the same in all processes.
_KNOWN = frozenset({"nengo", "nengo_dl", "numpy", "tensorflow", "builtins"})

#: Types whose values `repr` tells apart.
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})

#: Gives bytes for the value of an object of another library, such as a tensor; None if
#: it does not know the object.
Encode = Callable[[Any], bytes | None]


@dataclass(frozen=True, eq=False)
class Signature:
    """What a compiled program depends on.

    Attributes
    ----------
    key : str
        Equal for plans that one program serves.
    is_portable : bool
        Whether it means the same in other processes: no part is the identity of a
        class that a user defined.
    kept : tuple of object
        Objects whose identities are parts of the key. They have to exist as long as the
        key is used.
    """

    key: str
    is_portable: bool
    kept: tuple[Any, ...]


def sign_plan(
    layout: Layout,
    kernels: Sequence[Any],
    facts: Sequence[object] = (),
    encode: Encode = lambda obj: None,
) -> Signature | None:
    """Return the signature of a plan, as far as it can be known without tracing.

    Parameters
    ----------
    layout : Layout
        Groups and where their signals are.
    kernels : sequence of OpBuilder
        The builders of the groups.
    facts : sequence of object
        What programs depend on besides: dt, precision, device, and so on.
    encode : callable
        Encodes objects of other libraries.

    Returns
    -------
    Signature or None
        None if something is not known well enough: functions of users, or builders that
        do not say what they write into programs (see `OpBuilder.baked`).
    """
    digest = _Digest(encode)
    try:
        digest.add(tuple(facts))
        for block in layout.blocks:
            digest.add(_of_block(block))
        for bound, kernel in zip(layout.groups, kernels, strict=True):
            digest.add(_of_operands(bound.group))
            digest.add((*map(_of_read, bound.reads), "|"))
            digest.add((*map(_of_read, bound.previous), "|"))
            for plans in (bound.sets, bound.incs, bound.updates):
                digest.add((*map(_of_write, plans), "|"))
            digest.add_builder(kernel)
        digest.add((*map(_of_read, layout.outputs), layout.after_updates))
    except _Unknown:
        return None
    return Signature(digest.result(), digest.is_portable, tuple(digest.kept))


def _of_block(block: Block) -> tuple[object, ...]:
    dtype = block.signals[0].dtype.str if block.signals else ""
    kind = block.kind if block.kind == "f" else dtype
    return (block.number, block.role.name, kind, block.trainable, block.size)


def _of_operands(group: Group) -> tuple[object, ...]:
    kinds = (group.operands_read, group.previous, group.sets, group.incs, group.updates)
    return tuple(tuple((o.flat, o.shape) for o in operands) for operands in kinds)


def _of_read(plan: ReadPlan) -> tuple[object, ...]:
    pieces = [(p.block, p.start, p.length, p.step, p.row, p.index) for p in plan.pieces]
    return (pieces, plan.order, plan.shape)


def _of_write(plan: WritePlan) -> list[tuple[object, ...]]:
    return [
        (t.block, t.source, t.target, t.length, t.index, t.segments, t.mask)
        for t in plan.transfers
    ]


class _Unknown(Exception):
    """Something has a meaning that its data do not show."""


class _Digest:
    """Collects data of nested objects, without the values of signals.

    Parameters
    ----------
    encode : callable
        See `sign_plan`.
    """

    def __init__(self, encode: Encode):
        self.encode = encode
        self.is_portable = True
        self.kept: list[Any] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._numbers: dict[int, int] = {}
        # so that no identity is used twice
        self._seen: list[Any] = []

    def result(self) -> str:
        """Return the key."""
        return self._hash.hexdigest()

    def _put(self, kind: str, data: object = "") -> None:
        part = data if isinstance(data, bytes) else str(data).encode()
        self._hash.update(b"%s %d:" % (kind.encode(), len(part)) + part)

    def add(self, obj: Any) -> None:
        """Add anything.

        Of functions, those that can be found by their name in a known library.

        Raises
        ------
        _Unknown
            If it is a function of a user, or an object of another library.
        """
        if obj is None or isinstance(obj, (bool, int, float, complex, str, bytes)):
            self._put(type(obj).__name__, repr(obj))
        elif isinstance(obj, (np.generic, np.dtype, np.ufunc, range)):
            self._put(str(type(obj)), repr(obj))
        elif isinstance(obj, enum.Enum):
            self._put("enum", f"{type(obj).__qualname__}.{obj.name}")
        elif isinstance(obj, np.ndarray):
            self._add_array(obj)
        elif isinstance(obj, (list, tuple)):
            if _PLAIN.issuperset(map(type, obj)):
                self._put("plain", repr(obj))
            else:
                self._add_items("sequence", obj)
        elif isinstance(obj, (set, frozenset)):
            self._add_items("set", sorted(obj, key=repr))
        elif isinstance(obj, Mapping):
            self._add_items("mapping", [part for item in obj.items() for part in item])
        elif isinstance(obj, type):
            self._add_type(obj)
        elif isinstance(obj, functools.partial):
            self._add_items("partial", (obj.func, obj.args, obj.keywords))
        elif isinstance(obj, (types.FunctionType, types.BuiltinFunctionType)):
            self._add_function(obj)
        elif isinstance(obj, types.MethodType):
            self._add_items("method", (obj.__func__, obj.__self__))
        else:
            self._add_object(obj)

    def _add_items(self, kind: str, items: Iterable[Any]) -> None:
        items = list(items)
        self._put(kind, len(items))
        for item in items:
            self.add(item)

    def _add_array(self, array: np.ndarray) -> None:
        self._put("array", f"{array.dtype.str} {array.shape}")
        if array.dtype.hasobject:
            self._add_items("objects", array.ravel())
        else:
            self._put("values", np.ascontiguousarray(array).tobytes())

    def _add_type(self, kind: type) -> None:
        self._put("type", f"{kind.__module__}.{kind.__qualname__}")
        if kind.__module__.partition(".")[0] not in _KNOWN:
            # a notebook may define another class under the same name
            self._put("identity", id(kind))
            self.is_portable = False
            self.kept.append(kind)

    def _add_function(self, function: Any) -> None:
        module, name = str(function.__module__), function.__qualname__
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if module.partition(".")[0] not in _KNOWN or found is not function:
            raise _Unknown(f"{module}.{name}")
        self._put("function", f"{module}.{name}")

    def _add_object(self, obj: Any) -> None:
        data = self.encode(obj)
        if data is not None:
            self._put("encoded", data)
            return
        number = self._numbers.setdefault(id(obj), len(self._numbers))
        if number < len(self._seen):
            self._put("again", number)
            return
        self._seen.append(obj)
        if isinstance(obj, Signal):
            self._add_signal(obj)
        elif isinstance(obj, FrozenObject):
            self._add_attributes(obj, obj.__getstate__())
        elif isinstance(obj, Operator):
            self._add_attributes(obj, vars(obj), ("tag", "_tag"))
        elif callable(getattr(obj, "baked", None)):
            self.add_builder(obj)
        elif type(obj).__module__.partition(".")[0] in ("nengo", "nengo_dl"):
            self._add_attributes(obj, vars(obj) if hasattr(obj, "__dict__") else {})
        else:
            raise _Unknown(repr(obj))

    def _add_attributes(
        self, obj: Any, attributes: Mapping[str, Any], without: Sequence[str] = ()
    ) -> None:
        self._add_type(type(obj))
        for name in sorted(attributes):
            if name not in without:
                self._put("attribute", name)
                self.add(attributes[name])

    def _add_signal(self, signal: Signal) -> None:
        """Add the form of a signal, not its value."""
        self._put("signal", f"{signal.shape} {np.dtype(signal.dtype).str}")
        if signal.is_view:
            self._put("view", f"{signal.elemoffset} {signal.elemstrides}")
            self.add(signal.base)
        elif signal.sparse:
            rows, columns, _ = coo(signal.initial_value)
            self._add_items("elements", (np.asarray(rows), np.asarray(columns)))

    def add_builder(self, builder: Any) -> None:
        """Add what a builder writes into programs."""
        kind = type(builder)
        own = kind.__module__.partition(".")[0] == "nengo_dl"
        # what a user's class inherits does not know what the class adds
        baked = builder.baked() if own or "baked" in vars(kind) else None
        if baked is None:
            raise _Unknown(repr(builder))
        self._add_type(kind)
        self._add_items("baked", [part for item in baked.items() for part in item])
