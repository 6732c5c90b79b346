"""Reads what TensorFlow's profiler writes: files that end in ``.xplane.pb``.

TensorFlow ships no reader of them. Their format is public (``xplane.proto`` of the
OpenXLA project), and so is that of the compiled programs that they contain
(``hlo.proto``). The fields that are needed here are listed below with their numbers;
the decoding is that of protobuf.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["Kernel", "read_kernels", "read_space"]

#: For each message: number, name and type of its fields; "*" for repeated ones.
_MESSAGES = {
    "XSpace": "1 planes XPlane*",
    "XPlane": (
        "1 id int64, 2 name string, 3 lines XLine*, 4 events EventEntry*, "
        "5 stats StatEntry*"
    ),
    "EventEntry": "1 key int64, 2 value XEventMetadata",
    "StatEntry": "1 key int64, 2 value XStatMetadata",
    "XEventMetadata": "1 id int64, 2 name string, 5 stats XStat*",
    "XStatMetadata": "1 id int64, 2 name string",
    "XLine": (
        "1 id int64, 2 name string, 3 timestamp_ns int64, 4 events XEvent*, "
        "11 display_name string"
    ),
    "XEvent": (
        "1 metadata_id int64, 2 offset_ps int64, 3 duration_ps int64, 4 stats XStat*"
    ),
    "XStat": (
        "1 metadata_id int64, 2 double_value double, 3 uint64_value uint64, "
        "4 int64_value int64, 5 str_value string, 6 bytes_value bytes, "
        "7 ref_value uint64"
    ),
    "HloProto": "1 module HloModule",
    "HloModule": "1 name string, 3 computations HloComputation*",
    "HloComputation": "1 name string, 2 instructions HloInstruction*, 5 id int64",
    "HloInstruction": (
        "1 name string, 2 opcode string, 7 metadata OpMetadata, 38 called int64*"
    ),
    "OpMetadata": "2 op_name string",
}


@functools.cache
def _message_classes() -> dict[str, Any]:
    # here, since few processes read profiles
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="nengo_dl/xplane.proto", package="nengo_dl", syntax="proto3"
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for field in fields.split(", "):
            number, name, kind = field.split()
            added = described.field.add(number=int(number), name=name)
            added.label = (
                field_type.LABEL_REPEATED
                if kind.endswith("*")
                else field_type.LABEL_OPTIONAL
            )
            kind = kind.rstrip("*")
            if kind in _MESSAGES:
                added.type = field_type.TYPE_MESSAGE
                added.type_name = f".nengo_dl.{kind}"
            else:
                added.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"nengo_dl.{name}")
        )
        for name in ("XSpace", "HloProto")
    }


#: Instructions that compute nothing: what they belong to says nothing about a kernel.
_FREE = frozenset(
    "bitcast broadcast constant get-tuple-element iota parameter reshape tuple".split()
)


def read_space(data: bytes) -> Any:
    """Decode a profile.

    Parameters
    ----------
    data : bytes
        Contents of the file.

    Returns
    -------
    message
        With the fields of ``XSpace``.

    Raises
    ------
    google.protobuf.message.DecodeError
        If it is no such file.
    """
    return _message_classes()["XSpace"].FromString(data)


class Kernel:
    """An instruction of a compiled program.

    Parameters
    ----------
    opcode : str
        What it does, such as ``"dot"`` or ``"fusion"``.
    scopes : tuple of str
        Names of the TensorFlow operations that it computes, its own first.
    """

    def __init__(self, opcode: str, scopes: tuple[str, ...]):
        self.opcode = opcode
        self.scopes = scopes


def read_kernels(space: Any) -> dict[str, dict[int, Kernel]]:
    """Return the instructions of all compiled programs in a profile.

    Parameters
    ----------
    space : message
        Result of `read_space`.

    Returns
    -------
    dict of {str: dict of {int: Kernel}}
        By name of the instruction, and number of the program.
    """
    found: dict[str, dict[int, Kernel]] = {}
    for plane in space.planes:
        for entry in plane.events:
            for stat in entry.value.stats:
                if stat.bytes_value and plane.name.startswith("/host:metadata"):
                    decode = _message_classes()["HloProto"].FromString
                    program = decode(stat.bytes_value)
                    for name, kernel in _kernels(program.module):
                        found.setdefault(name, {})[entry.value.id] = kernel
    return found


def _kernels(module: Any) -> list[tuple[str, Kernel]]:
    computations = {c.id: c for c in module.computations}
    result = []
    for computation in module.computations:
        for instruction in computation.instructions:
            scopes = [instruction.metadata.op_name]
            if instruction.opcode == "fusion":
                for number in instruction.called:
                    scopes += [
                        inner.metadata.op_name
                        for inner in computations[number].instructions
                        if inner.opcode not in _FREE
                    ]
            kept = tuple(dict.fromkeys(scope for scope in scopes if scope))
            result.append((instruction.name, Kernel(instruction.opcode, kept)))
    return result
