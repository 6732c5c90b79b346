"""TensorFlow versions of Nengo's operators, and what makes new ones."""

from nengo_dl.builders import (
    callbacks,
    learning_rules,
    neurons,
    processes,
    products,
    tensor_code,
)
from nengo_dl.builders.base import OpBuilder, Writes
from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.builders.registry import find_builder, register

__all__ = [
    "BuildConfig",
    "OpBuilder",
    "Writes",
    "callbacks",
    "find_builder",
    "learning_rules",
    "neurons",
    "processes",
    "products",
    "register",
    "tensor_code",
]
