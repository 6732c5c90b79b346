"""TensorFlow versions of Nengo's operators; modules are named as Nengo's."""

from nengo_dl.builders import (
    callbacks,
    learning_rules,
    neurons,
    operators,
    processes,
    tensor_nodes,
    transforms,
)
from nengo_dl.builders.base import (
    BuildConfig,
    OpBuilder,
    Writes,
    find_builder,
    register,
)

__all__ = [
    "BuildConfig",
    "OpBuilder",
    "Writes",
    "callbacks",
    "find_builder",
    "learning_rules",
    "neurons",
    "operators",
    "processes",
    "register",
    "tensor_nodes",
    "transforms",
]
