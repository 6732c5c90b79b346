"""TensorFlow versions of Nengo's operators; one module for each in ``nengo.builder``."""

from nengo_dl.builders.base import (
    BuildConfig,
    OpBuilder,
    Writes,
    find_builder,
    register,
)

__all__ = ["BuildConfig", "OpBuilder", "Writes", "find_builder", "register"]
